"""A batch killed anywhere goes on and ends with exactly one task, one AMI and one object per item."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.crash.incarnations import KILLED, World, plan, reap, result, vmie
from tests.e2e.conftest import Server

#: the half-step at which CreateMultipartUpload was answered and not recorded (found by killing at each)
UNNOTED = 21


def environ(server: Server, state: Path) -> dict[str, str]:
    return {**server.environ, "VMIE_STATE": str(state), "VMIE_POLL_SECONDS": "0.05"}


def run_to_the_end(server: Server, folder: Path, path: Path) -> dict[str, object]:
    """Run the plan until it has ended; a run that ended already is not begun anew."""
    out = folder / "out.json"
    if out.exists() and out.read_text():
        return result(out)
    pid = vmie(["--output", "json", "batch", "run", str(path)], environ=environ(server, folder / "state"), out=out)
    assert reap(pid) == 0, out.read_text() + out.with_suffix(".err").read_text()
    return result(out)


def expect_once(server: Server, items: int, result: dict[str, object], *, images_before: int) -> None:
    world = World(server)
    assert (result["total"], result["completed"]) == (items, items)
    jobs = Counter(world.jobs())
    assert len(jobs) == items
    assert set(jobs.values()) == {1}, "one task per item"
    assert server.control("stats")["tasks"]["import-image"] == items
    assert Counter(world.images()) == jobs, "one AMI per item, tagged"
    assert world.made_images() == images_before + items
    assert len(world.objects()) == items
    assert world.uploads() == 0


def killed_at_each(server: Server, folder: Path, boundaries: list[int], *, items: int) -> None:
    path = plan(folder, items=items, big=True)
    before = World(server).made_images()
    argv = ["--output", "json", "batch", "run", str(path)]
    for boundary in boundaries:
        pid = vmie(argv, environ=environ(server, folder / "state"), out=folder / "out.json", die_at=boundary)
        if (code := reap(pid)) != KILLED:
            assert code == 0, (folder / "out.json").read_text()
            break
    done = run_to_the_end(server, folder, path)
    expect_once(server, items, done, images_before=before)


def test_killed_at_step_boundaries(server: Server, tmp_path: Path) -> None:
    killed_at_each(server, tmp_path, [3, 8, 13, 18, 10], items=2)


def test_killed_before_it_noted_the_upload(server: Server, tmp_path: Path) -> None:
    """Where S3 has begun a multipart upload and the journal does not know it yet."""
    killed_at_each(server, tmp_path, [UNNOTED], items=2)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(1, 61))
def test_killed_at_every_step_boundary(server: Server, tmp_path: Path, first: int) -> None:
    killed_at_each(server, tmp_path, [first], items=2)


def killed_at_random(server: Server, folder: Path, *, kills: int, items: int, seed: int) -> None:
    path = plan(folder, items=items, big=True)
    before = World(server).made_images()
    rnd = random.Random(seed)
    argv = ["--output", "json", "batch", "run", str(path)]
    for _ in range(kills):
        pid = vmie(argv, environ=environ(server, folder / "state"), out=folder / "out.json")
        time.sleep(rnd.uniform(0.3, 3.0))
        os.kill(pid, signal.SIGKILL)
        if (code := reap(pid)) != KILLED:
            assert code == 0, (folder / "out.json").read_text()
            break
    done = run_to_the_end(server, folder, path)
    expect_once(server, items, done, images_before=before)


def test_killed_at_random_moments(server: Server, tmp_path: Path) -> None:
    killed_at_random(server, tmp_path, kills=6, items=6, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(34))
def test_killed_at_two_hundred_random_moments(server: Server, tmp_path: Path, seed: int) -> None:
    killed_at_random(server, tmp_path, kills=6, items=6, seed=seed)


def test_faults_do_not_lose_or_double_anything(server: Server, tmp_path: Path) -> None:
    path = plan(tmp_path, items=12, big=True)
    before = World(server).made_images()
    for kind in ("throttle", "unavailable"):
        server.control("faults", {"kind": kind, "times": None, "probability": 0.025})
    server.control("faults", {"kind": "lose", "action": "ImportImage", "times": 2, "how": "500"})
    done = run_to_the_end(server, tmp_path, path)
    server.control("faults", method="DELETE")
    expect_once(server, 12, done, images_before=before)
