"""Export: one class for AMIs, one for instances."""

from __future__ import annotations

from vmie.ops.context import Context
from vmie.ops.export.image import ImageExport
from vmie.ops.export.instance import InstanceExport
from vmie.ops.export.operation import ExportOperation, ExportResult
from vmie.ops.export.planning import ExportPlan
from vmie.options import ExportRequest

__all__ = ["ExportOperation", "ExportPlan", "ExportRequest", "ExportResult", "operation"]


def operation(context: Context, request: ExportRequest) -> ExportOperation:
    """The export that `request` asks for."""
    return (ImageExport if request.is_image else InstanceExport)(context, request)
