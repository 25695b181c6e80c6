"""Export: by AWS's own tasks, one class for AMIs and one for instances; or by EBS direct."""

from __future__ import annotations

from typing import Any

from vmie.ops.context import Context
from vmie.ops.export.direct import DirectExport
from vmie.ops.export.image import ImageExport
from vmie.ops.export.instance import InstanceExport
from vmie.ops.export.operation import ExportOperation, ExportResult
from vmie.ops.export.planning import ExportPlan
from vmie.ops.operation import Operation
from vmie.options import ExportRequest

__all__ = ["ExportOperation", "ExportPlan", "ExportRequest", "ExportResult", "operation"]


def operation(context: Context, request: ExportRequest) -> Operation[ExportRequest, Any, ExportResult]:
    """The export that `request` asks for."""
    if request.via == "ebs":
        return DirectExport(context, request)
    return (ImageExport if request.is_image else InstanceExport)(context, request)
