"""What a bitmap calls free, and something else than its file system may need: that counts as in use."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import ntfs
from tests.guests import (
    MIB,
    PE_START,
    Bytes,
    ext4,
    gpt,
    group,
    mbr,
    mbr_entry,
    md_member,
    physical_volume,
    segment,
    volume,
)
from tests.tools import need, run
from vmie.guest.free import FreeSpace, free_space

LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
FLATCAR_USR = "5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6"
ID = "jdTN3x-MGxS-j2Uq-wqE6-Vaeg-TN91-9zddNd"
OTHER = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"


@pytest.fixture(scope="module")
def filesystem(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """16 MiB of ext4."""
    return ext4(tmp_path_factory.mktemp("ext") / "fs", None).read_bytes()


def on_gpt(filesystem: bytes, *, kind: str = LINUX) -> bytearray:
    disk = bytearray(40 * MIB)
    gpt(disk, (kind, MIB, 16 * MIB), (LINUX, 20 * MIB, 8 * MIB))
    disk[MIB : 17 * MIB] = filesystem
    return disk


def asked(disk: bytes | bytearray) -> FreeSpace:
    return free_space([Bytes(disk)])[0]


def why(found: FreeSpace) -> str:
    assert found.size == 0
    return "; ".join(reason for _, reason in found.unknown)


def test_the_plain_disk_has_free_space(filesystem: bytes) -> None:
    found = asked(on_gpt(filesystem))
    assert found.size > 8 * MIB
    assert all(MIB <= start < end <= 17 * MIB for start, end in found.ranges())


def test_a_hybrid_mbr_may_have_partitions_of_its_own(filesystem: bytes) -> None:
    disk = on_gpt(filesystem)
    disk[:512] = mbr(mbr_entry(0xEE, 1, 2047), mbr_entry(0x83, 2048, 16 * 2048))
    same = asked(disk)
    assert same.size == asked(on_gpt(filesystem)).size, "the same partition in both tables"
    disk[:512] = mbr(mbr_entry(0xEE, 1, 2047), mbr_entry(0x07, 12 * 2048, 4 * 2048))
    other = asked(disk)
    assert 0 < other.size < same.size
    assert not any(start < 16 * MIB and end > 12 * MIB for start, end in other.ranges())


def test_overlapping_partitions(filesystem: bytes) -> None:
    disk = on_gpt(filesystem)
    gpt(disk, (LINUX, MIB, 16 * MIB), (LINUX, 16 * MIB, 8 * MIB))
    assert "overlaps another partition" in why(asked(disk))


def test_a_second_signature(filesystem: bytes) -> None:
    disk = on_gpt(filesystem)
    disk[MIB + 65536 + 64 : MIB + 65536 + 72] = b"_BHRfS_M"
    assert "looks like btrfs too" in why(asked(disk))


@pytest.mark.parametrize("how", ["type", "superblock"])
def test_dm_verity_hashes_what_is_free(filesystem: bytes, how: str) -> None:
    disk = on_gpt(filesystem, kind=FLATCAR_USR if how == "type" else LINUX)
    if how == "superblock":
        disk[20 * MIB : 20 * MIB + 8] = b"verity\0\0"
    assert "dm-verity" in why(asked(disk))


def test_volumes_of_dynamic_disks_are_not_where_their_partition_is(filesystem: bytes) -> None:
    disk = bytearray(24 * MIB)
    disk[:512] = mbr(mbr_entry(0x42, 2048, 16 * 2048))
    disk[MIB : 17 * MIB] = filesystem
    assert "dynamic disks" in why(asked(disk))


@pytest.mark.parametrize("minor", [0, 2, None])
def test_members_of_a_mirror_stay_equal(filesystem: bytes, minor: int | None) -> None:
    disk = bytearray(24 * MIB)
    disk[(MIB if minor == 2 else 0) : (17 * MIB if minor == 2 else 16 * MIB)] = filesystem
    md_member(disk, minor, uuid="5c2dd6f1-0f46-4d6c-9d8a-70c1f6f0d0aa")
    assert "mirror" in why(asked(disk))


def test_luks_and_what_is_unknown(filesystem: bytes) -> None:
    disk = on_gpt(filesystem)
    disk[MIB : MIB + 4096] = b"LUKS\xba\xbe\0\2".ljust(4096, b"\0")
    assert "luks" in why(asked(disk))
    assert asked(bytearray(8 * MIB)).size == 0
    assert asked(b"\x55" * 8 * MIB).size == 0


def lvm(filesystem: bytes, volumes: str, *, pvs: dict[str, str] | None = None) -> bytearray:
    disk = physical_volume(ID, group("vg0", pvs=pvs or {"pv0": ID}, volumes=volumes), size=PE_START + 1001 * 65536)
    disk[PE_START : PE_START + 16 * MIB] = filesystem
    return disk


def test_a_logical_volume_with_a_snapshot_keeps_what_the_snapshot_reads(filesystem: bytes) -> None:
    root = volume("root", segment(0, 256, ("pv0", 0)))
    plain = asked(lvm(filesystem, root))
    assert any(PE_START < start < PE_START + 16 * MIB for start, _ in plain.ranges())
    cow = volume("old", segment(0, 16, ("pv0", 300)))
    snapshot = 'start_extent = 0\nextent_count = 256\n\ntype = "snapshot"\norigin = "root"\ncow_store = "old"'
    found = asked(lvm(filesystem, root + cow + volume("snapshot0", snapshot)))
    assert all(start >= PE_START + 16 * MIB for start, _ in found.ranges())
    assert found.size == (1000 - 256 - 16) * 65536
    assert ("vg0/root", "a snapshot of it may need what is free by now") in found.unknown


def test_a_group_with_a_missing_volume_may_have_newer_metadata(filesystem: bytes) -> None:
    root = volume("root", segment(0, 256, ("pv0", 0)))
    found = asked(lvm(filesystem, root, pvs={"pv0": ID, "pv1": OTHER}))
    assert all(end <= PE_START + 16 * MIB for _, end in found.ranges())
    assert "missing" in "".join(reason for _, reason in found.unknown)


@pytest.mark.parametrize("page", [4096, 65536])
def test_swap_ends_where_its_header_says(page: int, tmp_path: Path) -> None:
    need("mkswap")
    path = tmp_path / "swap"
    run(["truncate", "-s", "4m", path])
    run(["mkswap", "-p", str(page), path])
    disk = bytearray(16 * MIB)
    disk[:512] = mbr(mbr_entry(0x82, 2048, 8 * 2048))
    disk[MIB : 5 * MIB] = path.read_bytes()
    assert list(asked(disk).ranges()) == [(MIB + page, 5 * MIB)], "the partition is larger"
    disk[MIB + page - 10 : MIB + page] = b"S1SUSPEND\0"
    assert "hibernated" in why(asked(disk))


def damaged(path: Path, at: int, data: bytes) -> FreeSpace:
    """What is free once `data` stand at `at`."""
    with path.open("r+b") as file:
        file.seek(at)
        before = file.read(len(data))
        file.seek(at)
        file.write(data)
    found = asked(path.read_bytes())
    with path.open("r+b") as file:
        file.seek(at)
        file.write(before)
    return found


@pytest.mark.parametrize("cluster", [4096, 65536])
def test_ntfs(cluster: int, tmp_path: Path) -> None:
    need("mkntfs", "ntfscp", "ntfsinfo", "ntfsfix")
    path = tmp_path / "fs"
    run(["truncate", "-s", "64m", path])
    run(["mkntfs", "-q", "-F", "-c", str(cluster), "-p", "0", "-S", "63", "-H", "255", path])
    for number in range(6):
        ntfs.put(path, f"/file{number}", bytes([number + 1]) * 900_000)
    whole = asked(path.read_bytes())
    assert 35 * MIB < whole.size < 58 * MIB, whole.unknown
    restart = path.read_bytes().index(b"\xff" * 65536)
    page = bytearray(4096)
    page[:4], page[24:26] = b"RSTR", struct.pack("<H", 48)
    clean, dirty = bytearray(page), bytearray(page)
    struct.pack_into("<Q4xHH", clean, 48, 5, 0, 2)
    struct.pack_into("<Q4xHH", dirty, 48, 6, 0, 0)
    assert damaged(path, restart, bytes(clean)).size == whole.size
    assert "log" in why(damaged(path, restart, bytes(dirty)))
    assert "log" in why(damaged(path, restart, bytes(clean + dirty))), "the newer of the two counts"
    free = max(whole.ranges(), key=lambda one: one[1] - one[0])[0]
    # a volume with shadow copies: header, catalogue with one entry
    head = VSS + struct.pack("<II", 1, 1) + bytes(24) + struct.pack("<Q", free)
    catalogue = (VSS + struct.pack("<II", 1, 2)).ljust(128, b"\0") + bytes(0x4000 - 128)
    with path.open("r+b") as file:
        file.seek(free)
        file.write(catalogue)
    assert damaged(path, 0x1E00, head).size == whole.size, "a catalogue without any"
    with path.open("r+b") as file:
        file.seek(free + 128)
        file.write(struct.pack("<Q", 2))
    assert "shadow copies" in why(damaged(path, 0x1E00, head))


VSS = bytes.fromhex("6b87083876c1484eb7ae04046e6cc752")


@pytest.mark.parametrize(
    ("width", "change"),
    [
        pytest.param(16, lambda raw: (0x25, b"\1"), id="FAT16 that Linux had mounted"),
        pytest.param(32, lambda raw: (0x41, b"\1"), id="FAT32 that Linux had mounted"),
        pytest.param(32, lambda raw: (32 * 512 + 7, b"\x07"), id="FAT32 that Windows had mounted"),
        pytest.param(32, lambda raw: (36, b"\x08\0\0\0"), id="a table that is too small"),
        pytest.param(16, lambda raw: (14, b"\xff\xff"), id="no room for clusters"),
    ],
)
def test_fat_that_cannot_be_trusted(width: int, change: Callable[[bytes], tuple[int, bytes]], tmp_path: Path) -> None:
    need("mkfs.fat")
    path = tmp_path / "fs"
    run(["truncate", "-s", "40m", path])
    run(["mkfs.fat", "-F", str(width), "-s", "1" if width == 32 else "4", path])
    assert asked(path.read_bytes()).size > 35 * MIB
    assert why(damaged(path, *change(path.read_bytes())))


def test_a_cluster_is_free_where_both_tables_say_so(tmp_path: Path) -> None:
    need("mkfs.fat")
    path = tmp_path / "fs"
    run(["truncate", "-s", "600m", path])
    run(["mkfs.fat", "-F", "32", "-s", "1", path])
    whole = asked(path.read_bytes()).size
    raw = path.read_bytes()[:512]
    reserved, length = struct.unpack_from("<H", raw, 14)[0], struct.unpack_from("<I", raw, 36)[0]
    found = damaged(path, (reserved + length) * 512 + 400_000, b"\xff\xff\xff\x0f")
    assert 0 < found.size <= whole - (1 << 18) * 512 + MIB, "the piece of the table that differs"


def test_an_xfs_whose_log_is_to_be_replayed(tmp_path: Path) -> None:
    need("mkfs.xfs", "xfs_db")
    path = tmp_path / "fs"
    run(["truncate", "-s", "320m", path])
    run(["mkfs.xfs", "-q", path])
    listed = run(
        ["xfs_db", "-r", "-c", "sb 0", "-c", "p logstart", "-c", "p agblklog", "-c", "p agblocks", path]
    ).stdout
    start, shift, blocks = (int(line.split()[-1]) for line in listed.splitlines())
    at = ((start >> shift) * blocks + (start & ((1 << shift) - 1))) * 4096
    head = path.read_bytes()[at : at + 4096]
    operation = bytearray(head[512:1024])
    operation[9] &= ~0x20  # no unmount record
    with path.open("r+b") as file:
        file.seek(at + 512)
        file.write(operation)
    assert "log" in why(asked(path.read_bytes()))
