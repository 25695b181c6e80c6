"""ImportInstance: the boot disk becomes a stopped instance, the other disks volumes that can be attached to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vmie import events
from vmie.aws import conversions
from vmie.aws.conversions import DiskImage, ImportInstance
from vmie.model import Task
from vmie.ops.import_.conversion import ConversionImport
from vmie.ops.import_.conversion_plan import DEVICES, user_data


class InstanceImport(ConversionImport):
    """An import by ImportInstance, and ImportVolume for data disks."""

    def _submit(self, number: int) -> dict[str, Any]:
        if number:
            return super()._submit(number)
        request, zone = self.planned.request, self._zone(0)
        secret = user_data(request)
        self.context.reporter(events.Stage("submit", "ImportInstance"))

        def call(disk: DiskImage, description: str) -> Task:
            return conversions.import_instance(
                self.context.aws,
                ImportInstance(
                    disk=disk,
                    platform=request.platform,
                    description=description,
                    architecture=request.architecture,
                    instance_type=request.instance_type,
                    subnet_id=request.subnet,
                    security_groups=request.security_groups,
                    private_ip=request.private_ip,
                    availability_zone="" if request.subnet else zone,
                    tenancy=request.tenancy,
                    user_data=secret,
                    shutdown_behavior=request.shutdown_behavior,
                    monitoring=request.monitoring,
                ),
            )

        return self._once(0, call)

    def _tagged(self, done: Sequence[Task]) -> None:
        instance_id = done[0].instance_id
        if self.planned.request.attach_data_disks and instance_id:
            self._attach(instance_id, [one for task in done[1:] for one in task.volume_ids])

    def _attach(self, instance_id: str, volume_ids: Sequence[str]) -> None:
        """Attach in order, from /dev/sdf on (xvdf for Windows); a volume that is attached stays as it is."""
        stem = "xvd" if self.planned.request.platform == "Windows" else "/dev/sd"
        for letter, volume_id in zip(DEVICES, volume_ids, strict=False):
            device = f"{stem}{letter}"
            self.context.reporter(events.Stage("attach", f"{volume_id} to {instance_id} as {device}"))
            conversions.attach(self.context.aws, volume_id, instance_id, device, clock=self.context.clock)
