"""ImportSnapshot: a disk becomes an EBS snapshot, unchanged; `register` makes an AMI of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vmie.aws import ec2
from vmie.aws.ec2_requests import ImportSnapshot
from vmie.model import Task, TaskKind
from vmie.ops.import_ import registering
from vmie.ops.import_.by_object import ByObject
from vmie.ops.import_.result import Made


class SnapshotImport(ByObject):
    """An import by ImportSnapshot."""

    call = "ImportSnapshot"
    kind = TaskKind.IMPORT_SNAPSHOT

    def _call(self, token: str) -> Task:
        return ec2.import_snapshot(
            self.context.aws,
            ImportSnapshot(
                disk=self._disks[0],
                token=token,
                description=self._description,
                encryption=self._encryption,
                role_name=self.planned.role_name,
                tags=self._task_tags,
            ),
        )

    def _made(self, done: Sequence[Task]) -> Made:
        made, plan = super()._made(done), self.planned
        if not plan.request.register:
            return made
        image_id = registering.register(self.context, plan.request, made.snapshot_ids, ena=plan.ena, tags=self.tags)
        return replace(made, image_id=image_id)
