"""The tasks behind the API: created, advanced by the clock, removed when they are listed no longer.

    create ─► ACTIVE ─ step ─ step ─ … ─► COMPLETED ─ 7 days ─► forgotten
                │ failed or cancelled
                └─► DELETING ─► DELETED ─ 7 days ─► forgotten

Nothing runs by itself: `advance_tasks` brings every task to where the clock says it is, and is called
before each request. What a kind does at its steps is its `TaskHandler`; a new kind needs a timeline, a prefix,
a quota group and a `TaskHandler`.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from vmie.model import TaskKind, TaskState
from vmie.sandbox import api_errors
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.clock import SandboxClock
from vmie.sandbox.fault_injection import FaultInjector
from vmie.sandbox.service.durations import Durations
from vmie.sandbox.service.tasks import SandboxTask, StepPending, TaskFailure
from vmie.sandbox.service.timeline import DELETING, Phase
from vmie.sandbox.stats import Stats

WEEK = 7 * 24 * 3600.0
EXPIRED = "Task expired and automatically canceled"


class TaskHandler(Protocol):
    """What a kind of task does when it comes to a `Phase`; raises TaskFailure, or StepPending to stay where it is."""

    def do(self, phase: Phase, task: SandboxTask) -> None:
        """Carry out the step."""

    def discard(self, task: SandboxTask) -> None:
        """Remove what an unfinished task made."""


@dataclass
class Quotas:
    """The quotas, per account and Region (aws-facts 3.3); plain numbers that a test may change.

    `regions` names the Regions that have others: ``{"eu-west-1": {"imports": 5}}``.
    """

    imports: int = 20
    conversions: int = 5
    exports: int = 5
    list_seconds: float = WEEK  #: how long a finished task is listed
    life_seconds: float = WEEK  #: after which an unfinished one expires
    regions: dict[str, dict[str, int]] = field(default_factory=dict)

    def of(self, group: str, region: str) -> int:
        """How many tasks of a quota group may be active in a Region."""
        return int(self.regions.get(region, {}).get(group, getattr(self, group)))


_PREFIX = {
    TaskKind.IMPORT_IMAGE: "import-ami-",
    TaskKind.IMPORT_SNAPSHOT: "import-snap-",
    TaskKind.EXPORT_IMAGE: "export-ami-",
    TaskKind.EXPORT_INSTANCE: "export-i-",
}
#: which kinds share a quota
GROUP = {
    TaskKind.IMPORT_IMAGE: "imports",
    TaskKind.IMPORT_SNAPSHOT: "imports",
    TaskKind.CONVERSION: "conversions",
    TaskKind.EXPORT_IMAGE: "exports",
    TaskKind.EXPORT_INSTANCE: "exports",
}


@dataclass
class TaskService:
    """All tasks of all accounts and Regions of one sandbox. Thread-safe."""

    clock: SandboxClock
    faults: FaultInjector
    stats: Stats
    suffix: Callable[[], str]  #: 17 hexadecimal digits
    limits: Quotas = field(default_factory=Quotas)
    durations: Durations = field(default_factory=Durations)
    handlers: dict[TaskKind, TaskHandler] = field(default_factory=dict)
    tasks: dict[str, SandboxTask] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    #: called with a task that is listed no longer
    forgotten: Callable[[SandboxTask], None] = lambda _: None
    _tokens: dict[tuple[str, ...], tuple[str, str]] = field(default_factory=dict)
    _serial: int = 0
    #: of all tasks, those that have not ended: so that a call costs the same however many were made before
    _open: dict[str, SandboxTask] = field(default_factory=dict)
    _ended: deque[SandboxTask] = field(default_factory=deque)

    def restart(self) -> None:
        """There are no tasks, and there never were."""
        with self.lock:
            for held in (self.tasks, self._open, self._ended, self._tokens):
                held.clear()
            self._serial = 0

    def create(
        self,
        kind: TaskKind,
        *,
        account: str,
        region: str,
        request: dict[str, Any],
        accept: Callable[[SandboxTask], None],
        prefix: str = "",
    ) -> SandboxTask:
        """Make a task, or find the one that the same ClientToken made.

        `accept` judges the request against the account's state and fills the task in; it raises ApiError, and
        then there is no task.
        """
        with self.lock:
            self.advance_tasks()
            if found := self._same_token(kind, account, region, request):
                return found
            self._check_quota(kind, account, region)
            self._serial += 1
            task = SandboxTask(
                id=(prefix or _PREFIX[kind]) + self.suffix(),
                kind=kind,
                account=account,
                region=region,
                request=request,
                serial=self._serial,
                created=self.clock.now(),
                born=self.clock.elapsed(),
                started=self.clock.worked(),
            )
            task.message, task.progress = task.steps[0].message, task.steps[0].progress
            accept(task)
            usual = task.steps[-1].at
            task.pace = self.durations.draw(usual, origin=task.origin or task.id, size=task.size) / usual
            task.injected_failure, task.stalled_step = self.faults.for_task(kind)
            self.tasks[task.id] = self._open[task.id] = task
            self._remember_token(kind, account, region, request, task.id)
            self.stats.made(kind, GROUP[kind], region=region, active=self._active(kind, account, region))
            return task

    def find(self, task_id: str, *, account: str, region: str) -> SandboxTask | None:
        """The task, if it is there, visible already and not forgotten."""
        with self.lock:
            task = self.tasks.get(task_id)
            if task is None or (task.account, task.region) != (account, region):
                return None
            return task if self.clock.elapsed() - task.born >= self.faults.visible_after else None

    def listed(self, kinds: Iterable[TaskKind], *, account: str, region: str) -> list[SandboxTask]:
        """All visible tasks of `kinds`, oldest first."""
        wanted = set(kinds)
        with self.lock:
            return [
                task
                for task in sorted(self.tasks.values(), key=lambda task: task.serial)
                if task.kind in wanted and self.find(task.id, account=account, region=region) is task
            ]

    def cancel(self, task: SandboxTask, *, reason: str = "") -> TaskState:
        """Begin to give the task up; returns the state before. Raises ApiError when it has ended."""
        with self.lock:
            before = task.state
            if before in (TaskState.COMPLETED, TaskState.DELETED, TaskState.CANCELLED):
                code = "IncorrectState" if task.id.startswith("export-") else "DeleteConversionTaskError"
                raise ApiError(code, f"The task '{task.id}' is already {before} and cannot be canceled")
            if before is TaskState.ACTIVE:
                task.cancel_reason = reason
                self._fail(task, reason or "User initiated task cancellation")
            return before

    def advance_tasks(self) -> None:
        """Bring every task to where the clock says it is."""
        with self.lock:
            for task in list(self._open.values()):
                self._advance(task)
                if task.ended is not None:
                    del self._open[task.id]
                    self._ended.append(task)
            while self._ended and self.clock.elapsed() - (self._ended[0].ended or 0.0) > self.limits.list_seconds:
                self._forget(self._ended.popleft())

    def _forget(self, task: SandboxTask) -> None:
        del self.tasks[task.id]
        self._tokens.pop((task.kind, task.account, task.region, task.request.get("ClientToken") or ""), None)
        self.forgotten(task)

    def _advance(self, task: SandboxTask) -> None:
        worked = self.clock.worked()
        while task.state is TaskState.ACTIVE:
            if self.clock.elapsed() - task.born > self.limits.life_seconds:
                lacks = task.work.get("lacks", "")
                self._fail(task, f"{EXPIRED}; {lacks}" if lacks else EXPIRED)
                break
            if task.stalled_step is not None and task.stalled_step in task.message:
                break
            following = task.step + 1
            step = task.steps[following] if following < len(task.steps) else None
            if step is None or worked - task.started < task.at(step):
                break
            try:
                self._inject_failure(task, last=step.phase is Phase.FINISH)
                if step.phase is not Phase.NOTHING:
                    self.handlers[task.kind].do(step.phase, task)
            except StepPending:
                break
            except TaskFailure as failure:
                self._fail(task, str(failure), since=task.at(step))
                break
            task.step, task.message, task.progress = following, step.message, step.progress
            if step.phase is Phase.FINISH:
                task.state, task.ended = TaskState.COMPLETED, self.clock.elapsed()
                self.stats.ended(GROUP[task.kind], region=task.region, held=task.at(step))
        if task.gone_at is not None and worked >= task.gone_at and task.ended is None:
            task.state = TaskState.CANCELLED if task.is_legacy else TaskState.DELETED
            task.ended = self.clock.elapsed()

    def _inject_failure(self, task: SandboxTask, *, last: bool) -> None:
        """An injected failure strikes when the task would leave the step it names, at the latest the last."""
        if task.injected_failure is not None and (last or task.injected_failure[0] in task.message):
            raise TaskFailure(task.injected_failure[1])

    def _fail(self, task: SandboxTask, message: str, *, since: float | None = None) -> None:
        """`since`: after how many seconds of work it failed, now by default."""
        worked = self.clock.worked() - task.started if since is None else since
        held, group = worked + DELETING, GROUP[task.kind]
        self.stats.ended(group, region=task.region, held=held, failure=message)
        task.state = TaskState.CANCELLING if task.is_legacy else TaskState.DELETING
        task.message, task.progress = message, ""
        task.gone_at = self.clock.worked() + DELETING
        self.handlers[task.kind].discard(task)

    def _active(self, kind: TaskKind, account: str, region: str) -> int:
        return sum(
            1
            for task in self._open.values()
            if task.active and GROUP[task.kind] == GROUP[kind] and (task.account, task.region) == (account, region)
        )

    def _check_quota(self, kind: TaskKind, account: str, region: str) -> None:
        group = GROUP[kind]
        limit = self.limits.of(group, region)
        if self._active(kind, account, region) >= limit:
            raise api_errors.too_many_imports(limit) if group == "imports" else api_errors.too_many_conversions(limit)

    def _same_token(self, kind: TaskKind, account: str, region: str, request: dict[str, Any]) -> SandboxTask | None:
        token = request.get("ClientToken") or ""
        task_id, print_ = self._tokens.get((kind, account, region, token), ("", ""))
        task = self.tasks.get(task_id)
        if not token or task is None:
            return None
        if print_ != fingerprint(request):
            raise api_errors.token_mismatch()
        return task

    def _remember_token(self, kind: TaskKind, account: str, region: str, request: dict[str, Any], task_id: str) -> None:
        if token := request.get("ClientToken"):
            self._tokens[kind, account, region, token] = (task_id, fingerprint(request))


def fingerprint(request: dict[str, Any]) -> str:
    """What must be equal for two requests with one token to be the same request."""
    return json.dumps(
        {key: value for key, value in request.items() if key not in ("ClientToken", "DryRun")},
        sort_keys=True,
        default=str,
    )
