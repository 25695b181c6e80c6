"""What is done at each stage of an item, with the steps of `vmie.ops`. Every function here can be repeated.

Each answers with the state the item is in afterwards. What was done is in the item's journal, so that a repetition,
by this process or another one, goes on from there.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from vmie.batch.model import Item, Kind
from vmie.batch.run.context import RunContext
from vmie.batch.run.conversion_stages import Conversion
from vmie.batch.run.retry_policy import another_task, persistently
from vmie.batch.store import serialize
from vmie.batch.store.journal import ItemJournal
from vmie.errors import AwsRefused, Run, TaskFailed, VmieError
from vmie.model import Task
from vmie.ops import expired_tasks, export, import_
from vmie.ops.export import ExportRequest
from vmie.ops.export import applying as exporting
from vmie.ops.export import submitting as export_submitting
from vmie.ops.import_ import ImportRequest
from vmie.ops.import_ import applying as importing
from vmie.ops.import_.context import Work
from vmie.ops.import_.conversion_plan import ConversionPlan
from vmie.ops.import_.uploading import upload_disk


class Stages:
    """The stages of one item, as one process carries them out."""

    def __init__(self, context: RunContext, item: Item) -> None:
        self._context = context
        self._item = item
        self._journal = ItemJournal(context.store, item)
        self._report = context.report_of(item)

    # --- send: check and upload ---------------------------------------------------------------------

    def check(self) -> None:
        """Think the item through and keep the plan. Raises what `plan` of the ops raises."""
        if self._journal.get("plan") is None:
            made = persistently(self._plan, clock=self._context.control, report=self._report)
            self._journal.put("plan", made)

    def _plan(self) -> dict[str, Any]:
        try:
            return self._thought()
        except AwsRefused:
            self._context.aws(self._item).forget()
            raise

    def _thought(self) -> dict[str, Any]:
        context, item = self._context, self._item
        aws = context.aws(item)
        if item.kind is Kind.EXPORT:
            made = export.plan(
                aws,
                ExportRequest.from_json(item.request),
                settings=context.settings,
                job=item.job,
                begun=self._journal.get("submit"),
                reporter=self._report,
            )
            return serialize.export_plan(made)
        thought = import_.plan(
            aws,
            ImportRequest.from_json(item.request),
            settings=context.settings,
            job=item.job,
            clock=context.control,
            begun=import_.submitted(self._journal) is not None,
            reporter=self._report,
        )
        return serialize.import_plan(thought)

    def upload(self) -> None:
        """Send what AWS does not have yet."""
        if self._item.kind is Kind.EXPORT:
            return
        if self._item.kind is Kind.CONVERSION:
            self._conversion().upload(lambda call: persistently(call, clock=self._context.control, report=self._report))
            return
        work = self._import()
        if work.submitted() is not None or self._journal.get("finish") is not None:
            return
        for number, planned in enumerate(work.plan.disks):
            persistently(
                lambda number=number, planned=planned: upload_disk(work, number, planned),  # type: ignore[misc]
                clock=self._context.control,
                report=self._report,
            )

    # --- task: submit and wait ------------------------------------------------------------------------

    def submit(self) -> str:
        """Start the task, once; its id."""
        if self._item.kind is Kind.EXPORT:
            begun = self._journal.get("submit") or export_submitting.submit(self._export())
        elif self._item.kind is Kind.CONVERSION:
            return self._conversion().submit()
        else:
            work = self._import()
            begun = work.submitted() or importing.submit(work)
        return str(begun["task_id"])

    def wait(self, task_id: str) -> None:
        """Wait for the task's end. Raises TaskFailed; then the next attempt is prepared already."""
        if (self._journal.get("task") or {}).get("id") == task_id:
            return
        if self._item.kind is Kind.CONVERSION:
            watcher = self._context.watcher(self._item)
            ended = self._conversion().wait(lambda one, started: watcher.wait(one, started=started))
            self._journal.put("task", ended)
            return
        begun = dt.datetime.fromisoformat((self._journal.get("submit") or {})["at"])
        try:
            done = self._context.watcher(self._item).wait(task_id, started=begun)
        except TaskFailed as error:
            if self._item.kind is Kind.EXPORT:
                exporting.start_over(self._export())
            else:
                importing.explained(self._import(), error)
            raise
        except VmieError as error:
            done = self._vanished(task_id, error)
        self._journal.put("task", serialize.task(done))

    def _vanished(self, task_id: str, error: VmieError) -> Task:
        """What a task that AWS shows no more has left. Else raises `error`; who then retries asks for another task."""
        export = self._item.kind is Kind.EXPORT
        try:
            if export:
                return exporting.vanished(self._export(), task_id, error)
            return expired_tasks.imported(self._context.aws(self._item), task_id, error)
        except VmieError:
            if error.code == expired_tasks.UNKNOWN:
                if export:
                    exporting.start_over(self._export())
                else:
                    self._journal.put("attempt", {"number": self._import().attempt() + 1})
                error.add_cure(
                    Run(
                        ("vmie", "batch", "resume", self._item.batch, "--retry-failed"),
                        "begins anew, if nothing came of it",
                    )
                )
            raise

    def worth_another(self, error: TaskFailed) -> bool:
        """Whether this failure is one that another task may not meet, and not too many were tried."""
        if self._item.kind is Kind.CONVERSION:
            made = self._conversion().attempts() - 1
        else:
            made = int((self._journal.get("attempt") or {}).get("number", 1)) - 1
        return another_task(error) and made < self._context.limits_of(self._item.batch).tries

    # --- finish ---------------------------------------------------------------------------------------

    def finish(self) -> dict[str, Any]:
        """Tag, register, tidy up; the item's result in the shape of a single import or export."""
        return persistently(self._finish, clock=self._context.control, report=self._report)

    def _finish(self) -> dict[str, Any]:
        done = serialize.to_task(self._journal.get("task") or {})
        begun = dt.datetime.fromisoformat((self._journal.get("submit") or {})["at"])
        seconds = (self._context.control.now() - begun).total_seconds()
        if self._item.kind is Kind.EXPORT:
            exported = self._export()
            made = exporting.objects_of(exported, done)
            files = exporting.fetch(exported, made)
            return export.ExportResult(
                job=self._item.job,
                status=done.state.value,
                task_id=done.id,
                location=exporting.location(exported, done.id, made),
                objects=made,
                downloaded=files,
                seconds=seconds,
                bucket_origin=exported.plan.bucket.origin if exported.plan.bucket else "",
            ).as_json()
        if self._item.kind is Kind.CONVERSION:
            return self._conversion().finish(self._journal.get("task") or {}, seconds=seconds)
        work = self._import()
        image_id = importing.finish(work, done)
        return import_.ImportResult(
            job=self._item.job,
            route=work.plan.request.route,
            status=done.state.value,
            task_id=done.id,
            image_id=image_id,
            snapshot_ids=done.snapshot_ids,
            object=work.plan.disks[0].object.url,
            bytes_source=sum(planned.source_size for planned in work.plan.disks),
            bytes_sent=work.sent(),
            seconds=seconds,
            bucket_origin=work.plan.bucket.origin if work.plan.bucket else "",
        ).as_json()

    # --- undo -----------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Cancel the task, wait for its end, remove what was uploaded. Raises what AWS refuses."""
        context = self._context
        with context.control.undoing():
            giving_up = export.undo if self._item.kind is Kind.EXPORT else import_.undo
            giving_up(
                context.aws(self._item),
                self._journal,
                settings=context.settings,
                clock=context.control,
                reason=f"cancelled with {self._item.batch}",
                reporter=self._report,
            )

    # --- the ops' own view ------------------------------------------------------------------------------

    def _import(self) -> Work:
        context = self._context
        return Work(
            context.aws(self._item),
            serialize.to_import_plan(self._journal.get("plan") or {}),
            self._journal,
            context.settings,
            context.control,
            self._report,
            context.gate(self._item),
        )

    def _conversion(self) -> Conversion:
        work = self._import()
        if not isinstance(work.plan, ConversionPlan):
            raise TypeError(f"{self._item.key} has a plan of another route")
        return Conversion(work, work.plan)

    def _export(self) -> export_submitting.Work:
        context = self._context
        plan = serialize.to_export_plan(self._journal.get("plan") or {})
        return export_submitting.Work(
            context.aws(self._item),
            plan,
            plan.bucket.name if plan.bucket else "",
            self._journal,
            context.settings,
            context.control,
            self._report,
            context.gate(self._item),
        )
