"""A single import or upload, killed where S3 has begun an upload that the job does not know yet."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.crash.incarnations import KILLED, World, fork, reap, vmie
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
        self._environ = {**server.environ, "VMIE_STATE": str(folder / "state"), "VMIE_POLL_SECONDS": "0.05"}
        self.out = folder / "out.json"

    def run(self, *argv: str | Path) -> int:
        return reap(vmie(["--output", "json", *map(str, argv)], environ=self._environ, out=self.out))

    def killed_before_the_note(self, *argv: str | Path) -> None:
        """Run it, and kill it just before it would write the upload's id down."""

        def call() -> int:
            from vmie.engine.jobs import Job

            original = Job.put

            def lethal(job: Job, step: str, value: dict[str, Any]) -> None:
                if "upload_id" in value:
                    os.kill(os.getpid(), signal.SIGKILL)
                original(job, step, value)

            Job.put = lethal  # type: ignore[method-assign]
            return reap(vmie(["--output", "json", *map(str, argv)], environ=self._environ, out=self.out))

        # The inner vmie inherits the trap and dies in it; its parent ends as reap tells.
        assert reap(fork(lambda: 0 if call() == KILLED else 1)) == 0


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


@pytest.mark.parametrize("how", ["reset", "500"])
def test_a_lost_answer_leaves_nothing(server: Server, machine: Machine, big: Path, how: str) -> None:
    server.control("faults", {"kind": "lose", "action": "CreateMultipartUpload", "times": 2, "how": how})
    assert machine.run("upload", big, f"s3://{BUCKET}/vmie/big.vmdk") == 0, machine.out.read_text()
    world = World(server)
    assert (world.uploads(), world.objects()) == (0, ["vmie/big.vmdk"])
