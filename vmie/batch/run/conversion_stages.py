"""The stages of an item whose route is `instance` or `volume`: a conversion task per disk, none of them with a token.

What starts and finishes them is `vmie.ops.import_.converting`; here it is cut where a batch's stages end.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vmie.batch.store import serialize
from vmie.errors import TaskFailed, VmieError
from vmie.model import Task
from vmie.ops.import_ import ImportResult, converting, idempotency, parts
from vmie.ops.import_.context import Work
from vmie.ops.import_.conversion_plan import ConversionPlan

#: carries a step out until it succeeds or cannot
Persistently = Callable[[Callable[[], None]], None]
#: the completed task of an id that was started then; raises TaskFailed
Watch = Callable[[str, dt.datetime], Task]


@dataclass(frozen=True, slots=True)
class Conversion:
    """One item's disks on their way; every method can be repeated."""

    work: Work
    plan: ConversionPlan

    def upload(self, persistently: Persistently) -> None:
        """Send the parts of every disk that has no task yet."""
        if self.work.journal.get("finish") is not None:
            return
        for number, planned in enumerate(self.plan.conversions):
            if idempotency.submitted(self.work, number) is None:
                persistently(lambda number=number, planned=planned: parts.send(self.work, number, planned))  # type: ignore[misc]

    def submit(self) -> str:
        """Start a task for every disk that has none; the first one's id."""
        return str(converting.submit(self.work, self.plan, sent=True)[0]["task_id"])

    def wait(self, watch: Watch) -> dict[str, Any]:
        """The end of every disk's task, for the journal. Raises TaskFailed when all are known and one has failed.

        The next attempt is prepared then: only what failed is started anew.
        """
        done: list[Task] = []
        failures: list[VmieError] = []
        for number, planned in enumerate(self.plan.conversions):
            begun = self.work.journal.get(idempotency.step("submit", number)) or {}
            try:
                done.append(watch(str(begun["task_id"]), dt.datetime.fromisoformat(begun["at"])))
            except TaskFailed as error:
                failures.append(error)
                if idempotency.submitted(self.work, number) is not None:
                    idempotency.failed(self.work, number)
                    parts.drop_manifest(self.work, planned)
        if failures:
            raise converting.failed(self.work, self.plan, failures)
        first, *others = map(serialize.task, done)
        return {**first, "others": others}

    def attempts(self) -> int:
        """The tasks that the disk with the most of them has had, or is about to have."""
        return max(idempotency.attempt(self.work, number) for number in range(len(self.plan.disks)))

    def finish(self, task: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        """Attach, tag, tidy up; the result of a single import. `task` is what `wait` answered."""
        done = [serialize.to_task(one) for one in (task, *task.get("others", ()))]
        converting.finish(self.work, self.plan, done)
        return ImportResult(
            job=self.work.journal.job,
            route=self.plan.request.route,
            status=done[0].state.value,
            task_id=done[0].id,
            image_id=None,
            snapshot_ids=(),
            object=self.plan.disks[0].object.url,
            bytes_source=sum(planned.source_size for planned in self.plan.disks),
            bytes_sent=self.work.sent(),
            seconds=seconds,
            bucket_origin=self.plan.bucket.origin if self.plan.bucket else "",
            instance_id=done[0].instance_id,
            volume_ids=tuple(one for each in done for one in each.volume_ids),
        ).as_json()
