"""Several workers on one PostgreSQL: every item once, never more than the limit, whoever dies or loses its session."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.crash.postgres import Postgres, emptied
from tests.crash.processes import KILLED, World, plan, reap, result, vmie
from tests.e2e.conftest import Server, serving

LIMIT = 3


@pytest.fixture(scope="module")
def aws() -> Iterator[Server]:
    """A sandbox in which an import takes about a second; nobody here may have more than `LIMIT` active."""
    with serving(speed=1200) as running:
        yield running


class Site:
    """Processes that share a fresh database; all that still run are killed in the end."""

    def __init__(self, aws: Server, folder: Path, postgres: Postgres) -> None:
        self.aws = aws
        self.folder = folder
        self.postgres = postgres
        self.address = emptied(postgres.address)
        self._images = World(aws).made_images()
        self._running: dict[int, Path] = {}

    def start(self, *argv: str | Path, limit: int = LIMIT, **environ: str) -> int:
        out = self.folder / f"out-{len(self._running)}-{time.monotonic_ns()}.json"
        env = {
            **self.aws.environ,
            "VMIE_STATE": str(self.folder / "state"),
            "VMIE_POLL_SECONDS": "0.1",
            "VMIE_BATCH_STATE": self.address,
            "VMIE_IMPORT_LIMIT": str(limit),
            **environ,
        }
        pid = vmie(["--output", "json", *map(str, argv)], environ=env, out=out)
        self._running[pid] = out
        return pid

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        assert reap(pid) == KILLED
        del self._running[pid]

    def ended(self, pid: int, *, code: int = 0) -> dict[str, Any]:
        """The result of a process that ends by itself."""
        out = self._running[pid]
        found = reap(pid)
        del self._running[pid]
        said = out.read_text()
        assert found == code, said + out.with_suffix(".err").read_text()
        return result(out)

    def run(self, *argv: str | Path) -> dict[str, Any]:
        return self.ended(self.start(*argv))

    def said(self, pid: int) -> str:
        return self._running[pid].with_suffix(".err").read_text()

    def stop(self) -> None:
        for pid in list(self._running):
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                reap(pid)

    def until(self, ready: Callable[[], Any], *, within: float = 60.0) -> Any:
        end = time.monotonic() + within
        while not (found := ready()):
            assert time.monotonic() < end, "it did not come to that"
            time.sleep(0.1)
        return found

    def query(self, sql: str) -> list[Any]:
        """Rows; none as long as there are no tables."""
        try:
            with psycopg.connect(self.address, autocommit=True) as session:
                return list(session.execute(sql))  # type: ignore[call-overload]
        except psycopg.errors.UndefinedTable:
            return []

    def batch(self) -> str:
        return str(self.until(lambda: self.query("SELECT batch FROM vmie_batches"))[0][0])

    def in_state(self, *states: str) -> int:
        names = ", ".join(f"'{state}'" for state in states)
        return sum(count for (count,) in self.query(f"SELECT count(*) FROM vmie_items WHERE state IN ({names})"))

    def expect_once(self, done: dict[str, Any], items: int) -> None:
        assert (done["total"], done["completed"]) == (items, items)
        world = World(self.aws, done["batch"])
        jobs = Counter(world.jobs())
        assert set(jobs.values()) == {1}
        assert len(jobs) == items
        assert Counter(world.images()) == jobs
        assert World(self.aws).made_images() == self._images + items
        assert self.aws.control("stats")["peak"]["imports"] <= LIMIT
        assert len(world.objects()) == items
        assert world.uploads() == 0


@pytest.fixture
def site(aws: Server, tmp_path: Path, database: Postgres) -> Iterator[Site]:
    made = Site(aws, tmp_path, database)
    try:
        yield made
    finally:
        made.stop()


def share(site: Site, *, workers: int, items: int) -> None:
    # Here the sandbox does not only record the limit, it enforces it.
    site.aws.control("settings", {"imports": LIMIT})
    try:
        begun = site.start("batch", "run", plan(site.folder, items=items))
        site.batch()
        # That one stays until it is killed, the others until there is nothing left.
        victim = site.start("worker")
        crew = [site.start("worker", "--until-idle") for _ in range(workers - 1)]
        site.until(lambda: site.in_state("completed") >= items // 3)
        site.kill(victim)
        done = site.ended(begun)
        for pid in crew:
            site.ended(pid)
    finally:
        site.aws.control("settings", {"imports": 20})
    site.expect_once(done, items)


def test_two_workers_one_killed(site: Site) -> None:
    share(site, workers=2, items=6)


@pytest.mark.soak
def test_four_workers_one_killed(site: Site) -> None:
    share(site, workers=4, items=60)


@pytest.mark.soak
def test_the_plans_limit_holds_whoever_started_first(site: Site) -> None:
    """A worker whose settings allow 20 was there before the plan that names 3 for every pool it is in."""
    site.start("worker", limit=20)
    site.until(lambda: site.query("SELECT 1 FROM vmie_workers"))
    path = plan(site.folder, items=6, limits=f"imports: {LIMIT}, uploads: 8")
    begun = site.start("batch", "run", path, limit=20)
    batch = site.batch()
    site.until(lambda: site.in_state("converting") == LIMIT)
    shown = site.run("batch", "status", batch)
    assert shown["slots"][0]["limit"] == LIMIT
    assert len(shown["workers"]) == 2
    assert {one["host"] for one in shown["workers"]} == {os.uname().nodename}
    in_hand = [item["status"] for one in shown["workers"] for item in one["items"]]
    assert in_hand
    site.expect_once(site.ended(begun), 6)


def test_who_lost_its_session_stops_before_others_go_on(site: Site) -> None:
    """Its connection is cut while it works on: the others wait, take over, and nothing is done twice."""
    begun = site.start("batch", "run", plan(site.folder, items=4))
    site.start("worker")
    site.until(lambda: site.in_state("converting") >= 2)
    # The sessions with the seats, and with every other connection of both processes.
    site.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
    )
    done = site.ended(begun)
    site.expect_once(done, 4)
    (lost,) = site.query("SELECT count(*) FROM vmie_workers WHERE gone")[0]
    assert lost >= 1


def test_a_database_that_comes_back_is_gone_on_with(site: Site) -> None:
    begun = site.start("batch", "run", plan(site.folder, items=4))
    site.start("worker")
    site.until(lambda: site.in_state("converting") >= 2)
    site.postgres.control("restart", "-m", "immediate")
    site.expect_once(site.ended(begun), 4)


def test_given_up_with_nobody_at_work(site: Site) -> None:
    """Also what waits for a worker that is not there, and for slots that the dead held."""
    path = plan(site.folder, items=6, limits="imports: 2, ahead: 10", more="    except: vm-5.raw\n    queue: default\n")
    path.write_text(path.read_text() + "  - {source: vm-5.raw, key: far, queue: rack-2}\n")
    path.write_text(path.read_text().replace("keep_object: true, ", ""))
    begun = site.start("batch", "run", path)
    batch = site.batch()
    site.until(lambda: site.in_state("converting") == 2)
    shown = site.run("batch", "status", batch)
    assert shown["notes"] == ["1 item waits for a worker: vmie worker --queue rack-2"]
    site.until(lambda: "1 item waits for a worker: vmie worker --queue rack-2" in site.said(begun))
    site.kill(begun)
    assert site.run("batch", "status", batch)["status"] == "interrupted"
    done = site.run("batch", "cancel", batch)
    assert done["cancelled"] + done["completed"] == 6
    assert done["cancelled"] >= 4
    world = World(site.aws, batch)
    assert world.jobs(active=True) == []
    assert world.objects() == []
    assert world.uploads() == 0


@pytest.mark.soak
def test_two_begin_the_same_plan_at_once(site: Site) -> None:
    path = plan(site.folder, items=2)
    both = [site.start("batch", "run", path) for _ in range(2)]
    first, second = [site.ended(pid) for pid in both]
    assert first["batch"] == second["batch"]
    assert len(site.query("SELECT batch FROM vmie_batches")) == 1
    site.expect_once(first, 2)
