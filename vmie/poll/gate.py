"""The gate in front of AWS's quotas: hold a submission until there is room, and queue when AWS says there is none.

AWS counts active tasks per account and Region: ImportImage and ImportSnapshot together, ImportInstance and
ImportVolume together, both exports together (aws-facts 3.3). Tasks that others started count too, so the gate asks
AWS, with one Describe of the active tasks per kind.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import tenacity

from vmie.errors import DeadlineExceeded, Run, VmieError
from vmie.events import Note, Reporter, silent
from vmie.model import Task, TaskKind
from vmie.poll.clock import Clock

#: The ids of the active tasks of a kind, whoever started them.
Active = Callable[[TaskKind], Iterable[str]]

#: What a failure is, so that the gate knows which of them time cures.
Classify = Callable[[BaseException], str]
#: the class of failure that ends when another task does
WAIT = "wait-for-quota"


def by_code(error: BaseException) -> str:
    """The class of a failure where nothing more is known of it: AWS calls a quota that is used up …LimitExceeded.

    A throttle is one too, by name: RequestLimitExceeded.
    """
    code = error.code if isinstance(error, VmieError) else ""
    return WAIT if code.endswith("LimitExceeded") and not code.startswith("Request") else ""


class Pool(StrEnum):
    """What AWS counts together."""

    IMPORTS = "import"
    CONVERSIONS = "conversion"
    EXPORTS = "export"

    @property
    def kinds(self) -> tuple[TaskKind, ...]:
        """The kinds of task that share the pool."""
        return _KINDS[self]

    @classmethod
    def of(cls, kind: TaskKind) -> Pool:
        """The pool that a kind of task is counted in."""
        return next(pool for pool, kinds in _KINDS.items() if kind in kinds)


_KINDS: Mapping[Pool, tuple[TaskKind, ...]] = {
    Pool.IMPORTS: (TaskKind.IMPORT_IMAGE, TaskKind.IMPORT_SNAPSHOT),
    Pool.CONVERSIONS: (TaskKind.CONVERSION,),
    Pool.EXPORTS: (TaskKind.EXPORT_IMAGE, TaskKind.EXPORT_INSTANCE),
}


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Active tasks allowed (the seed's numbers; AWS raises them on request) and the pace of asking, in seconds.

    `recount`: for how long a count of the active tasks is good for other submissions too. `within`: how long to
    queue at most.
    """

    imports: int = 20
    conversions: int = 5
    exports: int = 5
    low: float = 15.0
    high: float = 60.0
    recount: float = 10.0
    tell_every: float = 900.0
    within: float = 7 * 86400.0

    def faster(self, speed: float) -> GateSettings:
        """The same pace for a world whose time runs `speed` times as fast: the sandbox."""
        return replace(self, low=self.low / speed, high=self.high / speed, recount=self.recount / speed)

    def limit(self, pool: Pool) -> int:
        """The active tasks that AWS allows in a pool."""
        return {Pool.IMPORTS: self.imports, Pool.CONVERSIONS: self.conversions, Pool.EXPORTS: self.exports}[pool]


class Gate:
    """Lets submissions through while there is room. One for an account and Region; threads may share it.

    `classify` says of a refused submission whether time cures it ("wait-for-quota"): it is then queued.
    """

    def __init__(
        self,
        active: Active,
        *,
        clock: Clock,
        settings: GateSettings | None = None,
        classify: Classify = by_code,
        report: Reporter = silent,
    ) -> None:
        self._active = active
        self._classify = classify
        self._clock = clock
        self._settings = settings or GateSettings()
        self._report = report
        self._lock = threading.Lock()
        self._counted: dict[Pool, tuple[dt.datetime, frozenset[str]]] = {}
        #: ours, started after that count
        self._since: dict[Pool, set[str]] = {pool: set() for pool in Pool}
        self._reserved: dict[Pool, int] = dict.fromkeys(Pool, 0)

    def submit(self, kind: TaskKind, call: Callable[[], Task]) -> Task:
        """What `call` answers, made once there is room for a task of this kind.

        Waits while the pool is full and whenever AWS answers that a quota is used up; every other error of `call`
        passes through. Raises DeadlineExceeded after `within`.
        """
        queue = _Queue(Pool.of(kind), self._clock.now())

        def attempt() -> Task | None:
            return self._attempt(queue, call)

        loop = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda task: task is None),
            wait=lambda state: self._pause(state.attempt_number),
            sleep=self._clock.sleep,
        )
        task = loop(attempt)
        if task is None:  # pragma: no cover - the loop ends with a task only
            raise AssertionError
        return task

    def _attempt(self, queue: _Queue, call: Callable[[], Task]) -> Task | None:
        pool = queue.pool
        if not self._reserve(queue):
            return None
        task = None
        try:
            task = call()
        except VmieError as error:
            if self._classify(error) != WAIT:
                raise
            self._wait_on(queue, f"AWS has no room for another {pool} task ({error.code}: {error.message})")
        finally:
            with self._lock:
                self._reserved[pool] -= 1
                if task is not None:
                    self._since[pool].add(task.id)
        return task

    def _reserve(self, queue: _Queue) -> bool:
        pool, limit = queue.pool, self._settings.limit(queue.pool)
        with self._lock:
            taken = len(self._taken(pool)) + self._reserved[pool]
            if taken < limit:
                self._reserved[pool] += 1
                return True
        self._wait_on(queue, f"{taken} of {limit} {pool} tasks are active in this account and Region")
        return False

    def _taken(self, pool: Pool) -> frozenset[str]:
        """Active tasks, ours and others'. Called under the lock, so that waiting threads share one count."""
        now = self._clock.now()
        counted, ids = self._counted.get(pool, (None, frozenset()))
        if counted is None or (now - counted).total_seconds() >= self._settings.recount:
            try:
                ids = frozenset(task_id for kind in pool.kinds for task_id in self._active(kind))
            except VmieError as error:
                # Counting is a courtesy: what AWS refuses is queued anyway.
                self._report(Note(f"the active {pool} tasks cannot be counted: {error}", "debug"))
            self._counted[pool] = (now, ids)
            self._since[pool].clear()
        return ids | self._since[pool]

    def _wait_on(self, queue: _Queue, why: str) -> None:
        now = self._clock.now()
        if (now - queue.since).total_seconds() >= self._settings.within:
            raise DeadlineExceeded(
                f"no room for another {queue.pool} task within {self._settings.within / 86400:.3g} days",
                cause=why,
                cure=(Run(("vmie", "tasks", "cancel", "TASK"), "ends one"), "ask AWS Support for a higher limit"),
                code="QueueTimeout",
            )
        if queue.reported is None or (now - queue.reported).total_seconds() >= self._settings.tell_every:
            queue.reported = now
            self._report(Note(f"{why}; waiting for a free place"))

    def _pause(self, attempt: int) -> float:
        high = min(self._settings.high, self._settings.low * 2 ** min(attempt, 16))
        return self._clock.uniform(high / 2, high)


@dataclass(slots=True)
class _Queue:
    pool: Pool
    since: dt.datetime
    reported: dt.datetime | None = None
