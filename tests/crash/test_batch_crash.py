"""A batch killed anywhere goes on and ends with exactly one task, one AMI and one object per item."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.crash.processes import KILLED, Trap, World, after_answer, at_half_step, before_note_of, plan, reap, vmie
from tests.crash.processes import result as printed
from tests.e2e.conftest import Server

#: AWS's own numbers of a pipeline, by kind of task
Made = dict[str, int]


class Machine:
    """The command line in processes that can be killed, with one state folder; counts what the sandbox made since."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.out = folder / "out.json"
        self.environ = {**server.environ, "VMIE_STATE": str(folder / "state"), "VMIE_POLL_SECONDS": "0.2"}
        self._tasks = Counter(server.control("stats")["tasks"])
        self._images = World(server).made_images()

    def start(self, *argv: str | Path, trap: Trap | None = None) -> int:
        self.out.unlink(missing_ok=True)
        return vmie(["--output", "json", *map(str, argv)], environ=self.environ, out=self.out, trap=trap)

    def killed(self, *argv: str | Path, trap: Trap) -> bool:
        """Whether it died in the trap; else it must have ended well."""
        code = reap(self.start(*argv, trap=trap))
        assert code in (KILLED, 0), self.said()
        return code == KILLED

    def done(self, *argv: str | Path) -> dict[str, Any]:
        """Run it to its end, unless an earlier one of these ended and said so."""
        if not (self.out.exists() and self.out.read_text()):
            assert reap(self.start(*argv)) == 0, self.said()
        return printed(self.out)

    def said(self) -> str:
        err = self.out.with_suffix(".err")
        return self.out.read_text() + (err.read_text() if err.exists() else "")

    @property
    def batch(self) -> str:
        (folder,) = (one for one in (self.folder / "state" / "batches").iterdir() if one.is_dir())
        return folder.name

    def tasks(self) -> Made:
        """Tasks that were made since, of those kinds of which any was."""
        return dict(Counter(self.server.control("stats")["tasks"]) - self._tasks)

    def images(self) -> int:
        """AMIs that were made since, tagged or not."""
        return World(self.server).made_images() - self._images


@pytest.fixture
def machine(quick: Server, tmp_path: Path) -> Machine:
    return Machine(quick, tmp_path)


def expect_once(machine: Machine, done: dict[str, Any], items: int) -> None:
    """Images: one task, one AMI, one object each."""
    assert (done["total"], done["completed"]) == (items, items), done
    world = World(machine.server, done["batch"])
    jobs = Counter(world.jobs())
    assert len(jobs) == items
    assert set(jobs.values()) == {1}, "one task per item"
    assert machine.tasks() == {"import-image": items}
    assert Counter(world.images()) == jobs, "one AMI per item, tagged"
    assert machine.images() == items
    assert len(world.objects()) == items
    assert world.uploads() == 0


def killed_at(machine: Machine, traps: Iterable[Trap], *, items: int = 2) -> None:
    argv = ("batch", "run", plan(machine.folder, items=items, big=True))
    for trap in traps:
        if not machine.killed(*argv, trap=trap):
            break
    expect_once(machine, machine.done(*argv), items)


def test_killed_at_step_boundaries(machine: Machine) -> None:
    killed_at(machine, [at_half_step(number) for number in (3, 8, 13, 10)])


def test_killed_after_answers(machine: Machine) -> None:
    killed_at(machine, [after_answer(number) for number in (12, 15, 9, 11)])


def test_killed_before_it_noted_the_upload(machine: Machine) -> None:
    """Where S3 has begun a multipart upload and the journal does not know it yet."""
    killed_at(machine, [before_note_of("upload_id")])


def exported(machine: Machine) -> tuple[tuple[str | Path, ...], Callable[[dict[str, Any]], None]]:
    instance = World(machine.server).ec2.describe_instances()["Reservations"][0]["Instances"][0]["InstanceId"]
    path = machine.folder / "plan.yaml"
    prefix = f"out-{machine.folder.name}/"
    path.write_text(
        f"defaults: {{format: vmdk, bucket: vmie-sandbox, prefix: {prefix}, skip_check: all}}\n"
        f"items:\n  - {{source: {instance}, key: one}}\n"
    )

    def expect(done: dict[str, Any]) -> None:
        assert machine.tasks() == {"export-instance": 1}
        disks = [key for key in World(machine.server).objects(prefix) if key.endswith(".vmdk")]
        assert len(disks) == len(done["items"][0]["objects"]) == 1

    return ("batch", "run", path), expect


def older(machine: Machine) -> tuple[tuple[str | Path, ...], Callable[[dict[str, Any]], None]]:
    path = plan(machine.folder, items=2)
    path.write_text(
        "defaults: {skip_check: all, bucket: vmie-sandbox, availability_zone: us-east-1a}\n"
        "items:\n"
        "  - {source: vm-0.raw, route: instance, instance_type: m3.medium, architecture: x86_64, platform: Linux}\n"
        "  - {source: vm-1.raw, route: volume}\n"
    )

    def expect(done: dict[str, Any]) -> None:
        world = World(machine.server, done["batch"])
        assert machine.tasks() == {"conversion": 2}
        assert len(world.instances()) == 1
        assert world.objects() == []

    return ("batch", "run", path), expect


def snapshots(machine: Machine) -> tuple[tuple[str | Path, ...], Callable[[dict[str, Any]], None]]:
    path = plan(machine.folder, items=1)
    name = machine.folder.name
    path.write_text(f"items:\n  - {{source: vm-0.raw, as: snapshot, register: {name}, skip_check: all}}\n")

    def expect(done: dict[str, Any]) -> None:
        assert machine.tasks() == {"import-snapshot": 1}
        assert machine.images() == 1, "one AMI registered"
        assert World(machine.server, done["batch"]).objects() == []

    return ("batch", "run", path), expect


#: with places where no call may have been made whose task has to be looked for: that takes twenty seconds
PIPELINES = [(exported, 5, 9), (older, 6, 14), (snapshots, 7, 12)]


def every(machine: Machine, pipeline: Any, traps: Iterable[Trap]) -> bool:
    """Killed in each trap in turn, then run to the end; whether the last trap was reached."""
    argv, expect = pipeline(machine)
    last = [machine.killed(*argv, trap=trap) for trap in traps][-1]
    done = machine.done(*argv)
    assert done["completed"] == done["total"], done
    expect(done)
    return last


@pytest.mark.parametrize(
    ("pipeline", "first", "second"), [pytest.param(*PIPELINES[0], marks=pytest.mark.soak), *PIPELINES[1:]]
)
def test_other_routes_killed(machine: Machine, pipeline: Any, first: int, second: int) -> None:
    every(machine, pipeline, [at_half_step(first), after_answer(second)])


@pytest.mark.soak
@pytest.mark.parametrize("first", range(1, 9))
def test_killed_at_every_step_boundary(quick: Server, tmp_path: Path, first: int) -> None:
    to_the_end(quick, tmp_path, first, at_half_step)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(1, 9))
def test_killed_after_every_answer(quick: Server, tmp_path: Path, first: int) -> None:
    to_the_end(quick, tmp_path, first, after_answer)


def to_the_end(server: Server, folder: Path, first: int, trap: Callable[[int], Trap]) -> None:
    """Every eighth place where it can die, each in a world of its own, until there are no more."""
    for number in itertools.count(first, 8):
        machine = Machine(server, made(folder / str(number)))
        argv = ("batch", "run", plan(machine.folder, items=2, big=True))
        killed = machine.killed(*argv, trap=trap(number))
        expect_once(machine, machine.done(*argv), 2)
        if not killed:
            assert number > 20, "there are more places than this"
            return


@pytest.mark.soak
@pytest.mark.parametrize("trap", [at_half_step, after_answer])
@pytest.mark.parametrize("pipeline", [pipeline for pipeline, *_ in PIPELINES])
def test_other_routes_killed_everywhere(quick: Server, tmp_path: Path, pipeline: Any, trap: Any) -> None:
    for number in itertools.count(1):
        machine = Machine(quick, made(tmp_path / f"{tmp_path.name}-{number}"))
        if not every(machine, pipeline, [trap(number)]):
            assert number > 12
            return


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def killed_at_random(machine: Machine, *, kills: int, items: int, seed: int) -> None:
    argv = ("batch", "run", plan(machine.folder, items=items, big=True))
    rnd = random.Random(seed)
    for _ in range(kills):
        pid = machine.start(*argv)
        time.sleep(rnd.uniform(0.2, 2.0))
        os.kill(pid, signal.SIGKILL)
        if (code := reap(pid)) != KILLED:
            assert code == 0, machine.said()
            break
    expect_once(machine, machine.done(*argv), items)


def test_killed_at_random_moments(machine: Machine) -> None:
    killed_at_random(machine, kills=4, items=4, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(34))
def test_killed_at_two_hundred_random_moments(machine: Machine, seed: int) -> None:
    killed_at_random(machine, kills=6, items=6, seed=seed)


#: of each of these one call in eighty, of whatever action: together five in a hundred
FAULTS = (
    {"kind": "throttle"},
    {"kind": "unavailable"},
    {"kind": "lose", "how": "reset"},
    {"kind": "lose", "how": "500"},
)


def faulty(server: Server, folder: Path, *, items: int) -> None:
    machine = Machine(server, folder)
    path = plan(folder, items=items, big=True)
    for fault in FAULTS:
        server.control("faults", {**fault, "times": None, "probability": 0.0125})
    server.control("faults", {"kind": "lose", "action": "ImportImage", "times": 2, "how": "500"})
    done = machine.done("batch", "run", path)
    server.control("faults", method="DELETE")
    expect_once(machine, done, items)


def test_faults_do_not_lose_or_double_anything(server: Server, tmp_path: Path) -> None:
    faulty(server, tmp_path, items=12)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_faults_of_many_items(server: Server, tmp_path: Path, seed: int) -> None:
    faulty(server, tmp_path, items=60)
