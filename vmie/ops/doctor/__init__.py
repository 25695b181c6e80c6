"""The account, looked at as an import or export would meet it: one line per thing, reads only.

    Case ──► every check, in the order in which a job would stumble ──► Line(s) ──► Report
                                                                          └──► mending.plan ──► apply

A check is a function Case → lines. What it raises becomes a line that says `unknown`: what cannot be looked at is
not held against the account.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vmie import events
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, Run, UsageError, VmieError, says
from vmie.model import Verdict
from vmie.ops import bucket as buckets
from vmie.ops.doctor import account, bucket, credentials, rights, role
from vmie.ops.doctor.report import EXPORTS, JOBS, Case, Fix, Line, unknown
from vmie.policy.permissions import JobKind, wants_bucket
from vmie.poll import Clock
from vmie.settings import Settings

__all__ = ["JOBS", "Case", "Check", "Fix", "Line", "Report", "case_of", "examine"]

Check = Callable[[Case], list[Line]]

#: without these nothing else can be asked
_GATES: tuple[tuple[str, Check], ...] = (
    ("identity", credentials.identity),
    ("region", credentials.region),
    ("clock", credentials.clock),
)
_REST: tuple[tuple[str, Check], ...] = (
    ("lifetime", credentials.lifetime),
    ("bucket", bucket.place),
    ("role", role.exists),
    ("role rights", role.rights),
    ("key", role.keys),
    ("EBS encryption", role.ebs_key),
    ("encryption", bucket.encryption),
    ("export grant", bucket.export_grant),
    ("lifecycle", bucket.lifecycle),
    ("permissions", rights.own),
    ("quota", account.quotas),
    ("service quotas", account.listed),
    ("AMI sharing", account.public_access),
    ("VPC endpoints", account.endpoints),
)
#: these look into the bucket, or at the role in its respect
_OF_BUCKET = ("encryption", "export grant", "lifecycle", "role rights")
#: these are about the role and what it does
_OF_ROLE = ("role", "role rights", "key", "EBS encryption")


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, in the order in which a job would meet it."""

    case: Case
    lines: tuple[Line, ...]

    @property
    def failed(self) -> tuple[Line, ...]:
        """What would stop the job."""
        return tuple(line for line in self.lines if line.verdict is Verdict.FAIL)

    @property
    def fixable(self) -> tuple[Line, ...]:
        """What vmie may mend itself."""
        return tuple(line for line in self.lines if line.fix is not None)

    def refusal(self) -> AwsRefused | None:
        """The first thing that would stop the job, as the error that the job would end with; None when all is well."""
        if not self.failed:
            return None
        first, *others = self.failed
        also = [f"also: {line.what}" for line in others]
        fixed = (Run(("vmie", "doctor", "--fix"), "does it"),) if first.fix else ()
        return AwsRefused(
            first.what,
            cause="\n".join(filter(None, [first.why, *also])),
            cure=(*first.actions, *fixed),
            code=first.code,
            result=self.as_json(),
        )

    def as_json(self) -> dict[str, Any]:
        """The contracted ``result``."""
        return {
            "job": self.case.job.value,
            "region": self.case.aws.region,
            "bucket": self.case.bucket or None,
            "role": self.case.role_name,
            "lines": [line.as_json() for line in self.lines],
        }


def case_of(
    aws: Aws,
    *,
    settings: Settings,
    clock: Clock,
    job: str = JobKind.IMPORT,
    bucket: str = "",
    key: str = "",
    role_name: str = "",
    keys: Sequence[str] = (),
) -> Case:
    """The case of a job, with what the settings (and the role's own policy) say of it. Raises UsageError."""
    if job not in JOBS:
        raise UsageError(says("{for}: choose from {jobs}, not {given!r}", jobs=", ".join(JOBS), given=job))
    name, wanted = role_name or settings.role_name, JobKind(job)
    return Case(
        aws=aws,
        settings=settings,
        clock=clock,
        job=wanted,
        bucket=_bucket(aws, settings, bucket, name, export=wanted in EXPORTS) if wants_bucket([wanted]) else "",
        key=key,
        role_name=name,
        prefix=settings.export_prefix if wanted in EXPORTS else settings.prefix,
        keys=tuple(keys),
    )


def examine(case: Case, *, reporter: events.Reporter = events.silent) -> Report:
    """Look at everything. Changes nothing and never raises for what it finds."""
    lines: list[Line] = []
    for name, check in _GATES:
        lines += looked(case, name, check)
        if any(line.verdict is Verdict.FAIL for line in lines):
            return Report(case, tuple(lines))
    for name, check in _REST:
        reporter(events.Note(f"looking at: {name}", "debug"))
        no_bucket = not case.by_bucket or any(
            line.check == "bucket" and line.verdict is not Verdict.PASS for line in lines
        )
        no_role = any(line.check == "role" and line.verdict is Verdict.FAIL for line in lines)
        if (no_bucket and name in _OF_BUCKET) or ((no_role or not case.by_role) and name in _OF_ROLE):
            continue
        lines += looked(case, name, check)
    return Report(case, tuple(lines))


def looked(case: Case, name: str, check: Check) -> list[Line]:
    """One check's lines; an error of the looking itself is a line too."""
    try:
        return check(case)
    except VmieError as error:
        return [unknown(name, error, f"{name}: cannot be looked at")]


def _bucket(aws: Aws, settings: Settings, option: str, role_name: str, *, export: bool) -> str:
    """The bucket's name alone: whether it is any good is for the checks to say."""
    try:
        found = buckets.named(
            aws, settings, option=option, purpose="export" if export else "import", role_name=role_name
        )
    except VmieError:
        return ""
    return found.name if found else ""
