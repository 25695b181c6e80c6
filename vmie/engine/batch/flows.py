"""The stages as DBOS workflows, each on its own queue: the only place that knows DBOS.

    send    queue send-LABEL    so many at once per machine (uploads), by workers that listen to LABEL
    task    queue import|conversion|export partitioned by account and Region, so many at once over all machines
    finish  queue finish

A workflow's id is batch/item/round/stage: to enqueue it twice is to enqueue it once. What a stage does is in
`stages`; a step of DBOS that was cut off runs again, and finds in the item's journal what was done.

Executor ids are new with every process, so DBOS itself recovers nothing at launch: it would do so from the internal
queue, past every limit (dbos 3.4). The leader hands the workflows of dead executors back to their own queues.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID

from vmie.engine.batch.crew import Crew
from vmie.engine.batch.diagnosing import Diagnoses
from vmie.engine.batch.model import Cancelled, Item, Kind, State
from vmie.engine.batch.stages import Stages
from vmie.errors import TaskFailed, VmieError

#: bumped when a stage's steps change, so that DBOS replays no workflow of the other shape
SHAPE = "vmie-batch-1"

#: what carries out the stages of an item
StagesOf = Callable[[Crew, Item], Stages]

_FINISHERS = 8
#: an upload looks up after each part, a wait several times a second
_LEAVE_SECONDS = 10.0


class Flows:
    """DBOS, launched for one process; a context manager. There can be one at a time."""

    def __init__(
        self,
        crew: Crew,
        *,
        url: str,
        worker: str,
        queues: Sequence[str],
        pause: float,
        stages: StagesOf = Stages,
    ) -> None:
        self._crew = crew
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
        self._start: dict[str, Callable[..., Any]] = {}
        self._lock = threading.Lock()
        self._busy = 0

    def __enter__(self) -> Self:
        logging.getLogger("dbos").setLevel(logging.CRITICAL)
        DBOS(config=self._config)
        for name in ("send", "task", "finish"):
            body = getattr(self, f"_{name}")
            self._start[name] = DBOS.workflow(name=name, max_recovery_attempts=None)(_plain(body))
        labels = [f"send-{label}" for label in self._queues]
        DBOS.listen_queues([*labels, *(kind.value for kind in Kind), "finish"])
        DBOS.launch()
        for label in labels:
            self._queue(label, worker_concurrency=self._crew.limits.uploads)
        for kind in Kind:
            self._queue(kind.value, partition_concurrency=self._crew.limits.of(kind))
        self._queue("finish", worker_concurrency=_FINISHERS)
        return self

    def __exit__(self, *_: object) -> None:
        self.leave(within=_LEAVE_SECONDS)
        DBOS.destroy(destroy_registry=True)
        # DBOS leaves a handler that holds on to this run's stderr.
        logger = logging.getLogger("dbos")
        for handler in list(logger.handlers):
            logger.removeHandler(handler)

    def _queue(self, name: str, **limits: int) -> None:
        DBOS.register_queue(name, polling_interval_sec=self._pause, on_conflict="always_update", **limits)  # type: ignore[arg-type]

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def leave(self, *, within: float) -> None:
        """Ask every stage to stop where it is, and give them `within` seconds to do so."""
        self._crew.control.stop()
        end = time.monotonic() + within
        while self._busy and time.monotonic() < end:
            time.sleep(0.05)

    # --- for the leader -------------------------------------------------------------------------------

    def send(self, item: Item) -> None:
        """Put an item on its way; twice is once."""
        self._enqueue(f"send-{item.queue}", "send", item)

    def adopt(self, executors: Iterable[str]) -> int:
        """Hand the workflows of dead executors back to their own queues; how many there were."""
        dead = list(executors)
        if not dead:
            return 0
        found = DBOS.list_workflows(status="PENDING", executor_id=dead, load_input=False, load_output=False)
        for one in found:
            DBOS.resume_workflow(one.workflow_id, queue_name=one.queue_name)
        return len(found)

    def under_way(self, batch: str) -> set[str]:
        """``key/round`` of every item that a workflow stands for."""
        found = DBOS.list_workflows(
            status=["PENDING", "ENQUEUED"], workflow_id_prefix=f"{batch}/", load_input=False, load_output=False
        )
        return {"/".join(one.workflow_id.split("/")[1:3]) for one in found}

    def _enqueue(self, queue: str, stage: str, item: Item, *, partition: str | None = None) -> None:
        with (
            SetWorkflowID(f"{item.batch}/{item.key}/{item.round}/{stage}"),
            SetEnqueueOptions(queue_partition_key=partition),
        ):
            DBOS.enqueue_workflow(queue, self._start[stage], item.batch, item.key, item.round)

    # --- the workflows --------------------------------------------------------------------------------

    def _send(self, batch: str, key: str, number: int) -> None:
        def body(item: Item, stages: Stages) -> None:
            if item.state in (State.WAITING, State.QUEUED):
                self._crew.move(item, State.SENDING)
            _step("check", stages.check)
            _step("upload", stages.upload)
            self._crew.move(item, State.SENT, origins=(State.SENDING,))
            self._enqueue(item.kind.value, "task", item, partition=self._crew.partition(item))

        self._guarded(batch, key, number, body)

    def _task(self, batch: str, key: str, number: int) -> None:
        def body(item: Item, stages: Stages) -> None:
            while True:
                self._crew.move(item, State.SUBMITTING, origins=(State.SENT, State.CONVERTING))
                task_id = _step("submit", stages.submit)
                self._crew.move(item, State.CONVERTING, origins=(State.SUBMITTING,), task_id=task_id)
                again = _step("wait", lambda task_id=task_id: _waited(stages, task_id))  # type: ignore[misc]
                if not again:
                    break
            self._crew.move(item, State.FINISHING, origins=HELD)
            self._enqueue("finish", "finish", item)

        self._guarded(batch, key, number, body)

    def _finish(self, batch: str, key: str, number: int) -> None:
        def body(item: Item, stages: Stages) -> None:
            result = _step("finish", stages.finish)
            self._crew.move(item, State.COMPLETED, result=result)

        # What AWS has completed is finished, also while the batch is being cancelled: there is nothing to undo.
        with self._crew.control.undoing():
            self._guarded(batch, key, number, body)

    def _guarded(self, batch: str, key: str, number: int, body: Callable[[Item, Stages], None]) -> None:
        """Do `body` unless the item has gone on without this workflow; its failure is the item's state."""
        crew = self._crew
        item = crew.store.item(batch, key)
        if item.round != number or item.state.ended:
            return
        with self._at_work(), crew.control.working_for(batch):
            try:
                crew.control.check()
                body(item, self._stages(crew, item))
            except Cancelled:
                self._undo(item)
            except VmieError as error:
                crew.move(item, State.FAILED, error=_told(item, self._diagnoses.explain(error, item, crew.aws)))
            except Exception as error:
                crew.move(item, State.FAILED, error=_fault(error).as_json())

    def _undo(self, item: Item) -> None:
        try:
            self._stages(self._crew, item).undo()
        except VmieError as error:
            self._crew.move(item, State.FAILED, error=_told(item, error))
        else:
            self._crew.move(item, State.CANCELLED)


HELD = (State.SUBMITTING, State.CONVERTING)


def _plain(body: Callable[[str, str, int], None]) -> Callable[[str, str, int], None]:
    """A function of its own: DBOS marks what it registers, and a bound method cannot be marked."""

    def workflow(batch: str, key: str, number: int) -> None:
        body(batch, key, number)

    workflow.__qualname__ = workflow.__name__ = body.__name__
    return workflow


def _step(name: str, call: Callable[[], Any]) -> Any:
    """A step of DBOS that records a failure as its result: errors of ours would have to be unpickled."""
    return DBOS.run_step({"name": name}, call)


def _waited(stages: Stages, task_id: str) -> bool:
    """Whether another task is to be started."""
    try:
        stages.wait(task_id)
    except TaskFailed as error:
        if stages.worth_another(error):
            return True
        raise
    return False


def _told(item: Item, error: VmieError) -> dict[str, Any]:
    """The failure, with the commands of a single job in its cure replaced by the batch's."""
    shown = error.as_json()
    cure = str(shown["cure"]).replace(f"vmie cancel {item.job}", f"vmie batch cancel {item.batch}")
    return {**shown, "cure": cure.replace(f"vmie resume {item.job}", f"vmie batch resume {item.batch} --retry-failed")}


def _fault(error: Exception) -> VmieError:
    return VmieError(
        f"unexpected {type(error).__name__}: {error}", cause="this is a fault of vmie", cure="report it", code="Fault"
    )
