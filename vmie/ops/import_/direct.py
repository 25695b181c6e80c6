"""Imports by EBS direct: each disk is written block by block into a snapshot, and what was asked for is made of that.

snapshot: that is all, or RegisterImage. volume: CreateVolume. image: ImportImage of the snapshots, so that AWS
prepares the guest. There is no bucket, and but for ImportImage no role.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from vmie import events
from vmie.aws import ec2
from vmie.aws.ec2_requests import DiskSource, Encryption, ImportImage
from vmie.errors import TaskFailed, VmieError
from vmie.model import Task, TaskKind, TaskState
from vmie.ops import expired_tasks, idempotency
from vmie.ops.import_ import after_import, direct_plan, direct_wait, registering
from vmie.ops.import_.direct_plan import DirectPlan
from vmie.ops.import_.direct_send import SnapshotWriter, dropped, step_of
from vmie.ops.import_.operation import ImportOperation
from vmie.ops.import_.result import ImportResult, Made
from vmie.ops.operation import RefusalSubject

#: far above the disks of any machine
_MOST_DISKS = 1000


class DirectImport(ImportOperation[DirectPlan]):
    """What the three have in common."""

    plan_type = DirectPlan
    kept_so_far = "the blocks that AWS has are kept and not sent again"

    def subject(self) -> RefusalSubject:
        """See `Operation.subject`."""
        request = self.request
        return RefusalSubject(job=f"import-{request.route.value}-ebs", key=request.kms_key, role_name=self._role)

    @property
    def _role(self) -> str:
        return ""

    def _planned(self) -> DirectPlan:
        return direct_plan.plan(self.context, self.request, begun=self._all_written)

    @property
    def _all_written(self) -> bool:
        first = self.journal.get(step_of(0)) or {}
        return bool(first.get("completed"))

    def resumed(self, kept: Mapping[str, Any] | None) -> DirectPlan | None:
        """See `Operation.resumed`: no local file is read again once AWS has all blocks."""
        if kept is None:
            return None
        try:
            plan = self.load(kept).planned
        except (KeyError, TypeError, ValueError):  # of another version
            return None
        whole = plan.disks and all(
            (self.journal.get(step_of(number)) or {}).get("completed") for number in range(len(plan.disks))
        )
        return plan if whole else None

    # --- send -----------------------------------------------------------------------------------------

    def _writer(self, number: int) -> SnapshotWriter:
        return SnapshotWriter(self.context, self.planned, number, tags=self.tags)

    def _send(self, number: int) -> None:
        self._writer(number).send()

    @property
    def _snapshots(self) -> list[str]:
        """The snapshots, of all disks in order."""
        return [self._writer(number).snapshot_id for number in range(len(self.planned.disks))]

    @property
    def bytes_sent(self) -> int:
        """Bytes that crossed the wire, over all runs of the job."""
        return sum(int(step.get("sent", 0)) for step in self._steps())

    @property
    def _blocks(self) -> dict[str, Any]:
        known = list(self._steps())
        return {
            "via": "ebs",
            "blocks_written": sum(int(step.get("written", 0)) for step in known),
            "blocks_skipped": sum(int(step.get("skipped", 0)) for step in known),
            "parent": next((str(step["parent"]) for step in known if step.get("parent")), None),
            "parent_deleted": any(step.get("parent_deleted") for step in known),
        }

    def _steps(self) -> list[dict[str, Any]]:
        return [found for number in range(len(self.planned.disks)) if (found := self.journal.get(step_of(number)))]

    def _await(self) -> None:
        """Wait until every snapshot is completed and verified. Raises TaskFailed; the next attempt is prepared then."""
        expected = {
            one.snapshot_id: int(one.known.get("written", 0))
            for one in map(self._writer, range(len(self.planned.disks)))
        }
        failed = direct_wait.completed(self.context, expected)
        for number, snapshot_id in enumerate(expected):
            if snapshot_id in failed:
                self._writer(number).begin_anew()
                idempotency.start_over(self.journal, number)
        if failed:
            raise next(iter(failed.values()))

    # --- undo -----------------------------------------------------------------------------------------

    def undo(self, *, reason: str = "") -> dict[str, Any]:
        """The task first, then the snapshots that nothing was made of; ``{"task_id", "removed": [ids]}``."""
        ids = [one for one in idempotency.task_ids(self.context) if not one.startswith("snap-")]
        for task_id in ids:
            self._cancel(task_id, reason or f"cancelled with {self.journal.job}")
        ended = after_import.ended(self.context)
        return {"task_id": ids[0] if ids else None, "removed": [*ended, *self._remove_uploads()]}

    def _remove_uploads(self) -> list[str]:
        """Delete the snapshots; their ids. Raises AwsRefused."""
        removed = []
        for number in range(_MOST_DISKS):
            if (step := self.journal.get(step_of(number))) is None:
                break
            left = str(step.get("snapshot_id") or "")
            if left and dropped(self.context, left):
                self.context.reporter(events.Note(f"{left} removed"))
                removed.append(left)
            self.journal.put(step_of(number), {**step, "snapshot_id": "", "completed": False})
        return removed

    def _kept(self) -> list[str]:
        return [one for one in self._snapshots if one]

    def _tidy(self) -> None:
        """Delete the snapshots that those of this job are based on, where the user said so."""
        if self.planned.request.delete_parent:
            for number in range(len(self.planned.disks)):
                self._writer(number).delete_parent()

    def _made(self, done: Sequence[Task]) -> Made:
        return Made(snapshot_ids=tuple(self._snapshots))


class DirectSnapshot(DirectImport):
    """Disks become snapshots; `register` makes an AMI of them."""

    @property
    def tasks(self) -> int:
        """See `Operation.tasks`."""
        return len(self.planned.disks)

    def _submit(self, number: int) -> dict[str, Any]:
        self._send(number)  # nothing, unless EBS gave up what was sent
        snapshot_id = self._writer(number).snapshot_id
        kept = {
            "task_id": snapshot_id,
            "at": self.context.clock.now().isoformat(),
            "attempt": idempotency.attempt(self.journal, number),
        }
        self.journal.put(idempotency.step("submit", number), kept)
        return kept

    def wait(self) -> tuple[Task, ...]:
        """See `Operation.wait`: what is waited for are the snapshots themselves."""
        self.context.reporter(events.Stage("convert", ", ".join(self._snapshots)))
        self._await()
        return tuple(
            Task(id=one, kind=TaskKind.IMPORT_SNAPSHOT, state=TaskState.COMPLETED, snapshot_ids=(one,))
            for one in self._snapshots
        )

    def begun(self, *, began: dt.datetime) -> ImportResult:
        """See `Operation.begun`."""
        return self._result(began, Made(snapshot_ids=tuple(self._snapshots)), status="active")

    @property
    def _task_id(self) -> str | None:
        return None

    def _remove_uploads(self) -> list[str]:
        """Nothing of an import that is done, though its AMI may not be proved: the snapshots are what was asked for."""
        return super()._remove_uploads() if self.journal.get("finish") is None else []

    def _made(self, done: Sequence[Task]) -> Made:
        made = super()._made(done)
        if not self.planned.request.register:
            return made
        image_id = registering.register(
            self.context, self.planned.request, made.snapshot_ids, ena=self.planned.ena, tags=self.tags
        )
        return replace(made, image_id=image_id)


class DirectVolume(DirectSnapshot):
    """Disks become volumes, by way of snapshots that stay: a volume reads its blocks from there at first."""

    def _made(self, done: Sequence[Task]) -> Made:
        made = super()._made(done)
        return replace(made, volume_ids=direct_wait.volumes(self.context, self.planned, made.snapshot_ids, self.tags))


class DirectImage(DirectImport):
    """Disks become snapshots, and these an AMI that AWS has prepared for EC2."""

    @property
    def _role(self) -> str:
        return self.request.role_name or ""

    def submit(self) -> str:
        """See `Operation.submit`: AWS reads whole snapshots only."""
        if self.submitted() is None:
            for number in range(len(self.planned.disks)):
                self._send(number)
            self.context.reporter(events.Stage("convert", ", ".join(self._snapshots)))
            self._await()
        return super().submit()

    def _submit(self, number: int) -> dict[str, Any]:
        plan, request = self.planned, self.planned.request
        token = request.client_token or idempotency.token_of(self.journal)

        def call() -> Task:
            return ec2.import_image(
                self.context.aws,
                ImportImage(
                    disks=[DiskSource(format="", snapshot_id=one) for one in self._snapshots],
                    token=token,
                    description=self._description,
                    **request.group("The guest"),
                    encryption=Encryption(plan.kms_key) if request.encrypted or request.kms_key else None,
                    role_name=plan.role_name,
                    tags=self._task_tags,
                ),
            )

        self.context.reporter(events.Stage("submit", "ImportImage"))
        return idempotency.submit(self.context, TaskKind.IMPORT_IMAGE, call, token=token)

    def _result_of_vanished(self, task_id: str, error: VmieError) -> Task:
        return expired_tasks.imported(self.context.aws, task_id, error)

    def _left_nothing(self, number: int) -> bool:
        return expired_tasks.left_nothing(self.context, self.submitted(number) or {}, buckets=())

    def _made(self, done: Sequence[Task]) -> Made:
        return Made(image_id=done[0].image_id, snapshot_ids=done[0].snapshot_ids)

    def _tidy(self) -> None:
        """The AMI has snapshots of its own: those that were written are needed no more."""
        super()._tidy()
        for number in range(len(self.planned.disks)):
            with suppress(TaskFailed):
                self._writer(number).remove()
