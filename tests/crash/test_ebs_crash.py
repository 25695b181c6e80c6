"""An import by EBS direct, killed at any moment: the same snapshot goes on, nothing is lost, little is sent twice."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.crash.processes import KILLED, reap, vmie
from tests.e2e.conftest import Server
from tests.sandbox.conftest import bootable
from tests.sandbox.ebs_direct import BLOCK, content
from vmie.aws.ebs.pace import MOST

BLOCKS = 160


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "web.raw"
    path.write_bytes(bootable(BLOCKS * BLOCK, mark=random.Random(1).randbytes(BLOCKS * BLOCK - 2048 * 512)))
    return path


def import_(server: Server, folder: Path, image: Path, *, after: int = 0, batch: bool = False) -> int:
    """Run it, and kill it once `after` records of it were made: of its journal, and of single blocks; 0: never."""
    environ = {**server.environ, "VMIE_STATE": str(folder / "state"), "VMIE_POLL_SECONDS": "0.2"}
    argv = ["--output", "json", "import", str(image), "--as", "snapshot", "--via", "ebs", "--skip-check", "all"]
    if batch:
        plan = folder / "plan.yaml"
        plan.write_text(f"items:\n  - {{source: {image}, route: snapshot, via: ebs, skip_check: all}}\n")
        argv = ["--output", "json", "batch", "run", str(plan)]

    def trap() -> None:
        from vmie.jobs.store import Job
        from vmie.ops.block_hashes import BlockHashes

        count = 0

        def counting(original: Any) -> Any:
            def lethal(*args: Any) -> None:
                nonlocal count
                count += 1
                if count == after:
                    os.kill(os.getpid(), signal.SIGKILL)
                original(*args)

            return lethal

        Job.put = counting(Job.put)  # type: ignore[method-assign]
        BlockHashes.put = counting(BlockHashes.put)  # type: ignore[method-assign]

    return reap(vmie(argv, environ=environ, out=folder / "out.json", trap=trap if after else None))


def puts(server: Server) -> int:
    return int(server.control("stats")["calls"].get("ebs:PutSnapshotBlock", 0))


def survives(server: Server, folder: Path, image: Path, *moments: int, batch: bool = False) -> int:
    """Killed at each of the moments in turn, then left alone: one snapshot, and it is the disk. How often it was."""
    ec2, ebs = (
        boto3.client(
            name,
            region_name="us-east-1",
            endpoint_url=server.url,
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )
        for name in ("ec2", "ebs")
    )
    folder.mkdir()
    known = {one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    before, kills, ended = puts(server), 0, KILLED
    for moment in (*moments, 0):
        if ended == KILLED:
            ended = import_(server, folder, image, after=moment, batch=batch)
            kills += ended == KILLED
    assert ended == 0, (folder / "out.json").read_text()
    made = {one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]} - known
    assert len(made) == 1, "none is doubled"
    blocks = content(ebs, made.pop())
    assert b"".join(blocks[index] for index in sorted(blocks)) == image.read_bytes(), "none is lost"
    assert puts(server) - before <= BLOCKS + kills * MOST, "but what was on its way"
    return kills


def test_killed_at_any_moment_the_same_snapshot_goes_on(quick: Server, image: Path, tmp_path: Path) -> None:
    survives(quick, tmp_path / "one", image, 2, 150)
    survives(quick, tmp_path / "two", image, 150, batch=True)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50))
def test_killed_at_random_moments(quick: Server, image: Path, tmp_path: Path, seed: int) -> None:
    """200 times in all: each run is killed within what the one before has left."""
    places = sorted(random.Random(seed).sample(range(1, BLOCKS + 3), 4))
    moments = [place - before for before, place in zip((0, *places), places, strict=False)]
    assert survives(quick, tmp_path / "state", image, *moments) == 4
