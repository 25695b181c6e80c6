"""ImportVolume: a disk becomes a volume; and a machine's data volumes are attached to its instance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vmie import events
from vmie.aws import conversions
from vmie.aws.conversions import ImportVolume
from vmie.model import Task
from vmie.ops.import_ import idempotency, parts
from vmie.ops.import_.context import Work
from vmie.ops.import_.conversion_plan import DEVICES, ConversionDisk


def submit(work: Work, number: int, planned: ConversionDisk, *, zone: str) -> dict[str, Any]:
    """Start the task of disk `number`, once, in `zone`; what the journal keeps of it."""
    work.reporter(events.Stage("submit", f"ImportVolume into {zone}"))

    def call(description: str) -> Task:
        disk = parts.image(work, number, planned)
        return conversions.import_volume(work.aws, ImportVolume(disk, zone, description))

    return idempotency.submit(work, number, call)


def attach(work: Work, instance_id: str, volume_ids: Sequence[str]) -> None:
    """Attach the volumes in order, from /dev/sdf on (xvdf for Windows); one that is attached stays as it is."""
    stem = "xvd" if work.plan.request.platform == "Windows" else "/dev/sd"
    for letter, volume_id in zip(DEVICES, volume_ids, strict=False):
        device = f"{stem}{letter}"
        work.reporter(events.Stage("attach", f"{volume_id} to {instance_id} as {device}"))
        conversions.attach(work.aws, volume_id, instance_id, device, clock=work.clock)
