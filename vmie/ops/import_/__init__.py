"""Import: `plan` reads and refuses early, `apply` uploads, submits, waits and finishes; each step idempotent."""

from vmie.ops.import_.applying import ImportResult, apply
from vmie.ops.import_.planning import ImportPlan, PlannedDisk, plan
from vmie.ops.import_.request import ImportRequest
from vmie.ops.import_.undoing import undo

__all__ = ["ImportPlan", "ImportRequest", "ImportResult", "PlannedDisk", "apply", "plan", "undo"]
