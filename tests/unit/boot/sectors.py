"""Guests of one sector: what is on a disk when its first program prints a few lines, and what it does then."""

from __future__ import annotations

from pathlib import Path

#: cli, hlt, and again; or back to the beginning of the text; or to the reset vector
STAY, REPEAT, RESET = b"\xfa\xf4\xeb\xfc", b"\xe9", b"\xea\x00\x00\xff\xff"
#: mov dx, 0x604; mov ax, 0x2000; out dx, ax: ACPI's S5 on QEMU's q35
OFF = b"\xba\x04\x06\xb8\x00\x20\xef"
_SERIAL = b"\xba\xf8\x03\xee"  # mov dx, 0x3f8; out dx, al
_SCREEN = b"\xb4\x0e\xbb\x07\x00\xcd\x10"  # mov ah, 0x0e; mov bx, 7; int 0x10
_START = b"\x31\xc0\x8e\xd8\xfc"  # xor ax, ax; mov ds, ax; cld


def sector(text: str, *, serial: bool = True, screen: bool = True, then: bytes = STAY) -> bytes:
    """A boot sector that prints `text`."""
    shown = (_SERIAL if serial else b"") + (_SCREEN if screen else b"")
    loop = b"\xac\x08\xc0\x74" + bytes((len(shown) + 2,)) + shown  # lodsb; or al, al; jz over the loop
    loop += b"\xeb" + bytes((256 - len(loop) - 2,))
    begin = len(_START)
    size = begin + 3 + len(loop) + (3 if then == REPEAT else len(then))
    code = _START + b"\xbe" + (0x7C00 + size).to_bytes(2, "little") + loop
    code += then if then != REPEAT else b"\xe9" + (begin - size).to_bytes(2, "little", signed=True)
    code += text.encode("cp437") + b"\0"
    assert len(code) <= 446
    return code.ljust(510, b"\0") + b"\x55\xaa"


def guest(path: Path, text: str, *, serial: bool = True, screen: bool = True, then: bytes = STAY) -> Path:
    """A disk of 1 MiB that starts so."""
    path.write_bytes(sector(text, serial=serial, screen=screen, then=then).ljust(1 << 20, b"\0"))
    return path
