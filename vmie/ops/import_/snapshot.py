"""ImportSnapshot: a disk becomes an EBS snapshot, unchanged; `register` makes an AMI of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vmie import events
from vmie.aws import ec2
from vmie.aws.ec2_requests import ImportSnapshot, RegisterImage
from vmie.model import Task, TaskKind
from vmie.ops import waiting
from vmie.ops.import_.by_object import ByObject
from vmie.ops.import_.operation import Made


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
        made = super()._made(done)
        return replace(made, image_id=self._register(made.snapshot_ids[0])) if self.planned.request.register else made

    def _register(self, snapshot_id: str) -> str:
        """The AMI made of the snapshot; found by its name when it is there already."""
        request = self.planned.request
        # RegisterImage knows no platform, and has an architecture of its own where none is known.
        known = request.described().items()
        guest: dict[str, Any] = {name: said for name, said in known if said and name != "platform"}
        waiting.snapshot_ready(self.context, snapshot_id)
        made = ec2.register_image(
            self.context.aws,
            RegisterImage(
                name=request.register,
                snapshot_id=snapshot_id,
                description=request.description,
                volume_type=request.volume_type,
                imds_v2=request.imds_v2,
                ena=self.planned.ena,
                **guest,
                tags=self.tags,
            ),
            clock=self.context.clock,
        )
        if platform := ec2.platform_of(self.context.aws, made, clock=self.context.clock):
            self.context.reporter(events.Note(f"to AWS {made} is {platform}"))
        return made
