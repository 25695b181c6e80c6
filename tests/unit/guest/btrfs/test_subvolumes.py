"""How many subvolumes there are, where they lie, which is the default; nodes that point in circles."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.btrfs_image import Sub, btrfs, check
from tests.guests import MIB, Bytes, Disk
from tests.tools import need, run
from vmie.disk.crc32c import crc32c
from vmie.guest.btrfs.files import BtrfsFiles
from vmie.guest.btrfs.ondisk import BtrfsError
from vmie.guest.btrfs.subvolumes import BtrfsVolume, count
from vmie.guest.btrfs.superblock import superblock
from vmie.guest.recognise import recognise
from vmie.guest.stream import Blocks

NODE = 4096


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("btrfs") / "fs.img"
    files = {f"/directory/file-{number:03}": str(number) for number in range(300)}
    subs = (Sub(256, "@", files), Sub(300, "@/a/b/snap", {}, snapshot_of=256), Sub(301, "@home", {}, read_only=True))
    btrfs(path, *subs, default=300, options=("-n", str(NODE)))
    check(path)
    return path.read_bytes()[: 32 * MIB]


def volume(blocks: Blocks) -> BtrfsVolume:
    head = superblock(blocks)
    return BtrfsVolume({head.device: blocks}, head, lambda: None)


@pytest.mark.parametrize("profile", ["single", "dup"])
def test_none_in_a_new_one(tmp_path: Path, profile: str) -> None:
    need("mkfs.btrfs")
    path = tmp_path / "fs.img"
    with path.open("wb") as file:
        file.truncate(128 * MIB)
    run(["mkfs.btrfs", "-q", "-m", profile, str(path)])
    assert count(Disk(path)) == 0
    assert recognise(Disk(path)).detail == "top level only"


def test_their_number_and_their_places(raw: bytes, tmp_path: Path) -> None:
    assert recognise(Bytes(raw)).detail == "3 subvolumes"
    found = volume(Bytes(raw))
    files = BtrfsFiles(found)
    assert [(one.id, files.path(one.id), one.read_only, one.snapshot) for one in found.subvolumes()] == [
        (256, "@", False, False),
        (300, "@/a/b/snap", False, True),
        (301, "@home", True, False),
    ]
    assert (found.default(), files.path(5)) == (300, "")
    assert found.subvolume(999) is None
    btrfs(tmp_path / "one.img", Sub(256, "x", {}))
    assert recognise(Disk(tmp_path / "one.img")).detail == "1 subvolume"


def test_only_a_magic() -> None:
    data = bytearray(MIB)
    data[65600:65608] = b"_BHRfS_M"
    assert count(Bytes(data)) is None
    assert recognise(Bytes(data)).detail == ""
    assert count(Bytes(b"")) is None


def nodes(raw: bytes) -> list[int]:
    own = raw[65536 + 0x20 : 65536 + 0x30]
    return [at for at in range(0, len(raw), NODE) if raw[at + 32 : at + 48] == own and at != 65536]


def sealed(data: bytearray, places: list[int]) -> Bytes:
    for at in places:
        data[at : at + 4] = crc32c(bytes(data[at + 32 : at + NODE])).to_bytes(4, "little")
    return Bytes(data)


def test_a_tree_that_loops_is_unknown(raw: bytes) -> None:
    """The tree of roots has its own node as a child, and every level it may claim."""
    root = superblock(Bytes(raw)).root.to_bytes(8, "little")
    at = next(at for at in nodes(raw) if raw[at + 48 : at + 56] == root)
    for level in (1, 2, 7, 8, 255):
        data = bytearray(raw)
        data[at + 96 : at + 101] = (100).to_bytes(4, "little") + bytes((level,))
        data[65536 + 0xC6] = level
        for index in range(100):
            entry = at + 101 + 33 * index
            data[entry : entry + 33] = raw[at + 101 : at + 118] + root + raw[at + 80 : at + 88]
        assert count(sealed(data, [at, 65536])) is None


def test_a_wide_tree_is_left_alone(raw: bytes) -> None:
    """Seven levels of nodes, each of which names the one below a hundred times: 10^14 to walk."""
    places = [at for at in nodes(raw) if raw[at + 88] != 3][:7]  # but for the tree of chunks
    data = bytearray(raw)
    head = superblock(Bytes(raw))
    addresses = [int.from_bytes(raw[at + 48 : at + 56], "little") for at in places]
    generation = head.generation.to_bytes(8, "little")
    for level, at in enumerate(places):
        data[at + 80 : at + 88] = generation
        data[at + 96 : at + 101] = (100).to_bytes(4, "little") + bytes((level,))
        for index in range(100):
            below = addresses[level - 1].to_bytes(8, "little")
            key = (256 + (level == 0) * index).to_bytes(8, "little") + b"\x80" + bytes(8)
            start = at + 101 + (33 if level else 25) * index
            data[start : start + (33 if level else 25)] = key + (below + generation if level else bytes(8))
    data[65536 + 0x50 : 65536 + 0x58] = addresses[6].to_bytes(8, "little")
    data[65536 + 0xC6] = 6
    begin = time.process_time()
    damaged = sealed(data, [*places, 65536])
    with pytest.raises(BtrfsError, match="out of order"):
        volume(damaged).subvolumes()
    assert count(damaged) is None
    assert time.process_time() - begin < 5


def test_damage_is_unknown_and_ends(raw: bytes) -> None:
    for seed in range(60):
        noise, data = random.Random(seed), bytearray(raw)
        touched = [noise.choice(nodes(raw)) for _ in range(noise.choice((1, 5, 30)))]
        for at in touched:
            place = at + noise.randrange(80, NODE - 8)
            data[place : place + 8] = noise.choice((noise.randbytes(8), b"\xff" * 8, bytes(8)))
        found = count(sealed(data, touched if seed % 2 else []))
        assert found is None or found >= 0
