"""Registry hives for tests, written from the regf specification; hivexget reads them back as a witness."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

Data = str | int | list[str] | bytes
#: key path -> value name -> data; parents come by themselves
Keys = Mapping[str, Mapping[str, Data]]

_NONE = 0xFFFFFFFF
_SECURITY = bytes.fromhex("010004800000000000000000000000001400000002000c0000000000" + "00" * 4)


@dataclass
class _Node:
    name: str
    values: dict[str, Data] = field(default_factory=dict)
    children: dict[str, _Node] = field(default_factory=dict)


def build(keys: Keys, *, dirty: bool = False) -> bytes:
    """A hive of one bin that holds `keys`; `dirty` leaves its sequence numbers unequal."""
    root = _Node("ROOT")
    for path, values in keys.items():
        node = root
        for part in path.split("\\") if path else ():
            node = node.children.setdefault(part.lower(), _Node(part))
        node.values.update(values)
    cells = _Cells()
    security = cells.add(struct.pack("<2sHIIII", b"sk", 0, 0, 0, 1, len(_SECURITY)) + _SECURITY)
    cells.patch(security, 4, struct.pack("<II", security, security))
    top = _key(cells, root, parent=0, security=security)
    bin_size = -(-(32 + len(cells.data)) // 4096) * 4096
    spare = bin_size - 32 - len(cells.data)
    tail = struct.pack("<i", spare) + bytes(spare - 4) if spare >= 8 else bytes(spare)
    hbin = struct.pack("<4sIIQQI", b"hbin", 0, bin_size, 0, 0, 0) + bytes(cells.data) + tail
    base = struct.pack("<4sIIQIIIIIII", b"regf", 2 if dirty else 1, 1, 0, 1, 5, 0, 1, top, bin_size, 1)
    base = base.ljust(508, b"\0")
    checksum = 0
    for (word,) in struct.iter_unpack("<I", base):
        checksum ^= word
    return (base + struct.pack("<I", checksum)).ljust(4096, b"\0") + hbin


class _Cells:
    """The inside of the bin; offsets count from the bin's first byte."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, payload: bytes) -> int:
        size = -(-(len(payload) + 4) // 8) * 8
        offset = 32 + len(self.data)
        self.data += struct.pack("<i", -size) + payload.ljust(size - 4, b"\0")
        return offset

    def patch(self, cell: int, at: int, data: bytes) -> None:
        start = cell - 32 + 4 + at
        self.data[start : start + len(data)] = data


def _key(cells: _Cells, node: _Node, *, parent: int, security: int) -> int:
    name = node.name.encode("latin-1")
    flags = 0x2C if parent == 0 else 0x20
    head = struct.pack("<2sHQII", b"nk", flags, 0, 0, parent)
    body = struct.pack("<IIIIIIIIIIIII", 0, 0, _NONE, _NONE, 0, _NONE, security, _NONE, 0, 0, 0, 0, 0)
    offset = cells.add(head + body + struct.pack("<HH", len(name), 0) + name)
    children = [
        (_key(cells, child, parent=offset, security=security), child)
        for _, child in sorted(node.children.items(), key=lambda item: item[0].upper())
    ]
    if children:
        entries = b"".join(struct.pack("<I4s", at, child.name.encode()[:4].ljust(4, b"\0")) for at, child in children)
        cells.patch(offset, 20, struct.pack("<I", len(children)))
        cells.patch(offset, 28, struct.pack("<I", cells.add(struct.pack("<2sH", b"lf", len(children)) + entries)))
    if node.values:
        listed = [_value(cells, name, data) for name, data in node.values.items()]
        cells.patch(offset, 36, struct.pack("<I", len(listed)))
        cells.patch(offset, 40, struct.pack("<I", cells.add(b"".join(struct.pack("<I", at) for at in listed))))
        longest = max(len(data) for data in map(_raw, node.values.values()))
        cells.patch(offset, 60, struct.pack("<II", 2 * max(map(len, node.values)), longest))
    return offset


def _value(cells: _Cells, name: str, data: Data) -> int:
    kind = {str: 1, int: 4, list: 7, bytes: 3}[type(data)]
    raw = _raw(data)
    if len(raw) <= 4:
        size, where = len(raw) | 0x80000000, int.from_bytes(raw.ljust(4, b"\0"), "little")
    else:
        size, where = len(raw), cells.add(raw)
    encoded = name.encode("latin-1")
    return cells.add(struct.pack("<2sHIIIHH", b"vk", len(encoded), size, where, kind, 1, 0) + encoded)


def _raw(data: Data) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, int):
        return struct.pack("<I", data)
    if isinstance(data, str):
        return (data + "\0").encode("utf-16-le")
    return ("".join(item + "\0" for item in data) + "\0").encode("utf-16-le")
