"""`vmie verify`: what was sent is there, and one byte that is not is found, with its block and its file."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Done
from tests.e2e.test_diff import FILES, disk_of
from tests.sandbox.ebs_direct import BLOCK, client, content, put
from tests.tools import need, run, sized
from vmie import sandbox
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
SNAPSHOT = ("import", "--as", "snapshot", "--via", "ebs", "--skip-check", "all")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000, appears_after=0) as running:
        yield running


def sent(vmie: Vmie, *what: str | Path) -> dict[str, Any]:
    done = vmie(*SNAPSHOT, *what)
    assert done.code == 0, done.out
    return done.json["result"]  # type: ignore[no-any-return]


def verify(vmie: Vmie, *what: str | Path) -> tuple[int, dict[str, Any]]:
    done = vmie("verify", *what)
    assert done.json["result"], done.out
    return done.code, done.json["result"]


def copied(box: Sandbox, snapshot_id: str, changed: dict[int, bytes]) -> str:
    """A snapshot of the same blocks, but for those that are `changed`."""
    blocks = {**content(client(), snapshot_id), **changed}
    ebs = client()
    size = box.client("ec2").describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]["VolumeSize"]
    other: str = ebs.start_snapshot(VolumeSize=size)["SnapshotId"]
    for index, data in blocks.items():
        put(ebs, other, index, data)
    ebs.complete_snapshot(SnapshotId=other, ChangedBlocksCount=len(blocks))
    box.client("ec2").get_waiter("snapshot_completed").wait(SnapshotIds=[other])
    return other


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(one): (one.stat().st_mtime_ns, one.read_bytes()) for one in folder.rglob("*") if one.is_file()}


@pytest.mark.parametrize("trials", sized(1, 20))
def test_one_changed_byte_is_found_by_job_and_by_image(vmie: Vmie, box: Sandbox, tmp_path: Path, trials: int) -> None:
    need("mke2fs", "sfdisk")
    path = disk_of(tmp_path, "web", FILES)
    made = sent(vmie, path)
    job, (snapshot,) = made["job"], made["snapshot_ids"]
    before = tree(tmp_path / "state")
    statement = tmp_path / "web.intoto.json"
    for source in (job, path):
        code, found = verify(vmie, source, snapshot, "--statement", statement, "--force")
        assert (code, found["identical"], found["blocks_different"]) == (0, True, 0)
        assert (found["blocks"], found["statement"]) == (2048, str(statement))
        assert found["blocks_read"] == made["blocks_written"]
        told = json.loads(statement.read_bytes())
        assert (told["_type"], told["predicateType"][:8]) == ("https://in-toto.io/Statement/v1", "https://")
        whole = hashlib.sha256(path.read_bytes())
        (compared,) = told["predicate"]["compared"]
        assert compared["source"]["digest"]["sha256"] == whole.hexdigest()
        assert (compared["source"]["name"], compared["source"]["size"]) == ("web.raw", path.stat().st_size)
        whole.update(bytes((1 << 30) - path.stat().st_size))
        assert told["subject"] == [{"name": snapshot, "digest": {"sha256": whole.hexdigest()}}]
    assert tree(tmp_path / "state") == before  # nothing of the job was written to

    chance, sound = random.Random(5), path.read_bytes()
    blocks = content(client(), snapshot)
    statement.unlink()
    for _ in range(trials):
        name = chance.choice(list(FILES))
        at = sound.index(FILES[name]) + chance.randrange(len(FILES[name]))
        data = bytearray(blocks[at // BLOCK])
        data[at % BLOCK] ^= 1 << chance.randrange(8)
        other = copied(box, snapshot, {at // BLOCK: bytes(data)})
        for source in (job, path):
            code, found = verify(vmie, source, other, "--statement", statement)
            assert (code, found["identical"], found["blocks_different"]) == (1, False, 1)
            (one,) = found["snapshots"]
            assert one["ranges"] == [{"offset": at // BLOCK * BLOCK, "length": BLOCK}]
            assert [each["path"] for each in one["files"]] == [f"/{name}"]
            assert not statement.exists()


def test_a_block_too_many_or_too_few_is_found(vmie: Vmie, box: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "web.raw"
    path.write_bytes(random.Random(1).randbytes(3 * BLOCK) + bytes(BLOCK))
    (snapshot,) = (made := sent(vmie, path))["snapshot_ids"]
    for changed, expected in (({1000: b"x" * BLOCK}, 1), ({1000: bytes(BLOCK)}, 0), ({1: bytes(BLOCK)}, 1)):
        other = copied(box, snapshot, changed)
        for source in (made["job"], path):
            code, found = verify(vmie, source, other)
            assert (code, found["blocks_different"]) == (expected, expected)
    path.unlink()
    code, found = verify(vmie, made["job"], other)  # the digests are enough
    assert (code, found["snapshots"][0]["by"], found["snapshots"][0]["ranges"][0]["offset"]) == (1, "digests", BLOCK)
    assert "not here" in found["snapshots"][0]["unread"][0]["why"]
    assert verify(vmie, made["job"])[0] == 0


def test_a_child_is_held_to_all_that_it_has(vmie: Vmie, box: Sandbox, tmp_path: Path) -> None:
    path, chance = tmp_path / "web.raw", random.Random(2)
    path.write_bytes(chance.randbytes(4 * BLOCK))
    parent = sent(vmie, path)["snapshot_ids"][0]
    data = bytearray(path.read_bytes())
    data[BLOCK : 2 * BLOCK] = chance.randbytes(BLOCK)
    data[3 * BLOCK :] = bytes(BLOCK)
    path.write_bytes(data)
    child = sent(vmie, path, "--parent", "last")
    assert (child["blocks_written"], child["parent"]) == (2, parent)
    for source in ([child["job"]], [path, child["snapshot_ids"][0]]):
        code, found = verify(vmie, *source)
        assert (code, found["blocks_read"]) == (0, 4)
    assert verify(vmie, path, parent)[0] == 1
    assert verify(vmie, child["job"], parent)[1]["blocks_different"] == 2
    assert verify(vmie, parent, child["snapshot_ids"][0])[1]["blocks_different"] == 2


def test_disks_and_snapshots_that_do_not_go_together(vmie: Vmie, box: Sandbox, tmp_path: Path) -> None:
    disks = [tmp_path / name for name in ("one.raw", "two.raw")]
    for number, disk in enumerate(disks):
        disk.write_bytes(random.Random(number).randbytes(2 * BLOCK))
    made = sent(vmie, *disks)
    both = made["snapshot_ids"]
    assert verify(vmie, made["job"])[1]["blocks"] == 4096
    assert verify(vmie, made["job"], both[1])[0] == 0
    assert [one["identical"] for one in verify(vmie, made["job"], *both[::-1])[1]["snapshots"]] == [True, True]
    assert verify(vmie, made["job"], copied(box, both[1], {}), "--disk", "1")[0] == 0
    assert verify(vmie, disks[0], both[1])[0] == 1
    for wrong in ((made["job"], copied(box, both[1], {})), (disks[0],), (disks[0], *both), (disks[0], "ami-12345678")):
        assert vmie("verify", *wrong).code == 2

    larger = tmp_path / "larger.raw"
    larger.write_bytes(disks[0].read_bytes())
    with larger.open("r+b") as file:
        file.truncate(5 << 30)
    code, found = verify(vmie, larger, both[0])
    assert (code, found["blocks_read"], "5,368,709,120 bytes" in found["snapshots"][0]["why"]) == (1, 0, True)
    taken = tmp_path / "taken.json"
    taken.write_text("mine")
    assert (vmie("verify", disks[0], both[0], "--statement", taken).code, taken.read_text()) == (2, "mine")
    assert vmie("verify", disks[0], both[0], "--statement", disks[0], "--force").code == 2
    told = vmie("--dry-run", "verify", made["job"]).json["result"]
    assert (len(told["snapshots"]), told["costs_usd"] > 0) == (2, True)
    pending = client().start_snapshot(VolumeSize=1)["SnapshotId"]
    assert vmie("verify", disks[0], pending).code == 4


def test_a_job_file_that_says_nothing_of_use_is_told(vmie: Vmie, box: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "web.raw"
    path.write_bytes(random.Random(4).randbytes(BLOCK))
    job = sent(vmie, path)["job"]
    assert vmie("verify", job, "--machine", "web").code == 2
    assert vmie("verify", "job-20260102-030405-a1b2c3").code == 2
    kept = tmp_path / "state" / "jobs" / f"{job}.json"
    sound = json.loads(kept.read_text())
    damaged: list[dict[str, Any]] = [{**sound, "plan": {"disks": 7}}, {**sound, "plan": None}, {**sound, "plan": {}}]
    damaged += [{**sound, "kind": "export"}, {**sound, "steps": {}, "request": {"sources": 3}}]
    steps = {"snapshot 0": {**sound["steps"]["snapshot 0"], "snapshot_id": "../../etc/x"}}
    for data in (*damaged, {**sound, "steps": steps}):
        kept.write_text(json.dumps(data))
        done = vmie("verify", job)
        assert (done.code, done.json["error"]["cure"] != "") == (2, True), done.out
    kept.write_text(json.dumps({**sound, "result": None, "steps": {"snapshot 0": {"completed": False}}}))
    assert vmie("verify", job).code == 4


def test_what_went_by_s3_is_there_but_for_free_space(vmie: Vmie, box: Sandbox, tmp_path: Path) -> None:
    need("mke2fs", "sfdisk", "debugfs")
    path = disk_of(tmp_path, "web", {**FILES, "gone": random.Random(9).randbytes(900_000)})
    part = tmp_path / "web.part"
    run(["debugfs", "-w", "-R", "rm /gone", part])
    with path.open("r+b") as disk:
        disk.seek(1 << 20)
        disk.write(part.read_bytes())
    done = vmie("import", "--as", "snapshot", path, "--bucket", sandbox.BUCKET, "--skip-check", "all")
    assert done.code == 0, done.out
    made = done.json["result"]
    for source in ([made["job"]], [path, *made["snapshot_ids"]]):
        code, found = verify(vmie, *source)
        assert (code, found["snapshots"][0]["blocks_free"] > 0) == (0, True)
    shutil.copy(path, tmp_path / "other.raw")
    data = bytearray(path.read_bytes())
    data[data.index(FILES["etc/conf-3"])] ^= 1
    path.write_bytes(data)
    code, found = verify(vmie, made["job"])
    assert (code, [one["path"] for one in found["snapshots"][0]["files"]]) == (1, ["/etc/conf-3"])


def test_an_encrypted_launch_has_garbage_in_free_space_alone(vmie: Vmie, box: Sandbox, tmp_path: Path) -> None:
    """Blocks that were never written read as garbage from an encrypted volume (coldsnap #470): none is in use."""
    need("mke2fs", "sfdisk")
    path, luks = disk_of(tmp_path, "web", FILES), tmp_path / "luks.raw"
    luks.write_bytes(b"LUKS\xba\xbe\x00\x02" + bytes(4 * BLOCK))  # of which nothing is known: all of it is in use

    def launched(snapshot: str, disk: Path) -> str:
        """A snapshot of all that an encrypted volume of `snapshot` shows where `disk` is."""
        call = {"SnapshotId": snapshot, "AvailabilityZone": "us-east-1a", "Encrypted": True}
        volume = box.disk(box.client("ec2").create_volume(**call)["VolumeId"])
        assert volume is not None
        shown = {index: volume.read(index * BLOCK, BLOCK) for index in range(disk.stat().st_size // BLOCK)}
        return copied(box, snapshot, shown)

    made = sent(vmie, path)
    snapshot = launched(made["snapshot_ids"][0], path)
    for source in (made["job"], path):
        code, found = verify(vmie, source, snapshot)
        assert (code, found["snapshots"][0]["blocks_free"] > 20) == (0, True), "what is garbage was never sent"
    (unsafe,) = sent(vmie, path, "--zeros", "none", "--tag", "un=safe")["snapshot_ids"]
    code, found = verify(vmie, path, launched(unsafe, path))
    assert (code, found["blocks_different"] > 0) == (1, True), "zeros that the file system relies on are lost"
    (snapshot,) = sent(vmie, luks)["snapshot_ids"]
    code, found = verify(vmie, luks, launched(snapshot, luks))
    assert (code, found["snapshots"][0]["blocks_free"]) == (0, 0)
