"""The one wait loop: a `Poller` asks once per kind and tick for all tasks, however many wait.

Law 4 lives here: a task that is `deleting` or `cancelling` has failed, an unknown status is an error, and a
Describe that fails in passing never ends a wait.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import tenacity

from vmie.errors import DeadlineExceeded, VmieError
from vmie.events import Note, Reporter, TaskSeen, silent
from vmie.model import Task, TaskKind, TaskState
from vmie.poll import endings
from vmie.poll.clock import Clock
from vmie.poll.watch import SHOWN_FOR, WaitSettings, Watch

#: All tasks of a kind that have one of the ids and that AWS shows; those it does not show are left out.
Describe = Callable[[TaskKind, Sequence[str]], Iterable[Task]]
Transient = Callable[[BaseException], bool]
Cancel = Callable[[str, str], None]


class Poller:
    """Waits for any number of tasks with one Describe per kind and tick.

    Drive it with `tick()` until that answers None (`wait_for` does); `watch` may be called from any thread and at
    any time. `transient` says of a failed Describe whether to go on; `cancel(task_id, reason)` is called when a
    task's time is up.
    """

    def __init__(
        self,
        describe: Describe,
        *,
        clock: Clock,
        settings: WaitSettings | None = None,
        transient: Transient = lambda error: False,
        cancel: Cancel | None = None,
        report: Reporter = silent,
    ) -> None:
        self._describe = describe
        self._clock = clock
        self._settings = settings or WaitSettings()
        self._transient = transient
        self._cancel = cancel
        self._report = report
        self._lock = threading.Lock()
        self._watches: dict[str, Watch] = {}
        self._due: dict[TaskKind, dt.datetime] = {}
        self._outage: dict[TaskKind, int] = {}

    def watch(
        self,
        task: Task | str,
        *,
        started: dt.datetime | None = None,
        settle: bool = False,
        on_done: Callable[[Watch], None] | None = None,
    ) -> Watch:
        """Begin to wait for a task (or its id; ValueError for no such id).

        `started` is when AWS took it, now by default: the deadline counts from there. With `settle` the wait
        ends only when the task is terminal - until then its source object is still needed -, else the moment the
        outcome is known. `on_done` is called from `tick`.
        """
        now = self._clock.now()
        task_id = task if isinstance(task, str) else task.id
        kind = TaskKind.of(task_id) if isinstance(task, str) else task.kind
        with self._lock:
            if (known := self._watches.get(task_id)) is not None:
                return known
            watch = Watch(task_id, kind, started or now, now, settle=settle, on_done=on_done)
            watch.task = None if isinstance(task, str) else task
            self._watches[task_id] = watch
            self._due[kind] = now
        return watch

    def expect_cancel(self, task_id: str, reason: str = "") -> None:
        """Say that we asked AWS to cancel this task: its end is then reported as a cancellation, not a failure."""
        with self._lock:
            if task_id in self._watches:
                self._watches[task_id].cancelled = reason

    @property
    def waiting(self) -> list[Watch]:
        """What is still being waited for."""
        with self._lock:
            return list(self._watches.values())

    def tick(self) -> float | None:
        """Look at every kind whose time has come. The seconds until the next look, None when nothing is left."""
        now = self._clock.now()
        kinds = {watch.kind for watch in self.waiting}
        for kind in sorted(kinds):
            if self._due.get(kind, now) <= now:
                self._look(kind)
        left = {watch.kind for watch in self.waiting}
        if not left:
            return None
        now = self._clock.now()
        return max(0.0, min((self._due.get(kind, now) - now).total_seconds() for kind in left))

    def _look(self, kind: TaskKind) -> None:
        watches = [watch for watch in self.waiting if watch.kind is kind]
        try:
            found = {task.id: task for task in self._describe(kind, [watch.id for watch in watches])}
        except VmieError as error:
            self._describe_failed(kind, watches, error)
            return
        now = self._clock.now()
        if self._outage.pop(kind, 0) >= _TELL_OUTAGE:
            self._report(Note("AWS answers again"))
        for watch in watches:
            task = found.get(watch.id)
            if task is None:
                self._unseen(watch, now)
            else:
                self._seen(watch, task, now)
            self._check_deadline(watch, now)
        self._plan(kind, [watch for watch in watches if not watch.done], now)

    def _plan(self, kind: TaskKind, watches: Collection[Watch], now: dt.datetime) -> None:
        if not watches:
            return
        factor = min(self._factor(watch, now) for watch in watches)
        pause = factor * self._clock.uniform(self._settings.low, self._settings.high)
        # A watch that joined while we looked is due at once, and stays so.
        with self._lock:
            joined = any(watch.kind is kind and watch not in watches for watch in self._watches.values())
        self._due[kind] = now if joined else now + dt.timedelta(seconds=pause)

    def _factor(self, watch: Watch, now: dt.datetime) -> float:
        settings = self._settings
        if watch.task is None or watch.seen is None or watch.task.state is not TaskState.ACTIVE:
            return 0.5
        if watch.changed and (now - watch.changed).total_seconds() >= settings.stale_after:
            return settings.stale
        return settings.slow if watch.task.stage.lower().startswith(settings.slow_stages) else 1.0

    def _describe_failed(self, kind: TaskKind, watches: Sequence[Watch], error: VmieError) -> None:
        if not self._transient(error):
            for watch in watches:
                self._finish(watch, error)
            return
        now = self._clock.now()
        count = self._outage[kind] = self._outage.get(kind, 0) + 1
        if (count >= _TELL_OUTAGE and count & (count - 1) == 0) or count == _TELL_OUTAGE:
            self._report(
                Note(f"{count} looks in a row failed ({error}); the tasks go on in AWS, still waiting", "warning")
            )
        for watch in watches:
            self._check_deadline(watch, now)
        high = min(self._settings.outage_high, self._settings.high * 2 ** min(count - 1, 16))
        self._due[kind] = now + dt.timedelta(seconds=self._clock.uniform(high / 2, high))

    def _seen(self, watch: Watch, task: Task, now: dt.datetime) -> None:
        last = watch.task
        if (
            last is None
            or watch.seen is None
            or (last.state, last.stage, last.progress)
            != (
                task.state,
                task.stage,
                task.progress,
            )
        ):
            watch.changed, watch.reported = now, 0
            self._report(TaskSeen(task))
        watch.task, watch.seen = task, now
        # `deleting` may carry the reason and `deleted` may not (aws-facts 1.12).
        watch.message = task.message or watch.message
        if task.state is TaskState.UNKNOWN:
            self._finish(watch, endings.unknown(task))
        elif task.state is TaskState.COMPLETED:
            self._completed(watch, task, now)
        elif task.state.failed:
            self._failed(watch, task, now)
        else:
            self._tell_stale(watch, task, now)

    def _completed(self, watch: Watch, task: Task, now: dt.datetime) -> None:
        watch.ended = watch.ended or now
        if not endings.lacks_ids(task):
            self._finish(watch, None)
        elif (now - watch.ended).total_seconds() >= self._settings.settle_within:
            self._report(Note(f"{task.id} is completed but AWS names no result", "warning"))
            self._finish(watch, None)

    def _failed(self, watch: Watch, task: Task, now: dt.datetime) -> None:
        watch.ended = watch.ended or now
        if not isinstance(watch.error, DeadlineExceeded):
            watch.error = endings.failure(watch, task)
        late = (now - watch.ended).total_seconds() >= self._settings.terminal_within
        if not watch.settle or task.state.terminal or late:
            self._finish(watch, watch.error)

    def _tell_stale(self, watch: Watch, task: Task, now: dt.datetime) -> None:
        quiet = int((now - (watch.changed or now)).total_seconds() // self._settings.stale_after)
        if quiet > watch.reported:
            watch.reported = quiet
            hours = quiet * self._settings.stale_after / 3600
            stage = task.stage or task.state.value
            self._report(Note(f"{task.id} has been {stage} for {hours:.3g} h without a change; still waiting"))

    def _unseen(self, watch: Watch, now: dt.datetime) -> None:
        last = watch.seen or watch.since
        if watch.error is not None:
            # We know already that it failed; gone is as terminal as deleted.
            self._finish(watch, watch.error)
        elif now - watch.started >= SHOWN_FOR or (now - last).total_seconds() >= self._settings.visible_within:
            self._finish(watch, endings.gone(watch, now))

    def _check_deadline(self, watch: Watch, now: dt.datetime) -> None:
        over = (now - watch.started).total_seconds() - self._settings.deadline
        if watch.done or over < 0:
            return
        if isinstance(watch.error, DeadlineExceeded):
            # Cancelled for its age: wait for its end if somebody needs to know it, though not for ever.
            if over >= self._settings.terminal_within:
                self._finish(watch, watch.error)
        elif watch.task is None or not watch.task.state.failed:
            self._give_up(watch)

    def _give_up(self, watch: Watch) -> None:
        asked = False
        if self._cancel is not None:
            try:
                self._cancel(watch.id, f"not finished within {self._settings.deadline / 86400:.3g} days")
                asked = True
            except VmieError as error:
                self._report(Note(f"{watch.id} could not be cancelled: {error}", "warning"))
        watch.error = endings.overdue(watch, self._settings.deadline, cancelled=asked)
        if asked:
            watch.cancelled = "its time is up"
        if not watch.settle or not asked:
            self._finish(watch, watch.error)

    def _finish(self, watch: Watch, error: VmieError | None) -> None:
        with self._lock:
            if watch.done:
                return
            watch.error, watch.done = error, True
            if isinstance(error, DeadlineExceeded) and watch.task is not None and watch.seen is not None:
                error.result["status"] = watch.task.state.value
            self._watches.pop(watch.id, None)
        if watch.on_done is not None:
            watch.on_done(watch)


#: Two failed looks are everyday; the third is worth a word.
_TELL_OUTAGE = 3


def wait_for(
    tasks: Sequence[Task | str],
    describe: Describe,
    *,
    clock: Clock,
    settings: WaitSettings | None = None,
    transient: Transient = lambda error: False,
    cancel: Cancel | None = None,
    report: Reporter = silent,
    started: dt.datetime | None = None,
    settle: bool = False,
    cancelled: Mapping[str, str] | None = None,
) -> list[Task]:
    """Wait until all `tasks` have an outcome; the completed tasks, in order.

    Raises the first failure in that order, once all are known. Every change is reported as `TaskSeen`. `cancelled`:
    ids that we asked AWS to cancel, with the reason. See `Poller.watch` for `started` and `settle`. A
    KeyboardInterrupt passes through: the tasks go on in AWS.
    """
    poller = Poller(describe, clock=clock, settings=settings, transient=transient, cancel=cancel, report=report)
    watches = [poller.watch(task, started=started, settle=settle) for task in tasks]
    for task_id, reason in (cancelled or {}).items():
        poller.expect_cancel(task_id, reason)
    run(poller, clock=clock)
    return [watch.result() for watch in watches]


def run(poller: Poller, *, clock: Clock) -> None:
    """Drive `poller` until nothing is left to wait for."""
    loop = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda pause: pause is not None),
        wait=lambda state: float(state.outcome.result() or 0) if state.outcome else 0.0,
        sleep=clock.sleep,
    )
    loop(poller.tick)
