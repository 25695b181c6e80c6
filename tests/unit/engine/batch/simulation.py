"""A batch of thousands in virtual time: the real engine (DBOS, SQLite, queues, gate, poller) before a toy EC2.

Conversions take hours of virtual time and none of the real one. Time moves on in steps of the poller's pace, and only
when every slot that can be filled is filled, so that the engine's own speed on this machine does not count.
"""

from __future__ import annotations

import datetime as dt
import math
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from vmie.aws.session import Aws
from vmie.engine.batch.crew import Crew
from vmie.engine.batch.model import Item
from vmie.engine.batch.stages import Stages
from vmie.errors import AwsRefused
from vmie.model import Task, TaskKind, TaskState

STEP = 15.0


class VirtualTime:
    """A `vmie.poll.Clock`: long waits are over when the time was moved on, short ones at once."""

    def __init__(self) -> None:
        self.start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        self.elapsed = 0.0
        self._random = random.Random(5)

    def now(self) -> dt.datetime:
        return self.start + dt.timedelta(seconds=self.elapsed)

    def sleep(self, seconds: float) -> None:
        time.sleep(0.005)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


@dataclass
class _Conversion:
    job: str
    region: str
    ends: float
    fails: str = ""
    seen: bool = False


@dataclass
class ToyCloud:
    """Import tasks of several Regions that last log-normal times; refuses more than `limit` at once, and counts."""

    clock: VirtualTime
    limit: int
    seed: int = 11
    tasks: dict[str, _Conversion] = field(default_factory=dict)
    by_job: Counter[str] = field(default_factory=Counter)
    peak: Counter[str] = field(default_factory=Counter)
    describes: Counter[str] = field(default_factory=Counter)
    work: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    held: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._tokens: dict[str, str] = {}

    def active(self, region: str) -> int:
        return sum(
            one.region == region and one.ends > self.clock.elapsed for one in self.tasks.values() if not one.seen
        )

    def start(self, region: str, job: str, token: str) -> str:
        with self.lock:
            if token in self._tokens:
                return self._tokens[token]
            if self.active(region) >= self.limit:
                self.refused += 1
                raise AwsRefused("no room", code="ResourceCountLimitExceeded")
            task_id = f"import-snap-{len(self.tasks):017x}"
            lasts = 3000.0 * self._random.lognormvariate(0, 0.5)
            # 5 in 100 fail: most for the image's sake, some for AWS's own.
            dice = self._random.random()
            fails = "ClientError: Unknown OS / Missing OS files." if dice < 0.04 else ""
            fails = "ServerError: an internal error has occurred during conversion." if 0.04 <= dice < 0.05 else fails
            self.tasks[task_id] = _Conversion(job, region, self.clock.elapsed + lasts, fails)
            self.work[region] += math.ceil(lasts)
            self.by_job[job] += 1
            self.held[region] += 1
            self.peak[region] = max(self.peak[region], self.active(region))
            self._tokens[token] = task_id
            return task_id

    def door(self, region: str, profile: str = "", /) -> Aws:
        return Aws.of({"ec2": _Ec2(self, region or "us-east-1")}, region=region or "us-east-1", account="123456789012")


class _Ec2:
    def __init__(self, cloud: ToyCloud, region: str) -> None:
        self._cloud = cloud
        self._region = region

    def describe_import_image_tasks(self, **_: Any) -> dict[str, Any]:
        self._cloud.describes[f"{self._region} image"] += 1
        return {"ImportImageTasks": []}

    def describe_import_snapshot_tasks(self, **asked: Any) -> dict[str, Any]:
        cloud = self._cloud
        with cloud.lock:
            cloud.describes[f"{self._region} snapshot"] += 1
            now = cloud.clock.elapsed
            ids = asked.get("ImportTaskIds") or [
                id_ for id_, one in cloud.tasks.items() if one.region == self._region and one.ends > now
            ]
            return {"ImportSnapshotTasks": [self._shown(id_, now) for id_ in ids]}

    def _shown(self, task_id: str, now: float) -> dict[str, Any]:
        one = self._cloud.tasks[task_id]
        detail: dict[str, Any] = {"Status": "active", "StatusMessage": "downloading/converting", "Progress": "30"}
        if one.ends <= now:
            if not one.seen:
                one.seen = True
                self._cloud.held[one.region] -= 1
                self._cloud.ended[one.region] += 1
            snapshot = f"snap-{task_id.rpartition('-')[2]}"
            detail = {"Status": "completed", "SnapshotId": snapshot}
            if one.fails:
                detail = {"Status": "deleted", "StatusMessage": one.fails}
        return {"ImportTaskId": task_id, "SnapshotTaskDetail": detail}


class ToyStages(Stages):
    """The stages of an item whose image is nowhere: only what goes through AWS's slots is done."""

    def __init__(self, crew: Crew, item: Item, *, cloud: ToyCloud) -> None:
        super().__init__(crew, item)
        self._cloud = cloud

    def check(self) -> None:
        return

    def upload(self) -> None:
        return

    def submit(self) -> str:
        known = self._journal.get("submit")
        attempt = int((self._journal.get("attempt") or {}).get("number", 1))
        if known and known["attempt"] == attempt:
            return str(known["task_id"])
        region, job = self._item.region, self._item.job

        def call() -> Task:
            task_id = self._cloud.start(region, job, f"{job}/{attempt}")
            return Task(task_id, TaskKind.IMPORT_SNAPSHOT, TaskState.ACTIVE)

        task = self._crew.gate(self._item).submit(TaskKind.IMPORT_SNAPSHOT, call)
        begun = {"task_id": task.id, "at": self._crew.control.now().isoformat(), "attempt": attempt}
        self._journal.put("submit", begun)
        return task.id

    def _import(self) -> Any:
        return _NoPlan(self._journal)

    def finish(self) -> dict[str, Any]:
        return {"snapshot_ids": (self._journal.get("task") or {})["snapshot_ids"]}


class _NoPlan:
    """As much of an import under way as its failure needs."""

    class plan:  # noqa: N801 - stands for an attribute
        disks = ()

    def __init__(self, journal: Any) -> None:
        self.journal = journal

    def attempt(self) -> int:
        return int((self.journal.get("attempt") or {}).get("number", 1))


@dataclass
class Driver:
    """Moves the time on whenever the engine has nothing left to do at this moment."""

    cloud: ToyCloud
    items: Counter[str]
    done: threading.Event = field(default_factory=threading.Event)
    steps: int = 0

    def run(self) -> None:
        while not self.done.is_set():
            if self._settled():
                self.cloud.clock.elapsed += STEP
                self.steps += 1
                time.sleep(0.012)  # the watcher's turn
            else:
                time.sleep(0.002)

    def _settled(self) -> bool:
        """Every slot is held that somebody is left for; a second task of an item is somebody too."""
        with self.cloud.lock:
            jobs: Counter[str] = Counter()
            for one in self.cloud.tasks.values():
                if one.seen and not one.fails.startswith("ServerError"):
                    jobs[one.region] += 1
            return all(
                self.cloud.held[region] >= min(self.cloud.limit, count - jobs[region])
                for region, count in self.items.items()
            )
