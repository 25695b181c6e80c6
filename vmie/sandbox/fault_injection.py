"""Fault injection: throttles, errors, lost answers, failing and stalled tasks, on demand.

Tests and `POST /_vmie/faults` add faults to a `FaultInjector`; `front.intercept` (in process) and `front.server` (over
HTTP) ask it before and after every call. It does not know moto.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field

from vmie.model import TaskKind
from vmie.sandbox.api_errors import ApiError

#: how each service says "slow down" and "try later": code, HTTP status
_THROTTLED = {
    "ec2": ("RequestLimitExceeded", 503),
    "s3": ("SlowDown", 503),
    "ebs": ("RequestThrottledException", 400),
    "kms": ("ThrottlingException", 400),
}
_UNAVAILABLE = {"ec2": ("Unavailable", 503), "ebs": ("InternalServerException", 500)}


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One request, as far as fault injection needs it: `service` as in a signature, `action` as in the API.

    `region` and `key` are the signature's Region and access key, "" where there is no signature. `protocol` is what the
    client seems to speak: json, cbor or xml, "" for a form.
    """

    service: str
    action: str
    region: str = ""
    key: str = ""
    protocol: str = ""


@dataclass(slots=True)
class Fault:
    """One fault: it strikes `times` more times (None: for ever), each with `probability`."""

    kind: str
    action: str = "*"
    times: int | None = 1
    probability: float = 1.0
    code: str = ""
    message: str = ""
    status: int = 0
    at: str = ""
    task_kind: str = ""
    how: str = "reset"
    region: str = ""


KINDS = ("throttle", "unavailable", "fail", "lose", "fail_task", "stall_task", "no_console", "end_instance")


@dataclass
class FaultInjector:
    """The faults to inject. Thread-safe; `clear` ends every fault.

    `propagation` is how many seconds IAM takes until a change of a role has effect; `visible_after` how
    long a new task is invisible to Describe; `appears_after` how long a new snapshot, image, role or bucket is not
    there for any request but the one that made it.
    """

    seed: int = 0
    propagation: float = 0.0
    visible_after: float = 0.0
    appears_after: float = 0.0
    random: random.Random = field(init=False)
    _queue: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._begun_with = (self.propagation, self.visible_after, self.appears_after)
        self.random = random.Random(self.seed)  # noqa: S311 - which call fails is no secret

    def restart(self) -> None:
        """Be as at first: no faults, the delays and the chances that it began with."""
        self.clear()
        self.propagation, self.visible_after, self.appears_after = self._begun_with
        self.random.seed(self.seed)

    def throttle(self, action: str = "*", *, times: int | None = 1, probability: float = 1.0) -> None:
        """Refuse calls of `action` ("*": any) as too many."""
        self.add(Fault("throttle", action, times, probability))

    def unavailable(self, action: str = "*", *, times: int | None = 1, probability: float = 1.0) -> None:
        """Answer 503, as a service in trouble does."""
        self.add(Fault("unavailable", action, times, probability))

    def fail(
        self,
        action: str,
        *,
        code: str,
        message: str = "",
        status: int = 400,
        times: int | None = 1,
        region: str = "",
    ) -> None:
        """Answer with any error document ("*": any action), in `region` only if one is given."""
        self.add(Fault("fail", action, times, code=code, message=message, status=status, region=region))

    def lose(self, action: str, *, times: int | None = 1, how: str = "reset") -> None:
        """Carry the call out, then lose the answer: `how` is "reset" (connection) or "500"."""
        self.add(Fault("lose", action, times, how=how))

    def fail_task(
        self,
        message: str,
        *,
        at: str = "converting",
        kind: TaskKind | str = "",
        times: int | None = 1,
        probability: float = 1.0,
    ) -> None:
        """Let the next tasks (of `kind`) fail with `message` when they leave the step `at` ("": the first).

        With `times` None and a `probability` it is a failure rate, until `clear`.
        """
        self.add(Fault("fail_task", "*", times, probability, message=message, at=at, task_kind=str(kind)))

    def stall_task(
        self, *, at: str = "", kind: TaskKind | str = "", times: int | None = 1, probability: float = 1.0
    ) -> None:
        """Let the next tasks never leave the step `at` ("": the first)."""
        self.add(Fault("stall_task", "*", times, probability, at=at, task_kind=str(kind)))

    def no_console(self, *, times: int | None = 1) -> None:
        """Let the next instances print nothing on their serial console."""
        self.add(Fault("no_console", times=times))

    def end_instance(
        self, *, code: str = "Client.InternalError", message: str = "", times: int | None = 1, probability: float = 1.0
    ) -> None:
        """Let EC2 end the next instances as soon as they begin, with `code` as the reason of their state."""
        self.add(Fault("end_instance", "*", times, probability, code=code, message=message))

    def add(self, fault: Fault) -> None:
        """Queue one fault; raises ValueError for a kind that does not exist."""
        if fault.kind not in KINDS:
            raise ValueError(f"there is no fault {fault.kind!r}: one of {', '.join(KINDS)}")
        with self._lock:
            self._queue.append(fault)

    def clear(self) -> None:
        """Forget all faults and delays."""
        with self._lock:
            self._queue.clear()
        self.propagation = self.visible_after = self.appears_after = 0.0

    def before(self, call: ApiCall) -> ApiError | None:
        """The error to answer `call` with, instead of doing it."""
        fault = self._take(("throttle", "unavailable", "fail"), call.action, region=call.region)
        if fault is None:
            return None
        if fault.kind == "throttle":
            code, status = _THROTTLED.get(call.service, ("Throttling", 400))
            detail = {"Reason": "RESOURCE_LEVEL_THROTTLE"} if call.service == "ebs" else None
            return ApiError(code, "Request limit exceeded.", status=status, detail=detail)
        if fault.kind == "unavailable":
            code, status = _UNAVAILABLE.get(call.service, ("ServiceUnavailable", 503))
            return ApiError(code, "The server is overloaded and can't handle the request.", status=status)
        return ApiError(fault.code, fault.message, status=fault.status)

    def after(self, call: ApiCall) -> str:
        """How to lose the answer of `call`: "reset", "500", or "" to send it."""
        fault = self._take(("lose",), call.action)
        return fault.how if fault else ""

    def for_task(self, kind: TaskKind) -> tuple[tuple[str, str] | None, str | None]:
        """The faults of a new task: (step, message) of its failure, and the step it stalls at."""
        failure = self._take(("fail_task",), "*", task_kind=kind)
        stall = self._take(("stall_task",), "*", task_kind=kind)
        return ((failure.at, failure.message) if failure else None), (stall.at if stall else None)

    def for_instance(self, kind: str) -> Fault | None:
        """The fault of a new instance: `no_console` or `end_instance`."""
        return self._take((kind,), "*")

    def _take(self, kinds: tuple[str, ...], action: str, *, task_kind: str = "", region: str = "") -> Fault | None:
        with self._lock:
            for fault in self._queue:
                if fault.kind not in kinds or fault.action not in ("*", action) or fault.region not in ("", region):
                    continue
                if fault.task_kind not in ("", task_kind) or self.random.random() >= fault.probability:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._queue.remove(fault)
                return fault
        return None
