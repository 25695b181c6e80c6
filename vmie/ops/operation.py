"""The steps of every import, export and upload: plan, send, submit once, wait, finish - or undo.

    plan ──► send ──► submit ──► wait ──► finish          every step is journalled, and can be repeated:
      │        │         │         │         │            what was done is not done again
      └────────┴─────────┴─────────┴─────────┴──► undo

An `Operation` is one request on its way; each kind of work is one class. `carry_out` is the order of the steps for a
single command; a batch calls the same methods, and cuts where its queues are.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

from vmie import events
from vmie.errors import Cancel, DeadlineExceeded, Interrupted, Resume, TaskFailed, VmieError
from vmie.model import Task, TaskState
from vmie.ops import codec, expired_tasks, idempotency, waiting
from vmie.ops.context import Context
from vmie.ops.journal import Journal
from vmie.ops.protocols import Plan, Request, Result

RequestT = TypeVar("RequestT", bound=Request)
PlanT_co = TypeVar("PlanT_co", bound=Plan, covariant=True)
ResultT_co = TypeVar("ResultT_co", bound=Result, covariant=True)


@dataclass(frozen=True, slots=True)
class RefusalSubject:
    """What of the account the work rests on: where to look when AWS refuses it."""

    job: str
    bucket: str = ""
    key: str = ""
    role_name: str = ""
    keys: tuple[str, ...] = ()


class Operation(ABC, Generic[RequestT, PlanT_co, ResultT_co]):
    """One request on its way. Every method but `plan` needs a plan, made here or read back with `load`."""

    #: what began it, and the kind of its job
    verb: ClassVar[str]
    plan_type: ClassVar[type[Any]]
    result_type: ClassVar[type[Any]]
    #: what stands when it is done, and how that goes
    made: ClassVar[tuple[str, str]]
    #: what is true of an operation that was stopped before AWS had a task
    kept_so_far: ClassVar[str] = "what was uploaded so far is kept and not sent again"

    def __init__(self, context: Context, request: RequestT) -> None:
        self.context = context
        self.request = request
        self._plan: PlanT_co | None = None
        self._vanished: list[int] = []

    def on(self, journal: Journal) -> Self:
        """The same operation, remembered in `journal`."""
        return type(self)(replace(self.context, journal=journal), self.request)

    @property
    def journal(self) -> Journal:
        """What was done already."""
        return self.context.journal

    # --- what it is about -----------------------------------------------------------------------------

    @property
    @abstractmethod
    def source(self) -> str:
        """What it takes, as `vmie jobs` shows it."""

    def content(self) -> list[Any]:
        """What stands for the content of local files: another content is another job."""
        return []

    @property
    def repeatable(self) -> bool:
        """Whether the same request means the same job also when that is done."""
        return False

    def subject(self) -> RefusalSubject | None:
        """What a refusal is explained from; None where there is nothing to look at."""
        return None

    # --- plan -----------------------------------------------------------------------------------------

    @abstractmethod
    def _planned(self) -> PlanT_co: ...

    def plan(self) -> PlanT_co:
        """Look at everything that can be known before; reads only.

        Raises UsageError, ImageError (exit 2), PreflightError (exit 4) and AwsRefused (exit 5).
        """
        self._plan = self._planned()
        return self._plan

    def settled(self) -> Self:
        """The operation to go on with once it is planned: another one, where planning chose among several."""
        return self

    @property
    def planned(self) -> PlanT_co:
        """The plan that was made or loaded."""
        if self._plan is None:
            raise RuntimeError("there is no plan yet")
        return self._plan

    def dump(self) -> dict[str, Any]:
        """The plan as JSON, so that any process can go on with it; findings are not kept."""
        return codec.dump(self.planned)

    def load(self, data: Mapping[str, Any]) -> Self:
        """Take the plan that `dump` wrote, here or in another process."""
        self._plan = codec.load(self.plan_type, data)
        return self

    def resumed(self, kept: Mapping[str, Any] | None) -> PlanT_co | None:
        """The plan that an earlier run kept, where the remaining steps need no other; else None, and one is made."""
        return None

    # --- send and submit ------------------------------------------------------------------------------

    def uploads(self) -> Iterator[Callable[[], None]]:
        """What AWS does not have yet, a call per disk that sends it; each can be repeated."""
        yield from ()

    def send(self) -> None:
        """Send what AWS does not have yet. Raises ImageError when a file changed meanwhile, AwsRefused."""
        for upload in self.uploads():
            upload()

    @property
    def tasks(self) -> int:
        """How many tasks it has."""
        return 1

    def submitted(self, number: int = 0) -> dict[str, Any] | None:
        """What the journal keeps of the present attempt's task, None before AWS has it."""
        return idempotency.submitted(self.journal, number)

    @property
    def attempts(self) -> int:
        """The tasks that the most tried of its disks has had, or is about to have."""
        return max((idempotency.attempt(self.journal, number) for number in range(self.tasks)), default=1)

    def submit(self) -> str:
        """Start every task that AWS does not have; the first one's id. Raises AwsRefused."""
        begun = [self.submitted(number) or self._submit(number) for number in range(self.tasks)]
        return str(begun[0]["task_id"]) if begun else ""

    def _submit(self, number: int) -> dict[str, Any]:
        raise NotImplementedError

    # --- wait -----------------------------------------------------------------------------------------

    def wait(self) -> tuple[Task, ...]:
        """The completed tasks. Raises the first failure when all are known; the next attempt is prepared then."""
        numbers = range(self.tasks)
        begun = [self.journal.get(idempotency.step("submit", number)) or {} for number in numbers]
        if not begun:
            return ()
        self.context.reporter(events.Stage("convert", ", ".join(str(task["task_id"]) for task in begun)))
        done: list[Task] = []
        failures: list[VmieError] = []
        for number, ended in enumerate(waiting.wait(self.context, begun)):
            try:
                done.append(ended if isinstance(ended, Task) else self._recovered(number, ended))
            except VmieError as error:
                failures.append(error)
                if self.submitted(number) is not None and self._is_over(number, error):
                    idempotency.start_over(self.journal, number)
                    self._failed(number)
        if failures:
            raise self._failure(failures) from failures[0]
        return tuple(done)

    def _is_over(self, number: int, error: VmieError) -> bool:
        """Whether nothing can come of the task any more, so that the next attempt is another one."""
        if isinstance(error, TaskFailed):
            return True
        if isinstance(error, DeadlineExceeded):  # cancelled for its age, unless AWS would not
            return TaskState(error.result.get("status", TaskState.ACTIVE.value)).failed
        if error.code == expired_tasks.UNKNOWN and number in self._vanished and self._left_nothing(number):
            self._vanished.remove(number)
            error.add_cure(Resume(self.journal.job, f"begins another task{self._with_kept}"))
            error.add_cure(Cancel(self.journal.job, "gives it up"))
            return True
        return False

    def _left_nothing(self, number: int) -> bool:
        """Whether a task that AWS has forgotten surely ended without a result, and in this account and Region."""
        return False

    @property
    def _with_kept(self) -> str:
        kept = ", ".join(self._kept())
        return f" with {kept}, which is kept" if kept else ""

    def _recovered(self, number: int, error: VmieError) -> Task:
        """The task as it must have ended when AWS shows it no more and its result is there. Else raises `error`."""
        if error.code != expired_tasks.UNKNOWN:
            raise error
        self._vanished.append(number)
        return self._result_of_vanished(str((self.submitted(number) or {}).get("task_id")), error)

    def _result_of_vanished(self, task_id: str, error: VmieError) -> Task:
        raise error

    def start_over_vanished(self) -> None:
        """Let the next attempt start a task for each that `wait` found AWS to show no more."""
        for number in self._vanished:
            idempotency.start_over(self.journal, number)
        self._vanished.clear()

    def _failed(self, number: int) -> None:
        """Take back what must not outlive a failed task."""

    def _failure(self, failures: Sequence[VmieError]) -> VmieError:
        """The first failure, with what stays for the next attempt."""
        error = failures[0]
        error.add_cause(*(f"{one.message}: {one.cause}" for one in failures[1:]))
        if isinstance(error, TaskFailed):
            error = waiting.explained(error)
        if isinstance(error, TaskFailed | DeadlineExceeded) and self._kept():
            job = self.journal.job
            error.add_cure((Resume(job, f"tries again{self._with_kept}"), Cancel(job, "removes it")))
        return error

    def _kept(self) -> list[str]:
        """What was uploaded and stays for the next attempt."""
        return []

    # --- finish ---------------------------------------------------------------------------------------

    @abstractmethod
    def finish(self, done: Sequence[Task], *, began: dt.datetime) -> ResultT_co:
        """Tag, name, fetch, tidy up after completed tasks; the result of the whole. `began` is what it counts from."""

    @abstractmethod
    def begun(self, *, began: dt.datetime) -> ResultT_co:
        """The result of an operation that is not waited for."""

    def _seconds(self, began: dt.datetime) -> float:
        return (self.context.clock.now() - began).total_seconds()

    # --- undo -----------------------------------------------------------------------------------------

    @abstractmethod
    def undo(self, *, reason: str = "") -> dict[str, Any]:
        """Cancel what AWS works on and remove what was sent; needs no plan. Raises AwsRefused."""

    # --- when it stops --------------------------------------------------------------------------------

    def reached(self) -> dict[str, Any]:
        """What the JSON of a failure says of how far it came."""
        return {"job": self.journal.job}

    def interrupted(self) -> Interrupted:
        """The user stopped it: what goes on, and how to go on."""
        known = [self.submitted(number) for number in range(self.tasks)]
        ids = ", ".join(str(task["task_id"]) for task in known if task is not None)
        job = self.journal.job
        if not ids:
            cause, cure = self.kept_so_far, (Resume(job, "goes on"), Cancel(job, "gives it up"))
        else:
            cause = f"{ids} goes on in AWS"
            cure = (Resume(job, "waits on"), Cancel(job, "stops the task as well"))
        return Interrupted("interrupted", cause=cause, cure=cure, result=self.reached())


def carry_out(operation: Operation[RequestT, PlanT_co, ResultT_co], *, wait: bool = True) -> ResultT_co:
    """Carry a planned operation out, continuing where its journal says it stopped.

    Raises AwsRefused (exit 5), TaskFailed and DeadlineExceeded (exit 1), Interrupted (130).
    """
    began = operation.context.clock.now()
    try:
        operation.send()
        operation.submit()
        return operation.finish(operation.wait(), began=began) if wait else operation.begun(began=began)
    except KeyboardInterrupt:
        raise operation.interrupted() from None
    except VmieError as error:
        error.result = {**operation.reached(), **error.result}
        raise
