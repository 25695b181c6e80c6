"""The stages as DBOS workflows, each on its own queue; only this module knows DBOS.

    send    queue send-LABEL    so many at once per machine (uploads), by workers that listen to LABEL
    task    queue import|conversion|export partitioned by account and Region, so many at once over all machines
            queue held          those whose worker died: their items hold AWS's slots already
    finish  queue finish
    any     queue undo          of batches being cancelled: needs neither disks nor slots

A workflow's id is batch/item/round/stage: to enqueue it twice is to enqueue it once. A workflow that was cut off runs
again from its beginning, and finds in the item's journal what was done; docs/adr/0002 says why DBOS records no steps.

Executor ids are new with every process, so DBOS recovers nothing at launch: it would return each workflow to the queue
it came from, where a task whose item holds a slot can wait for ever behind tasks that wait for that slot. The leader
requeues the workflows of dead executors. A queue's limit bounds how many wait for slots; a slot is an item's state.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, Self

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID, WorkflowStatus

from vmie.batch.model import HOLDING, Cancelled, Item, ItemKind, Limits, State, Stopped
from vmie.batch.plan.wording import fault, item_error
from vmie.batch.run.context import RunContext
from vmie.batch.run.retry_policy import affects_all_items
from vmie.batch.run.serialization import JsonSerializer, refuse_pickles
from vmie.batch.run.stages import Stages
from vmie.batch.store.locations import UnsyncedConnection
from vmie.batch.store.state_errors import STATE_LOST
from vmie.errors import TaskFailed, VmieError

#: bumped when the workflows change, so that DBOS runs none that an older vmie began
SHAPE = "vmie-batch-3"

#: what carries out the stages of an item
StagesOf = Callable[[RunContext, Item], Stages]

_FINISHERS, _UNDOERS = 8, 16
_HELD, _FINISH, _UNDO = "held", "finish", "undo"
#: an upload checks after each part whether it is to stop, a wait several times a second
_STOP_WITHIN = 10.0


class Workflows:
    """DBOS, launched for one process; a context manager. There can be one at a time.

    It polls each queue at every pause, so only those of the `kinds` that there may be something of are named.
    """

    def __init__(
        self,
        context: RunContext,
        *,
        url: str,
        worker: str,
        queues: Sequence[str],
        pause: float,
        stages: StagesOf = Stages,
        only_undo: bool = False,
        kinds: Collection[ItemKind] = tuple(ItemKind),
        reconnect_within: float = 0.0,
    ) -> None:
        self._context = context
        self._reconnect_within = reconnect_within
        self._kinds = [kind.value for kind in kinds]
        self._sends = [f"send-{label}" for label in queues]
        self._only_undo = only_undo
        self._stages = stages
        self._pause = pause
        self._config: DBOSConfig = {
            "name": "vmie",
            "system_database_url": url,
            "executor_id": worker,
            "serializer": JsonSerializer(),
            "application_version": SHAPE,
            "log_level": "CRITICAL",
            "console_log_level": "CRITICAL",
            "use_listen_notify": False,
            "scheduler_polling_interval_sec": 3600.0,
        }
        if not url.startswith("sqlite"):
            self._config["sys_db_pool_size"] = 6
        else:
            # A file does not go away: it need not be asked whether it is there before each transaction.
            self._config["db_engine_kwargs"] = {"connect_args": {"factory": UnsyncedConnection}, "pool_pre_ping": False}
        self._start: dict[str, Callable[..., Any]] = {}
        self._lock = threading.Lock()
        self._busy = 0
        #: whether every stage had stopped when this was left; none has begun before
        self.settled = True
        self._returned: dict[str, str] = {}
        self._limits: dict[str, dict[str, int]] = {}

    def __enter__(self) -> Self:
        self.settled = False
        logging.getLogger("dbos").setLevel(logging.CRITICAL)
        refuse_pickles(self._context.cancellation.fail)
        try:
            self._launch()
        except BaseException:
            DBOS.destroy(destroy_registry=True)
            raise
        return self

    def _launch(self) -> None:
        DBOS(config=self._config)
        for name, body in (("send", self._send), ("task", self._task), ("finish", self._finish)):
            self._start[name] = DBOS.workflow(name=name, max_recovery_attempts=None)(self._workflow(body))
        DBOS.listen_queues([_FINISH, _UNDO, *([] if self._only_undo else [*self._sends, *self._kinds, _HELD])])
        DBOS.launch()
        self._queue(_HELD)
        self._queue(_FINISH, worker_concurrency=_FINISHERS)
        self._queue(_UNDO, worker_concurrency=_UNDOERS)
        # Made so that workflows can wait in them; how many run at once is the leader's to set.
        usual = Limits()
        for kind in ItemKind:
            self._queue(kind.value, partition_concurrency=usual.of(kind), keep=True)
        for send in self._sends:
            self._queue(send, worker_concurrency=usual.uploads, keep=True)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Others may have taken over: nothing begins anew here while a stage is still in the middle of a call.
        why = self._context.cancellation.fault or (affects_all_items(error) if error else None)
        lost = why is not None and why.code in STATE_LOST
        self.settled = self.stop(within=max(self._reconnect_within, _STOP_WITHIN) if lost else _STOP_WITHIN)
        DBOS.destroy(destroy_registry=True)
        # DBOS leaves a handler that keeps this run's stderr.
        logging.getLogger("dbos").handlers.clear()

    def _queue(self, name: str, *, keep: bool = False, **limits: int) -> None:
        """Make a queue, or set its limits where it is there already; with `keep` those it has stay."""
        known: Literal["always_update", "never_update"] = "never_update" if keep else "always_update"
        DBOS.register_queue(name, polling_interval_sec=self._pause, on_conflict=known, **limits)  # type: ignore[arg-type]

    def stop(self, *, within: float) -> bool:
        """Stop every stage where it is, and give them `within` seconds to do so; whether all of them did."""
        self._context.cancellation.stop()
        end = time.monotonic() + within
        while self._busy and time.monotonic() < end:
            time.sleep(0.05)
        return not self._busy

    def return_refused(self) -> None:
        """Return to its queue what this machine has no room for: DBOS knows one limit for all machines."""
        with self._lock:
            returned, self._returned = self._returned, {}
        for workflow, queue in returned.items():
            DBOS.resume_workflow(workflow, queue_name=queue)

    # --- for the leader -------------------------------------------------------------------------------

    def set_limits(self, *, slots: Mapping[ItemKind, int], uploads: Mapping[str, int]) -> None:
        """Bound how many tasks of a kind run or wait for a slot in a partition, and uploads on any machine by label."""
        wanted = {kind.value: {"partition_concurrency": most} for kind, most in slots.items()}
        wanted |= {f"send-{label}": {"worker_concurrency": most} for label, most in uploads.items()}
        for name, limits in wanted.items():
            if self._limits.get(name) != limits:
                self._queue(name, keep=False, **limits)
        self._limits |= wanted

    def send(self, item: Item, *, undo: bool = False) -> None:
        """Enqueue an item's first stage, or, in a batch being cancelled, its undoing; twice is once."""
        self._enqueue(_UNDO if undo else f"send-{item.queue}", "send", item)

    def resume(self, item: Item) -> None:
        """Enqueue an item of a new round for the task that it holds a slot for, or for its finish."""
        if item.state is State.FINISHING:
            self._enqueue(_FINISH, "finish", item)
        else:
            self._enqueue(_HELD, "task", item)

    def requeue_of_dead(self, live_workers: Callable[[], Collection[str]]) -> None:
        """Requeue the workflows of executors that are not alive; the audit begins anew what an older vmie began."""
        found = self._workflows("PENDING")
        # Asked afterwards: who has joined in between is known before it takes anything.
        alive = live_workers()
        for one in found:
            if one.executor_id not in alive:
                # Back in its own queue a task could wait for ever behind others that wait for its slot.
                DBOS.resume_workflow(one.workflow_id, queue_name=_HELD if one.name == "task" else one.queue_name)

    def undo_waiting(self, batch: str) -> None:
        """Let any worker undo what a batch has in queues: it may wait there for a worker that never comes."""
        for one in self._workflows("ENQUEUED", of=batch):
            if one.queue_name not in (_UNDO, _FINISH):
                DBOS.resume_workflow(one.workflow_id, queue_name=_UNDO)

    def under_way(self, batch: str) -> set[str]:
        """``key/round`` of every item that has a workflow."""
        return {"/".join(one.workflow_id.split("/")[1:3]) for one in self._workflows("PENDING", "ENQUEUED", of=batch)}

    def _workflows(self, *status: str, of: str = "") -> list[WorkflowStatus]:
        prefix = f"{of}/" if of else None
        return DBOS.list_workflows(
            status=list(status), workflow_id_prefix=prefix, app_version=SHAPE, load_input=False, load_output=False
        )

    def _enqueue(self, queue: str, stage: str, item: Item, *, partition: str | None = None) -> None:
        with SetWorkflowID(_id(item, stage)), SetEnqueueOptions(queue_partition_key=partition):
            DBOS.enqueue_workflow(queue, self._start[stage], item.batch, item.key, item.round)

    # --- the workflows --------------------------------------------------------------------------------

    def _workflow(self, body: Callable[[Item, Stages], None]) -> Callable[[str, str, int], None]:
        """A function of its own: DBOS marks what it registers, and a bound method cannot be marked."""

        def workflow(batch: str, key: str, number: int) -> None:
            self._guarded(batch, key, number, body)

        workflow.__qualname__ = workflow.__name__ = body.__name__
        return workflow

    def _send(self, item: Item, stages: Stages) -> None:
        context = self._context
        if context.put_back(item):
            return
        with context.uploading(item.batch) as room:
            if not room:
                with self._lock:
                    self._returned[_id(item, "send")] = f"send-{item.queue}"
                raise Stopped
            if item.state in (State.WAITING, State.QUEUED):
                context.move(item, State.SENDING)
            stages.check()
            stages.upload()
        context.move(item, State.SENT, origins=(State.SENDING,))
        self._enqueue(item.kind.value, "task", item, partition=context.partition(item))

    def _task(self, item: Item, stages: Stages) -> None:
        context = self._context
        context.take_slot(item)
        while True:
            task_id = stages.submit()
            context.move(item, State.CONVERTING, origins=(State.SUBMITTING,), task_id=task_id)
            try:
                stages.wait(task_id)
                break
            except TaskFailed as error:
                if not stages.worth_another(error):
                    raise
            context.move(item, State.SUBMITTING, origins=(State.CONVERTING,))
        context.move(item, State.FINISHING, origins=HOLDING)
        self._enqueue(_FINISH, "finish", item)

    def _finish(self, item: Item, stages: Stages) -> None:
        self._context.move(item, State.COMPLETED, result=stages.finish())

    def _guarded(self, batch: str, key: str, number: int, body: Callable[[Item, Stages], None]) -> None:
        """Do `body` unless the item has left this workflow behind; its failure becomes the item's state."""
        context = self._context
        with self._counted(), context.stopping_on_shared_failure(), context.cancellation.working_for(batch):
            item = context.store.item(batch, key)
            if item.round != number or item.state.ended:
                return
            # Known here before this process' next round: an item of a cancelled batch must not set out.
            context.cancellation.cancelling(context.store.cancelling())
            # What AWS has completed is finished, also in a batch being cancelled: there is nothing to undo.
            completed = context.cancellation.undoing() if item.state is State.FINISHING else nullcontext()
            try:
                with completed, context.stopping_on_shared_failure():
                    context.cancellation.check()
                    body(item, self._stages(context, item))
            except Cancelled:
                self._undo(item)
            except VmieError as error:
                context.move(
                    item, State.FAILED, error=item_error(item, context.diagnoses.explain(error, item, context.aws))
                )
            except Exception as error:
                context.move(item, State.FAILED, error=fault(error).as_json())

    def _undo(self, item: Item) -> None:
        try:
            with self._context.stopping_on_shared_failure():
                self._stages(self._context, item).undo()
        except VmieError as error:
            self._context.move(item, State.FAILED, error=item_error(item, error))
        else:
            self._context.move(item, State.CANCELLED)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1


def _id(item: Item, stage: str) -> str:
    """A workflow's id."""
    return f"{item.batch}/{item.key}/{item.round}/{stage}"
