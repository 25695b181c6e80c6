"""Plans of items as JSON and back, so that any process can continue what another one planned."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from vmie.model import Task, TaskKind, TaskState
from vmie.ops.bucket import ChosenBucket
from vmie.ops.export import ExportPlan, ExportRequest
from vmie.ops.import_ import ImportPlan, ImportRequest, PlannedDisk
from vmie.ops.import_.conversion_plan import ConversionDisk, ConversionPlan


def import_plan(plan: ImportPlan) -> dict[str, Any]:
    """What `to_import_plan` reads; the check's report is not kept."""
    kept = {
        "request": plan.request.as_json(),
        "role_name": plan.role_name,
        "bucket": _bucket(plan.bucket),
        "notes": list(plan.notes),
    }
    if isinstance(plan, ConversionPlan):
        return {**kept, "disks": _conversions().dump_python(plan.conversions, mode="json"), "zone": plan.zone}
    return {**kept, "disks": _disks().dump_python(plan.disks, mode="json")}


def to_import_plan(data: Mapping[str, Any]) -> ImportPlan:
    """The plan that `import_plan` wrote."""
    request, bucket = ImportRequest.from_json(data["request"]), _to_bucket(data["bucket"])
    role_name, notes = data["role_name"], tuple(data["notes"])
    if "zone" in data:
        conversions = _conversions().validate_python(data["disks"])
        return ConversionPlan(request, role_name, bucket, conversions, None, notes, data["zone"])
    return ImportPlan(request, role_name, bucket, _disks().validate_python(data["disks"]), None, notes)


def export_plan(plan: ExportPlan) -> dict[str, Any]:
    """What `to_export_plan` reads."""
    return {
        "request": plan.request.as_json(),
        "role_name": plan.role_name,
        "bucket": _bucket(plan.bucket),
        "prefix": plan.prefix,
    }


def to_export_plan(data: Mapping[str, Any]) -> ExportPlan:
    """The plan that `export_plan` wrote."""
    return ExportPlan(
        request=ExportRequest.from_json(data["request"]),
        bucket=_to_bucket(data["bucket"]),
        prefix=data["prefix"],
        role_name=data["role_name"],
    )


def task(done: Task) -> dict[str, Any]:
    """The part of a completed task that finishing needs."""
    return {
        "id": done.id,
        "kind": done.kind.value,
        "state": done.state.value,
        "image_id": done.image_id,
        "snapshot_ids": list(done.snapshot_ids),
        "instance_id": done.instance_id,
        "volume_ids": list(done.volume_ids),
        "prefix_or_key": done.prefix_or_key,
    }


def to_task(data: Mapping[str, Any]) -> Task:
    """The task that `task` wrote."""
    return Task(
        id=data["id"],
        kind=TaskKind(data["kind"]),
        state=TaskState(data["state"]),
        image_id=data["image_id"],
        snapshot_ids=tuple(data["snapshot_ids"]),
        instance_id=data.get("instance_id"),
        volume_ids=tuple(data.get("volume_ids", ())),
        prefix_or_key=data["prefix_or_key"],
    )


def _bucket(chosen: ChosenBucket | None) -> dict[str, str] | None:
    return {"name": chosen.name, "origin": chosen.origin} if chosen else None


def _to_bucket(data: Mapping[str, str] | None) -> ChosenBucket | None:
    return ChosenBucket(data["name"], data["origin"]) if data else None


@cache
def _disks() -> TypeAdapter[tuple[PlannedDisk, ...]]:
    return TypeAdapter(tuple[PlannedDisk, ...])


@cache
def _conversions() -> TypeAdapter[tuple[ConversionDisk, ...]]:
    return TypeAdapter(tuple[ConversionDisk, ...])
