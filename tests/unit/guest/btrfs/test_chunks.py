"""Logical addresses on one device and on several, by profile."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from tests.btrfs_reading import opened
from tests.guests import MIB, Bytes, Disk
from tests.tools import need, run
from vmie.guest.btrfs.chunks import ChunkMap
from vmie.guest.btrfs.ondisk import BtrfsError
from vmie.guest.filesystem import FileSystemError

KIB = 1024
STRIPE = 64 * KIB
SINGLE, RAID0, RAID1, DUP, RAID10, RAID5, RAID6 = 0, 8, 16, 32, 64, 128, 256


def chunk(kind: int, *stripes: tuple[int, int], length: int = 4 * STRIPE, stripe: int = STRIPE) -> bytes:
    head = struct.pack("<QQQQIIIHH", length, 2, stripe, kind | 1, 4096, 4096, 4096, len(stripes), 1)
    return head + b"".join(struct.pack("<QQ16x", *one) for one in stripes)


def devices(count: int) -> dict[int, Bytes]:
    """Each 64 KiB of device N is filled with a byte of its own: N * 16 + its number."""
    return {
        number: Bytes(b"".join(bytes((number * 16 + index,)) * STRIPE for index in range(8)))
        for number in range(1, count + 1)
    }


def stripes(kind: int, count: int, *, rows: int, missing: int = 0) -> list[int]:
    """The first byte of each 64 KiB of a chunk over `count` devices, from their second 64 KiB on."""
    there = devices(count)
    there.pop(missing, None)
    found = ChunkMap(there)
    found.add(1 << 20, chunk(kind, *((number, STRIPE) for number in range(1, count + 1)), length=rows * STRIPE))
    data = found.read(1 << 20, rows * STRIPE)
    return [data[at] for at in range(0, len(data), STRIPE)]


def test_linear_profiles() -> None:
    assert stripes(SINGLE, 1, rows=3) == [0x11, 0x12, 0x13]
    assert stripes(RAID1, 2, rows=2) == [0x11, 0x12]
    assert stripes(RAID1, 2, rows=2, missing=1) == [0x21, 0x22]


def test_striped_profiles() -> None:
    assert stripes(RAID0, 2, rows=4) == [0x11, 0x21, 0x12, 0x22]
    assert stripes(RAID10, 4, rows=4) == [0x11, 0x31, 0x12, 0x32]
    assert stripes(RAID10, 4, rows=4, missing=3) == [0x11, 0x41, 0x12, 0x42]
    # the parity is on the last device first, and moves on by one with every row
    assert stripes(RAID5, 3, rows=6) == [0x11, 0x21, 0x22, 0x32, 0x33, 0x13]
    assert stripes(RAID6, 4, rows=4) == [0x11, 0x21, 0x22, 0x32]


@pytest.mark.parametrize("kind", [RAID0, RAID5, RAID6])
def test_a_device_that_is_not_there_is_named(kind: int) -> None:
    with pytest.raises(BtrfsError, match=r"RAID\d needs device 2, which is not in the image"):
        stripes(kind, 3, rows=4, missing=2)


def test_reads_go_from_chunk_to_chunk_and_no_further() -> None:
    found = ChunkMap(devices(1))
    found.add(0, chunk(SINGLE, (1, 0), length=STRIPE))
    found.add(STRIPE, chunk(DUP, (1, 3 * STRIPE), (1, 5 * STRIPE), length=STRIPE))
    assert found.read(STRIPE - 2, 4) == b"\x10\x10\x13\x13"
    assert found.read(STRIPE, 1, copy=1) == b"\x15"
    assert [found.copies(at) for at in (0, STRIPE)] == [1, 2]
    with pytest.raises(BtrfsError, match="no chunk holds"):
        found.read(2 * STRIPE - 1, 2)
    found.add(1 << 30, chunk(SINGLE, (1, 7 * STRIPE)))
    with pytest.raises(BtrfsError, match="outside of its device"):
        found.read(1 << 30, 2 * STRIPE)


@pytest.mark.parametrize(
    "item",
    [
        b"",
        chunk(SINGLE),
        chunk(SINGLE, (1, 0))[:-1],
        chunk(SINGLE, (1, 0), length=0),
        chunk(SINGLE, (1, 0), length=1 << 63),
        chunk(RAID0 | RAID1, (1, 0), (2, 0)),
        chunk(RAID6, (1, 0), (2, 0)),
        chunk(RAID10, (1, 0), (2, 0), (3, 0)),
        chunk(RAID0, (1, 0), (2, 0), stripe=4096),
    ],
)
def test_chunks_that_cannot_be(item: bytes) -> None:
    with pytest.raises(BtrfsError):
        ChunkMap(devices(1)).add(0, item)


def test_a_list_of_system_chunks_that_is_cut() -> None:
    with pytest.raises(BtrfsError, match="cut off"):
        ChunkMap({}).add_system(bytes(10))
    with pytest.raises(BtrfsError, match="something else"):
        ChunkMap({}).add_system(bytes(100))


def several(tmp_path: Path, profile: str, count: int) -> list[Disk]:
    """Without files: mkfs.btrfs copies them to one device only. Their nodes lie as data does."""
    need("mkfs.btrfs")
    paths = [tmp_path / f"{index}.img" for index in range(count)]
    for path in paths:
        with path.open("wb") as file:
            file.truncate(256 * MIB)
    run(["mkfs.btrfs", "-q", "-L", "many", "-d", profile, "-m", profile, *map(str, paths)])
    return [Disk(path) for path in paths]


@pytest.mark.parametrize(("profile", "count"), [("raid1", 2), ("raid1c3", 3)])
def test_one_copy_of_several_devices_is_read(tmp_path: Path, profile: str, count: int) -> None:
    disks = several(tmp_path, profile, count)
    for disk in disks:
        found = opened(disk)
        assert (found.listdir("/"), found.label) == ([], "many")
        assert found.remarks == (f"{count - 1} of its {count} devices are not in the image: Linux does not mount it",)
    assert opened(*disks).remarks == ()


@pytest.mark.parametrize(("profile", "count"), [("raid0", 2), ("raid0", 3), ("raid10", 4), ("raid5", 3), ("raid6", 4)])
def test_stripes_over_several_devices_are_read_when_all_are_there(tmp_path: Path, profile: str, count: int) -> None:
    disks = several(tmp_path, profile, count)
    for members in (disks, disks[::-1]):
        found = opened(*members)
        assert (found.listdir("/"), found.remarks) == ([], ())
        assert found.free_bytes is not None
        assert 0 < found.free_bytes < count * 256 * MIB
    if profile != "raid10":
        for disk in disks:
            try:
                assert opened(disk).listdir("/") == []
            except FileSystemError as error:
                assert re.search(r"RAID\d needs device \d, which is not in the image", str(error))  # noqa: PT017
