"""Contents to store, and what every reader of them must hold to."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from vmie.disk.base import Disk
from vmie.errors import ImageError
from vmie.model import ExtentKind

MIB = 1 << 20


def write_raw(path: Path, *, size: int, islands: tuple[tuple[int, int], ...], compressible: bool = False) -> Path:
    """A sparse file with data at `islands` (offset, length)."""
    numbers = random.Random(7)
    with path.open("wb") as file:
        file.truncate(size)
        for offset, length in islands:
            file.seek(offset)
            block = numbers.randbytes(512) * 8 if compressible else b""
            file.write((block * (length // 4096 + 1))[:length] if compressible else numbers.randbytes(length))
    return path


def assert_reads_as(disk: Disk, raw: Path, *, step: int = 100_001) -> None:
    """`disk` holds what `raw` holds (zeros after its end), in odd pieces; extents cover it and tell no zero of data."""
    expected = raw.read_bytes().ljust(disk.size, b"\0")
    for offset in range(0, disk.size, step):
        assert disk.read(offset, step) == expected[offset : min(offset + step, disk.size)], f"at {offset}"
    assert disk.read(disk.size, 10) == b""
    assert disk.read(max(0, disk.size - 3), 100) == expected[max(0, disk.size - 3) : disk.size]
    position, before = 0, None
    for extent in disk.extents():
        assert extent.offset == position
        assert extent.length > 0
        assert extent.kind is not before
        position, before = extent.end, extent.kind
        if extent.kind is not ExtentKind.ALLOCATED:
            assert not expected[extent.offset : extent.end].strip(b"\0")
    assert position == disk.size
    held = sum(extent.length for extent in disk.extents() if extent.kind is ExtentKind.ALLOCATED)
    assert held <= disk.allocated_size <= disk.size


def outcome(opening: Callable[[], Disk]) -> str:
    """Open, list extents and read their ends: "read", or the ImageError's words. Nothing else may come, nor late."""
    begun = time.process_time()
    refusal: ImageError | None = None
    try:
        with opening() as disk:
            for extent in disk.extents():
                for offset in range(extent.offset, min(extent.end, extent.offset + MIB), 65536):
                    disk.read(offset, min(65536, extent.end - offset))
                disk.read(max(extent.offset, extent.end - 4096), 4096)
                if time.process_time() - begun > 1:
                    break
            disk.read(disk.size // 2, 65536)
    except ImageError as error:
        refusal = error
    assert time.process_time() - begun < 10, refusal
    if refusal is None:
        return "read"
    assert refusal.message
    assert refusal.cure
    return f"{refusal.message}: {refusal.cause}"


def field_mutations(data: bytes, *, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """`data` with every 4 aligned bytes of a range in turn all ones, all zeros, and the highest positive number."""
    for offset in range(begin, min(end, len(data)), 4):
        for value in (b"\xff" * 8, bytes(4), b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"):
            if data[offset : offset + len(value)] != value:
                yield offset, data[:offset] + value + data[offset + len(value) :]
