"""A snapshot as a disk, through the front door of EBS direct; the sandbox's EBS is not this code."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from vmie import events, sandbox
from vmie.aws.ebs import snapshot_disk
from vmie.aws.ebs.client import BLOCK, EbsDirect
from vmie.aws.ebs.send import send_blocks
from vmie.aws.ebs.snapshot_disk import SnapshotDisk
from vmie.aws.ebs.snapshots import open_snapshot
from vmie.aws.session import Aws, connect
from vmie.errors import AwsRefused, PreflightError
from vmie.model import ExtentKind
from vmie.sandbox import Sandbox

GIB = 1 << 30
HELD = (0, 1, 5, 6, 7, 900, 2046)


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=0) as running:
        yield running


@pytest.fixture(scope="module")
def aws(box: Sandbox) -> Aws:
    return connect(region="us-east-1")


def content(index: int) -> bytes:
    return random.Random(index).randbytes(BLOCK)


@pytest.fixture(scope="module")
def snapshot_id(box: Sandbox, aws: Aws) -> str:
    client = EbsDirect(aws)
    found = client.start(volume_size=1).snapshot_id
    digests: dict[int, bytes] = {}
    count = send_blocks(client, found, ((one, content(one)) for one in HELD), done=digests.__setitem__, total=len(HELD))
    linear = hashlib.sha256(b"".join(digests[index] for index in sorted(digests))).digest()
    client.complete(found, blocks=count, checksum=linear)
    box.advance(60)
    return found


@pytest.fixture
def disk(aws: Aws, snapshot_id: str) -> Iterator[SnapshotDisk]:
    with open_snapshot(aws, snapshot_id) as opened:
        yield opened


def expected(offset: int, length: int) -> bytes:
    out = b""
    while len(out) < length and offset + len(out) < GIB:
        index, within = divmod(offset + len(out), BLOCK)
        block = content(index) if index in HELD else bytes(BLOCK)
        out += block[within : within + length - len(out)]
    return out


def test_only_the_blocks_asked_for_are_read(disk: SnapshotDisk) -> None:
    assert (disk.format, disk.size) == ("raw", GIB)
    assert disk.read(0, 512) == expected(0, 512)
    assert disk.read(600, 100) == expected(600, 100)
    assert disk.read(3 * BLOCK, 4096) == bytes(4096)
    assert disk.blocks_read == 1
    assert disk.read(GIB - 4, 100) == bytes(4)
    with pytest.raises(ValueError, match="no bytes"):
        disk.read(-1, 4)


def test_it_reads_as_what_was_written_wherever_and_by_whomever(disk: SnapshotDisk) -> None:
    rng = random.Random(7)
    places = [(rng.randrange(9 * BLOCK), rng.randrange(1, 3 * BLOCK)) for _ in range(40)]
    places += [(2045 * BLOCK + 17, 2 * BLOCK), (899 * BLOCK, 2 * BLOCK)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda place: disk.read(*place), places))
    assert [hashlib.sha256(one).digest() for one in found] == [
        hashlib.sha256(expected(*place)).digest() for place in places
    ]
    assert disk.blocks_read <= len(HELD)


def test_extents_are_the_blocks_that_were_written(disk: SnapshotDisk) -> None:
    extents = list(disk.extents())
    assert sum(one.length for one in extents) == GIB
    data = [(one.offset // BLOCK, one.length // BLOCK) for one in extents if one.kind is ExtentKind.ALLOCATED]
    assert data == [(0, 2), (5, 3), (900, 1), (2046, 1)]
    assert disk.blocks_read == 0


def test_reads_that_follow_each_other_are_foreseen_and_others_are_not(disk: SnapshotDisk) -> None:
    for index in range(5):
        disk.read(index * BLOCK, BLOCK)
    disk.read(5 * BLOCK, 16)
    for block in list(disk._blocks.values()):
        block.result()
    assert disk.blocks_read == len(HELD)


def test_pages_and_blocks_that_are_kept_are_bounded(disk: SnapshotDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_disk, "_KEPT", 2)
    monkeypatch.setattr(snapshot_disk, "_PAGES_KEPT", 1)
    for index in (*HELD, *HELD):
        assert disk.read(index * BLOCK, 64) == content(index)[:64]
    assert len(disk._blocks) <= 2
    assert disk.blocks_read > len(HELD)


def test_a_token_that_is_no_longer_good_is_asked_for_anew(disk: SnapshotDisk) -> None:
    disk.read(3 * BLOCK, 1)
    (page,) = disk._pages.values()
    disk._pages[page.first] = snapshot_disk._Page(page.first, page.end, page.indices, ("x" * 64,) * len(page.tokens))
    assert disk.read(5 * BLOCK, 100) == expected(5 * BLOCK, 100)


def test_what_reading_costs_is_said_before(aws: Aws, snapshot_id: str) -> None:
    heard: list[events.Event] = []
    open_snapshot(aws, snapshot_id, reporter=heard.append).close()
    assert any(isinstance(one, events.Note) and "costs about $" in one.text for one in heard)


def test_what_cannot_be_read_is_refused_by_name(box: Sandbox, aws: Aws) -> None:
    with pytest.raises(AwsRefused) as missing:
        open_snapshot(aws, "snap-0fedcba9876543210")
    assert missing.value.cure
    pending = EbsDirect(aws).start(volume_size=1).snapshot_id
    with pytest.raises(PreflightError) as refused:
        open_snapshot(aws, pending)
    assert (refused.value.code, "pending" in refused.value.message) == ("SnapshotNotCompleted", True)
