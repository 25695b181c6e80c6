"""A proof in EC2, killed at any step: no instance is left once anybody has looked."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests import amis
from tests.crash.processes import KILLED, Trap, after_answer, reap, vmie
from tests.e2e.conftest import APPEARS_AFTER, Server

_NUMBERS = itertools.count()


class Account:
    """The server's EC2, with AMIs that start."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self._folder = folder
        session = boto3.Session(aws_access_key_id="made", aws_secret_access_key="up", region_name="us-east-1")
        self.ec2 = session.client("ec2", endpoint_url=server.url)

    def image(self) -> str:
        """An AMI of the seeded snapshot: it says nothing when it starts, which takes a second to find out."""
        snapshot = self.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"][0]["SnapshotId"]
        name = f"killed {os.getpid()} {next(_NUMBERS)}"
        devices = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}]
        return amis.register(self.ec2, "good", Name=name, BlockDeviceMappings=devices)

    def alive(self) -> list[str]:
        """Instances of proofs that have not ended."""
        filters = [
            {"Name": "tag-key", "Values": ["vmie:proof"]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
        found = self.ec2.describe_instances(Filters=filters)["Reservations"]
        return [one["InstanceId"] for held in found for one in held["Instances"]]

    def jobs(self) -> list[Path]:
        return list((self._folder / "state" / "jobs").glob("job-*.json"))

    def launches(self, image_id: str) -> int:
        found = self.ec2.describe_instances(Filters=[{"Name": "image-id", "Values": [image_id]}])["Reservations"]
        return len(found)

    def run(self, *argv: str, trap: Trap | None = None) -> int:
        environ = {**self.server.environ, "VMIE_STATE": str(self._folder / "state"), "VMIE_POLL_SECONDS": "0.05"}
        out = self._folder / "out.json"
        return reap(vmie(["--output", "json", *argv], environ=environ, out=out, trap=trap))


@pytest.fixture
def account(quick: Server, tmp_path: Path) -> Account:
    return Account(quick, tmp_path)


def before_note(number: int) -> Trap:
    """It kills itself just before it notes that step of its job."""

    def arm() -> None:
        from vmie.jobs.store import Job

        counted, original = itertools.count(1), Job.put

        def lethal(job: Job, step: str, value: dict[str, Any]) -> None:
            if next(counted) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            original(job, step, value)

        Job.put = lethal  # type: ignore[method-assign]

    return arm


BOOT = ("--timeout", "1")


def test_killed_at_its_steps_and_swept_cancelled_or_resumed(account: Account) -> None:
    killed, other, third = account.image(), account.image(), account.image()
    time.sleep(2 * APPEARS_AFTER)
    assert account.run("boot", killed, *BOOT, trap=before_note(2)) == KILLED, "launched, and not noted"
    assert account.alive()
    (job,) = (path.stem for path in account.jobs())
    assert account.run("cancel", job) == 0
    assert not account.alive()
    assert account.run("boot", other, *BOOT, trap=before_note(3)) == KILLED, "judged, and not noted"
    assert account.alive()
    assert account.run("boot", third, *BOOT) == 1, "another proof"
    assert not account.alive(), "which ended what it found"
    assert account.run("boot", other, *BOOT) == 1, "the first one, launched again"
    assert not account.alive()


@pytest.mark.soak
@pytest.mark.parametrize("number", range(1, 24))
def test_killed_at_any_answer_of_aws_it_goes_on_with_the_same_instance(account: Account, number: int) -> None:
    killed = account.image()
    time.sleep(2 * APPEARS_AFTER)
    account.run("boot", killed, *BOOT, trap=after_answer(number))
    assert account.run("boot", killed, *BOOT) == 1
    assert not account.alive()
    assert account.launches(killed) == 1


@pytest.mark.soak
@pytest.mark.parametrize("number", range(1, 6))
def test_killed_at_any_note_the_next_proof_leaves_none(account: Account, number: int) -> None:
    killed, other = account.image(), account.image()
    time.sleep(2 * APPEARS_AFTER)
    account.run("boot", killed, *BOOT, trap=before_note(number))
    account.run("boot", other, *BOOT)
    assert not account.alive()
