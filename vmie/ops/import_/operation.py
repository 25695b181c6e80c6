"""What the four ways of importing have in common: uploads, tags, the result, and giving it up."""

from __future__ import annotations

import datetime as dt
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from vmie import events
from vmie.aws import ec2, objects, parts_upload
from vmie.disk.reading import DAMAGED
from vmie.errors import AwsRefused, ImageError
from vmie.model import S3Object, Task, TaskKind, TaskState
from vmie.ops import idempotency, mending, tasks, upload_state
from vmie.ops.context import Context
from vmie.ops.file_identity import FileIdentity
from vmie.ops.import_ import after_import, parts
from vmie.ops.import_.direct_plan import DirectPlan
from vmie.ops.import_.planning import ImportPlan
from vmie.ops.import_.result import ImportResult, Made
from vmie.ops.operation import Operation, RefusalSubject
from vmie.options import ImportRequest

#: far above the 21 disks that AWS takes in one VM
_MOST_DISKS = 1000
ImportPlanT_co = TypeVar("ImportPlanT_co", bound=ImportPlan | DirectPlan, covariant=True)


class ImportOperation(Operation[ImportRequest, ImportPlanT_co, ImportResult]):
    """One import. A route says how it is planned, how a disk is sent, how a task is asked for, and what it made."""

    verb = "import"
    result_type = ImportResult
    made = ("what it made exists", "deregister or delete that")

    def __init__(self, context: Context, request: ImportRequest) -> None:
        super().__init__(context, request)
        #: seconds and bytes of what this run sent
        self._sending, self._sent_now = 0.0, 0

    @property
    def source(self) -> str:
        """See `Operation.source`."""
        return self.request.sources[0]

    def content(self) -> list[Any]:
        """See `Operation.content`."""
        return [
            source if source.startswith("s3://") else FileIdentity.of(Path(source)).as_json()
            for source in self.request.sources
        ]

    @property
    def repeatable(self) -> bool:
        """See `Operation.repeatable`: the same token is the same task, also when that is over."""
        return bool(self.request.client_token)

    def subject(self) -> RefusalSubject:
        """See `Operation.subject`."""
        request = self.request
        own = [S3Object.parse(source) for source in request.sources if source.startswith("s3://")]
        return RefusalSubject(
            job=f"import-{request.route.value}",
            bucket=request.bucket or (own[0].bucket if own else ""),
            key=request.kms_key,
            role_name=request.role_name or "",
            keys=tuple(one.key for one in own),
        )

    def resumed(self, kept: Mapping[str, Any] | None) -> ImportPlanT_co | None:
        """See `Operation.resumed`: no local file is read again once AWS has the tasks, or S3 what the file held."""
        if kept is None:
            return None
        try:
            plan = self.load(kept).planned
        except (KeyError, TypeError, ValueError):  # of another version
            return None
        if not plan.disks:
            return None
        numbers = range(len(plan.disks))
        if all(self.submitted(min(number, self.tasks - 1)) is not None for number in numbers):
            return plan
        absent = [number for number in numbers if (path := plan.disks[number].path) is not None and not _readable(path)]
        if absent and all("done" in (self.journal.get(f"upload {number}") or {}) for number in absent):
            return plan
        return None

    # --- what a call says of it -----------------------------------------------------------------------

    @property
    def _description(self) -> str:
        request = self.planned.request
        return request.description or f"vmie {request.client_token or self.journal.job}"

    @property
    def _task_tags(self) -> dict[str, str]:
        # The user's own token stands for one task, whoever asks: then nothing in the call may be of this job alone.
        shared = bool(self.planned.request.client_token)
        return {key: value for key, value in self.tags.items() if key != idempotency.JOB_TAG or not shared}

    # --- send -----------------------------------------------------------------------------------------

    def uploads(self) -> Iterator[Callable[[], None]]:
        """See `Operation.uploads`; nothing is sent for a task that AWS has."""
        if self.journal.get("finish") is not None:
            return
        for number in range(len(self.planned.disks)):
            if self.submitted(min(number, self.tasks - 1)) is None:
                yield partial(self._send_or_clear, number)

    def _send_or_clear(self, number: int) -> None:
        """Send disk `number`; where it turns out to be damaged, nothing of the machine's other disks stays either."""
        began, before = self.context.clock.now(), self.bytes_sent
        try:
            self._send(number)
            self._sending += self._seconds(began)
            self._sent_now += self.bytes_sent - before
        except ImageError as error:
            if error.code == DAMAGED:
                # What stays behind all the same is found by `vmie cancel`.
                with suppress(AwsRefused):
                    error.result = {**error.result, "removed": self._remove_uploads()}
            raise

    @abstractmethod
    def _send(self, number: int) -> None:
        """Send disk `number`, or see that it is there."""

    @property
    def bytes_sent(self) -> int:
        """Bytes that crossed the wire, over all runs of the job."""
        steps = (self.journal.get(f"upload {number}") for number in range(len(self.planned.disks)))
        return sum(int((step or {}).get("sent", 0)) for step in steps)

    # --- finish ---------------------------------------------------------------------------------------

    def finish(self, done: Sequence[Task], *, began: dt.datetime) -> ImportResult:
        """See `Operation.finish`."""
        self.context.reporter(events.Stage("finish", ""))
        made = self._made(done)
        # Tags given to the call go on the task only (aws-facts 1.15).
        ec2.tag(self.context.aws, made.ids, self.tags, clock=self.context.clock)
        self._tagged(done)
        kept = {"image_id": made.image_id, "instance_id": made.instance_id}
        self.journal.put(
            "finish", {**kept, "snapshot_ids": list(made.snapshot_ids), "volume_ids": list(made.volume_ids)}
        )
        self._tidy()
        self._guarded(made)
        plan = self.planned
        proof = None
        if plan.request.prove:
            proof = after_import.proved(self.context, plan.request, made, plan.guard, findings=plan.findings)
        return self._result(began, made, status=done[0].state.value, proof=proof)

    def _guarded(self, made: Made) -> None:
        """Name the instance types that the AMI may be launched as, where that is asked for."""
        if self.planned.request.guard_types and made.image_id:
            after_import.guard(self.context, made.image_id, self.planned.guard)

    def begun(self, *, began: dt.datetime) -> ImportResult:
        """See `Operation.begun`."""
        return self._result(began, Made(instance_id=(self.submitted() or {}).get("instance_id")), status="active")

    @abstractmethod
    def _made(self, done: Sequence[Task]) -> Made:
        """Do what the route does after its tasks; what there is then."""

    def _tagged(self, done: Sequence[Task]) -> None:
        """Do what is left to do with what bears the job's tag by now: a caller's policy may ask for it."""

    @abstractmethod
    def _tidy(self) -> None:
        """Remove what AWS needs no more."""

    @property
    def tags(self) -> dict[str, str]:
        """The user's tags, and ours."""
        request = self.planned.request
        name = {"Name": request.name} if request.name else {}
        return {idempotency.JOB_TAG: self.journal.job, **mending.tags(self.planned.repaired), **name, **request.tags}

    def _result(
        self, began: dt.datetime, made: Made, *, status: str, proof: dict[str, Any] | None = None
    ) -> ImportResult:
        plan = self.planned
        return ImportResult(
            job=self.journal.job,
            route=plan.request.route,
            status=status,
            task_id=self._task_id,
            image_id=made.image_id,
            snapshot_ids=made.snapshot_ids,
            object=plan.object_url,
            bytes_source=sum(planned.source_size for planned in plan.disks),
            bytes_sent=self.bytes_sent,
            bytes_left_out=sum(planned.left_out for planned in plan.disks),
            seconds=self._seconds(began),
            bucket_from=(plan.bucket.origin or None) if plan.bucket else None,
            instance_id=made.instance_id,
            volume_ids=made.volume_ids,
            repaired=plan.repaired or None,
            seconds_sending=self._sending if self._sent_now == self.bytes_sent else 0.0,
            **self._blocks,
            proof=proof,
        )

    @property
    def _task_id(self) -> str | None:
        """The (first) task, None before there is one."""
        found = (self.journal.get("submit") or {}).get("task_id")
        return str(found) if found else None

    @property
    def _blocks(self) -> dict[str, Any]:
        """What the result says of blocks, where the disks went block by block."""
        return {}

    def reached(self) -> dict[str, Any]:
        """See `Operation.reached`."""
        return {
            "job": self.journal.job,
            "route": self.planned.request.route.value,
            "task_id": self._task_id,
            "object": self.planned.object_url,
            "bytes_sent": self.bytes_sent,
        }

    # --- undo -----------------------------------------------------------------------------------------

    def undo(self, *, reason: str = "") -> dict[str, Any]:
        """The task first, then - once AWS needs it no more - what was uploaded; ``{"task_id", "removed": [urls]}``."""
        ids = idempotency.task_ids(self.context)
        for task_id in ids:
            self._cancel(task_id, reason or f"cancelled with {self.journal.job}")
        ended = after_import.ended(self.context)
        return {"task_id": ids[0] if ids else None, "removed": [*ended, *self._remove_uploads()]}

    def _remove_uploads(self) -> list[str]:
        """Remove what was uploaded; its URLs. Raises AwsRefused."""
        removed: list[str] = []
        for number in range(_MOST_DISKS):
            if (step := self.journal.get(f"upload {number}")) is None:
                continue  # a disk that was in S3 already, or there is none
            target = S3Object(step["bucket"], step["key"])
            parts_upload.remove(self.context.aws, parts.listed(step))
            if step.get("token") or step.get("upload_id"):
                if upload_state.remove(self.context.aws, step) is None:
                    continue  # nothing of it is there, or what is there is not the job's
            else:
                objects.delete(self.context.aws, target)
            self.context.reporter(events.Note(f"{target.url} removed"))
            removed.append(target.url)
        return removed

    def _cancel(self, task_id: str, reason: str) -> None:
        found = ec2.describe(self.context.aws, TaskKind.of(task_id), [task_id])
        if found and found[0].state is TaskState.COMPLETED:
            made = [found[0].image_id, found[0].instance_id, *found[0].volume_ids, *found[0].snapshot_ids]
            stays = ", ".join(filter(None, made))
            self.context.reporter(events.Note(f"{task_id} was completed: {stays} stays", "warning"))
        if found and not found[0].state.terminal:
            ended = tasks.cancel(self.context, task_id, reason=reason, wait=True)
            self.context.reporter(events.Note(f"{task_id} is {'cancelled' if ended.state.failed else 'completed'}"))


def _readable(path: Path) -> bool:
    """Whether a local file is there and may be read; False for what can be no path."""
    try:
        return os.access(path, os.R_OK)
    except ValueError:
        return False
