"""The digests of a snapshot's blocks outlive the process, and what is in their file of another snapshot counts not."""

from __future__ import annotations

import errno
import hashlib
import os
import random
from pathlib import Path

import pytest

from vmie.errors import VmieError
from vmie.ops.block_hashes import DIGEST, HEAD, BlockHashes


def digest(index: int) -> bytes:
    return hashlib.sha256(b"%d" % index).digest()


def opened(path: Path | None, *, snapshot: str = "snap-1", count: int = 1000) -> BlockHashes:
    return BlockHashes(path, snapshot_id=snapshot, count=count)


@pytest.mark.parametrize("kept", [True, False])
def test_blocks_come_back_in_order(kept: bool, tmp_path: Path) -> None:
    path = tmp_path / "blocks" / "snap-1.sha256" if kept else None
    sent = random.Random(1).sample(range(1000), 300)
    with opened(path) as hashes:
        for index in sent:
            hashes.put(index, digest(index))
            hashes.put(index, digest(index))
        assert hashes.written == 300
        assert list(hashes.digests()) == [(index, digest(index)) for index in sorted(sent)]
    with opened(path) as again:
        assert again.written == (300 if kept else 0)
        assert [index for index in range(1000) if index in again] == (sorted(sent) if kept else [])
        linear = hashlib.sha256(b"".join(digest(index) for index in sorted(sent))).digest()
        assert (again.aggregate() == linear) is kept


def test_a_process_that_dies_leaves_what_was_put(tmp_path: Path) -> None:
    path = tmp_path / "snap-1.sha256"
    first = opened(path)
    first.put(7, digest(7))  # not synced, not closed
    with opened(path) as second:
        assert (second.written, 7 in second) == (1, True)
    first.close()


def test_a_file_cut_off_within_a_digest_loses_that_one(tmp_path: Path) -> None:
    path = tmp_path / "snap-1.sha256"
    with opened(path) as hashes:
        for index in range(10):
            hashes.put(index, digest(index))
    os.truncate(path, HEAD + 9 * DIGEST + 5)
    with opened(path) as again:
        assert list(again.digests()) == [(index, digest(index)) for index in range(9)]


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\0" * 8192, os.urandom(10_000)], ids=range(5))
def test_what_is_no_such_file_begins_anew(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "snap-1.sha256"
    path.write_bytes(content)
    with opened(path) as hashes:
        assert hashes.written == 0
    for other in ({"snapshot": "snap-2"}, {"count": 999}):
        with opened(path) as hashes:
            hashes.put(1, digest(1))
        with opened(path, **other) as hashes:  # type: ignore[arg-type]
            assert hashes.written == 0


def test_a_large_sparse_disk_costs_little(tmp_path: Path) -> None:
    path = tmp_path / "snap-1.sha256"
    count = 1 << 25  # 16 TiB
    with opened(path, count=count) as hashes:
        hashes.put(count - 1, digest(1))
        hashes.put(5, digest(5))
    assert path.stat().st_blocks * 512 < 100_000
    with opened(path, count=count) as again:
        assert [index for index, _ in again.digests()] == [5, count - 1]


def test_a_full_medium_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened(tmp_path / "snap-1.sha256") as hashes:
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(VmieError) as caught:
            hashes.put(1, digest(1))
        assert caught.value.code == "NoState"
        assert 1 not in hashes, "it is sent again"
