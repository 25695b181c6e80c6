"""vmie in a process of its own that can be killed anywhere, forked from here so that each costs a second, not five."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3

from tests.e2e.conftest import Server
from tests.sandbox.conftest import BUCKET, bootable

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


def vmie(argv: list[str], *, environ: Mapping[str, str], out: Path, die_at: int = 0) -> int:
    """A forked vmie; with `die_at` it kills itself just before (odd) or after (even) that half-step of its records.

    Half-steps are counted over everything that a batch records: states of items and steps of journals.
    """

    def call() -> int:
        os.environ.update(environ)
        file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(os.open(out.with_suffix(".err"), os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        sys.stdout = os.fdopen(1, "w")
        sys.stderr = os.fdopen(2, "w")
        if die_at:
            _arm(die_at)
        from vmie import cli

        code = cli.run(argv)
        sys.stdout.flush()
        return code

    return fork(call)


def _arm(die_at: int) -> None:
    from vmie.engine.batch.store import Store

    count = 0

    def lethal(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 2
            if count - 1 == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*args, **kwargs)
            if count == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in ("move", "put_step"):
        setattr(Store, name, lethal(getattr(Store, name)))


def plan(folder: Path, *, items: int, big: bool = False, more: str = "") -> Path:
    """A plan of small disks that differ; with `big` one that goes up in several parts."""
    for number in range(items):
        (folder / f"vm-{number}.raw").write_bytes(bootable(mark=b"vm %d" % number))
    if big:
        noise = random.Random(7).randbytes(24 << 20)
        (folder / "vm-0.raw").write_bytes(bootable(32 << 20, mark=noise))
    path = folder / "plan.yaml"
    path.write_text(
        "limits: {uploads: 3}\n"
        "defaults: {skip_check: all, keep_object: true, tags: {team: red}}\n"
        f"items:\n  - source: 'vm-*.raw'\n{more}",
        encoding="utf-8",
    )
    return path


class World:
    """What is in the sandbox, asked for with boto3."""

    def __init__(self, server: Server) -> None:
        self._server = server
        session = boto3.Session(aws_access_key_id="made", aws_secret_access_key="up", region_name="us-east-1")
        self._ec2 = session.client("ec2", endpoint_url=server.url)
        self._s3 = session.client("s3", endpoint_url=server.url)

    def jobs(self) -> list[str]:
        """The `vmie:job` of every import task."""
        found = self._ec2.describe_import_image_tasks()["ImportImageTasks"]
        tags = ({tag["Key"]: tag["Value"] for tag in task.get("Tags", ())} for task in found)
        return sorted(held["vmie:job"] for held in tags if "vmie:job" in held)

    def images(self) -> list[str]:
        """The `vmie:job` of every AMI that an import made."""
        found = self._ec2.describe_images(Owners=["self"])["Images"]
        tags = ({tag["Key"]: tag["Value"] for tag in image.get("Tags", ())} for image in found)
        return sorted(held["vmie:job"] for held in tags if "vmie:job" in held)

    def made_images(self) -> int:
        """AMIs, tagged or not, beside the seeded one."""
        return len(self._ec2.describe_images(Owners=["self"])["Images"])

    def objects(self) -> list[str]:
        """The keys that vmie made."""
        found = self._s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return sorted(entry["Key"] for entry in found if entry["Key"].startswith("vmie/"))

    def uploads(self) -> int:
        """Multipart uploads that nobody finished or dropped."""
        return len(self._s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


def result(out: Path) -> dict[str, Any]:
    """The JSON that a vmie printed."""
    return json.loads(out.read_text())["result"]  # type: ignore[no-any-return]
