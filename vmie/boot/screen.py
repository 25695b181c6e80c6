"""The screen of a machine: its text, where the card is in text mode, and its picture as PNG."""

from __future__ import annotations

import re
import struct
import zlib

#: where the card keeps its text, and how much of 80 columns and 25 rows
TEXT_AT, TEXT_BYTES = 0xB8000, 4000
_COLUMNS = 80
#: attributes of a screen that a program writes on; a picture in the same memory has more
_ATTRIBUTES = 24
#: a screen is at most so wide and high
_LARGEST = 8192


def text_of(memory: bytes) -> list[str] | None:
    """The lines of a screen in text mode from its memory: pairs of a character and its colours. None where it has none.

    A row that is full to its end goes on in the next.
    """
    if len(memory) != TEXT_BYTES or len(set(memory[1::2])) > _ATTRIBUTES or not any(memory[::2]):
        return None
    text = memory[::2].replace(b"\0", b" ").decode("cp437")
    odd = sum(not char.isprintable() for char in text)
    if odd > _COLUMNS:
        return None
    lines: list[str] = []
    goes_on = False
    for at in range(0, len(text), _COLUMNS):
        row = text[at : at + _COLUMNS]
        if goes_on:
            lines[-1] += row.rstrip()
        else:
            lines.append(row.rstrip())
        goes_on = not row.endswith(" ") and row.isascii()
    return [line for line in lines if line]


def png_of(ppm: bytes) -> bytes | None:
    """A picture as QEMU dumps it (PPM, eight bits) as PNG; None for what is none."""
    head = re.match(rb"P6\s+(\d{1,5})\s+(\d{1,5})\s+255\s", ppm)
    if head is None:
        return None
    width, height = int(head[1]), int(head[2])
    if not 0 < width <= _LARGEST or not 0 < height <= _LARGEST or len(ppm) - head.end() < 3 * width * height:
        return None
    packed = zlib.compressobj(6)
    rows = b"".join(
        packed.compress(b"\0" + ppm[at : at + 3 * width])
        for at in range(head.end(), head.end() + 3 * width * height, 3 * width)
    )
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", rows + packed.flush()),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
