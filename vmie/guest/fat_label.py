"""The label of a FAT file system: the entry in its root directory, which `label` and Windows change, before the boot
sector's copy. Microsoft's FAT specification 1.03, "Root Directory Entry"; libblkid looks in the same order.
"""

from __future__ import annotations

import struct

from vmie.guest.stream import Blocks

_ENTRY = 32
_LONG_NAME, _LABEL, _KIND = 0x0F, 0x08, 0x18
_MAX_CLUSTERS = 16
_MAX_BYTES = 64 << 10
_NONE = "NO NAME"


def label(blocks: Blocks, head: bytes, *, wide: bool) -> str:
    """The label, "" when there is none; `head` is the boot sector, `wide` for FAT32."""
    at = 67 if wide else 39
    written = _text(head[at + 4 : at + 15])
    for part in _fat32_root(blocks, head) if wide else _fat16_root(blocks, head):
        for offset in range(0, len(part) - _ENTRY + 1, _ENTRY):
            entry = part[offset : offset + _ENTRY]
            if entry[0] == 0:
                return "" if written == _NONE else written
            named = entry[11] & 0x3F != _LONG_NAME and entry[11] & _KIND == _LABEL
            if named and entry[0] != 0xE5:
                return _text((b"\xe5" if entry[0] == 5 else entry[:1]) + entry[1:11])
    return "" if written == _NONE else written


def _geometry(head: bytes) -> tuple[int, int, int, int]:
    """(bytes per sector, sectors per cluster, first sector behind the tables, the tables' first)."""
    sector, cluster, reserved, tables = struct.unpack_from("<HBHB", head, 11)
    each = int.from_bytes(head[22:24], "little") or int.from_bytes(head[36:40], "little")
    return sector, cluster, reserved + tables * each, reserved


def _fat16_root(blocks: Blocks, head: bytes) -> list[bytes]:
    sector, _, behind, _ = _geometry(head)
    entries = int.from_bytes(head[17:19], "little")
    return [blocks.read(behind * sector, min(entries * _ENTRY, _MAX_BYTES))]


def _fat32_root(blocks: Blocks, head: bytes) -> list[bytes]:
    """The first clusters of the root directory, along its chain."""
    sector, cluster, behind, table = _geometry(head)
    number = int.from_bytes(head[44:48], "little")
    size = min(sector * cluster, _MAX_BYTES)
    parts: list[bytes] = []
    while 2 <= number < 0x0FFFFFF7 and len(parts) < _MAX_CLUSTERS:
        parts.append(blocks.read((behind + (number - 2) * cluster) * sector, size))
        number = int.from_bytes(blocks.read(table * sector + number * 4, 4), "little") & 0x0FFFFFFF
    return parts


def _text(raw: bytes) -> str:
    text = raw.decode("cp437", "replace").strip(" \0")
    return "".join(char if char.isprintable() else "?" for char in text)
