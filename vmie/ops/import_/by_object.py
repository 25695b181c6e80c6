"""ImportImage and ImportSnapshot: one task that reads its disks from objects in S3, and takes a ClientToken."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from vmie import events
from vmie.aws import objects
from vmie.aws.ec2_requests import DiskSource, Encryption
from vmie.errors import VmieError
from vmie.model import Task, TaskKind
from vmie.ops import copying, expired_tasks, idempotency, transfer_options, upload
from vmie.ops.import_ import planning
from vmie.ops.import_.operation import ImportOperation
from vmie.ops.import_.planning import ImportPlan
from vmie.ops.import_.result import Made
from vmie.ops.upload_plan import UploadPlan


class ByObject(ImportOperation[ImportPlan]):
    """What the two have in common."""

    plan_type = ImportPlan
    #: the call, as AWS names it
    call: ClassVar[str]
    kind: ClassVar[TaskKind]

    def _planned(self) -> ImportPlan:
        return planning.plan(self.context, self.request, begun=self.submitted() is not None)

    def _send(self, number: int) -> None:
        planned, request = self.planned.disks[number], self.planned.request
        options = transfer_options.upload_options(request, self.context.aws, self.context.settings)
        step = f"upload {number}"
        if planned.copied is not None:
            copying.send(self.context, planned.copied, step=step, options=options)
        if planned.path is None or planned.identity is None:
            return
        sent = UploadPlan(
            path=planned.path,
            target=planned.object,
            choice=planned.choice,
            identity=planned.identity,
            source_size=planned.source_size,
            bound=planned.bound,
            index=planned.index,
            machine=request.machine,
            empty_disks=request.empty_disks,
            keep_free=request.keep_free,
            left_out=planned.left_out,
            repair_of=request.repair_of,
        )
        upload.send(self.context, sent, step=step, options=options, verify=not request.skip_verify)

    def _submit(self, number: int) -> dict[str, object]:
        token = self.planned.request.client_token or idempotency.token_of(self.journal)
        self.context.reporter(events.Stage("submit", self.call))
        return idempotency.submit(self.context, self.kind, lambda: self._call(token), token=token)

    @abstractmethod
    def _call(self, token: str) -> Task: ...

    @property
    def _disks(self) -> list[DiskSource]:
        return [DiskSource(format=disk.choice.aws_format, object=disk.object) for disk in self.planned.disks]

    @property
    def _encryption(self) -> Encryption | None:
        request = self.planned.request
        return Encryption(request.kms_key) if request.encrypted or request.kms_key else None

    def _result_of_vanished(self, task_id: str, error: VmieError) -> Task:
        return expired_tasks.imported(self.context.aws, task_id, error)

    def _left_nothing(self, number: int) -> bool:
        known = self.submitted(number) or {}
        buckets = {planned.object.bucket for planned in self.planned.disks}
        return expired_tasks.left_nothing(self.context, known, buckets=buckets)

    def _kept(self) -> list[str]:
        return [planned.object.url for planned in self.planned.disks if planned.ours]

    def _made(self, done: Sequence[Task]) -> Made:
        return Made(image_id=done[0].image_id, snapshot_ids=done[0].snapshot_ids)

    def _tidy(self) -> None:
        for planned in self.planned.disks:
            if planned.ours and not self.planned.request.keep_object:
                objects.delete(self.context.aws, planned.object)
