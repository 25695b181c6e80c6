"""What the two ways of exporting have in common: the objects that come of it, their download, the result."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmie import events
from vmie.aws import download
from vmie.aws.listing import listing
from vmie.errors import AwsRefused, Set, UsageError, VmieError
from vmie.model import S3Object, Task, TaskKind, TaskState
from vmie.ops import expired_tasks, idempotency, tasks
from vmie.ops.export import planning
from vmie.ops.export.planning import ExportPlan
from vmie.ops.operation import Operation, RefusalSubject
from vmie.options import ExportRequest

#: written first by the service to try its grant, and left there (aws-facts 3.8)
_PROBES = ("vmimportexport_write_verification", "vmimportexport_write_verification.txt")


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export came to (contract: ``export``). `status` is active when it was not waited for.

    Of one by EBS direct `downloaded` are its files, and `blocks_read` what was read of the snapshots.
    """

    job: str
    status: str
    task_id: str
    location: str
    objects: tuple[S3Object, ...] = ()
    downloaded: tuple[str, ...] = ()
    seconds: float = 0.0
    bucket_from: str | None = None
    via: str = "s3"
    blocks_read: int = 0

    def as_json(self) -> dict[str, Any]:
        """The contracted shape."""
        direct = {"via": "ebs", "file": self.location, "blocks_read": self.blocks_read} if self.via == "ebs" else {}
        return {
            "job": self.job,
            "status": self.status,
            "task_id": self.task_id or None,
            "location": self.location,
            "objects": [item.url for item in self.objects],
            "downloaded": list(self.downloaded),
            "seconds": round(self.seconds, 3),
            "bucket_from": self.bucket_from,
            **direct,
        }


class ExportOperation(Operation[ExportRequest, ExportPlan, ExportResult]):
    """One export. What is exported says how its task is asked for."""

    verb = "export"
    plan_type = ExportPlan
    result_type = ExportResult
    made = ("its objects are in S3", "delete those")
    kept_so_far = "nothing was started yet, as far as is known"

    @property
    def source(self) -> str:
        """See `Operation.source`."""
        return self.request.source

    @property
    def repeatable(self) -> bool:
        """See `Operation.repeatable`: the same token is the same task, also when that is over."""
        return bool(self.request.client_token)

    def subject(self) -> RefusalSubject:
        """See `Operation.subject`."""
        request = self.request
        job = "export-image" if request.source.startswith("ami-") else "export-instance"
        return RefusalSubject(job=job, bucket=request.bucket or "", role_name=request.role_name or "")

    def _planned(self) -> ExportPlan:
        return planning.plan(self.context, self.request, begun=self.submitted())

    @property
    def _bucket(self) -> str:
        if self.planned.bucket is None:
            raise UsageError("no bucket to export to", cure=Set("bucket"))
        return self.planned.bucket.name

    # --- submit ---------------------------------------------------------------------------------------

    @property
    def _token(self) -> str:
        return self.planned.request.client_token or idempotency.token_of(self.journal)

    @property
    def _tags(self) -> dict[str, str]:
        return {idempotency.JOB_TAG: self.journal.job, **self.planned.request.tags}

    @property
    def _place(self) -> dict[str, str]:
        """What the journal keeps of where it goes: who goes on looks at nothing any more."""
        origin = self.planned.bucket.origin if self.planned.bucket else ""
        return {"bucket": self._bucket, "prefix": self.planned.prefix, "bucket_from": origin}

    # --- the objects ----------------------------------------------------------------------------------

    def _result_of_vanished(self, task_id: str, error: VmieError) -> Task:
        """AWS forgets a task after seven days, its objects stay."""
        if not self._lying(task_id):
            raise error
        return Task(id=task_id, kind=TaskKind.of(task_id), state=TaskState.COMPLETED)

    def _left_nothing(self, number: int) -> bool:
        known = self.submitted(number) or {}
        return expired_tasks.left_nothing(self.context, known, buckets={self._bucket}, snapshots=False)

    def finish(self, done: Sequence[Task], *, began: dt.datetime) -> ExportResult:
        """See `Operation.finish`: name what was produced, download it."""
        objects = self._objects(done[0])
        return self._result(began, done[0].state.value, objects, self._fetch(objects))

    def begun(self, *, began: dt.datetime) -> ExportResult:
        """See `Operation.begun`."""
        return self._result(began, "active")

    def _result(
        self,
        began: dt.datetime,
        status: str,
        objects: tuple[S3Object, ...] = (),
        files: tuple[str, ...] = (),
    ) -> ExportResult:
        task_id = str((self.journal.get("submit") or {}).get("task_id"))
        return ExportResult(
            job=self.journal.job,
            status=status,
            task_id=task_id,
            location=self._location(task_id, objects),
            objects=objects,
            downloaded=files,
            seconds=self._seconds(began),
            bucket_from=self._place["bucket_from"] or None,
        )

    def _objects(self, task: Task) -> tuple[S3Object, ...]:
        """What lies in S3 under the task's name: one object per volume; the service's own probe is left out."""
        start = f"{self.planned.prefix}{task.id}"
        try:
            found = self._lying(task.id)
        except AwsRefused as error:
            known = S3Object(self._bucket, task.prefix_or_key or f"{start}{self._suffix}")
            self.context.reporter(
                events.Note(f"the objects cannot be listed ({error}); AWS names {known.url}", "warning")
            )
            return (known,)
        if not found:
            said = f"{task.id} is completed but nothing lies under s3://{self._bucket}/{start}"
            self.context.reporter(events.Note(said, "warning"))
        return found

    def _lying(self, task_id: str) -> tuple[S3Object, ...]:
        start = f"{self.planned.prefix}{task_id}"
        # `export-i-1` also begins the names of `export-i-12`: an object's name goes on with a dot or a dash.
        return tuple(
            item
            for item in listing(self.context.aws, self._bucket, start)
            if item.key[len(start) :][:1] in (".", "-", "_", "/") and item.key.rpartition("/")[2] not in _PROBES
        )

    @property
    def _suffix(self) -> str:
        return f".{self.planned.request.format}"

    def _location(self, task_id: str, objects: tuple[S3Object, ...]) -> str:
        """The object, where there is one; else what all their names begin with."""
        if len(objects) == 1:
            return objects[0].url
        return f"s3://{self._bucket}/{self.planned.prefix}{task_id}" + ("" if objects else self._suffix)

    def _fetch(self, objects: tuple[S3Object, ...]) -> tuple[str, ...]:
        """Download what was asked to be; the files. What an earlier run fetched is there already."""
        folder, context = self.planned.request.download, self.context
        if not folder:
            return ()
        done: dict[str, str] = dict(self.journal.get("downloaded") or {})
        for item in objects:
            if item.url in done and Path(done[item.url]).exists():
                continue
            context.reporter(events.Stage("download", f"{item.url} → {folder}"))
            path = download.download(context.aws, item, Path(folder), clock=context.clock, reporter=context.reporter)
            done[item.url] = str(path)
            self.journal.put("downloaded", done)
        return tuple(done[item.url] for item in objects)

    # --- when it stops --------------------------------------------------------------------------------

    def reached(self) -> dict[str, Any]:
        """See `Operation.reached`."""
        known = self.submitted() or {}
        return {"job": self.journal.job, **({"task_id": known["task_id"]} if known else {})}

    def undo(self, *, reason: str = "") -> dict[str, Any]:
        """The task is cancelled and waited out; AWS removes what it wrote so far.

        Raises AwsRefused when the task cannot be cancelled any more.
        """
        ended = [
            tasks.cancel(self.context, task_id, reason=reason, wait=True)
            for task_id in idempotency.task_ids(self.context, present=True)
        ]
        return {"task_id": ended[0].id, "task_status": ended[0].state.value} if ended else {"task_id": None}
