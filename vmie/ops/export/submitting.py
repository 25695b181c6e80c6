"""An export, submitted: once, whatever becomes of AWS's answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vmie import events, poll
from vmie.aws import ec2
from vmie.aws.ec2_requests import ExportImage, ExportInstance
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, Run, VmieError
from vmie.model import Task, TaskKind
from vmie.ops import waiting
from vmie.ops.export.planning import JOB_TAG, ExportPlan
from vmie.ops.journal import Journal
from vmie.poll import Clock
from vmie.settings import Settings

#: how long an instance export that may have been made is looked for before it is asked for again
_SEARCH = {"unseen": poll.Patience(within=20, first=1.0, most=8.0)}


@dataclass
class Work:
    """One export under way: what every step needs."""

    aws: Aws
    plan: ExportPlan
    bucket: str
    journal: Journal
    settings: Settings
    clock: Clock
    reporter: events.Reporter
    #: shared by all exports of a batch; None for a gate of its own
    gate: poll.Gate | None = None


def submit(work: Work) -> dict[str, Any]:
    """Start the export when there is room for it; what the journal then keeps. Raises AwsRefused."""
    request = work.plan.request
    attempt = int((work.journal.get("attempt") or {}).get("number", 1))
    token = request.client_token or f"vmie-{hashlib.sha256(f'{work.journal.job}/{attempt}'.encode()).hexdigest()[:40]}"
    work.reporter(events.Stage("submit", "ExportImage" if request.is_image else "CreateInstanceExportTask"))
    call = _image_call(work, token) if request.is_image else _instance_call(work, token)
    try:
        task = waiting.submit(
            work.aws,
            work.plan.kind,
            call,
            settings=work.settings,
            clock=work.clock,
            reporter=work.reporter,
            gate=work.gate,
        )
    except AwsRefused as error:
        raise _refused(work, error) from error
    submitted = {
        "task_id": task.id,
        "at": work.clock.now().isoformat(),
        "bucket": work.bucket,
        "prefix": work.plan.prefix,
        "bucket_from": work.plan.bucket.origin if work.plan.bucket else "",
    }
    work.journal.put("submit", submitted)
    work.reporter(events.TaskSeen(task))
    return submitted


def _tags(work: Work) -> dict[str, str]:
    return {JOB_TAG: work.journal.job, **work.plan.request.tags}


def _image_call(work: Work, token: str) -> Callable[[], Task]:
    """ExportImage: the token makes a repeated call harmless."""
    request = work.plan.request
    made = ExportImage(
        request.source,
        format=request.disk_format,
        bucket=work.bucket,
        prefix=work.plan.prefix,
        token=token,
        description=request.description,
        role_name=work.plan.role_name,
        # The user's own token stands for one task, whoever asks: then nothing in the call may be of this job alone.
        tags=dict(request.tags) if request.client_token else _tags(work),
    )
    # Recorded before the call: whatever happens to the answer, the same token follows.
    work.journal.put("intent", {"token": token, "kind": TaskKind.EXPORT_IMAGE.value})
    return lambda: ec2.export_image(work.aws, made)


def marker(token: str) -> str:
    """What in a description tells one export from every other: CreateInstanceExportTask takes no token."""
    return f"[vmie {hashlib.sha256(token.encode()).hexdigest()[:16]}]"


def _instance_call(work: Work, token: str) -> Callable[[], Task]:
    """CreateInstanceExportTask, made idempotent by a marker in the description.

    Whenever an earlier call may have reached AWS - its answer was lost, or the process died - the task with the
    marker is looked for before another is asked for.
    """
    request, mark = work.plan.request, marker(token)
    made = ExportInstance(
        request.source,
        target=request.environment,
        format=request.disk_format,
        container=request.container,
        bucket=work.bucket,
        prefix=work.plan.prefix,
        description=f"{request.description} {mark}".strip(),
        tags=_tags(work),
    )
    unsure = bool(request.client_token) or (work.journal.get("intent") or {}).get("token") == token
    work.journal.put("intent", {"token": token, "kind": TaskKind.EXPORT_INSTANCE.value})

    def call() -> Task:
        nonlocal unsure
        if unsure and (found := _find(work, mark)) is not None:
            work.reporter(events.Note(f"{found.id} was made by an earlier call: it is used"))
            return found
        try:
            return ec2.export_instance(work.aws, made)
        except AwsRefused:
            raise
        except VmieError:
            # No answer, or a fault of AWS: the task may be there.
            unsure = True
            raise

    return call


def _find(work: Work, mark: str) -> Task | None:
    """The task with the marker that has not failed; looked for a while, since a new task may not be shown at once."""

    def look() -> Task:
        for task in ec2.describe(work.aws, TaskKind.EXPORT_INSTANCE):
            if mark in task.description and not task.state.failed:
                return task
        raise VmieError("not seen", code="unseen")

    def classify(error: BaseException) -> str:
        return "unseen" if isinstance(error, VmieError) and error.code == "unseen" else ""

    try:
        return poll.retrying(look, clock=work.clock, classify=classify, patience=_SEARCH)
    except VmieError as error:
        if error.code != "unseen":
            raise
        return None


def _refused(work: Work, error: AwsRefused) -> AwsRefused:
    """An instance that AWS does not export directly may be exported by way of an AMI."""
    source = work.plan.request.source
    if not work.plan.request.is_image and error.code in ("NotExportable", "UnsupportedOperation"):
        error.add_cure(
            (
                Run(
                    ("aws", "ec2", "create-image", "--instance-id", source, "--name", f"{source}-export"),
                    "by way of an AMI; then:",
                ),
                Run(("vmie", "export", "ami-…", "--format", work.plan.request.disk_format)),
            )
        )
    return error
