"""The stages as DBOS workflows, each on its own queue; nothing but this and `steps` knows DBOS.

    send    queue send-LABEL    so many at once per machine (uploads), by workers that listen to LABEL
    task    queue import|conversion|export partitioned by account and Region, so many at once over all machines
            queue held          those whose worker died: their items hold AWS's slots already
    finish  queue finish
    any     queue undo          of batches being cancelled: needs neither disks nor slots

A workflow's id is batch/item/round/stage: to enqueue it twice is to enqueue it once. What a stage does is in
`stages`; a step of DBOS that was cut off runs again, and finds in the item's journal what was done.

Executor ids are new with every process, so DBOS itself recovers nothing at launch: it would do so from the internal
queue, past every limit (dbos 3.4). The leader hands the workflows of dead executors back to queues. A queue's limit
bounds how many workflows wait for slots; the slot itself is the item's state (`slots`), which outlives the process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID

from vmie.batch.model import HOLDING, Cancelled, Item, Kind, Limits, State, Stopped
from vmie.batch.plan.wording import fault, told
from vmie.batch.run.diagnosis_cache import Diagnoses
from vmie.batch.run.resources import Crew
from vmie.batch.run.retry_policy import strikes_all
from vmie.batch.run.stages import Stages
from vmie.batch.run.steps import plain, step
from vmie.batch.store.locations import Hasty
from vmie.errors import TaskFailed, VmieError

#: bumped when a stage's steps change, so that DBOS replays no workflow of the other shape
SHAPE = "vmie-batch-1"

#: what carries out the stages of an item
StagesOf = Callable[[Crew, Item], Stages]

_FINISHERS = 8
_UNDOERS = 16
_HELD, _FINISH, _UNDO = "held", "finish", "undo"
#: an upload looks up after each part, a wait several times a second
_LEAVE_SECONDS = 10.0


class Flows:
    """DBOS, launched for one process; a context manager. There can be one at a time.

    It looks into each queue at every pause, so of the `kinds` only those that there may be something of are named.
    """

    def __init__(
        self,
        crew: Crew,
        *,
        url: str,
        worker: str,
        queues: Sequence[str],
        pause: float,
        stages: StagesOf = Stages,
        only_undo: bool = False,
        kinds: Collection[Kind] = tuple(Kind),
        regain: float = 0.0,
    ) -> None:
        self._crew = crew
        self._regain = regain
        self._kinds = tuple(kinds)
        self._only_undo = only_undo
        self._diagnoses = Diagnoses(settings=crew.settings, clock=crew.control)
        self._stages = stages
        self._worker = worker
        self._queues = tuple(queues)
        self._pause = pause
        self._config: DBOSConfig = {
            "name": "vmie",
            "system_database_url": url,
            "executor_id": worker,
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
            self._config["db_engine_kwargs"] = {"connect_args": {"factory": Hasty}, "pool_pre_ping": False}
        self._start: dict[str, Callable[..., Any]] = {}
        self._lock = threading.Lock()
        self._busy = 0
        #: whether every stage had stopped when this was left; none has begun before
        self.left = True
        self._returned: dict[str, str] = {}
        self._limits: dict[str, int] = {}

    def __enter__(self) -> Self:
        self.left = False
        logging.getLogger("dbos").setLevel(logging.CRITICAL)
        try:
            self._launch()
        except BaseException:
            DBOS.destroy(destroy_registry=True)
            raise
        return self

    def _launch(self) -> None:
        DBOS(config=self._config)
        for name in ("send", "task", "finish"):
            body = getattr(self, f"_{name}")
            self._start[name] = DBOS.workflow(name=name, max_recovery_attempts=None)(plain(body))
        kinds = [kind.value for kind in self._kinds]
        sends = [f"send-{label}" for label in self._queues]
        DBOS.listen_queues([_FINISH, _UNDO] if self._only_undo else [*sends, *kinds, _HELD, _FINISH, _UNDO])
        DBOS.launch()
        self._queue(_HELD)
        self._queue(_FINISH, worker_concurrency=_FINISHERS)
        self._queue(_UNDO, worker_concurrency=_UNDOERS)
        # Made so that workflows can wait in them; how many run at once is the leader's to say.
        usual = Limits()
        for kind in Kind:
            self._queue(kind.value, partition_concurrency=usual.of(kind), known="never_update")
        for send in sends:
            self._queue(send, worker_concurrency=usual.uploads, known="never_update")

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Whose work others may be at is not begun again here while a stage is still in the middle of something.
        why = self._crew.control.fault or (strikes_all(error) if error else None)
        lost = why is not None and why.code in ("SeatLost", "NoState")
        self.left = self.leave(within=max(self._regain, _LEAVE_SECONDS) if lost else _LEAVE_SECONDS)
        DBOS.destroy(destroy_registry=True)
        # DBOS leaves a handler that holds on to this run's stderr.
        logger = logging.getLogger("dbos")
        for handler in list(logger.handlers):
            logger.removeHandler(handler)

    def _queue(
        self, name: str, *, known: Literal["always_update", "never_update"] = "always_update", **limits: int
    ) -> None:
        DBOS.register_queue(name, polling_interval_sec=self._pause, on_conflict=known, **limits)  # type: ignore[arg-type]

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def leave(self, *, within: float) -> bool:
        """Ask every stage to stop where it is, and give them `within` seconds to do so; whether all of them did."""
        self._crew.control.stop()
        end = time.monotonic() + within
        while self._busy and time.monotonic() < end:
            time.sleep(0.05)
        return not self._busy

    def hand_back(self) -> None:
        """Give items that were taken and for which there was no room on this machine to whoever has some."""
        with self._lock:
            returned, self._returned = self._returned, {}
        for workflow, queue in returned.items():
            DBOS.resume_workflow(workflow, queue_name=queue)

    # --- for the leader -------------------------------------------------------------------------------

    def limit(self, *, slots: Mapping[Kind, int], uploads: Mapping[str, int]) -> None:
        """Bound how many tasks of a kind run or wait for a slot in a partition, and uploads on any machine by label."""
        wanted = {kind.value: most for kind, most in slots.items()}
        for name, most in wanted.items():
            if self._limits.get(name) != most:
                self._queue(name, partition_concurrency=most)
        sends = {f"send-{label}": most for label, most in uploads.items()}
        for name, most in sends.items():
            if self._limits.get(name) != most:
                self._queue(name, worker_concurrency=most)
        self._limits |= wanted | sends

    def send(self, item: Item, *, undo: bool = False) -> None:
        """Put an item on its way, or, of a batch being cancelled, out of it; twice is once."""
        self._enqueue(_UNDO if undo else f"send-{item.queue}", "send", item)

    def go_on(self, item: Item) -> None:
        """Put an item of a new round back to the task that it holds a slot for, or to its finish."""
        if item.state is State.FINISHING:
            self._enqueue(_FINISH, "finish", item)
        else:
            self._enqueue(_HELD, "task", item)

    def adopt(self, living: Callable[[], Collection[str]]) -> int:
        """Hand the workflows of executors that are not among the living back to queues; how many there were."""
        found = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        # Asked afterwards: who has joined in between is known before it takes anything.
        known = living()
        dead = [one for one in found if one.executor_id not in known]
        for one in dead:
            # Back in its own queue a task could wait for ever behind others that wait for its slot.
            DBOS.resume_workflow(one.workflow_id, queue_name=_HELD if one.name == "task" else one.queue_name)
        return len(dead)

    def give_up(self, batch: str) -> None:
        """Let whatever of a batch waits in a queue be undone by anybody: it may wait for a worker that never comes."""
        found = DBOS.list_workflows(
            status="ENQUEUED", workflow_id_prefix=f"{batch}/", load_input=False, load_output=False
        )
        for one in found:
            if one.queue_name not in (_UNDO, _FINISH):
                DBOS.resume_workflow(one.workflow_id, queue_name=_UNDO)

    def under_way(self, batch: str) -> set[str]:
        """``key/round`` of every item that a workflow stands for."""
        found = DBOS.list_workflows(
            status=["PENDING", "ENQUEUED"], workflow_id_prefix=f"{batch}/", load_input=False, load_output=False
        )
        return {"/".join(one.workflow_id.split("/")[1:3]) for one in found}

    def _enqueue(self, queue: str, stage: str, item: Item, *, partition: str | None = None) -> None:
        with (
            SetWorkflowID(_name(item, stage)),
            SetEnqueueOptions(queue_partition_key=partition),
        ):
            DBOS.enqueue_workflow(queue, self._start[stage], item.batch, item.key, item.round)

    # --- the workflows --------------------------------------------------------------------------------

    def _send(self, batch: str, key: str, number: int) -> None:
        def body(item: Item, stages: Stages) -> None:
            with self._crew.uploading(batch) as room:
                if not room:
                    with self._lock:
                        self._returned[_name(item, "send")] = f"send-{item.queue}"
                    raise Stopped
                if item.state in (State.WAITING, State.QUEUED):
                    self._crew.move(item, State.SENDING)
                step("check", stages.check)
                step("upload", stages.upload)
            self._crew.move(item, State.SENT, origins=(State.SENDING,))
            self._enqueue(item.kind.value, "task", item, partition=self._crew.partition(item))

        self._guarded(batch, key, number, body)

    def _task(self, batch: str, key: str, number: int) -> None:
        def body(item: Item, stages: Stages) -> None:
            self._crew.take_slot(item)
            while True:
                task_id = step("submit", stages.submit)
                self._crew.move(item, State.CONVERTING, origins=(State.SUBMITTING,), task_id=task_id)
                again = step("wait", lambda task_id=task_id: _waited(stages, task_id))  # type: ignore[misc]
                if not again:
                    break
                self._crew.move(item, State.SUBMITTING, origins=(State.CONVERTING,))
            self._crew.move(item, State.FINISHING, origins=HOLDING)
            self._enqueue(_FINISH, "finish", item)

        self._guarded(batch, key, number, body)

    def _finish(self, batch: str, key: str, number: int) -> None:
        def body(item: Item, stages: Stages) -> None:
            result = step("finish", stages.finish)
            self._crew.move(item, State.COMPLETED, result=result)

        # What AWS has completed is finished, also while the batch is being cancelled: there is nothing to undo.
        with self._crew.control.undoing():
            self._guarded(batch, key, number, body)

    def _guarded(self, batch: str, key: str, number: int, body: Callable[[Item, Stages], None]) -> None:
        """Do `body` unless the item has gone on without this workflow; its failure is the item's state."""
        crew = self._crew
        with self._at_work(), crew.heeding(), crew.control.working_for(batch):
            item = crew.store.item(batch, key)
            if item.round != number or item.state.ended:
                return
            # Known here before this process' next look: an item of a batch given up must not set out.
            crew.control.cancelling(crew.store.cancelling())
            try:
                with crew.heeding():
                    crew.control.check()
                    body(item, self._stages(crew, item))
            except Cancelled:
                self._undo(item)
            except VmieError as error:
                crew.move(item, State.FAILED, error=told(item, self._diagnoses.explain(error, item, crew.aws)))
            except Exception as error:
                crew.move(item, State.FAILED, error=fault(error).as_json())

    def _undo(self, item: Item) -> None:
        try:
            with self._crew.heeding():
                self._stages(self._crew, item).undo()
        except VmieError as error:
            self._crew.move(item, State.FAILED, error=told(item, error))
        else:
            self._crew.move(item, State.CANCELLED)


def _name(item: Item, stage: str) -> str:
    """A workflow's id."""
    return f"{item.batch}/{item.key}/{item.round}/{stage}"


def _waited(stages: Stages, task_id: str) -> bool:
    """Whether another task is to be started."""
    try:
        stages.wait(task_id)
    except TaskFailed as error:
        if stages.worth_another(error):
            return True
        raise
    return False
