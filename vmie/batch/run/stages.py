"""What is done at each stage of an item: the steps of its operation, cut where the batch's queues are.

Every function here can be repeated. What was done is in the item's journal, so that a repetition, by this process or
another one, continues from there.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from vmie.batch.model import Item
from vmie.batch.run.context import RunContext
from vmie.batch.run.retry_policy import another_task, persistently
from vmie.batch.store.journal import ItemJournal
from vmie.batch.store.state_errors import intact
from vmie.batch.store.store import EARLIER_PLAN
from vmie.errors import AwsRefused, Run, TaskFailed, VmieError
from vmie.model import Task
from vmie.ops import codec, expired_tasks, operations
from vmie.ops.operation import Operation

#: of a completed task: what another process needs to finish with it
_KEPT = ("id", "kind", "state", "image_id", "snapshot_ids", "instance_id", "volume_ids", "prefix_or_key")


class Stages:
    """The stages of one item, as one process carries them out."""

    def __init__(self, context: RunContext, item: Item) -> None:
        self._context = context
        self._item = item
        self._journal = ItemJournal(context.store, item)
        self._report = context.report_of(item)

    # --- send: check and upload ---------------------------------------------------------------------

    def check(self) -> None:
        """Plan the item and keep the plan, once. Raises what `Operation.plan` raises."""
        if self._journal.get("plan") is None:
            made = persistently(self._plan, clock=self._context.cancellation, report=self._report)
            self._journal.put("plan", made)

    def _plan(self) -> dict[str, Any]:
        operation = self._operation()
        if operation.resumed(self._journal.get(EARLIER_PLAN)) is not None:
            return operation.dump()
        try:
            operation.plan()
        except AwsRefused:
            operation.context.aws.forget()
            raise
        return operation.dump()

    def upload(self) -> None:
        """Send what AWS does not have yet."""
        for one in self._planned().uploads():
            persistently(one, clock=self._context.cancellation, report=self._report)

    # --- task: submit and wait ------------------------------------------------------------------------

    def submit(self) -> str:
        """Start the task, once; its id."""
        return self._planned().submit()

    def wait(self, task_id: str) -> None:
        """Wait for the task's end. Raises TaskFailed; then the next attempt is prepared already."""
        if (self._journal.get("task") or {}).get("id") == task_id:
            return
        operation = self._planned()
        try:
            done = operation.wait()
        except VmieError as error:
            if error.code == expired_tasks.UNKNOWN:
                # A retry asks for another task.
                operation.start_over_vanished()
                again = ("vmie", "batch", "resume", self._item.batch, "--retry-failed")
                error.add_cure(Run(again, "begins anew, if nothing came of it"))
            raise
        first, *others = (codec.dump(task, only=_KEPT) for task in done)
        self._journal.put("task", {**first, "others": others})

    def worth_another(self, error: TaskFailed) -> bool:
        """Whether this failure is one that another task may not meet, and not too many were tried."""
        made = self._planned().attempts - 1
        return another_task(error) and made < self._context.limits_of(self._item.batch).tries

    # --- finish ---------------------------------------------------------------------------------------

    def finish(self) -> dict[str, Any]:
        """Tag, register, tidy up; the item's result in the shape of a single import or export."""
        return persistently(self._finish, clock=self._context.cancellation, report=self._report)

    def _finish(self) -> dict[str, Any]:
        kept = self._journal.get("task") or {}
        done = [codec.load(Task, one) for one in (kept, *kept.get("others", ()))]
        began = dt.datetime.fromisoformat((self._journal.get("submit") or {})["at"])
        with self._context.proving(self._item):
            result: dict[str, Any] = self._planned().finish(done, began=began).as_json()
        return result

    # --- undo -----------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Cancel the task, wait for its end, remove what was uploaded. Raises what AWS refuses."""
        with self._context.cancellation.undoing():
            self._operation().undo(reason=f"cancelled with {self._item.batch}")

    # --- the operation ----------------------------------------------------------------------------------

    def _operation(self) -> Operation[Any, Any, Any]:
        item = self._item
        return operations.read(
            self._context.context_of(item, self._journal, self._report), item.kind.verb, item.request
        )

    def _planned(self) -> Operation[Any, Any, Any]:
        operation, kept = self._operation(), self._journal.get("plan") or {}
        with intact():
            return operation.load(kept)
