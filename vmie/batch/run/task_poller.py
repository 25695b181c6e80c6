"""Waiting for the tasks of a Region: one thread polls for all of them, one Describe per kind and round."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vmie import events, poll
from vmie.aws import ec2
from vmie.aws.session import Aws
from vmie.batch.model import Stopped
from vmie.batch.run.cancellation import Cancellation
from vmie.errors import VmieError
from vmie.model import Task, TaskKind
from vmie.ops import waiting
from vmie.settings import Settings

#: seconds after which a thread that waits for a task checks whether it is to stop
_CHECK_EVERY = 1.0
#: for how long others' tasks are counted once there was a sign of them, in seconds
_SHARED_FOR = 3600.0


class TaskPoller:
    """Polls the tasks of an account and Region. `wait` may be called from any thread."""

    def __init__(self, aws: Aws, *, settings: Settings, cancellation: Cancellation, report: events.Reporter) -> None:
        self._cancellation = cancellation
        pace = waiting.wait_settings(settings)
        self._low = pace.low
        self._poller = waiting.poller(aws, settings=pace, clock=cancellation, reporter=report)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._fault: BaseException | None = None

    def wait(self, tasks: Sequence[Mapping[str, Any]]) -> list[Task | VmieError]:
        """How each of the tasks ended, see `vmie.ops.waiting.wait`. Raises Stopped, Cancelled."""
        watches, ended = [], threading.Event()
        for task in tasks:
            begun = dt.datetime.fromisoformat(task["at"])
            watches.append(
                self._poller.watch(task["task_id"], started=begun, settle=True, on_done=lambda _: ended.set())
            )
        self._begin()
        while not all(watch.done for watch in watches):
            self._cancellation.check()
            if self._fault is not None:
                raise self._fault
            ended.wait(_CHECK_EVERY)
            ended.clear()
        return [waiting.ended(watch) for watch in watches]

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._poll, name="vmie-watch", daemon=True)
                self._thread.start()

    def _poll(self) -> None:
        """Poll at a steady pace: a task that joins waits for the next round, so that calls do not grow with tasks."""
        try:
            while True:
                self._poller.tick()
                self._cancellation.sleep(self._low)
        except Stopped:
            return
        except Exception as error:
            self._fault = error


def shared_gate(aws: Aws, *, settings: Settings, cancellation: Cancellation, report: events.Reporter) -> poll.Gate:
    """The gate that all submissions of this process to an account and Region go through.

    The queues keep our own tasks under the limit; others' tasks are counted while there is a sign of them: some at
    the first count, or a refusal of AWS within the last hour. So an account of our own costs no Describe per item.
    """
    since: dict[TaskKind, dt.datetime] = {}

    def active(kind: TaskKind) -> Iterable[str]:
        now = cancellation.now()
        if kind in since and (now - since[kind]).total_seconds() >= _SHARED_FOR:
            return []
        found = [task.id for task in ec2.describe(aws, kind, active_only=True)]
        since[kind] = now if found else now - dt.timedelta(seconds=_SHARED_FOR)
        return found

    def noting_refusals(event: events.Event, /) -> None:
        if isinstance(event, events.Note) and "AWS has no room" in event.text:
            since.clear()
        report(event)

    return poll.Gate(active, clock=cancellation, settings=waiting.gate_settings(settings), report=noting_refusals)
