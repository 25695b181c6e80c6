"""vmie in a process of its own that can be killed anywhere, forked from here so that each costs a second, not five."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3

import vmie.batch.run.api

# Imported here, once for all the processes that are forked from this one.
import vmie.cli.batch
import vmie.cli.worker
from tests.e2e.conftest import Server
from tests.sandbox.conftest import BUCKET, bootable
from vmie.cli import stopping

KILLED = -signal.SIGKILL


def fork(call: Callable[[], int]) -> int:
    """Run `call` in a forked process; its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 99
    with suppress(BaseException):
        code = call()
    os._exit(code)


def reap(pid: int, *, within: float = 120.0) -> int:
    """Wait for a forked process; its exit code, negative for the signal that ended it."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError(f"process {pid} did not end within {within:.0f} s")


#: what is done to a vmie before it begins: where it is to die
Trap = Callable[[], None]


def vmie(argv: list[str], *, environ: Mapping[str, str], out: Path, trap: Trap | None = None) -> int:
    """A forked vmie, with a trap in it if one is given."""

    def call() -> int:
        os.environ.update(environ)
        file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(os.open(out.with_suffix(".err"), os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        sys.stdout = os.fdopen(1, "w")
        sys.stderr = os.fdopen(2, "w")
        stopping.install()
        if trap is not None:
            trap()
        from vmie import cli

        code = cli.run(argv)
        sys.stdout.flush()
        return code

    return fork(call)


def at_half_step(number: int) -> Trap:
    """It kills itself just before (odd) or after (even) that half-step of its records.

    Half-steps are counted over everything that a batch records: states of items and steps of journals.
    """

    def arm() -> None:
        from vmie.batch.store.store import Store

        counted = itertools.count(1)

        def lethal(original: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                mine = next(counted)
                if 2 * mine - 1 == number:
                    _die()
                result = original(*args, **kwargs)
                if 2 * mine == number:
                    _die()
                return result

            return call

        for name in ("move", "put_step", "drop_step", "retry", "cancel", "mark_reported"):
            setattr(Store, name, lethal(getattr(Store, name)))

    return arm


def after_answer(number: int) -> Trap:
    """It kills itself when AWS has answered so many calls, before it can note the last answer."""

    def arm() -> None:
        from botocore.endpoint import Endpoint

        counted = itertools.count(1)
        original = Endpoint.make_request

        def lethal(*args: Any, **kwargs: Any) -> Any:
            answer = original(*args, **kwargs)
            if next(counted) == number:
                _die()
            return answer

        Endpoint.make_request = lethal  # type: ignore[method-assign]

    return arm


def before_note_of(what: str) -> Trap:
    """It kills itself just before it notes a step whose value holds `what`."""

    def arm() -> None:
        from vmie.batch.store.store import Store

        original = Store.put_step

        def lethal(store: Store, item: Any, step: str, value: Mapping[str, Any]) -> None:
            if what in value:
                _die()
            original(store, item, step, value)

        Store.put_step = lethal  # type: ignore[method-assign]

    return arm


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def plan(folder: Path, *, items: int, big: bool = False, more: str = "", limits: str = "uploads: 3") -> Path:
    """A plan of small disks that differ; with `big` one that goes up in several parts."""
    for number in range(items):
        (folder / f"vm-{number}.raw").write_bytes(bootable(mark=b"vm %d of %s" % (number, bytes(folder))))
    if big:
        noise = random.Random(7).randbytes(12 << 20)
        (folder / "vm-0.raw").write_bytes(bootable(20 << 20, mark=noise))
    path = folder / "plan.yaml"
    path.write_text(
        f"limits: {{{limits}}}\n"
        "defaults: {skip_check: all, keep_object: true, tags: {team: red}}\n"
        f"items:\n  - source: 'vm-*.raw'\n{more}",
        encoding="utf-8",
    )
    return path


class World:
    """What is in the sandbox, asked for with boto3; of one batch or job where `of` names it."""

    def __init__(self, server: Server, of: str = "") -> None:
        self._of = of
        session = boto3.Session(aws_access_key_id="made", aws_secret_access_key="up", region_name="us-east-1")
        self.ec2 = session.client("ec2", endpoint_url=server.url)
        self._s3 = session.client("s3", endpoint_url=server.url)

    def jobs(self, *, active: bool = False) -> list[str]:
        """The `vmie:job` of every import task."""
        found = self.ec2.describe_import_image_tasks()["ImportImageTasks"]
        return self._ours(task for task in found if not active or task["Status"] == "active")

    def images(self) -> list[str]:
        """The `vmie:job` of every AMI that an import made."""
        return self._ours(self.ec2.describe_images(Owners=["self"])["Images"])

    def snapshots(self) -> list[str]:
        """The `vmie:job` of every snapshot."""
        return self._ours(self.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"])

    def instances(self) -> list[str]:
        """The `vmie:job` of every instance."""
        found = self.ec2.describe_instances()["Reservations"]
        return self._ours(one for each in found for one in each["Instances"])

    def volumes(self) -> list[str]:
        """The `vmie:job` of every volume."""
        return self._ours(self.ec2.describe_volumes()["Volumes"])

    def made_images(self) -> int:
        """AMIs, tagged or not, of anybody."""
        return len(self.ec2.describe_images(Owners=["self"])["Images"])

    def objects(self, prefix: str = "vmie/") -> list[str]:
        """The keys that vmie made."""
        found = self._s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return sorted(entry["Key"] for entry in found if entry["Key"].startswith(prefix) and self._of in entry["Key"])

    def uploads(self) -> int:
        """Multipart uploads that nobody finished or dropped."""
        found = self._s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return sum(self._of in one["Key"] for one in found)

    def _ours(self, found: Iterable[Mapping[str, Any]]) -> list[str]:
        tags = ({tag["Key"]: tag["Value"] for tag in one.get("Tags", ())} for one in found)
        return sorted(held["vmie:job"] for held in tags if "vmie:job" in held and held["vmie:job"].startswith(self._of))


def result(out: Path, *, whole: bool = False) -> dict[str, Any]:
    """The result in the JSON that a vmie printed, or all of it."""
    shown: dict[str, Any] = json.loads(out.read_text())
    return shown if whole else shown["result"]  # type: ignore[no-any-return]
