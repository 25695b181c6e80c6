"""An export, planned: everything that can be known beforehand is looked at, nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vmie import events
from vmie.aws import ec2, exportable, iam, role_check, service_role
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, PreflightError, UsageError, says
from vmie.model import Finding, Task, TaskKind, Verdict
from vmie.ops import bucket as buckets
from vmie.ops import codec, idempotency
from vmie.ops.bucket import ChosenBucket
from vmie.ops.context import Context
from vmie.ops.export.judges import ExportFacts
from vmie.ops.export.rules import judge
from vmie.options import ExportRequest
from vmie.policy.service import export_asks
from vmie.settings import Settings

#: seconds for which a batch believes a list of active exports
_ACTIVE_FOR = 15.0


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What an export will do. `bucket` is None only when the bucket itself is what blocks."""

    request: ExportRequest
    bucket: ChosenBucket | None
    prefix: str
    role_name: str
    findings: tuple[Finding, ...] = field(default=(), metadata=codec.PASSING)

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """The findings that stop the export."""
        skip = self.request.skip_check
        return tuple(
            finding
            for finding in self.findings
            if finding.verdict is Verdict.FAIL and finding.rule not in skip and "all" not in skip
        )

    def refuse(self) -> None:
        """Raise PreflightError (exit 4) if something blocks."""
        if not self.blocking:
            return
        first = self.blocking[0]
        more = f" (and {len(self.blocking) - 1} more)" if len(self.blocking) > 1 else ""
        said = "\n".join(f"AWS would answer {finding.predicts}" for finding in self.blocking[:1] if finding.predicts)
        raise PreflightError(
            f"{self.request.source} cannot be exported: {first.message} [{first.rule}]{more}",
            cause="\n".join([*(f"{one.rule}: {one.message}" for one in self.blocking[1:]), said]).strip(),
            cure=first.actions,
            findings=self.findings,
            code=first.rule,
        )

    def as_json(self) -> dict[str, Any]:
        """What `--dry-run` prints."""
        request = self.request
        return {
            "call": "ExportImage" if request.is_image else "CreateInstanceExportTask",
            "source": request.source,
            "format": request.disk_format,
            "container": request.container or None,
            "target": None if request.is_image else request.environment,
            "role": self.role_name if request.is_image else None,
            "bucket": {"name": self.bucket.name, "from": self.bucket.origin} if self.bucket else None,
            "prefix": self.prefix,
            "download": request.download or None,
        }


def plan(context: Context, request: ExportRequest, *, begun: Mapping[str, Any] | None = None) -> ExportPlan:
    """Look at the instance or AMI, the bucket and the active exports, and judge them.

    An active export of the job itself is no other export. `begun` is what the job's journal says of its submission:
    then AWS has the task, and nothing is looked at any more. Raises UsageError, PreflightError (exit 4, with the
    findings) and AwsRefused.
    """
    aws, settings, reporter = context.aws, context.settings, context.reporter
    if request.download:
        _expect_folder(Path(request.download))
    role_name = request.role_name or settings.role_name
    if begun and {"bucket", "prefix", "bucket_from"} <= begun.keys():
        chosen = ChosenBucket(str(begun["bucket"]), str(begun["bucket_from"]))
        return ExportPlan(request, chosen, str(begun["prefix"]), role_name)
    reporter(events.Stage("check", request.source))
    found, elsewhere = _bucket(aws, request, settings)
    prefix = request.prefix if request.prefix is not None else settings.export_prefix
    facts = ExportFacts(
        request=request,
        account=aws.account,
        region=aws.region,
        source=exportable.image(aws, request.source) if request.is_image else exportable.instance(aws, request.source),
        bucket=exportable.bucket(aws, found.name, grants=not request.is_image) if found else None,
        elsewhere=elsewhere,
        key=f"{prefix}export-ami-0123456789abcdef0.vmdk",
        partition=aws.partition,
    )
    if request.is_image:
        facts = replace(
            facts, active=_active(aws, request.source, context.journal.job), **_role(aws, role_name, found, facts.key)
        )
    made = ExportPlan(
        request=request,
        bucket=found,
        prefix=prefix,
        role_name=role_name,
        findings=tuple(judge(facts)),
    )
    made.refuse()
    _report(made, reporter)
    return made


def _report(made: ExportPlan, reporter: events.Reporter) -> None:
    for finding in made.findings:
        if finding.verdict is not Verdict.PASS:
            level = "info" if finding.verdict is Verdict.UNKNOWN else "warning"
            how = "; ".join(["", *finding.cure.splitlines()])
            reporter(events.Note(f"{finding.message} [{finding.rule}]{how}", level))
    if made.bucket is not None:
        reporter(events.Note(f"exporting to the bucket {made.bucket.name} (from {made.bucket.origin})"))


def _bucket(aws: Aws, request: ExportRequest, settings: Settings) -> tuple[ChosenBucket | None, str]:
    """The bucket, or where it is when it is in another Region: that is a finding like the others."""
    try:
        chosen = buckets.resolve(aws, settings, option=request.bucket, purpose="export", role_name=request.role_name)
    except AwsRefused as error:
        if error.code != "BucketElsewhere":
            raise
        return None, error.message
    return chosen, ""


def _role(aws: Aws, name: str, chosen: ChosenBucket | None, key: str) -> dict[str, Any]:
    """What the role lacks to write `key` to the bucket. Raises AwsRefused (NoSuchRole) when there is no such role."""
    iam.expect_role(aws, name, bucket=chosen.name if chosen else "", export=True)
    if chosen is None:
        return {}
    try:
        role = service_role.look(aws, name)
    except AwsRefused:
        return {}  # who may export need not be allowed to read roles
    if role is None:
        return {}
    asks = export_asks(aws.partition, chosen.name, key)
    document = service_role.bucket_policy(aws, chosen.name)
    sure, doubtful = (
        service_role.lacks(aws, role, asks, resource_policy=document, owner=aws.account, generous=generous)
        for generous in (True, False)
    )
    found = sure or doubtful
    return {"role_lacks": role_check.missing(role, found) if found else "", "role_certain": bool(sure)}


def _active(aws: Aws, image_id: str, job: str) -> tuple[Task, ...]:
    """Other active exports of the AMI; none when they may not be listed, AWS itself will say."""
    try:
        tasks = aws.cached(
            "active exports", lambda: ec2.describe(aws, TaskKind.EXPORT_IMAGE, active_only=True), seconds=_ACTIVE_FOR
        )
    except AwsRefused:
        return ()
    return tuple(task for task in tasks if task.image_id == image_id and task.tags.get(idempotency.JOB_TAG) != job)


def _expect_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        said = says("{download} {folder}: this is not a folder", folder=folder)
        raise UsageError(said, cure="name a folder; it is made if need be")
