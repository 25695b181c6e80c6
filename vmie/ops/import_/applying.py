"""An import, carried out: upload, submit, wait, finish. Every step is journalled, so each can be begun again."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import Any

from vmie import events
from vmie.aws import ec2, objects
from vmie.aws.ec2_requests import DiskSource, Encryption, ImportImage, ImportSnapshot, RegisterImage
from vmie.aws.session import Aws
from vmie.errors import Cancel, Interrupted, Resume, TaskFailed, VmieError
from vmie.model import Route, Task, TaskKind
from vmie.ops import expired_tasks, waiting
from vmie.ops.import_ import uploading
from vmie.ops.import_.context import Work
from vmie.ops.import_.planning import ImportPlan
from vmie.ops.journal import Journal
from vmie.poll import Clock
from vmie.settings import Settings


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import came to (contract: ``import``). `status` is active when it was not waited for."""

    job: str
    route: Route
    status: str
    task_id: str
    image_id: str | None
    snapshot_ids: tuple[str, ...]
    object: str
    bytes_source: int
    bytes_sent: int
    seconds: float
    bucket_origin: str = ""
    instance_id: str | None = None
    volume_ids: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The contracted shape."""
        return {
            "job": self.job,
            "route": self.route.value,
            "status": self.status,
            "task_id": self.task_id,
            "image_id": self.image_id,
            "snapshot_ids": list(self.snapshot_ids),
            "instance_id": self.instance_id,
            "volume_id": self.volume_ids[0] if self.volume_ids else None,
            "volume_ids": list(self.volume_ids),
            "object": self.object,
            "bytes_source": self.bytes_source,
            "bytes_sent": self.bytes_sent,
            "seconds": round(self.seconds, 3),
            "bucket_from": self.bucket_origin or None,
        }


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

    Raises AwsRefused (exit 5), TaskFailed and DeadlineExceeded (exit 1), Interrupted (130). The object is
    deleted only after success; a failed task's object stays, and the error says where.
    """
    work = Work(aws, plan, journal, settings, clock, reporter)
    started = clock.now()
    try:
        return _run(work, started, wait=wait)
    except KeyboardInterrupt:
        raise _interrupted(work) from None
    except VmieError as error:
        error.result = {**_reached(work), **error.result}
        raise


def _run(work: Work, started: dt.datetime, *, wait: bool) -> ImportResult:
    submitted = work.submitted()
    if submitted is None:
        for number, planned in enumerate(work.plan.disks):
            uploading.upload_disk(work, number, planned)
        submitted = submit(work)
    task_id = str(submitted["task_id"])
    task: Task | None = None
    image_id: str | None = None
    if wait:
        task = _wait(work, task_id, dt.datetime.fromisoformat(submitted["at"]))
        image_id = finish(work, task)
    return ImportResult(
        job=work.journal.job,
        route=work.plan.request.route,
        status=task.state.value if task else "active",
        task_id=task_id,
        image_id=image_id,
        snapshot_ids=task.snapshot_ids if task else (),
        object=work.plan.disks[0].object.url,
        bytes_source=sum(planned.source_size for planned in work.plan.disks),
        bytes_sent=work.sent(),
        seconds=(work.clock.now() - started).total_seconds(),
        bucket_origin=work.plan.bucket.origin if work.plan.bucket else "",
    )


# --- submit ---------------------------------------------------------------------------------------


def submit(work: Work) -> dict[str, Any]:
    """Start the task of this attempt once there is room for it; what the journal then keeps. Raises AwsRefused."""
    request = work.plan.request
    kind = TaskKind.IMPORT_IMAGE if request.route is Route.IMAGE else TaskKind.IMPORT_SNAPSHOT
    token = request.client_token or _token(work.journal.job, work.attempt())
    work.reporter(events.Stage("submit", "ImportImage" if kind is TaskKind.IMPORT_IMAGE else "ImportSnapshot"))
    # The token is fixed before the call: whatever happens to the answer, the same call gives the same task.
    work.journal.put("intent", {"token": token, "kind": kind.value})
    task = waiting.submit(
        work.aws,
        kind,
        lambda: _call(work, token),
        settings=work.settings,
        clock=work.clock,
        reporter=work.reporter,
        gate=work.gate,
    )
    submitted = {"task_id": task.id, "at": work.clock.now().isoformat(), "attempt": work.attempt()}
    work.journal.put("submit", submitted)
    work.reporter(events.TaskSeen(task))
    return submitted


def _token(job: str, attempt: int) -> str:
    return "vmie-" + hashlib.sha256(f"{job}/{attempt}".encode()).hexdigest()[:40]


def _call(work: Work, token: str) -> Task:
    request, plan = work.plan.request, work.plan
    encryption = Encryption(request.kms_key) if request.encrypted or request.kms_key else None
    description = request.description or f"vmie {request.client_token or work.journal.job}"
    # The user's own token stands for one task, whoever asks: then nothing in the call may be of this job alone.
    tags = {key: value for key, value in _tags(work).items() if key != "vmie:job" or not request.client_token}
    sources = [DiskSource(format=planned.choice.aws_format, object=planned.object) for planned in plan.disks]
    if request.route is Route.SNAPSHOT:
        return ec2.import_snapshot(
            work.aws,
            ImportSnapshot(
                disk=sources[0],
                token=token,
                description=description,
                encryption=encryption,
                role_name=plan.role_name,
                tags=tags,
            ),
        )
    return ec2.import_image(
        work.aws,
        ImportImage(
            disks=sources,
            token=token,
            description=description,
            architecture=request.architecture,
            platform=request.platform,
            boot_mode=request.boot_mode,
            license_type=request.license_type,
            usage_operation=request.usage_operation,
            license_configurations=request.license_configurations,
            encryption=encryption,
            role_name=plan.role_name,
            tags=tags,
        ),
    )


def _tags(work: Work) -> dict[str, str]:
    name = {"Name": work.plan.request.name} if work.plan.request.name else {}
    return {"vmie:job": work.journal.job, **name, **work.plan.request.tags}


# --- wait and finish ------------------------------------------------------------------------------


def _wait(work: Work, task_id: str, started: dt.datetime) -> Task:
    work.reporter(events.Stage("convert", task_id))
    try:
        return waiting.wait(
            work.aws, task_id, started=started, settings=work.settings, clock=work.clock, reporter=work.reporter
        )
    except TaskFailed as error:
        raise explained(work, error) from error
    except VmieError as error:
        return expired_tasks.imported(work.aws, task_id, error)


def explained(work: Work, error: TaskFailed) -> TaskFailed:
    """Remember that this attempt is over - the next one needs a token of its own - and say where the object is."""
    work.journal.put("attempt", {"number": work.attempt() + 1})
    kept = [planned.object.url for planned in work.plan.disks if planned.ours]
    if kept:
        error.add_cure(
            (
                Resume(work.journal.job, f"tries again with {', '.join(kept)}, which is kept"),
                Cancel(work.journal.job, "removes it"),
            )
        )
    return error


def finish(work: Work, task: Task) -> str | None:
    """Tag, register and tidy up after a completed task; the AMI's id, where there is one. Can be repeated."""
    request = work.plan.request
    work.reporter(events.Stage("finish", ""))
    image_id = task.image_id
    if request.register:
        image_id = _register(work, task)
    results = [*task.snapshot_ids, *([image_id] if image_id else [])]
    # Tags given to the call go on the task only (aws-facts 1.15).
    ec2.tag(work.aws, results, _tags(work), clock=work.clock)
    work.journal.put("finish", {"image_id": image_id, "snapshot_ids": list(task.snapshot_ids)})
    if not request.keep_object:
        for planned in work.plan.disks:
            if planned.ours:
                objects.delete(work.aws, planned.object)
    return image_id


def _register(work: Work, task: Task) -> str:
    request = work.plan.request
    waiting.snapshot_ready(
        work.aws, task.snapshot_ids[0], settings=work.settings, clock=work.clock, reporter=work.reporter
    )
    return ec2.register_image(
        work.aws,
        RegisterImage(
            name=request.register,
            snapshot_id=task.snapshot_ids[0],
            description=request.description,
            architecture=request.architecture or "x86_64",
            boot_mode=request.boot_mode,
            volume_type=request.volume_type,
            imds_v2=request.imds_v2,
            tags=_tags(work),
        ),
    )


# --- when it stops ----------------------------------------------------------------------------------


def _reached(work: Work) -> dict[str, Any]:
    submitted = work.journal.get("submit") or {}
    return {
        "job": work.journal.job,
        "route": work.plan.request.route.value,
        "task_id": submitted.get("task_id"),
        "object": work.plan.disks[0].object.url,
        "bytes_sent": work.sent(),
    }


def _interrupted(work: Work) -> Interrupted:
    submitted = work.submitted()
    job = work.journal.job
    if submitted is None:
        cause = "what was uploaded so far is kept and not sent again"
        cure = (Resume(job, "goes on"), Cancel(job, "gives it up"))
    else:
        cause = f"{submitted['task_id']} goes on in AWS"
        cure = (Resume(job, "waits on"), Cancel(job, "stops the task as well"))
    return Interrupted("interrupted", cause=cause, cure=cure, result=_reached(work))
