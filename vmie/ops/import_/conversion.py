"""ImportInstance and ImportVolume, the older calls: one task a disk, from parts in S3, none of them with a token.

disk 1 ──► parts ──► ImportInstance ──┐
disk 2 ──► parts ──► ImportVolume  ───┤ (in the instance's zone)
disk n ──► …                          ┴──► wait for all ──► attach ──► tag ──► remove parts

Parts are removed only after success; a failed task's parts stay for the next attempt, its manifest does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vmie import events
from vmie.aws import conversions
from vmie.aws.conversions import DiskImage, ImportVolume
from vmie.model import Task, TaskKind
from vmie.ops import idempotency
from vmie.ops.import_ import conversion_plan, parts
from vmie.ops.import_.conversion_plan import ConversionDisk, ConversionPlan
from vmie.ops.import_.operation import ImportOperation
from vmie.ops.import_.result import Made

#: room for the marker in a description of 255 characters
_DESCRIPTION = 200


class ConversionImport(ImportOperation[ConversionPlan]):
    """What the two have in common; by itself a task is an ImportVolume."""

    plan_type = ConversionPlan
    kept_so_far = "the parts that were uploaded are kept and not sent again"

    def _planned(self) -> ConversionPlan:
        return conversion_plan.plan(self.context, self.request)

    @property
    def tasks(self) -> int:
        """See `Operation.tasks`."""
        return len(self.planned.disks)

    @property
    def _disks(self) -> tuple[ConversionDisk, ...]:
        return self.planned.disks

    def _send(self, number: int) -> None:
        parts.send(self.context, self.planned.request, number, self._disks[number])

    # --- submit ---------------------------------------------------------------------------------------

    def _submit(self, number: int) -> dict[str, Any]:
        zone = self._zone(number)
        self.context.reporter(events.Stage("submit", f"ImportVolume into {zone}"))
        return self._once(
            number,
            lambda disk, description: conversions.import_volume(
                self.context.aws, ImportVolume(disk, zone, description)
            ),
        )

    def _once(self, number: int, call: Callable[[DiskImage, str], Task]) -> dict[str, Any]:
        """Start the disk's task, once; `call` is given the disk and the description with the task's marker."""
        request, journal = self.planned.request, self.journal
        attempt = idempotency.attempt(journal, number)
        marker = idempotency.marker_of(f"{self.context.aws.account}/{journal.job}/{number}/{attempt}")
        description = f"{(request.description or f'vmie {journal.job}')[:_DESCRIPTION]} {marker}"

        def made() -> Task:
            # Signed when there is room for the task: the URLs' time begins now, not when the queue did.
            return call(parts.image(self.context, request, number, self._disks[number]), description)

        return idempotency.submit(self.context, TaskKind.CONVERSION, made, number=number, marker=marker)

    def _zone(self, number: int) -> str:
        """The zone chosen, or that of the job's other tasks, of an earlier attempt too: a volume can be attached in
        its own zone only. "" where AWS may choose.
        """
        if self.planned.zone:
            return self.planned.zone
        known = [self.journal.get(idempotency.step("submit", one)) or {} for one in range(self.tasks)]
        zone = next((str(one["zone"]) for one in known if one.get("zone")), "")
        instance = known[0].get("instance_id") if number else None
        return zone or (conversions.zone_of_instance(self.context.aws, str(instance)) if instance else "")

    # --- wait and finish ------------------------------------------------------------------------------

    def _failed(self, number: int) -> None:
        parts.drop_manifest(self.context, self._disks[number])

    def _kept(self) -> list[str]:
        return [f"s3://{one.object.bucket}/{one.stem}.part…" for one in self._disks if one.path is not None]

    def _made(self, done: Sequence[Task]) -> Made:
        return Made(instance_id=done[0].instance_id, volume_ids=tuple(one for task in done for one in task.volume_ids))

    def _tidy(self) -> None:
        for number, planned in enumerate(self._disks):
            if self.planned.request.keep_object:
                parts.drop_manifest(self.context, planned)
            else:
                parts.remove(self.context, number, planned)
