"""The gate: 20, 5 and 5 active tasks, whoever started them; what AWS refuses for want of room is queued."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.clocks import ManualClock
from vmie.errors import AwsRefused, DeadlineExceeded
from vmie.events import Event, Note
from vmie.model import Task, TaskKind, TaskState
from vmie.poll import Gate, GateSettings, Pool


class Region:
    """Counts active tasks; each lasts `seconds` of the clock."""

    def __init__(self, clock: ManualClock, *, seconds: float = 600) -> None:
        self.clock, self.seconds = clock, seconds
        self.ends: dict[str, tuple[TaskKind, float]] = {}
        self.looks: list[TaskKind] = []
        self.peak = 0

    def start(self, kind: TaskKind) -> Callable[[], Task]:
        def call() -> Task:
            task_id = f"{kind.value}-{len(self.ends)}"
            self.ends[task_id] = (kind, self.clock.elapsed + self.seconds)
            self.peak = max(self.peak, sum(end > self.clock.elapsed for _, end in self.ends.values()))
            return Task(task_id, kind, TaskState.ACTIVE)

        return call

    def active(self, kind: TaskKind) -> list[str]:
        self.looks.append(kind)
        return [i for i, (of, end) in self.ends.items() if of is kind and end > self.clock.elapsed]


def test_image_and_snapshot_imports_share_twenty_places() -> None:
    clock = ManualClock()
    region = Region(clock)
    gate = Gate(region.active, clock=clock)
    for n in range(60):
        kind = TaskKind.IMPORT_IMAGE if n % 2 else TaskKind.IMPORT_SNAPSHOT
        gate.submit(kind, region.start(kind))
    assert len(region.ends) == 60
    assert region.peak == 20
    assert clock.elapsed >= 2 * 600 - 20


@pytest.mark.parametrize("kind", [TaskKind.CONVERSION, TaskKind.EXPORT_IMAGE, TaskKind.EXPORT_INSTANCE], ids=str)
def test_conversions_and_exports_have_five_each(kind: TaskKind) -> None:
    clock = ManualClock()
    region = Region(clock)
    gate = Gate(region.active, clock=clock)
    for _ in range(12):
        gate.submit(kind, region.start(kind))
    assert region.peak == 5


def test_tasks_that_others_started_take_places() -> None:
    clock, events = ManualClock(), list[Event]()
    region = Region(clock, seconds=3600)
    for _ in range(20):
        region.start(TaskKind.IMPORT_SNAPSHOT)()
    Gate(region.active, clock=clock, report=events.append).submit(
        TaskKind.IMPORT_IMAGE, region.start(TaskKind.IMPORT_IMAGE)
    )
    assert clock.elapsed >= 3600
    notes = [event.text for event in events if isinstance(event, Note)]
    assert "20 of 20" in notes[0]
    assert len(notes) <= 5


@pytest.mark.parametrize("code", ["ResourceCountLimitExceeded", "ResourceLimitExceeded", "VolumeLimitExceeded"])
def test_a_quota_answer_is_queued_not_failed(code: str) -> None:
    clock, answers = ManualClock(), iter([code] * 5)

    def call() -> Task:
        if (refusal := next(answers, None)) is not None:
            raise AwsRefused("no room", code=refusal)
        return Task("import-ami-1", TaskKind.IMPORT_IMAGE, TaskState.ACTIVE)

    assert Gate(lambda kind: [], clock=clock).submit(TaskKind.IMPORT_IMAGE, call).id == "import-ami-1"
    assert len(clock.sleeps) == 5


def test_what_is_queued_is_the_callers_to_say() -> None:
    clock, answers = ManualClock(), iter(["Full", "Full"])

    def call() -> Task:
        if (refusal := next(answers, None)) is not None:
            raise AwsRefused("no room", code=refusal)
        return Task("import-ami-1", TaskKind.IMPORT_IMAGE, TaskState.ACTIVE)

    gate = Gate(lambda kind: [], clock=clock, classify=lambda error: "wait-for-quota")
    assert gate.submit(TaskKind.IMPORT_IMAGE, call).id == "import-ami-1"
    assert len(clock.sleeps) == 2


def test_a_throttle_is_no_quota() -> None:
    def throttled() -> Task:
        raise AwsRefused("slower", code="RequestLimitExceeded")

    with pytest.raises(AwsRefused, match="slower"):
        Gate(lambda kind: [], clock=ManualClock()).submit(TaskKind.IMPORT_IMAGE, throttled)


def test_any_other_refusal_passes_through_and_gives_the_place_back() -> None:
    clock = ManualClock()
    gate = Gate(lambda kind: [], clock=clock, settings=GateSettings(exports=1))

    def refused() -> Task:
        raise AwsRefused("not exportable", code="NotExportable")

    for _ in range(3):
        with pytest.raises(AwsRefused, match="not exportable"):
            gate.submit(TaskKind.EXPORT_INSTANCE, refused)
    assert clock.sleeps == []


def test_what_cannot_be_counted_is_submitted_anyway() -> None:
    def denied(kind: TaskKind) -> list[str]:
        raise AwsRefused("may not describe", code="UnauthorizedOperation")

    region = Region(ManualClock())
    Gate(denied, clock=region.clock).submit(TaskKind.IMPORT_IMAGE, region.start(TaskKind.IMPORT_IMAGE))
    assert len(region.ends) == 1


def test_a_queue_has_an_end() -> None:
    clock = ManualClock()
    gate = Gate(lambda kind: ["export-i-1"], clock=clock, settings=GateSettings(exports=1))
    with pytest.raises(DeadlineExceeded, match="no room"):
        gate.submit(TaskKind.EXPORT_INSTANCE, lambda: pytest.fail("was sent"))
    assert clock.elapsed >= 7 * 86400


def test_threads_together_stay_under_the_limit() -> None:
    clock, lock = ManualClock(), threading.Lock()
    region = Region(clock)
    gate = Gate(region.active, clock=clock, settings=GateSettings(conversions=3))

    def start() -> Task:
        with lock:
            return region.start(TaskKind.CONVERSION)()

    threads = [threading.Thread(target=gate.submit, args=(TaskKind.CONVERSION, start)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(region.ends) == 12
    assert region.peak <= 3


def test_every_kind_has_a_pool() -> None:
    assert {kind for pool in Pool for kind in pool.kinds} == set(TaskKind)
    assert Pool.of(TaskKind.IMPORT_SNAPSHOT) is Pool.of(TaskKind.IMPORT_IMAGE)
