"""An export, carried out: submit, wait, name what was produced, download. Every step is journalled."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmie import events
from vmie.aws import download
from vmie.aws.listing import listing
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, Cancel, Interrupted, Resume, TaskFailed, UsageError, VmieError
from vmie.model import S3Object, Task, TaskKind, TaskState
from vmie.ops import tasks, waiting
from vmie.ops.expired_tasks import UNKNOWN
from vmie.ops.export.planning import ExportPlan
from vmie.ops.export.submitting import Work, submit
from vmie.ops.journal import Journal
from vmie.poll import Clock
from vmie.settings import Settings

#: written first by the service to try its grant, and left there (aws-facts 3.8)
_PROBES = ("vmimportexport_write_verification", "vmimportexport_write_verification.txt")


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export came to (contract: ``export``). `status` is active when it was not waited for."""

    job: str
    status: str
    task_id: str
    location: str
    objects: tuple[S3Object, ...] = ()
    downloaded: tuple[str, ...] = ()
    seconds: float = 0.0
    bucket_origin: str = ""

    def as_json(self) -> dict[str, Any]:
        """The contracted shape."""
        return {
            "job": self.job,
            "status": self.status,
            "task_id": self.task_id,
            "location": self.location,
            "objects": [item.url for item in self.objects],
            "downloaded": list(self.downloaded),
            "seconds": round(self.seconds, 3),
            "bucket_from": self.bucket_origin or None,
        }


def apply(
    aws: Aws,
    plan: ExportPlan,
    *,
    journal: Journal,
    settings: Settings,
    clock: Clock,
    wait: bool = True,
    reporter: events.Reporter = events.silent,
) -> ExportResult:
    """Carry `plan` out, going on where `journal` says it stopped.

    Raises AwsRefused (exit 5), TaskFailed and DeadlineExceeded (exit 1), Interrupted (130).
    """
    if plan.bucket is None:
        raise UsageError("no bucket to export to", cure="name one with --bucket")
    work = Work(aws, plan, plan.bucket.name, journal, settings, clock, reporter)
    try:
        return _run(work, clock.now(), wait=wait)
    except KeyboardInterrupt:
        raise _interrupted(work) from None
    except VmieError as error:
        error.result = {**_reached(work), **error.result}
        raise


def _run(work: Work, started: dt.datetime, *, wait: bool) -> ExportResult:
    submitted = work.journal.get("submit") or submit(work)
    task_id = str(submitted["task_id"])
    status, objects, files = "active", tuple[S3Object, ...](), tuple[str, ...]()
    if wait:
        task = _wait(work, task_id, dt.datetime.fromisoformat(submitted["at"]))
        status = task.state.value
        objects = objects_of(work, task)
        files = fetch(work, objects)
    return ExportResult(
        job=work.journal.job,
        status=status,
        task_id=task_id,
        location=location(work, task_id, objects),
        objects=objects,
        downloaded=files,
        seconds=(work.clock.now() - started).total_seconds(),
        bucket_origin=work.plan.bucket.origin if work.plan.bucket else "",
    )


# --- wait, name, download --------------------------------------------------------------------------------


def _wait(work: Work, task_id: str, started: dt.datetime) -> Task:
    work.reporter(events.Stage("convert", task_id))
    try:
        return waiting.wait(
            work.aws, task_id, started=started, settings=work.settings, clock=work.clock, reporter=work.reporter
        )
    except TaskFailed:
        start_over(work)
        raise
    except VmieError as error:
        return vanished(work, task_id, error)


def vanished(work: Work, task_id: str, error: VmieError) -> Task:
    """The export as it must have ended: AWS forgets a task after seven days, its objects stay. Else raises `error`."""
    if error.code != UNKNOWN or not _lying(work, task_id):
        raise error
    return Task(id=task_id, kind=TaskKind.of(task_id), state=TaskState.COMPLETED)


def start_over(work: Work) -> None:
    """Remember that this attempt is over: the next one needs a token of its own, and a task of its own."""
    attempt = int((work.journal.get("attempt") or {}).get("number", 1))
    work.journal.put("attempt", {"number": attempt + 1})
    work.journal.put("submit", {})


def objects_of(work: Work, task: Task) -> tuple[S3Object, ...]:
    """What lies in S3 under the task's name: one object per volume; the service's own probe is left out."""
    start = f"{work.plan.prefix}{task.id}"
    try:
        ours = _lying(work, task.id)
    except AwsRefused as error:
        known = S3Object(work.bucket, task.prefix_or_key or f"{start}{_suffix(work)}")
        work.reporter(events.Note(f"the objects cannot be listed ({error}); AWS names {known.url}", "warning"))
        return (known,)
    if not ours:
        work.reporter(
            events.Note(f"{task.id} is completed but nothing lies under s3://{work.bucket}/{start}", "warning")
        )
    return ours


def _lying(work: Work, task_id: str) -> tuple[S3Object, ...]:
    start = f"{work.plan.prefix}{task_id}"
    # `export-i-1` also begins the names of `export-i-12`: an object's name goes on with a dot or a dash.
    return tuple(
        item
        for item in listing(work.aws, work.bucket, start)
        if item.key[len(start) :][:1] in (".", "-", "_", "/") and item.key.rpartition("/")[2] not in _PROBES
    )


def _suffix(work: Work) -> str:
    return f".{work.plan.request.format}"


def location(work: Work, task_id: str, objects: tuple[S3Object, ...]) -> str:
    """The object, where there is one; else what all their names begin with."""
    if len(objects) == 1:
        return objects[0].url
    return f"s3://{work.bucket}/{work.plan.prefix}{task_id}" + ("" if objects else _suffix(work))


def fetch(work: Work, objects: tuple[S3Object, ...]) -> tuple[str, ...]:
    """Download what was asked to be; the files. What an earlier run fetched is there already."""
    folder = work.plan.request.download
    if not folder:
        return ()
    done: dict[str, str] = dict(work.journal.get("downloaded") or {})
    for item in objects:
        if item.url in done and Path(done[item.url]).exists():
            continue
        work.reporter(events.Stage("download", f"{item.url} → {folder}"))
        path = download.download(work.aws, item, Path(folder), clock=work.clock, reporter=work.reporter)
        done[item.url] = str(path)
        work.journal.put("downloaded", done)
    return tuple(done[item.url] for item in objects)


# --- when it stops ---------------------------------------------------------------------------------------


def _reached(work: Work) -> dict[str, Any]:
    """What the JSON of a failure says."""
    submitted = work.journal.get("submit") or {}
    reached: dict[str, Any] = {"job": work.journal.job}
    if submitted.get("task_id"):
        reached["task_id"] = submitted["task_id"]
    return reached


def _interrupted(work: Work) -> Interrupted:
    reached = _reached(work)
    task = reached.get("task_id")
    job = work.journal.job
    cure = (Resume(job, "goes on"), Cancel(job, "stops the task as well" if task else "gives it up"))
    said = f"{task} goes on in AWS" if task else "nothing was started yet, as far as is known"
    return Interrupted("interrupted", cause=said, cure=cure, result=reached)


def undo(
    aws: Aws,
    journal: Journal,
    *,
    settings: Settings,
    clock: Clock,
    reason: str = "",
    reporter: events.Reporter = events.silent,
) -> dict[str, Any]:
    """Give an export up: its task is cancelled and waited out; AWS removes what it wrote so far.

    Raises AwsRefused when the task cannot be cancelled any more.
    """
    task_id = (journal.get("submit") or {}).get("task_id")
    if not task_id:
        return {"task_id": None}
    ended = tasks.cancel(aws, str(task_id), settings=settings, clock=clock, reason=reason, wait=True, reporter=reporter)
    return {"task_id": ended.id, "task_status": ended.state.value}
