"""Several workers on one PostgreSQL: every item once, never more than the limit, also when one is killed half-way."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import postgres
from tests.crash.incarnations import KILLED, World, plan, reap, result, vmie
from tests.e2e.conftest import Server

LIMIT = 3


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres.running() as address:
        yield address


def environ(server: Server, state: Path, database: str) -> dict[str, str]:
    return {
        **server.environ,
        "VMIE_STATE": str(state),
        "VMIE_POLL_SECONDS": "0.1",
        "VMIE_BATCH_STATE": database,
        "VMIE_IMPORT_LIMIT": str(LIMIT),
    }


def share(server: Server, folder: Path, database: str, *, workers: int, items: int) -> None:
    server.control("settings", {"imports": LIMIT})
    path = plan(folder, items=items)
    before = World(server).made_images()
    env = environ(server, folder / "state", database)
    begun = vmie(["--output", "json", "batch", "run", str(path)], environ=env, out=folder / "run.json")
    crew = [
        vmie(["--output", "json", "worker", "--until-idle"], environ=env, out=folder / f"worker-{number}.json")
        for number in range(workers)
    ]
    try:
        end = time.monotonic() + 60
        while len(World(server).jobs()) < items // 3 and time.monotonic() < end:
            time.sleep(0.1)
        os.kill(crew[0], signal.SIGKILL)
        assert reap(crew.pop(0)) == KILLED
        assert reap(begun) == 0, (folder / "run.json").read_text() + (folder / "run.err").read_text()
        done = result(folder / "run.json")
        for number in range(1, workers):
            assert reap(crew.pop(0)) == 0, (folder / f"worker-{number}.json").read_text()
    finally:
        for pid in crew:
            os.kill(pid, signal.SIGKILL)
    assert (done["total"], done["completed"]) == (items, items)
    jobs = Counter(World(server).jobs())
    assert set(jobs.values()) == {1}
    assert len(jobs) == items
    assert Counter(World(server).images()) == jobs
    assert World(server).made_images() == before + items
    assert server.control("stats")["peak"]["imports"] <= LIMIT
    assert len(World(server).objects()) == items


def test_two_workers_one_killed(server: Server, tmp_path: Path, database: str) -> None:
    share(server, tmp_path, database, workers=2, items=9)


@pytest.mark.soak
def test_four_workers_one_killed(server: Server, tmp_path: Path, database: str) -> None:
    share(server, tmp_path, database, workers=4, items=60)
