"""Import: one class per route. ImportImage and ImportSnapshot read objects, ImportInstance and ImportVolume parts."""

from __future__ import annotations

from typing import Any

from vmie.model import Route
from vmie.ops.context import Context
from vmie.ops.import_ import auto
from vmie.ops.import_.direct import DirectImage, DirectImport, DirectSnapshot, DirectVolume
from vmie.ops.import_.direct_plan import DirectPlan
from vmie.ops.import_.image import ImageImport
from vmie.ops.import_.instance import InstanceImport
from vmie.ops.import_.operation import ImportOperation
from vmie.ops.import_.planning import ImportPlan, PlannedDisk
from vmie.ops.import_.result import ImportResult
from vmie.ops.import_.snapshot import SnapshotImport
from vmie.ops.import_.volume import VolumeImport
from vmie.options import ImportRequest

__all__ = [
    "ROUTES",
    "DirectPlan",
    "ImportOperation",
    "ImportPlan",
    "ImportRequest",
    "ImportResult",
    "PlannedDisk",
    "operation",
]

#: how each route is carried out
ROUTES: dict[Route, type[ImportOperation[ImportPlan]]] = {
    Route.IMAGE: ImageImport,
    Route.SNAPSHOT: SnapshotImport,
    Route.INSTANCE: InstanceImport,
    Route.VOLUME: VolumeImport,
}
#: and where the disks go block by block
BY_EBS: dict[Route, type[DirectImport]] = {
    Route.IMAGE: DirectImage,
    Route.SNAPSHOT: DirectSnapshot,
    Route.VOLUME: DirectVolume,
}


def operation(context: Context, request: ImportRequest) -> ImportOperation[Any]:
    """The import that `request` asks for; by the way that its journal keeps, where it leaves that open."""
    if request.via == "auto":
        kept = context.journal.get(auto.STEP)
        if kept is None:
            return auto.AutoImport(context, request)
        request = auto.Way.from_json(kept).of(request)
    if request.via == "ebs":
        return BY_EBS[request.route](context, request)
    return ROUTES[request.route](context, request)
