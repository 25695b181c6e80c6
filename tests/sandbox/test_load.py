"""Many clients at once, for long: every call is answered, every task ends, and memory stays what it was."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.e2e.conftest import Server, serving
from tests.sandbox.conftest import bootable
from tests.sandbox.ebs_direct import filled, put
from vmie.sandbox import BUCKET


@dataclass(frozen=True)
class Load:
    """`tasks`, begun evenly over `seconds`."""

    threads: int
    tasks: int
    seconds: float


SOME = Load(8, 40, 0)
ALL = Load(32, 2_000, 1_800)


@dataclass
class Users:
    """What all threads share."""

    server: Server
    load: Load
    began: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    done: Counter[str] = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)

    def client(self, service: str) -> Any:
        given = self.server.environ
        session = boto3.Session(given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
        retries = {"mode": "standard", "total_max_attempts": 10 if service == "ebs" else 1}
        config = Config(retries=retries, read_timeout=60, s3={"addressing_style": "path"})
        return session.client(service, endpoint_url=self.server.url, config=config)  # type: ignore[call-overload]

    def another(self) -> int | None:
        """The number of the next task, when it is due; None when there were enough."""
        with self.lock:
            number = self.done["begun"]
            if number >= self.load.tasks:
                return None
            self.done["begun"] += 1
        due = self.began + self.load.seconds * number / self.load.tasks
        time.sleep(max(0.0, due - time.monotonic()))
        return number

    def ended(self, what: str) -> None:
        with self.lock:
            self.done[what] += 1
            if self.done["ended"] % 20 == 0:
                self.memory.append(_resident(self.server.process.pid))


def _resident(pid: int) -> int:
    """KiB of a process that are in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def _user(users: Users, me: int, disk: bytes) -> None:
    s3, ec2, ebs = users.client("s3"), users.client("ec2"), users.client("ebs")
    bucket = BUCKET
    while (number := users.another()) is not None:
        key = f"user-{me}/{number % 5}.raw"
        s3.put_object(Bucket=bucket, Key=key, Body=disk)
        container = {"Format": "RAW", "UserBucket": {"S3Bucket": bucket, "S3Key": key}}
        if number % 2:
            task = ec2.import_snapshot(DiskContainer=container)["ImportTaskId"]
            (snapshot_id,) = _waited(ec2, "snapshot", task)
            ec2.delete_snapshot(SnapshotId=snapshot_id)
        else:
            task = ec2.import_image(DiskContainers=[container])["ImportTaskId"]
            image_id, *snapshots = _waited(ec2, "image", task)
            ec2.deregister_image(ImageId=image_id)
            for snapshot_id in snapshots:
                ec2.delete_snapshot(SnapshotId=snapshot_id)
        if number % 8 == 0:  # AWS begins ten of them a second, and so does the sandbox
            made = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
            put(ebs, made, number % 2048, filled("x"))
            ebs.complete_snapshot(SnapshotId=made, ChangedBlocksCount=1)
            ec2.delete_snapshot(SnapshotId=made)
        s3.delete_object(Bucket=bucket, Key=key)
        users.ended("ended")


def _waited(ec2: Any, kind: str, task: str) -> list[str]:
    while True:
        if kind == "snapshot":
            found = ec2.describe_import_snapshot_tasks(ImportTaskIds=[task])["ImportSnapshotTasks"][0]
            detail = found["SnapshotTaskDetail"]
            status, made = detail["Status"], [detail.get("SnapshotId")]
        else:
            found = ec2.describe_import_image_tasks(ImportTaskIds=[task])["ImportImageTasks"][0]
            status = found["Status"]
            made = [found.get("ImageId"), *(one.get("SnapshotId") for one in found.get("SnapshotDetails", ()))]
        assert status in ("active", "completed"), found
        if status == "completed":
            return [str(one) for one in made]
        time.sleep(0.05)


@pytest.mark.parametrize("load", [pytest.param(SOME, id="some"), pytest.param(ALL, id="all", marks=pytest.mark.soak)])
def test_many_clients_at_once(load: Load) -> None:
    with serving(speed=2_000, limit=10_000) as server:
        server.control("settings", {"appears_after": 0})
        users = Users(server, load, time.monotonic())
        disk = bootable(mark=b"load")
        with ThreadPoolExecutor(load.threads) as pool:
            for one in [pool.submit(_user, users, me, disk) for me in range(load.threads)]:
                one.result()
    assert users.done["ended"] == load.tasks
    if load is ALL:
        settled = users.memory[len(users.memory) // 5]
        print(f"{users.done['ended']} tasks; {settled} KiB after a fifth, {max(users.memory)} KiB at the most")
        assert max(users.memory) < 1.2 * settled, users.memory
