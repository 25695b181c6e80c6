"""Linux software RAID: the superblock of a member, and where a mirror's data lie on it.

Versions 1.1 (at the start), 1.2 (4 KiB behind it), 1.0 (8 KiB before the end) and 0.90 (in the last 64 KiB):
https://raid.wiki.kernel.org/index.php/RAID_superblock_formats and include/uapi/linux/raid/md_p.h.
"""

from __future__ import annotations

import struct
import uuid as uuids
from dataclasses import dataclass

from vmie.guest.stream import Blocks

_LEVELS = {-1: "linear", -4: "multipath", -5: "faulty"}
_MIRROR = 1
_SECTOR = 512
#: version 0.90's events lie behind its constant part
_EVENTS_0_90 = 39 * 4


@dataclass(frozen=True, slots=True)
class RaidMember:
    """One member of an array: `name` is ``host:name`` or (0.90) the number; `start` and `length` of its data, bytes.

    `uuid` has the digits that mdadm prints; the member with most `events` is the newest.
    """

    version: str
    uuid: str
    name: str
    level: int
    devices: int
    events: int
    start: int
    length: int

    @property
    def detail(self) -> str:
        """``raid1 of 2, metadata 1.2``."""
        return f"{_LEVELS.get(self.level, f'raid{self.level}')} of {self.devices}, metadata {self.version}"

    @property
    def whole(self) -> bool:
        """Whether this one member holds all the data, in their order: a mirror's does."""
        return self.level == _MIRROR and self.length > 0


def member(blocks: Blocks) -> RaidMember | None:
    """The superblock on `blocks`, None where there is none. Raises ImageError and OverBudget."""
    size = blocks.size
    places = [(0, "1.1"), (4096, "1.2")]
    if size > 1 << 20:
        places += [(((size >> 9) - 16 & ~7) << 9, "1.0")]
    for at, version in places:
        raw = blocks.read(at, 256)
        if raw[:8] == b"\xfc\x4e\x2b\xa9\x01\x00\x00\x00" and len(raw) == 256:
            return _version_1(raw, version, size)
    if size > 1 << 20:
        raw = blocks.read((size & ~0xFFFF) - 0x10000, 256)
        if raw[:8] == b"\xfc\x4e\x2b\xa9\x00\x00\x00\x00" and len(raw) == 256:
            return _version_0(raw, size)
    return None


def _version_1(raw: bytes, version: str, size: int) -> RaidMember:
    level, devices = struct.unpack_from("<i16xI", raw, 72)
    sectors, offset = struct.unpack_from("<Q40xQ", raw, 80)
    (events,) = struct.unpack_from("<Q", raw, 200)
    start, length = offset * _SECTOR, sectors * _SECTOR
    if start + length > size:
        length = 0
    uuid = str(uuids.UUID(bytes=raw[16:32])) if any(raw[16:32]) else ""
    return RaidMember(version, uuid, _text(raw[32:64]), level, devices, events, start, length)


def _version_0(raw: bytes, size: int) -> RaidMember:
    words = struct.unpack_from("<16I", raw)
    (level,) = struct.unpack_from("<i", raw, 28)
    (events,) = struct.unpack_from("<Q", raw, _EVENTS_0_90)
    digits = "".join(f"{words[at]:08x}" for at in (5, 13, 14, 15))
    length = words[8] * 1024
    uuid = str(uuids.UUID(digits)) if digits.strip("0") else ""
    return RaidMember("0.90", uuid, str(words[11]), level, words[10], events, 0, length if length <= size else 0)


def _text(raw: bytes) -> str:
    text = raw.split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in text)
