"""Snapshots based on earlier ones: only what changed is sent, and each child reads as the disk was that day."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Done
from tests.sandbox.conftest import bootable
from tests.sandbox.ebs_direct import BLOCK, client, content
from tests.unit.guest.free.aged import aged
from vmie import sandbox
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
MIB = 1 << 20
SNAPSHOT = ("import", "--as", "snapshot", "--via", "ebs", "--skip-check", "all")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000, appears_after=0) as running:
        yield running


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Eight blocks of noise behind a boot sector."""
    path = tmp_path / "web.raw"
    path.write_bytes(bootable(4 * MIB, mark=random.Random(7).randbytes(4 * MIB))[: 4 * MIB])
    return path


def done(answer: Done) -> dict[str, Any]:
    assert answer.code == 0, answer.out + answer.err
    return answer.json["result"]  # type: ignore[no-any-return]


def read(snapshot_id: str, size: int) -> bytes:
    """The first `size` bytes of a snapshot; what was never written are zeros."""
    blocks = content(client(), snapshot_id)
    return b"".join(blocks.get(index, bytes(BLOCK)) for index in range(-(-size // BLOCK)))[:size]


def change(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("days", [3, pytest.param(10, marks=pytest.mark.soak)])
def test_a_chain_sends_what_changed(days: int, box: Sandbox, vmie: Vmie, raw: Path) -> None:
    first = done(vmie(*SNAPSHOT, raw, "--parent", "last"))
    assert first["parent"] is None
    assert first["blocks_written"] == 8
    known = {first["snapshot_ids"][0]: raw.read_bytes()}
    mixed = random.Random(3)
    for day in range(1, days + 1):
        places = sorted(mixed.sample(range(8), day % 3 + 1))
        for index in places:
            zeroed = day % 4 == 3
            change(raw, index * BLOCK, bytes(BLOCK) if zeroed else mixed.randbytes(1000))
        result = done(vmie(*SNAPSHOT, raw, "--parent", "last", "--tag", f"day={day}"))
        assert result["parent"] == list(known)[-1]
        assert result["blocks_written"] <= len(places)
        known[result["snapshot_ids"][0]] = raw.read_bytes()
    for snapshot_id, data in known.items():
        assert read(snapshot_id, len(data)) == data
    nothing = done(vmie(*SNAPSHOT, raw, "--parent", "last", "--tag", "again=1"))
    assert nothing["blocks_written"] == 0
    assert read(nothing["snapshot_ids"][0], len(data)) == data


def test_a_parent_is_deleted_only_where_that_was_said_and_may_be(box: Sandbox, vmie: Vmie, raw: Path) -> None:
    def there() -> set[str]:
        found = box.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]
        return {one["SnapshotId"] for one in found if "vmie" in str(one.get("Tags"))}

    ids = []
    for day, more in enumerate(((), (), ("--delete-parent",), ("--delete-parent", "--register", "moved"))):
        change(raw, day * BLOCK, random.Random(day).randbytes(100))
        result = done(vmie(*SNAPSHOT, raw, "--parent", "last", *more))
        ids += result["snapshot_ids"]
        assert result["parent_deleted"] is (day >= 2)
    assert there() == {ids[0], ids[3]}
    assert read(ids[3], 4 * MIB) == raw.read_bytes(), "what it had of its parents stays"

    change(raw, 0, b"in an AMI")
    answer = vmie(*SNAPSHOT, raw, "--parent", "last", "--delete-parent")
    assert done(answer)["parent_deleted"] is False
    assert f"{ids[3]} is not deleted" in answer.err
    ids += done(answer)["snapshot_ids"]

    change(raw, 0, b"before another begins")
    box.faults.fail("StartSnapshot", code="AccessDeniedException", message="not now", status=403)
    stopped = vmie(*SNAPSHOT, raw, "--parent", "last")
    result = done(vmie(*SNAPSHOT, raw, "--parent", "last", "--delete-parent"))
    assert (result["parent"], result["parent_deleted"]) == (ids[-1], True)
    ids += result["snapshot_ids"]
    assert done(vmie("resume", stopped.json["result"]["job"]))["parent"] == ids[-1], "its own is gone"

    change(raw, 0, b"while another is written")
    box.faults.fail("CompleteSnapshot", code="AccessDeniedException", message="not now", status=403)
    stopped = vmie(*SNAPSHOT, raw, "--parent", "last")
    answer = vmie(*SNAPSHOT, raw, "--parent", "last", "--delete-parent")
    assert done(answer)["parent_deleted"] is False
    assert "is being written" in answer.err
    result = done(vmie("resume", stopped.json["result"]["job"]))
    assert read(result["snapshot_ids"][0], 4 * MIB) == raw.read_bytes()


def test_what_stopped_goes_on_from_the_same_parent(box: Sandbox, vmie: Vmie, raw: Path) -> None:
    first = done(vmie(*SNAPSHOT, raw))["snapshot_ids"][0]
    change(raw, 3 * BLOCK, b"changed")
    box.faults.fail("CompleteSnapshot", code="AccessDeniedException", message="not now", status=403)
    stopped = vmie(*SNAPSHOT, raw, "--parent", "last")
    assert stopped.code == 5
    done(vmie(*SNAPSHOT, raw, "--tag", "another=one"))
    result = done(vmie("resume", stopped.json["result"]["job"]))
    assert result["parent"] == first, "though a newer one is there by now"
    assert result["blocks_written"] == 1
    assert read(result["snapshot_ids"][0], 4 * MIB) == raw.read_bytes()


def test_a_parent_that_is_not_known_here_is_read(
    box: Sandbox, vmie: Vmie, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = done(vmie(*SNAPSHOT, raw))["snapshot_ids"][0]
    monkeypatch.setenv("VMIE_STATE", str(tmp_path / "elsewhere"))
    other = tmp_path / "other.raw"
    other.write_bytes(raw.read_bytes()[: 3 * MIB])
    change(other, 2 * BLOCK, b"changed")
    answer = vmie(*SNAPSHOT, other, "--parent", parent)
    result = done(answer)
    assert "read, once" in answer.err
    assert result["blocks_written"] == 3, "one that changed, and zeros for two behind the end of the shorter disk"
    assert read(result["snapshot_ids"][0], 4 * MIB) == other.read_bytes() + bytes(MIB)


def test_deleted_files_go_as_zeros_over_the_parents(box: Sandbox, vmie: Vmie, tmp_path: Path) -> None:
    path = aged(tmp_path / "aged.raw", mib=24, files=10, deleted=2)
    before = path.read_bytes()
    done(vmie(*SNAPSHOT, path))
    data = bytearray(before)
    for at in range(MIB, len(data) - MIB, BLOCK):
        if b"this was deleted" in data[at : at + BLOCK]:
            data[at : at + BLOCK] = data[at : at + BLOCK].replace(b"this was deleted", bytes(16))
    path.write_bytes(data)
    result = done(vmie(*SNAPSHOT, path, "--parent", "last"))
    assert 0 < result["blocks_written"] < 10
    assert read(result["snapshot_ids"][0], len(data)) == bytes(data)


def test_what_does_not_go_together_is_refused_with_the_reason(box: Sandbox, vmie: Vmie, raw: Path) -> None:
    plain = done(vmie(*SNAPSHOT, raw))["snapshot_ids"][0]
    refused = vmie(*SNAPSHOT, raw, "--parent", plain, "--encrypted")
    assert refused.code == 4
    assert refused.json["error"]["code"] == "ParentUnfit"
    assert "not encrypted" in refused.json["error"]["message"]
    secret = done(vmie(*SNAPSHOT, raw, "--encrypted", "--tag", "a=b"))["snapshot_ids"][0]
    child = done(vmie(*SNAPSHOT, raw, "--parent", secret))
    found = box.client("ec2").describe_snapshots(SnapshotIds=child["snapshot_ids"])["Snapshots"][0]
    assert found["Encrypted"]
    key = box.client("kms").create_key()["KeyMetadata"]["Arn"]
    assert "another key" in vmie(*SNAPSHOT, raw, "--parent", secret, "--kms-key", key).json["error"]["message"]
    none = vmie(*SNAPSHOT[:-2], raw, "--parent", secret, "--zeros", "none")
    assert none.code == 4, "the child is encrypted as its parent is"
    large = raw.with_name("large.raw")
    large.write_bytes(raw.read_bytes())
    with large.open("r+b") as file:
        file.truncate(1100 * MIB)
    parent = done(vmie(*SNAPSHOT, large, "--zeros", "none"))["snapshot_ids"][0]
    assert "too large" in vmie(*SNAPSHOT, raw, "--parent", parent).json["error"]["message"]
    assert vmie(*SNAPSHOT, raw, "--parent", "snap-0123456789abcdeff").code == 5
    assert vmie(*SNAPSHOT, raw, "--parent", "yesterday").code == 2
    assert vmie("import", "--as", "snapshot", raw, "--parent", "last").code == 2, "only by EBS direct"


@pytest.mark.soak
def test_a_batch_is_synced_again_and_again_and_then_cut_over(
    box: Sandbox, vmie: Vmie, raw: Path, tmp_path: Path
) -> None:
    other = tmp_path / "db.raw"
    other.write_bytes(bootable(2 * MIB, mark=b"x" * MIB)[: 2 * MIB])
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "defaults: {via: ebs, skip_check: all, delete_parent: true}\n"
        "items:\n"
        "  - {source: web.raw, route: snapshot, register: moved-web}\n"
        "  - {source: db.raw, route: image, platform: Linux}\n"
    )

    def ran(*argv: str) -> list[dict[str, Any]]:
        return list(done(vmie("batch", "run", plan, *argv))["items"])

    first = ran("--sync")
    assert not any(item.get("image_id") for item in first)
    change(raw, 3 * BLOCK, b"changed")
    second = ran("--sync")
    assert [item["snapshot_ids"] for item in first] != [item["snapshot_ids"] for item in second]
    assert sum(item["bytes_sent"] for item in second) == BLOCK
    change(other, BLOCK, b"changed too")
    last = ran("--cut-over")
    assert all(item["image_id"] for item in last)
    assert sum(item["bytes_sent"] for item in last) == BLOCK
    left = box.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]
    earlier = {one for item in (*first, *second) for one in item["snapshot_ids"]}
    assert not earlier & {one["SnapshotId"] for one in left}
    assert read(last[0]["snapshot_ids"][0], 4 * MIB) == raw.read_bytes()
    plan.write_text("items:\n  - {source: web.raw, route: snapshot}\n")
    assert "via: ebs" in vmie("batch", "run", plan, "--sync").json["error"]["cure"]
    assert vmie("batch", "run", plan, "--sync", "--cut-over").code == 2
