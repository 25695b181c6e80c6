"""What a diagnosis is about, and what it says: one line per thing looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from vmie import partitions
from vmie.aws import identity, service_role
from vmie.aws.identity import Identity
from vmie.aws.service_role import ServiceRole
from vmie.aws.session import Aws
from vmie.errors import PYTHON, Action, Cure, Terms, VmieError, actions, lines_of
from vmie.model import Verdict
from vmie.ops import setup_role
from vmie.options import RoleRequest
from vmie.policy import permissions
from vmie.policy.permissions import Asked, JobKind, Scope
from vmie.poll import Clock
from vmie.settings import Settings

#: jobs that work as the service role; exports of instances write as a user of the service, and the older imports read
#: by presigned URLs
_BY_ROLE = (
    *(JobKind.IMPORT, JobKind.IMPORT_IMAGE, JobKind.IMPORT_IMAGE_EBS, JobKind.IMPORT_SNAPSHOT),
    *(JobKind.BATCH, JobKind.EXPORT, JobKind.EXPORT_IMAGE),
)
EXPORTS = (JobKind.EXPORT, JobKind.EXPORT_IMAGE, JobKind.EXPORT_INSTANCE)
_CONVERSIONS = (JobKind.IMPORT_INSTANCE, JobKind.IMPORT_VOLUME)
#: that need no bucket and no role: they go block by block, or launch what is there
_DIRECT = (
    JobKind.EBS,
    JobKind.IMPORT_SNAPSHOT_EBS,
    JobKind.IMPORT_VOLUME_EBS,
    JobKind.EXPORT_EBS,
    JobKind.READ_SNAPSHOT,
    JobKind.BOOT,
)
#: what an account can be looked at for
JOBS = (*_BY_ROLE, JobKind.EXPORT_INSTANCE, *_CONVERSIONS, JobKind.UPLOAD, *_DIRECT)
#: the last part of the key of an object that nobody writes: stands for every object of a job
SAMPLE = "vmie-doctor"


@dataclass(frozen=True, slots=True)
class Fix:
    """What `setup-role` would be asked for; `aborting` are buckets that get the lifecycle rule."""

    buckets: tuple[str, ...] = ()
    export_buckets: tuple[str, ...] = ()
    kms_keys: tuple[str, ...] = ()
    aborting: tuple[str, ...] = ()

    def __or__(self, other: Fix) -> Fix:
        """Both, each thing once."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__slots__)
        return Fix(*(tuple(dict.fromkeys((*mine, *theirs))) for mine, theirs in pairs))


@dataclass(frozen=True, slots=True)
class Line:
    """One thing looked at: `what` is so, `why` it matters, `how` to cure it; `fix` where vmie may mend it itself.

    `check` is the thing's stable name, `code` that of the refusal which an import would end with.
    """

    check: str
    verdict: Verdict
    what: str
    why: str = ""
    how: Cure = ()
    code: str = ""
    fix: Fix | None = None
    #: the policy statement that is missing, where one would mend it
    statement: Mapping[str, Any] | None = field(default=None, compare=False)

    @property
    def actions(self) -> tuple[Action, ...]:
        """What cures it."""
        return actions(self.how)

    @property
    def cure(self) -> str:
        """What cures it, in the library's own terms: one line each."""
        return self.cure_text(PYTHON)

    def cure_text(self, terms: Terms) -> str:
        """What cures it as one place writes it, one line each."""
        return lines_of(self.actions, terms)

    def as_json(self) -> dict[str, Any]:
        """One element of ``lines[]``."""
        return {
            "check": self.check,
            "verdict": self.verdict.value,
            "what": self.what,
            "why": self.why,
            "cure": self.cure,
            "fixable": self.fix is not None,
            "statement": dict(self.statement) if self.statement else None,
        }


def passed(check: str, what: str) -> Line:
    """All is well."""
    return Line(check, Verdict.PASS, what)


def unknown(check: str, error: VmieError, what: str = "") -> Line:
    """It could not be looked at: that is no fault of what was to be looked at."""
    why = f"{error.message}\n{error.cause}".strip() if what else error.cause
    return Line(check, Verdict.UNKNOWN, what or error.message, why, error.actions, error.code)


def refused(
    check: str, error: VmieError, *, fix: Fix | None = None, statement: Mapping[str, Any] | None = None
) -> Line:
    """What an import would be refused with, in the same words."""
    return Line(check, Verdict.FAIL, error.message, error.cause, error.actions, error.code, fix, statement)


def allowing(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """One statement that allows these (action, resource) pairs."""
    listed = list(pairs)
    named = list(dict.fromkeys(action for action, _ in listed))
    resources = list(dict.fromkeys(resource for _, resource in listed))
    return {"Effect": "Allow", "Action": named, "Resource": resources}


@dataclass(frozen=True)
class Case:
    """One account, Region and job. `bucket`, `key` and `prefix` may be ""; facts are read once, when asked for."""

    aws: Aws
    settings: Settings
    clock: Clock
    job: JobKind = JobKind.IMPORT
    bucket: str = ""
    key: str = ""
    role_name: str = "vmimport"
    prefix: str = ""
    #: keys of objects that must be readable, instead of a sample
    keys: Sequence[str] = field(default=())

    @property
    def exports(self) -> bool:
        """Whether the job writes to the bucket."""
        return self.job in EXPORTS

    @property
    def by_role(self) -> bool:
        """Whether the service works as its role, at least for a part of it."""
        return self.job in _BY_ROLE

    @property
    def by_grant(self) -> bool:
        """Whether the service writes as its own user, at least for a part of it."""
        return self.job in (JobKind.EXPORT, JobKind.EXPORT_INSTANCE)

    @property
    def converts(self) -> bool:
        """Whether its tasks are conversions, as those of the older imports."""
        return self.job in _CONVERSIONS

    @property
    def direct(self) -> bool:
        """Whether disks go block by block, and no task is asked for."""
        return self.job in _DIRECT

    @property
    def by_bucket(self) -> bool:
        """Whether it cannot be done without a bucket."""
        return permissions.wants_bucket([self.job])

    @property
    def sample(self) -> str:
        """A key that stands for all objects of the job."""
        return next(iter(self.keys), f"{self.prefix}{SAMPLE}")

    @cached_property
    def asks(self) -> tuple[Asked, ...]:
        """What the caller must be allowed for the job, each right on a resource that stands for all."""
        partition = partitions.named(self.aws.partition)
        scope = Scope(
            partition=partition.name,
            suffix=partition.suffix,
            region=self.aws.region,
            account=self.identity.account,
            buckets=(self.bucket,) if self.bucket else (),
            prefix=self.prefix,
            export_prefix=self.prefix,
            role=self.role_name,
        )
        return permissions.asks(self.job, scope, sample=SAMPLE)

    @cached_property
    def identity(self) -> Identity:
        """Who calls."""
        return identity.identity(self.aws)

    @cached_property
    def role(self) -> ServiceRole | None:
        """The service role; None when there is none. Raises AwsRefused when it may not be read."""
        return service_role.look(self.aws, self.role_name)

    def mendable(self, fix: Fix) -> Fix | None:
        """`fix`, if `setup-role` would carry it out without replacing what somebody else wrote."""
        try:
            planned = setup_role.plan(self.aws, self.request(fix))
        except VmieError:
            return None
        return fix if planned.changes and not planned.conflicts else None

    def request(self, fix: Fix) -> RoleRequest:
        """`fix` as `setup-role` takes it."""
        return RoleRequest(
            buckets=fix.buckets,
            export_buckets=fix.export_buckets,
            kms_keys=fix.kms_keys,
            role_name=self.role_name,
        )

    @property
    def wish(self) -> Fix:
        """The role as this job needs it."""
        if not self.bucket or not self.by_role:
            return Fix()
        return Fix(export_buckets=(self.bucket,)) if self.exports else Fix(buckets=(self.bucket,))
