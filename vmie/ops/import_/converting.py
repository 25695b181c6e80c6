"""An import by the older calls, carried out: parts up, one task a disk, wait for all, attach, tag, tidy up.

disk 1 ──► parts ──► ImportInstance ──┐
disk 2 ──► parts ──► ImportVolume  ───┤ (in the instance's zone)
disk n ──► …                          ┴──► wait for all ──► attach ──► tag ──► remove parts
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from vmie import events, poll
from vmie.aws import conversions, ec2
from vmie.aws.session import Aws
from vmie.errors import Cancel, Interrupted, Resume, TaskFailed, VmieError
from vmie.model import Route, Task
from vmie.ops import waiting
from vmie.ops.import_ import idempotency, instance, parts, volume
from vmie.ops.import_.applying import ImportResult
from vmie.ops.import_.context import Work
from vmie.ops.import_.conversion_plan import ConversionPlan
from vmie.ops.journal import Journal
from vmie.poll import Clock
from vmie.settings import Settings

#: the service ends a task itself when it expires; it is given this long to say so
_EXPIRY_SECONDS = 900.0


def apply(
    aws: Aws,
    plan: ConversionPlan,
    *,
    journal: Journal,
    settings: Settings,
    clock: Clock,
    wait: bool = True,
    reporter: events.Reporter = events.silent,
) -> ImportResult:
    """Carry `plan` out, going on where `journal` says it stopped; no disk ever has two tasks at a time.

    Raises AwsRefused (exit 5), TaskFailed and DeadlineExceeded (exit 1), Interrupted (130). Parts are removed only
    after success; a failed task's parts stay for the next attempt, its manifest does not.
    """
    work = Work(aws, plan, journal, settings, clock, reporter)
    started = clock.now()
    try:
        return _run(work, plan, started, wait=wait)
    except KeyboardInterrupt:
        raise _interrupted(work, plan) from None
    except VmieError as error:
        error.result = {**_reached(work, plan), **error.result}
        raise


def _run(work: Work, plan: ConversionPlan, started: dt.datetime, *, wait: bool) -> ImportResult:
    tasks = submit(work, plan)
    done = _wait(work, plan, tasks) if wait else []
    if wait:
        finish(work, plan, done)
    ids = [one for task in done for one in task.volume_ids]
    first = done[0] if done else None
    return ImportResult(
        job=work.journal.job,
        route=plan.request.route,
        status=first.state.value if first else "active",
        task_id=str(tasks[0]["task_id"]),
        image_id=None,
        snapshot_ids=(),
        object=plan.disks[0].object.url,
        bytes_source=sum(planned.source_size for planned in plan.disks),
        bytes_sent=work.sent(),
        seconds=(work.clock.now() - started).total_seconds(),
        bucket_origin=plan.bucket.origin if plan.bucket else "",
        instance_id=first.instance_id if first else tasks[0]["instance_id"],
        volume_ids=tuple(ids),
    )


# --- submit ---------------------------------------------------------------------------------------


def submit(work: Work, plan: ConversionPlan, *, sent: bool = False) -> list[dict[str, Any]]:
    """A task for every disk that has none; what the journal keeps of each. `sent`: the parts are known to be there."""
    tasks: list[dict[str, Any]] = []
    zone = _zone(work, plan)
    for number, planned in enumerate(plan.conversions):
        known = idempotency.submitted(work, number)
        if known is None:
            if not sent:
                parts.send(work, number, planned)
            if number == 0 and plan.request.route is Route.INSTANCE:
                known = instance.submit(work, planned, zone=zone)
            else:
                known = volume.submit(work, number, planned, zone=zone)
        tasks.append(known)
        # A volume can be attached in its own zone only.
        zone = zone or str(known.get("zone") or "") or _asked(work, known)
    return tasks


def _zone(work: Work, plan: ConversionPlan) -> str:
    """The zone chosen, or that of an earlier attempt whose volumes may be there already."""
    earlier = [work.journal.get(idempotency.step("submit", number)) or {} for number in range(len(plan.disks))]
    return plan.zone or next((str(one["zone"]) for one in earlier if one.get("zone")), "")


def _asked(work: Work, known: dict[str, Any]) -> str:
    return conversions.zone_of_instance(work.aws, str(known["instance_id"])) if known.get("instance_id") else ""


# --- wait and finish ------------------------------------------------------------------------------


def _wait(work: Work, plan: ConversionPlan, tasks: list[dict[str, Any]]) -> list[Task]:
    """Every task's end, asked for all at once. Raises the first disk's failure, when all are known."""
    ids = [str(task["task_id"]) for task in tasks]
    work.reporter(events.Stage("convert", ", ".join(ids)))
    settings = replace(work.settings, deadline_seconds=_deadline(work.settings.deadline_seconds, tasks))
    poller = poll.Poller(
        lambda kind, wanted: ec2.describe(work.aws, kind, wanted, patient=False),
        clock=work.clock,
        settings=waiting.wait_settings(settings),
        transient=waiting.passing,
        cancel=lambda task, reason: ec2.cancel(work.aws, task, reason),
        report=work.reporter,
    )
    watches = [
        poller.watch(task_id, started=dt.datetime.fromisoformat(task["at"]), settle=True)
        for task_id, task in zip(ids, tasks, strict=True)
    ]
    poll.run(poller, clock=work.clock)
    failures: list[VmieError] = []
    for number, watch in enumerate(watches):
        if watch.error is not None:
            failures.append(watch.error)
            if isinstance(watch.error, TaskFailed):
                idempotency.failed(work, number)
                parts.drop_manifest(work, plan.conversions[number])
    if failures:
        raise failed(work, plan, failures)
    return [watch.result() for watch in watches]


def _deadline(wanted: float, tasks: list[dict[str, Any]]) -> float:
    """The seconds that the longest-lived task has: AWS ends one at its ExpirationTime, whatever we would allow."""
    lives = [
        (dt.datetime.fromisoformat(task["expires"]) - dt.datetime.fromisoformat(task["at"])).total_seconds()
        for task in tasks
        if task.get("expires")
    ]
    return min(wanted, max(1.0, max(lives) + _EXPIRY_SECONDS)) if len(lives) == len(tasks) else wanted


def failed(work: Work, plan: ConversionPlan, failures: list[VmieError]) -> VmieError:
    """The first failure, with what stays for the next attempt."""
    error = failures[0]
    if isinstance(error, TaskFailed):
        error = waiting.explained(error)
    others = [f"{one.message}: {one.cause}" for one in failures[1:]]
    error.add_cause(*others)
    kept = [f"s3://{one.object.bucket}/{one.stem}.part…" for one in plan.conversions if one.path is not None]
    if kept:
        error.add_cure(
            (
                Resume(work.journal.job, f"tries again with {', '.join(kept)}, which is kept"),
                Cancel(work.journal.job, "removes it"),
            )
        )
    return error


def finish(work: Work, plan: ConversionPlan, done: list[Task]) -> None:
    """Attach, tag and tidy up after completed tasks. Can be repeated."""
    work.reporter(events.Stage("finish", ""))
    instance_id = done[0].instance_id
    data = [one for task in done[1:] for one in task.volume_ids]
    if plan.request.attach_data_disks and instance_id:
        volume.attach(work, instance_id, data)
    volumes = [one for task in done for one in task.volume_ids]
    name = {"Name": plan.request.name} if plan.request.name else {}
    tags = {"vmie:job": work.journal.job, **name, **plan.request.tags}
    ec2.tag(work.aws, [*([instance_id] if instance_id else []), *volumes], tags, clock=work.clock)
    work.journal.put("finish", {"instance_id": instance_id, "volume_ids": volumes})
    for number, planned in enumerate(plan.conversions):
        if plan.request.keep_object:
            parts.drop_manifest(work, planned)
        else:
            parts.remove(work, number, planned)


# --- when it stops ----------------------------------------------------------------------------------


def _reached(work: Work, plan: ConversionPlan) -> dict[str, Any]:
    first = work.journal.get("submit") or {}
    return {
        "job": work.journal.job,
        "route": plan.request.route.value,
        "task_id": first.get("task_id"),
        "object": plan.disks[0].object.url,
        "bytes_sent": work.sent(),
    }


def _interrupted(work: Work, plan: ConversionPlan) -> Interrupted:
    known = [idempotency.submitted(work, number) for number in range(len(plan.disks))]
    ids = [str(task["task_id"]) for task in known if task is not None]
    job = work.journal.job
    cause = f"{', '.join(ids)} goes on in AWS" if ids else "the parts that were uploaded are kept and not sent again"
    return Interrupted(
        "interrupted",
        cause=cause,
        cure=(Resume(job, "goes on"), Cancel(job, "gives it up")),
        result=_reached(work, plan),
    )
