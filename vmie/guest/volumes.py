"""LVM2: physical volumes → volume groups → logical volumes that can be read (linear, striped).

Written here, not through libvslvm: its reader (20260901) fails on striped volumes and on linear ones
with two segments (every extended volume), and hides segment types and which physical volume is missing.
On-disk layout: libvslvm's "Logical Volume Manager (LVM) format" document
(https://github.com/libyal/libvslvm/blob/main/documentation/Logical%20Volume%20Manager%20(LVM)%20format.asciidoc).
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vmie.errors import ImageError
from vmie.guest import lvm_text
from vmie.guest.disk_facts import LogicalVolume, Problem
from vmie.guest.lvm_text import MetadataError, Section, items, number, section, text
from vmie.guest.recognise import lvm_uuid
from vmie.guest.stream import Blocks

_MDA_MAGIC = b" LVM2 x[5A%r0N*>"
_CRC_START = 0xF597A6CF
_MAX_TEXT = 4 << 20
_MAX_AREAS = 8
_MAX_VOLUMES = 4096
_MAX_SIZE = 1 << 60
_SECTOR = 512


@dataclass(frozen=True, slots=True)
class PhysicalVolume:
    """A partition or disk with an LVM2 label: `metadata` is the newest text on it, None if it keeps none."""

    where: str
    disk: int
    uuid: str
    blocks: Blocks
    metadata: Section | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """A logical volume and, when it can be read, its bytes."""

    facts: LogicalVolume
    uuid: str
    group_uuid: str
    blocks: Blocks | None


@dataclass(frozen=True, slots=True)
class _Stripe:
    volume: PhysicalVolume | None
    start: int


@dataclass(frozen=True, slots=True)
class _Segment:
    start: int
    length: int
    stripe_size: int
    stripes: tuple[_Stripe, ...]


@dataclass
class _Built:
    kinds: list[str] = field(default_factory=list)
    segments: list[_Segment] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def physical_volume(blocks: Blocks, *, where: str, disk: int) -> tuple[PhysicalVolume, tuple[Problem, ...]]:
    """Read the label and the metadata of a physical volume; call it only where `recognise` said lvm2."""
    head = blocks.read(0, 4 * _SECTOR)
    at = next(at for at in range(0, 4 * _SECTOR, _SECTOR) if head[at : at + 8] == b"LABELONE")
    header = at + int.from_bytes(head[at + 20 : at + 24], "little")
    raw = blocks.read(header, 40 + 32 * _MAX_AREAS)
    uuid = lvm_uuid(raw[:32].decode("ascii", "replace"))
    best: Section | None = None
    problems = []
    for offset, size in _metadata_areas(raw):
        try:
            found = _metadata(blocks, offset, size)
        except (MetadataError, ImageError) as error:
            problems.append(Problem(where, "the LVM metadata cannot be read", str(error)))
            continue
        if found is not None and (best is None or sequence_of(found) > sequence_of(best)):
            best = found
    return PhysicalVolume(where, disk, uuid, blocks, best), tuple(problems)


def _metadata_areas(raw: bytes) -> list[tuple[int, int]]:
    """The second of two lists of (offset, size), each ended by zeros."""
    lists: list[list[tuple[int, int]]] = [[], []]
    which = 0
    for at in range(40, len(raw) - 15, 16):
        offset, size = struct.unpack_from("<QQ", raw, at)
        if not offset:
            which += 1
            if which == 2:
                break
            continue
        lists[which].append((offset, size))
    return lists[1]


def _metadata(blocks: Blocks, offset: int, size: int) -> Section | None:
    """The text that the area's first raw location points to: a ring that begins behind the area's own header."""
    raw = blocks.read(offset, _SECTOR)
    if len(raw) < _SECTOR or raw[4:20] != _MDA_MAGIC:
        raise MetadataError("the metadata area has no header")
    if _crc(raw[4:]) != int.from_bytes(raw[:4], "little"):
        raise MetadataError("the checksum of the metadata area's header is wrong")
    at, length, check = struct.unpack_from("<QQI", raw, 40)
    if not at or not length:
        return None
    if length > _MAX_TEXT or size > blocks.size or not _SECTOR <= at < size or length > size - _SECTOR:
        raise MetadataError(f"it claims {length} bytes at {at} of an area of {size}")
    data = blocks.read(offset + at, min(length, size - at))
    if len(data) < length:
        data += blocks.read(offset + _SECTOR, length - len(data))
    if _crc(data) != check:
        raise MetadataError("its checksum is wrong")
    return lvm_text.parse(data.rstrip(b"\0").decode("utf-8", "replace"))


def _crc(data: bytes) -> int:
    """LVM's CRC-32: the usual polynomial, another start, no final inversion."""
    return zlib.crc32(data, _CRC_START ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def group_of(metadata: Section) -> tuple[str, Section]:
    """The volume group's section: the only one at the top."""
    for name, value in metadata.items():
        if isinstance(value, dict):
            return name, value
    return "", {}


def sequence_of(metadata: Section) -> int:
    """Which of two texts is the newer one."""
    return number(group_of(metadata)[1].get("seqno"))


def assemble(volumes: Sequence[PhysicalVolume]) -> tuple[tuple[Mapped, ...], tuple[Problem, ...]]:
    """All visible logical volumes of all groups, in the order of their names."""
    newest: dict[str, Section] = {}
    problems = []
    by_uuid: dict[str, PhysicalVolume] = {}
    for volume in volumes:
        if volume.uuid in by_uuid:
            problems.append(Problem(volume.where, f"has the LVM id of {by_uuid[volume.uuid].where}", "a copy?"))
        by_uuid.setdefault(volume.uuid, volume)
        if volume.metadata is None:
            continue
        key = text(group_of(volume.metadata)[1].get("id"))
        if key not in newest or sequence_of(volume.metadata) > sequence_of(newest[key]):
            newest[key] = volume.metadata
    mapped: list[Mapped] = []
    for metadata in newest.values():
        name, group = group_of(metadata)
        found, missing = _volumes(name, group, by_uuid)
        mapped += found
        if missing:
            problems.append(
                Problem(
                    f"volume group {name}", f"physical volumes are missing: {', '.join(missing)}", "not in the image"
                )
            )
    if any(volume.metadata is None for volume in volumes) and not newest:
        problems.append(Problem("LVM", "no volume group can be determined", "no physical volume has readable metadata"))
    mapped.sort(key=lambda one: (one.facts.group, one.facts.name))
    return tuple(mapped), tuple(problems)


def _volumes(name: str, group: Section, by_uuid: Mapping[str, PhysicalVolume]) -> tuple[list[Mapped], tuple[str, ...]]:
    extent = number(group.get("extent_size")) * _SECTOR
    physical: dict[str, tuple[PhysicalVolume | None, int, str]] = {}
    for key, value in section(group.get("physical_volumes")).items():
        one = section(value)
        uuid = text(one.get("id"))
        label = f"{uuid} ({text(one.get('device')) or key})"
        physical[key] = (by_uuid.get(uuid), number(one.get("pe_start")) * _SECTOR, label)
    found = []
    logical = section(group.get("logical_volumes"))
    for key in list(logical)[:_MAX_VOLUMES]:
        one = section(logical[key])
        if "VISIBLE" in items(one.get("status")):
            built = _build(one, extent, physical)
            found.append(_mapped((name, text(group.get("id"))), key, one, built, extent))
    return found, tuple(label for volume, _, label in physical.values() if volume is None)


def _build(volume: Section, extent: int, physical: Mapping[str, tuple[PhysicalVolume | None, int, str]]) -> _Built:
    built = _Built()
    for key, value in volume.items():
        if not (key.startswith("segment") and isinstance(value, dict)):
            continue
        kind = text(value.get("type")) or "unknown"
        listed = items(value.get("stripes"))
        if kind == "striped":
            kind = "linear" if len(listed) <= 2 else "striped"
        stripes = []
        for at in range(0, len(listed) - 1, 2):
            target, start = physical.get(str(listed[at])), number(listed[at + 1])
            if target is None:
                kind = "stacked"
                continue
            if target[0] is None:
                built.missing.append(target[2])
            stripes.append(_Stripe(target[0], target[1] + start * extent))
        built.kinds.append(kind)
        built.segments.append(
            _Segment(
                start=number(value.get("start_extent")) * extent,
                length=number(value.get("extent_count")) * extent,
                stripe_size=number(value.get("stripe_size")) * _SECTOR,
                stripes=tuple(stripes),
            )
        )
    return built


def _mapped(owner: tuple[str, str], name: str, volume: Section, built: _Built, extent: int) -> Mapped:
    group, group_uuid = owner
    size = sum(segment.length for segment in built.segments)
    kind = next((kind for kind in built.kinds if kind not in ("linear", "striped")), "")
    kind = kind or ("striped" if "striped" in built.kinds else "linear")
    sound = (
        bool(built.segments)
        and extent > 0
        and size < _MAX_SIZE
        and all(segment.stripes and (len(segment.stripes) == 1 or segment.stripe_size) for segment in built.segments)
    )
    readable = sound and kind in ("linear", "striped") and not built.missing
    disks = {stripe.volume.disk for segment in built.segments for stripe in segment.stripes if stripe.volume}
    facts = LogicalVolume(
        group=group,
        name=name,
        size=size,
        kind=kind,
        readable=readable,
        missing=tuple(dict.fromkeys(built.missing)),
        disks=tuple(sorted(disks)),
    )
    blocks = _Logical(f"{group}/{name}", built.segments, size) if readable else None
    return Mapped(facts, text(volume.get("id")), group_uuid, blocks)


class _Logical:
    """A logical volume's bytes (`Blocks`)."""

    def __init__(self, name: str, segments: Sequence[_Segment], size: int) -> None:
        self._name = name
        self._segments = sorted(segments, key=lambda segment: segment.start)
        self._starts = [segment.start for segment in self._segments]
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """See `Blocks.read`."""
        parts = []
        for blocks, at, room in self.beneath(offset, min(length, self.size - offset)):
            data = blocks.read(at, room)
            if len(data) < room:
                raise ImageError(f"logical volume {self._name} lies outside its physical volume")
            parts.append(data)
        return b"".join(parts)

    def beneath(self, offset: int, length: int) -> Iterator[tuple[Blocks, int, int]]:
        """See `stream.Layered`."""
        end = offset + length
        while 0 <= offset < end:
            segment = self._segments[max(bisect_right(self._starts, offset) - 1, 0)]
            inside = offset - segment.start
            if not 0 <= inside < segment.length:
                raise ImageError(f"logical volume {self._name} has no extent at {offset}")
            stripe, at, room = _locate(segment, inside)
            room = min(room, end - offset)
            if stripe.volume is None:
                raise ImageError(f"logical volume {self._name} lies outside its physical volume")
            yield stripe.volume.blocks, stripe.start + at, room
            offset += room


def _locate(segment: _Segment, inside: int) -> tuple[_Stripe, int, int]:
    """(stripe, offset in the stripe, bytes that follow each other there)."""
    if len(segment.stripes) == 1:
        return segment.stripes[0], inside, segment.length - inside
    chunk, skip = divmod(inside, segment.stripe_size)
    row, column = divmod(chunk, len(segment.stripes))
    return segment.stripes[column], row * segment.stripe_size + skip, segment.stripe_size - skip
