"""Btrfs: with and without subvolumes, told from the tree of roots."""

from __future__ import annotations

import random
import time

import pytest

from tests.guests import MIB, Bytes
from tests.tools import need, run
from vmie.guest.btrfs import subvolumes
from vmie.guest.recognise import recognise

ROOT_ITEM = 132


@pytest.fixture(scope="module", params=["single", "dup"])
def raw(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    need("mkfs.btrfs")
    path = tmp_path_factory.mktemp("btrfs") / "fs.img"
    with path.open("wb") as file:
        file.truncate(128 * MIB)
    run(["mkfs.btrfs", "-q", "-m", request.param, str(path)])
    return path.read_bytes()


def with_subvolumes(raw: bytes, *ids: int) -> bytes:
    """Turn roots of internal trees into subvolumes: checksums are not looked at by the reader."""
    data = bytearray(raw)
    for own, new in zip((7, 9), ids, strict=False):  # the trees of checksums and UUIDs
        key = own.to_bytes(8, "little") + bytes((ROOT_ITEM,)) + bytes(8)
        at = data.find(key)
        assert at > 0
        while at > 0:
            data[at : at + 8] = new.to_bytes(8, "little")
            at = data.find(key, at + 1)
    return bytes(data)


def test_none_one_and_two(raw: bytes) -> None:
    assert subvolumes(Bytes(raw)) == 0
    assert recognise(Bytes(raw)).detail == "top level only"
    assert recognise(Bytes(with_subvolumes(raw, 256))).detail == "1 subvolume"
    assert recognise(Bytes(with_subvolumes(raw, 256, 257))).detail == "2 subvolumes"


def test_internal_trees_do_not_count(raw: bytes) -> None:
    assert subvolumes(Bytes(with_subvolumes(raw, (1 << 64) - 9))) == 0


def test_damage_is_unknown_and_ends(raw: bytes) -> None:
    used = [at for at in range(0, len(raw), 4096) if any(raw[at : at + 4096])]
    begin = time.process_time()
    for seed in range(10):
        noise = random.Random(seed)
        data = bytearray(raw)
        for _ in range(30):
            at = noise.choice(used) + noise.randrange(4000)
            data[at : at + 8] = noise.randbytes(8)
        found = subvolumes(Bytes(data))
        assert found is None or found >= 0
    assert time.process_time() - begin < 20


def test_a_tree_that_loops_is_unknown(raw: bytes) -> None:
    data = bytearray(raw)
    root = int.from_bytes(data[65536 + 0x50 : 65536 + 0x58], "little")
    address = root.to_bytes(8, "little")
    at = data.find(address + (1).to_bytes(8, "little"))
    while at > 0:
        node = at - 48
        data[node + 96 : node + 101] = (1).to_bytes(4, "little") + b"\1"
        data[node + 101 + 17 : node + 101 + 25] = address
        at = data.find(address + (1).to_bytes(8, "little"), at + 1)
    assert subvolumes(Bytes(data)) in (None, 0)


def test_only_a_magic() -> None:
    data = bytearray(MIB)
    data[65600:65608] = b"_BHRfS_M"
    assert subvolumes(Bytes(data)) is None
    assert recognise(Bytes(data)).detail == ""
    assert subvolumes(Bytes(b"")) is None
