"""LVM2: metadata as LVM writes it, linear and striped volumes read back, missing and hostile ones named."""

from __future__ import annotations

import time

import pytest
import pyvslvm

from tests.guests import MIB, PE_START, Bytes, crc, group, physical_volume, segment, volume
from vmie.guest import lvm_text
from vmie.guest.lvm_text import MetadataError
from vmie.guest.recognise import recognise
from vmie.guest.stream import Stream
from vmie.guest.volumes import Mapped, PhysicalVolume, assemble
from vmie.guest.volumes import physical_volume as read_volume

ONE, TWO = "jdTN3x-MGxS-j2Uq-wqE6-Vaeg-TN91-9zddNd", "efe9Vt-DmCf-9zYM-Qobr-WQg8-cJdz-UQ0oQx"
EXTENT = 128 * 512


def pair(volumes: str, *, size: int = 4 * MIB) -> tuple[bytearray, bytearray]:
    text = group("vg0", pvs={"pv0": ONE, "pv1": TWO}, volumes=volumes)
    return physical_volume(ONE, text, size=size), physical_volume(TWO, text, size=size)


def opened(*disks: bytes | bytearray) -> tuple[PhysicalVolume, ...]:
    found = []
    for index, disk in enumerate(disks):
        one, problems = read_volume(Bytes(disk), where=f"disk {index}", disk=index)
        assert problems == ()
        found.append(one)
    return tuple(found)


def only(*disks: bytes | bytearray) -> Mapped:
    mapped, _ = assemble(opened(*disks))
    assert len(mapped) == 1
    return mapped[0]


def numbered(disk: bytearray) -> None:
    """Mark each 512 bytes of the data area with its own offset."""
    for at in range(PE_START, len(disk) - 511, 512):
        disk[at : at + 512] = at.to_bytes(8, "little") * 64


def test_the_label_is_recognised_with_its_id() -> None:
    disk, _ = pair("")
    assert (recognise(Bytes(disk)).kind, recognise(Bytes(disk)).uuid) == ("lvm2", ONE)


def test_linear_reads_as_libvslvm_does() -> None:
    text = group("vg0", pvs={"pv0": ONE}, volumes=volume("root", segment(0, 5, ("pv0", 5))))
    disk = physical_volume(ONE, text, size=4 * MIB)
    numbered(disk)
    root = only(disk)
    assert (root.facts.kind, root.facts.readable, root.facts.size) == ("linear", True, 5 * EXTENT)
    assert root.blocks is not None
    handle = pyvslvm.handle()
    file = Stream(Bytes(disk))
    file.allow(1 << 40)
    handle.open_file_object(file)
    handle.open_physical_volume_files_as_file_objects([file])
    theirs = handle.get_volume_group().get_logical_volume(0)
    assert root.blocks.read(0, 5 * EXTENT) == theirs.read_buffer_at_offset(5 * EXTENT, 0)
    assert root.blocks.read(3 * EXTENT - 7, 14) == theirs.read_buffer_at_offset(14, 3 * EXTENT - 7)
    handle.close()


def test_linear_over_two_disks() -> None:
    first, second = pair(volume("root", segment(0, 3, ("pv0", 5)), segment(3, 2, ("pv1", 1))))
    numbered(first)
    numbered(second)
    root = only(first, second)
    assert (root.facts.kind, root.facts.readable, root.facts.disks) == ("linear", True, (0, 1))
    assert root.blocks is not None
    one = first[PE_START + 5 * EXTENT : PE_START + 8 * EXTENT]
    two = second[PE_START + EXTENT : PE_START + 3 * EXTENT]
    assert root.blocks.read(0, 5 * EXTENT) == one + two


def test_striped_takes_turns() -> None:
    first, second = pair(volume("fast", segment(0, 4, ("pv0", 0), ("pv1", 2), stripe_sectors=16)))
    numbered(first)
    numbered(second)
    fast = only(first, second)
    assert (fast.facts.kind, fast.facts.readable) == ("striped", True)
    assert fast.blocks is not None
    stripe = 16 * 512
    expected = b"".join(
        (second if turn % 2 else first)[base : base + stripe]
        for turn in range(6)
        for base in [PE_START + (2 * EXTENT if turn % 2 else 0) + turn // 2 * stripe]
    )
    assert fast.blocks.read(0, 6 * stripe) == expected
    assert fast.blocks.read(stripe - 3, 6) == expected[stripe - 3 : stripe + 3]


def test_a_missing_physical_volume_is_named_and_what_needs_it_is_not_readable() -> None:
    first, _ = pair(
        volume("whole", segment(0, 1, ("pv0", 0)))
        + volume("broken", segment(0, 1, ("pv0", 1)), segment(1, 1, ("pv1", 0)))
    )
    mapped, problems = assemble(opened(first))
    state = {one.facts.name: (one.facts.readable, one.facts.missing) for one in mapped}
    assert state["whole"] == (True, ())
    assert state["broken"] == (False, (f"{TWO} (/dev/sdb)",))
    assert TWO in problems[0].what


@pytest.mark.parametrize("kind", ["thin", "raid1", "cache", "mirror", "snapshot", "vdo"])
def test_kinds_that_are_not_read_are_named(kind: str) -> None:
    first, second = pair(volume("odd", f'start_extent = 0\nextent_count = 3\ntype = "{kind}"\nthin_pool = "pool"'))
    odd = only(first, second)
    assert (odd.facts.kind, odd.facts.readable, odd.blocks) == (kind, False, None)


def test_a_volume_on_a_volume_does_not_recurse() -> None:
    first, second = pair(volume("a", segment(0, 1, ("b", 0))) + volume("b", segment(0, 1, ("a", 0))))
    mapped, _ = assemble(opened(first, second))
    assert [(one.facts.name, one.facts.kind, one.facts.readable) for one in mapped] == [
        ("a", "stacked", False),
        ("b", "stacked", False),
    ]


def test_the_newest_metadata_counts() -> None:
    old = group("vg0", pvs={"pv0": ONE, "pv1": TWO}, volumes=volume("old", segment(0, 1, ("pv0", 0))), seqno=3)
    new = group("vg0", pvs={"pv0": ONE, "pv1": TWO}, volumes=volume("new", segment(0, 1, ("pv0", 0))), seqno=4)
    found = only(physical_volume(ONE, old, size=2 * MIB), physical_volume(TWO, new, size=2 * MIB))
    assert found.facts.name == "new"


def test_metadata_that_wraps_around_its_ring() -> None:
    text = group("vg0", pvs={"pv0": ONE}, volumes=volume("root", segment(0, 1, ("pv0", 0))))
    disk = physical_volume(ONE, text, size=2 * MIB)
    raw = text.encode() + b"\0"
    area = PE_START - 4096
    start = area - 100
    disk[4096 + 512 : 4096 + 512 + len(raw)] = bytes(len(raw))
    disk[4096 + start : 4096 + area] = raw[:100]
    disk[4096 + 512 : 4096 + 512 + len(raw) - 100] = raw[100:]
    disk[4096 + 40 : 4096 + 48] = start.to_bytes(8, "little")
    disk[4096:4100] = crc(bytes(disk[4100:4608])).to_bytes(4, "little")
    assert only(disk).facts.name == "root"


@pytest.mark.parametrize("damage", ["text", "header", "giant"])
def test_damaged_metadata_is_said_so(damage: str) -> None:
    disk, _ = pair(volume("root", segment(0, 1, ("pv0", 0))))
    if damage == "text":
        disk[4096 + 512 + 40] ^= 0xFF
    elif damage == "header":
        disk[4096 + 30] ^= 0xFF
    else:
        disk[4096 + 48 : 4096 + 56] = (1 << 50).to_bytes(8, "little")
        disk[4096:4100] = crc(bytes(disk[4100:4608])).to_bytes(4, "little")
    found, problems = read_volume(Bytes(disk), where="disk 0", disk=0)
    assert found.metadata is None
    assert problems[0].why


@pytest.mark.parametrize(
    "text",
    ["a {", "}", "a = ", "a = [1, 2", 'a = "x', "= 3", "a b", "a { " * 50, "a = [[1]]", "\0\1\2", 'a = "' + "\\" * 999],
)
def test_text_that_is_no_metadata(text: str) -> None:
    with pytest.raises(MetadataError):
        lvm_text.parse(text)


def test_numbers_beyond_all_disks_do_no_harm() -> None:
    first, second = pair(
        volume("huge", segment(0, 1 << 62, ("pv0", 0))) + volume("far", segment(0, 2, ("pv0", 1 << 40)))
    )
    mapped, _ = assemble(opened(first, second))
    state = {one.facts.name: one for one in mapped}
    assert state["huge"].blocks is None
    far = state["far"].blocks
    assert far is not None
    with pytest.raises(Exception, match="outside its physical volume"):
        far.read(0, 10)


def test_a_long_text_is_parsed_in_bounded_time() -> None:
    begin = time.process_time()
    with pytest.raises(MetadataError, match="too long"):
        lvm_text.parse("a = [" + "1," * 2_000_000 + "]")
    assert time.process_time() - begin < 10
