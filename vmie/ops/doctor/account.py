"""The account's quotas, its settings, and the network between."""

from __future__ import annotations

from vmie.aws import account, ec2, snapshots
from vmie.errors import Run, VmieError
from vmie.limits import EBS_PENDING_SNAPSHOTS
from vmie.model import TaskKind, Verdict
from vmie.ops.doctor.report import Case, Line, passed
from vmie.policy.permissions import JobKind

#: warn when so much of a quota is used
_NEARLY = 0.8
_BLOCK_SHARING = (
    *("aws", "ec2", "enable-image-block-public-access"),
    *("--image-block-public-access-state", "block-new-sharing"),
)


def quotas(case: Case) -> list[Line]:
    """There is room for another task."""
    if case.job is JobKind.UPLOAD:
        return []
    if case.direct:
        return _pending(case)
    kinds: tuple[TaskKind, ...]
    if case.converts:
        kinds, limit, name = (TaskKind.CONVERSION,), case.settings.conversion_limit, "conversion"
    elif case.exports:
        kinds, limit, name = (TaskKind.EXPORT_IMAGE, TaskKind.EXPORT_INSTANCE), case.settings.export_limit, "export"
    else:
        kinds, limit, name = (TaskKind.IMPORT_IMAGE, TaskKind.IMPORT_SNAPSHOT), case.settings.import_limit, "import"
    active = sum(len(ec2.describe(case.aws, kind, active_only=True)) for kind in kinds)
    what = f"{active} of {limit} {name} tasks are active in this account and Region"
    if active < limit * _NEARLY or (active < limit and limit - active > 1):
        return [passed("quota", what)]
    return [
        Line(
            "quota",
            Verdict.FAIL if active >= limit else Verdict.WARN,
            what,
            "AWS refuses another one until a task has ended" if active >= limit else "the next ones may have to wait",
            (
                "wait: an import queues by itself",
                Run(("vmie", "tasks", "list", "--state", "active"), "shows them"),
                f"ask for more in Service Quotas (vmimportexport), then set VMIE_{name.upper()}_LIMIT",
            ),
            "QuotaFull",
        )
    ]


def _pending(case: Case) -> list[Line]:
    """There is room for another snapshot that is written block by block."""
    limit, pending = EBS_PENDING_SNAPSHOTS.value, snapshots.pending(case.aws)
    if pending is None:
        return [Line("quota", Verdict.UNKNOWN, "how many snapshots are pending cannot be looked at")]
    found = len(pending)
    what = f"{found} of {limit} snapshots are pending in this account and Region"
    if found < limit * _NEARLY:
        return [passed("quota", what)]
    return [
        Line("quota", Verdict.WARN, what, "the next ones may have to wait", "wait: an import begins by itself then")
    ]


def public_access(case: Case) -> list[Line]:
    """Whether AMIs may be made public: imported ones are private in any case."""
    if case.exports:
        return []
    state = account.image_public_access(case.aws)
    if state == "block-new-sharing":
        return [passed("AMI sharing", "AMIs cannot be made public by mistake")]
    return [
        Line(
            "AMI sharing",
            Verdict.WARN,
            "AMIs of this account may be made public",
            "an imported machine holds its passwords and keys",
            Run(_BLOCK_SHARING),
        )
    ]


def endpoints(case: Case) -> list[Line]:
    """VPC endpoints with a policy of their own: calls from their networks pass it."""
    found = account.narrow_endpoints(case.aws)
    if not found:
        return []
    return [
        Line(
            "VPC endpoints",
            Verdict.WARN,
            f"VPC endpoints have policies of their own: {', '.join(found)}",
            "calls from those networks are allowed only what these policies allow",
            f"let them allow {case.bucket or 'the bucket'} and the EC2 import calls, or work from elsewhere",
        )
    ]


def listed(case: Case) -> list[Line]:
    """What Service Quotas prints of VM Import/Export."""
    try:
        shown = account.service_quotas(case.aws)
    except VmieError:
        return []
    return [passed("service quotas", ", ".join(f"{name}: {value:g}" for name, value in shown))] if shown else []
