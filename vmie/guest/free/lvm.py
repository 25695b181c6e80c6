"""Extents of a physical volume that no logical volume has, hidden ones (snapshots, thin pools, mirrors) included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmie.guest.free.ranges import NotKnown, Range, merged, without
from vmie.guest.lvm_text import Section, items, number, section, text
from vmie.guest.volumes import PhysicalVolume, group_of, sequence_of

_SECTOR = 512


def free(volumes: Sequence[PhysicalVolume], where: str) -> Iterator[Range]:
    """Free ranges, in bytes of the physical volume at `where`, by the newest metadata of its group. Raises NotKnown."""
    own = next((volume for volume in volumes if volume.where == where), None)
    metadata = [volume.metadata for volume in volumes if volume.metadata is not None]
    if own is None or sum(volume.uuid == own.uuid for volume in volumes) != 1:
        raise NotKnown("its label cannot be read, or another has the same")
    mine = [one for one in metadata if _key(one, own.uuid)]
    if not mine:
        raise NotKnown("its volume group is not known")
    newest = max(mine, key=sequence_of)
    key, group = _key(newest, own.uuid), group_of(newest)[1]
    present = {volume.uuid for volume in volumes}
    if any(text(section(one).get("id")) not in present for one in section(group.get("physical_volumes")).values()):
        raise NotKnown("another physical volume, which is missing, may know better")
    extent = number(group.get("extent_size")) * _SECTOR
    place = section(section(group.get("physical_volumes")).get(key))
    start, count = number(place.get("pe_start")) * _SECTOR, number(place.get("pe_count"))
    if not extent or not start or start + count * extent > own.blocks.size:
        raise NotKnown("its extents do not fit the volume")
    used = merged(_used(group, key))
    for first, last in without((0, count), used):
        yield start + first * extent, start + last * extent


def origins(volumes: Sequence[PhysicalVolume]) -> set[str]:
    """The logical volumes, ``group/name``, that snapshots were made of: those read from them what did not change."""
    found = set()
    for metadata in (volume.metadata for volume in volumes if volume.metadata is not None):
        name, group = group_of(metadata)
        for volume in section(group.get("logical_volumes")).values():
            for segment in section(volume).values():
                if isinstance(segment, dict) and "origin" in segment:
                    found.add(f"{name}/{text(segment['origin'])}")
    return found


def _key(metadata: Section, uuid: str) -> str:
    """The name that the group gives the physical volume, "" when it is not in it."""
    listed = section(group_of(metadata)[1].get("physical_volumes"))
    return next((key for key, value in listed.items() if text(section(value).get("id")) == uuid), "")


def _used(group: Section, key: str) -> Iterator[Range]:
    """The extents that segments take of the physical volume `key`."""
    known = section(group.get("physical_volumes"))
    for volume in section(group.get("logical_volumes")).values():
        for name, segment in section(volume).items():
            if not name.startswith("segment") or not isinstance(segment, dict):
                continue
            listed = items(segment.get("stripes"))
            pairs = list(zip(listed[::2], listed[1::2], strict=False))
            length = -(-number(segment.get("extent_count")) // max(1, len(pairs)))
            for target, first in pairs:
                if target == key:
                    yield number(first), number(first) + length
            others = (item for field, value in segment.items() if field != "stripes" for item in items(value))
            if any(item in known for item in others if isinstance(item, str)):
                raise NotKnown("a volume is being moved, or is laid out in a way that is not known here")
