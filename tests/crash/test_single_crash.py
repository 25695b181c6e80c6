"""A single import or upload, killed before and after each of its records, goes on and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crash.processes import KILLED, World, fork, reap, vmie
from tests.e2e.conftest import Server
from tests.sandbox.conftest import BUCKET, bootable


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A disk that goes up in several parts."""
    path = tmp_path / "big.raw"
    path.write_bytes(bootable(32 << 20, mark=os.urandom(24 << 20)))
    return path


class Machine:
    """The command line in forked processes, with one state folder."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._environ = {**server.environ, "VMIE_STATE": str(folder / "state"), "VMIE_POLL_SECONDS": "0.2"}
        self.out = folder / "out.json"

    def run(self, *argv: str | Path) -> int:
        return reap(vmie(["--output", "json", *map(str, argv)], environ=self._environ, out=self.out))

    def killed(self, *argv: str | Path, when: Callable[[int, dict[str, Any]], bool]) -> int:
        """Run it with a trap: it dies at the half-step of its records (odd: just before one) of which `when` says so.

        How it ended.
        """

        def call() -> int:
            from vmie.jobs.store import Job

            original, count = Job.put, 0

            def lethal(job: Job, step: str, value: dict[str, Any]) -> None:
                nonlocal count
                for half in (1, 2):
                    count += 1
                    if when(count, value):
                        os.kill(os.getpid(), signal.SIGKILL)
                    if half == 1:
                        original(job, step, value)

            Job.put = lethal  # type: ignore[method-assign]
            return reap(vmie(["--output", "json", *map(str, argv)], environ=self._environ, out=self.out))

        # The inner vmie inherits the trap; its parent tells how it ended.
        ended = reap(fork(lambda: {0: 0, KILLED: 9}.get(call(), 1)))
        return KILLED if ended == 9 else ended

    def killed_before_the_note(self, *argv: str | Path) -> None:
        """Run it, and kill it just before it would write the upload's id down."""
        assert self.killed(*argv, when=lambda half, value: half % 2 == 1 and "upload_id" in value) == KILLED


@pytest.fixture
def machine(server: Server, tmp_path: Path) -> Machine:
    return Machine(server, tmp_path)


def test_an_import_goes_on_and_leaves_nothing(server: Server, machine: Machine, big: Path) -> None:
    argv = ("import", big, "--skip-check", "all")
    machine.killed_before_the_note(*argv)
    assert World(server).uploads() == 1
    machine.killed_before_the_note(*argv)
    assert World(server).uploads() == 1, "the second run swept what the first one left"
    assert machine.run(*argv) == 0, machine.out.read_text()
    assert World(server).uploads() == 0
    assert len(World(server).jobs()) == 1


def test_an_upload_goes_on_and_leaves_nothing(server: Server, machine: Machine, big: Path) -> None:
    argv = ("upload", big, f"s3://{BUCKET}/vmie/big.vmdk")
    machine.killed_before_the_note(*argv)
    assert machine.run(*argv) == 0, machine.out.read_text()
    world = World(server)
    assert (world.uploads(), world.objects()) == (0, ["vmie/big.vmdk"])


def test_given_up_instead_it_leaves_nothing(server: Server, machine: Machine, big: Path, tmp_path: Path) -> None:
    machine.killed_before_the_note("import", big, "--skip-check", "all")
    (job,) = (path.stem for path in (tmp_path / "state" / "jobs").glob("*.json"))
    assert machine.run("cancel", job) == 0, machine.out.read_text()
    assert World(server).uploads() == 0


@pytest.mark.parametrize("how", ["reset", pytest.param("500", marks=pytest.mark.soak)])
def test_a_lost_answer_leaves_nothing(server: Server, machine: Machine, big: Path, how: str) -> None:
    server.control("faults", {"kind": "lose", "action": "CreateMultipartUpload", "times": 2, "how": how})
    assert machine.run("upload", big, f"s3://{BUCKET}/vmie/big.vmdk") == 0, machine.out.read_text()
    world = World(server)
    assert (world.uploads(), world.objects()) == (0, ["vmie/big.vmdk"])


def dies_at(server: Server, machine: Machine, disk: Path, half_step: int) -> int:
    """An import killed there and begun again leaves one task, one AMI and nothing else; how the first run ended."""
    argv = ("import", disk, "--skip-check", "all", "--name", "web")
    world = World(server)
    images = world.made_images()
    ended = machine.killed(*argv, when=lambda half, _: half == half_step)
    assert ended in (0, KILLED)
    if ended == KILLED:
        assert machine.run(*argv) == 0, machine.out.read_text()
    assert server.control("stats")["tasks"]["import-image"] == 1
    assert world.made_images() == images + 1
    assert len(world.images()) == 1, "tagged"
    assert (world.uploads(), world.objects()) == (0, [])
    return ended


def test_killed_at_step_boundaries(server: Server, machine: Machine, disk: Path) -> None:
    assert dies_at(server, machine, disk, 6) == KILLED


@pytest.mark.soak
@pytest.mark.parametrize("half_step", range(1, 21))
def test_killed_at_every_step_boundary(server: Server, machine: Machine, big: Path, half_step: int) -> None:
    dies_at(server, machine, big, half_step)
