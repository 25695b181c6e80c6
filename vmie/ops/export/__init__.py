"""Export: `plan` looks and refuses early, `apply` submits, waits, names the objects and downloads; idempotent."""

from vmie.ops.export.applying import ExportResult, apply, undo
from vmie.ops.export.planning import ExportPlan, plan
from vmie.options import ExportRequest

__all__ = ["ExportPlan", "ExportRequest", "ExportResult", "apply", "plan", "undo"]
