"""What strikes a whole batch stops it as it stands: nothing fails item by item, and it goes on where it was."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.crash.processes import KILLED, Trap, World, after_answer, at_half_step, plan, reap, result
from tests.crash.test_batch_crash import Machine, expect_once
from tests.e2e.conftest import Server


@pytest.fixture
def machine(quick: Server, tmp_path: Path) -> Machine:
    return Machine(quick, tmp_path)


def under_way(machine: Machine, *, items: int = 4, more: str = "imports: 2, uploads: 4") -> tuple[int, Path]:
    """A run with tasks that AWS has begun."""
    path = plan(machine.folder, items=items, limits=more)
    pid = machine.start("batch", "run", path)
    end = time.monotonic() + 30
    while not machine.tasks():
        assert time.monotonic() < end, machine.said()
        time.sleep(0.02)
    return pid, path


def stopped(machine: Machine, pid: int, *, code: int) -> dict[str, Any]:
    """What a process that ends by itself says: its error, and nothing failed or given up by it."""
    assert reap(pid) == code, machine.said()
    machine_said = machine.said()
    shown = result(machine.out, whole=True)
    assert shown["result"] == {"batch": machine.batch}, machine_said
    machine.out.unlink()
    states = {item["status"] for item in status(machine)["items"]}
    assert not states & {"failed", "cancelled"}
    return dict(shown["error"])


def status(machine: Machine) -> dict[str, Any]:
    shown = machine.done("batch", "status", machine.batch)
    machine.out.unlink()
    return shown


@pytest.mark.parametrize(
    "code",
    ["ExpiredToken", *(pytest.param(code, marks=pytest.mark.soak) for code in ("RequestExpired", "AuthFailure"))],
)
def test_credentials_that_run_out(machine: Machine, code: str) -> None:
    pid, _ = under_way(machine)
    fault = {"kind": "fail", "action": "*", "code": code, "status": 400, "times": None}
    machine.server.control("faults", fault)
    try:
        error = stopped(machine, pid, code=5)
    finally:
        machine.server.control("faults", method="DELETE")
    assert error["code"] == code
    assert f"\nvmie batch resume {machine.batch}" in error["cure"], error["cure"]
    expect_once(machine, machine.done("batch", "resume", machine.batch), 4)


def test_a_state_that_cannot_be_written(machine: Machine) -> None:
    """As when the disk is full: no file of the process may grow any more."""
    pid, _ = under_way(machine)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    error = stopped(machine, pid, code=1)
    assert error["code"] == "NoState"
    assert "disk" in error["cause"]
    assert f"vmie batch resume {machine.batch}" in error["cure"]
    expect_once(machine, machine.done("batch", "resume", machine.batch), 4)


@pytest.mark.parametrize("how", [signal.SIGHUP, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)])
def test_asked_to_stop(machine: Machine, how: signal.Signals) -> None:
    pid, path = under_way(machine)
    os.kill(pid, how)
    error = stopped(machine, pid, code=130)
    assert f"vmie batch resume {machine.batch}  (goes on)" in error["cure"]
    expect_once(machine, machine.done("batch", "run", path), 4)


def test_a_machine_that_slept(machine: Machine) -> None:
    """Stopped while AWS went on for eight hours."""
    pid, _ = under_way(machine)
    os.kill(pid, signal.SIGSTOP)
    machine.server.control("advance", {"seconds": 8 * 3600.0})
    time.sleep(2)
    os.kill(pid, signal.SIGCONT)
    assert reap(pid) == 0, machine.said()
    expect_once(machine, result(machine.out), 4)


def test_two_begin_the_same_plan_at_once(machine: Machine, tmp_path: Path) -> None:
    """On one machine one of them has the batch, the other is told who."""
    path = plan(machine.folder, items=3)
    both = {}
    for number in range(2):
        one = Machine(machine.server, machine.folder)
        one.out = tmp_path / f"out-{number}.json"
        both[one.start("batch", "run", path)] = one.out
    ended = {reap(pid): out for pid, out in both.items()}
    assert sorted(ended) == [0, 2]
    error = result(ended[2], whole=True)["error"]
    assert error["code"] == "BatchLocked"
    (winner,) = (pid for pid, out in both.items() if out == ended[0])
    assert f"process {winner}" in error["message"]
    expect_once(machine, result(ended[0]), 3)


def cancelled(machine: Machine, traps: list[Trap]) -> bool:
    """A batch killed under way and given up; giving it up is killed, too. Whether the last trap was reached."""
    pid, _ = under_way(machine, items=3)
    os.kill(pid, signal.SIGKILL)
    assert reap(pid) == KILLED
    batch = machine.batch
    reached = [machine.killed("batch", "cancel", batch, trap=trap) for trap in traps][-1]
    done = machine.done("batch", "cancel", batch)
    assert done["cancelled"] + done["completed"] == 3
    world = World(machine.server, batch)
    assert world.jobs(active=True) == []
    assert world.uploads() == 0
    assert len(world.objects()) == len(world.images()) == done["completed"], "kept for what was completed only"
    assert machine.tasks()["import-image"] <= 3
    return reached


def test_giving_up_killed(machine: Machine) -> None:
    cancelled(machine, [at_half_step(4), after_answer(3)])


@pytest.mark.soak
@pytest.mark.parametrize("trap", [at_half_step, after_answer])
def test_giving_up_killed_everywhere(quick: Server, tmp_path: Path, trap: Any) -> None:
    for number in range(1, 100):
        folder = tmp_path / str(number)
        folder.mkdir()
        if not cancelled(Machine(quick, folder), [trap(number)]):
            assert number > 5
            return
