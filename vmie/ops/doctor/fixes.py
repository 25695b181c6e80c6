"""What a diagnosis found and vmie may put right itself: planned, then applied, as `setup-role` does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial, reduce

from vmie import events
from vmie.aws import s3
from vmie.model import Change
from vmie.ops import setup_role
from vmie.ops.change_step import Step
from vmie.ops.doctor.report import Case, Fix, Line
from vmie.ops.role_plan import RolePlan


@dataclass(frozen=True, slots=True)
class Mending:
    """The role's plan (None when the role is well) and the buckets' steps."""

    role: RolePlan | None
    steps: tuple[Step, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """All that would change."""
        return (*(self.role.changes if self.role else ()), *(step.change for step in self.steps))


def plan(case: Case, lines: Iterable[Line]) -> Mending:
    """What would put right every line that carries a fix. Reads only; raises AwsRefused, UsageError."""
    wanted = reduce(lambda left, right: left | right, (line.fix for line in lines if line.fix), Fix())
    role = None
    if wanted.buckets or wanted.export_buckets or wanted.kms_keys:
        role = setup_role.plan(case.aws, case.request(wanted))
    steps = tuple(
        Step(
            Change("update", f"lifecycle of bucket {name}", f"parts of uploads go after {s3.ABORT_DAYS} days"),
            partial(s3.abort_uploads, case.aws, name),
        )
        for name in wanted.aborting
    )
    return Mending(role, steps)


def apply(case: Case, mending: Mending, *, reporter: events.Reporter = events.silent) -> tuple[Change, ...]:
    """Carry it out; the changes made. Raises PreflightError on a conflict, AwsRefused, DeadlineExceeded."""
    if mending.role is not None:
        setup_role.apply(case.aws, mending.role, reporter=reporter, clock=case.clock)
    for step in mending.steps:
        reporter(events.Note(f"{step.change.action} {step.change.resource}"))
        if step.act is not None:
            step.act()
    return mending.changes
