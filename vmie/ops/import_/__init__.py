"""Import: `plan` reads and refuses early, `apply` uploads, submits, waits and finishes; each step idempotent.

Two families: `planning` and `applying` for ImportImage and ImportSnapshot, `conversion_plan` and `converting` for
ImportInstance and ImportVolume.
"""

from __future__ import annotations

from vmie import events
from vmie.aws.session import Aws
from vmie.model import Route
from vmie.ops.import_ import applying, conversion_plan, converting, planning
from vmie.ops.import_.applying import ImportResult
from vmie.ops.import_.context import submitted
from vmie.ops.import_.conversion_plan import ConversionPlan
from vmie.ops.import_.planning import ImportPlan, PlannedDisk
from vmie.ops.import_.undo import undo
from vmie.ops.journal import Journal
from vmie.options import ImportRequest
from vmie.poll import Clock
from vmie.settings import Settings

__all__ = ["ImportPlan", "ImportRequest", "ImportResult", "PlannedDisk", "apply", "plan", "submitted", "undo"]

_OLDER = (Route.INSTANCE, Route.VOLUME)


def plan(
    aws: Aws,
    request: ImportRequest,
    *,
    settings: Settings,
    job: str,
    clock: Clock,
    begun: bool = False,
    reporter: events.Reporter = events.silent,
) -> ImportPlan:
    """Think an import through by its route; reads only. `begun`: AWS has the task already.

    Raises UsageError, ImageError (exit 2), PreflightError (exit 4) and AwsRefused (exit 5).
    """
    if request.route in _OLDER:
        return conversion_plan.plan(aws, request, settings=settings, job=job, clock=clock, reporter=reporter)
    return planning.plan(aws, request, settings=settings, job=job, clock=clock, begun=begun, reporter=reporter)


def apply(
    aws: Aws,
    plan: ImportPlan,
    *,
    journal: Journal,
    settings: Settings,
    clock: Clock,
    wait: bool = True,
    reporter: events.Reporter = events.silent,
) -> ImportResult:
    """Carry `plan` out, going on where `journal` says it stopped.

    Raises AwsRefused (exit 5), TaskFailed and DeadlineExceeded (exit 1), Interrupted (130).
    """
    if isinstance(plan, ConversionPlan):
        return converting.apply(
            aws, plan, journal=journal, settings=settings, clock=clock, wait=wait, reporter=reporter
        )
    return applying.apply(aws, plan, journal=journal, settings=settings, clock=clock, wait=wait, reporter=reporter)
