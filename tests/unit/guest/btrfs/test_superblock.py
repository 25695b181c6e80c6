"""What a superblock says, and what keeps a file system from being read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guests import MIB, Bytes
from tests.tools import need, run
from vmie.disk.crc32c import crc32c
from vmie.guest.btrfs.ondisk import BtrfsError
from vmie.guest.btrfs.superblock import superblock

AT = 65536


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    need("mkfs.btrfs")
    path = tmp_path_factory.mktemp("btrfs") / "fs.img"
    with path.open("wb") as file:
        file.truncate(128 * MIB)
    run(["mkfs.btrfs", "-q", "-n", "32768", str(path)])
    with path.open("rb") as file:
        return file.read(65 * MIB)


def changed(raw: bytes, at: int, value: bytes, *, seal: bool = True) -> Bytes:
    data = bytearray(raw)
    data[AT + at : AT + at + len(value)] = value
    if seal:
        data[AT : AT + 4] = crc32c(bytes(data[AT + 32 : AT + 4096])).to_bytes(4, "little")
    return Bytes(data)


def test_what_it_says_is_what_btrfs_says(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "fs.img"
    path.write_bytes(raw)
    told = dict(
        line.split(None, 1)
        for line in run(["btrfs", "inspect-internal", "dump-super", str(path)]).stdout.splitlines()
        if len(line.split(None, 1)) == 2
    )
    found = superblock(Bytes(raw))
    names = ("generation", "root", "chunk_root", "total_bytes", "sectorsize", "nodesize", "num_devices")
    values = (found.generation, found.root, found.chunk_root, found.total_bytes, found.sector_size, found.node_size)
    assert tuple(int(told[name]) for name in names) == (*values, found.devices)
    assert (found.log_root, found.root_directory, found.block_group_tree) == (0, 6, False)


def test_a_wrong_checksum_names_the_way_back(raw: bytes) -> None:
    with pytest.raises(BtrfsError, match=r"checksum.*super-recover"):
        superblock(changed(raw, 0x48, b"\x99", seal=False))
    with pytest.raises(BtrfsError, match=r"wrong$"):
        superblock(Bytes(changed(raw, 0x48, b"\x99", seal=False).data[: 2 * MIB]))


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0x40, b"_BHRfS_N", "no superblock"),
        (0xC4, b"\7", "unknown kind 7"),
        (0xBD, b"\x20", "extent-tree-v2"),
        (0xBF, b"\x80", "0x80000000"),
        (0x90, b"\1\0\0\0", "sectors of 1 bytes"),
        (0x94, b"\0\0\2\0", "nodes of 131072"),
        (0x94, b"\0\x50\0\0", "nodes of 20480"),
        (0xA0, b"\xff\xff\0\0", "system chunks"),
    ],
)
def test_what_is_not_read_is_said(raw: bytes, at: int, value: bytes, reason: str) -> None:
    with pytest.raises(BtrfsError, match=reason):
        superblock(changed(raw, at, value))


def test_no_room_for_one() -> None:
    with pytest.raises(BtrfsError, match="no superblock"):
        superblock(Bytes(b""))
