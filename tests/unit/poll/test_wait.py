"""The wait loop against scripted Describes: states, outages, deadlines, one call for all."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.clocks import ManualClock
from vmie.errors import AwsRefused, DeadlineExceeded, TaskFailed, VmieError
from vmie.events import Event, Note, TaskSeen
from vmie.model import Task, TaskKind, TaskState
from vmie.poll import Poller, SystemClock, WaitSettings, run, wait_for

DAY = 86400.0
AMI = "import-ami-0123456789abcdef0"
SNAP = "import-snap-ffvko9js"

BEGUN = Task(AMI, TaskKind.IMPORT_IMAGE, TaskState.ACTIVE, stage="pending", progress=2)
DONE = Task(AMI, TaskKind.IMPORT_IMAGE, TaskState.COMPLETED, image_id="ami-1", snapshot_ids=("snap-1",))


def stage(name: str, progress: int | None = None) -> Task:
    return replace(BEGUN, stage=name, progress=progress)


class Script:
    """A Describe that plays `answers`, one per call; the last repeats. An exception is raised."""

    def __init__(self, *answers: Sequence[Task] | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[TaskKind, tuple[str, ...]]] = []

    def __call__(self, kind: TaskKind, ids: Sequence[str]) -> Sequence[Task]:
        answer = self.answers[min(len(self.calls), len(self.answers) - 1)]
        self.calls.append((kind, tuple(ids)))
        if isinstance(answer, Exception):
            raise answer
        return answer


def outage(error: BaseException) -> bool:
    return isinstance(error, VmieError) and error.code == "RequestLimitExceeded"


THROTTLED = AwsRefused("AWS is busy", code="RequestLimitExceeded")


def test_a_completed_task_is_returned_and_every_change_reported_once() -> None:
    clock, events = ManualClock(), list[Event]()
    script = Script(
        [BEGUN], [BEGUN], [stage("converting", 28)], [stage("booting", 58)], [stage("preparing ami", 84)], [DONE]
    )
    [task] = wait_for([BEGUN], script, clock=clock, report=events.append)
    assert task == DONE
    assert [event.task.stage for event in events if isinstance(event, TaskSeen)] == [
        "pending",
        "converting",
        "booting",
        "preparing ami",
        "",
    ]


@pytest.mark.parametrize(
    "state", [TaskState.DELETING, TaskState.DELETED, TaskState.CANCELLING, TaskState.CANCELLED], ids=str
)
def test_a_dying_task_has_failed_the_moment_it_is_seen(state: TaskState) -> None:
    clock = ManualClock()
    said = "ClientError: Unknown OS / Missing OS files."
    script = Script([BEGUN], [replace(BEGUN, state=state, stage="", message=said)], [DONE])
    with pytest.raises(TaskFailed) as failed:
        wait_for([AMI], script, clock=clock)
    assert failed.value.exit_code == 1
    assert failed.value.cause == said
    assert len(script.calls) == 2
    assert failed.value.result["task_id"] == AMI


def test_the_reason_seen_while_deleting_is_kept_when_deleted_has_none() -> None:
    dying = replace(BEGUN, state=TaskState.DELETING, stage="", message="ClientError: No valid partitions.")
    script = Script(
        [BEGUN], [dying], [replace(dying, message="")], [replace(dying, state=TaskState.DELETED, message="")]
    )
    with pytest.raises(TaskFailed, match="failed") as failed:
        wait_for([AMI], script, clock=ManualClock(), settle=True)
    assert failed.value.cause == "ClientError: No valid partitions."
    assert failed.value.result["status"] == "deleted"
    assert len(script.calls) == 4


def test_a_settling_wait_ends_when_the_dead_task_is_no_longer_shown() -> None:
    dying = replace(BEGUN, state=TaskState.DELETING, message="ClientError: x")
    with pytest.raises(TaskFailed):
        wait_for([AMI], Script([dying], []), clock=ManualClock(), settle=True)


def test_our_own_cancellation_is_not_called_a_failure_of_the_image() -> None:
    gone = replace(BEGUN, state=TaskState.DELETED, stage="", message="")
    with pytest.raises(TaskFailed) as failed:
        wait_for([AMI], Script([gone]), clock=ManualClock(), cancelled={AMI: "no longer wanted"})
    assert failed.value.code == "Cancelled"
    assert failed.value.cause == "no longer wanted"


def test_an_unknown_status_is_an_error_at_once() -> None:
    odd = replace(BEGUN, state=TaskState.UNKNOWN, stage="hibernating")
    with pytest.raises(VmieError, match="hibernating") as failed:
        wait_for([AMI], Script([odd]), clock=ManualClock())
    assert failed.value.code == "UnknownTaskStatus"


def test_one_describe_per_kind_and_tick_for_a_thousand_tasks() -> None:
    clock, looks = ManualClock(), list[tuple[TaskKind, int]]()
    ids = [f"import-ami-{n:017x}" for n in range(600)] + [f"import-snap-{n:017x}" for n in range(400)]

    def describe(kind: TaskKind, wanted: Sequence[str]) -> list[Task]:
        looks.append((kind, len(wanted)))
        finished = int(clock.elapsed // 20)
        return [
            Task(i, kind, TaskState.COMPLETED, image_id="ami-1", snapshot_ids=("snap-1",))
            if int(i.rsplit("-", 1)[1], 16) % 40 <= finished
            else Task(i, kind, TaskState.ACTIVE, stage="updating")
            for i in wanted
        ]

    assert len(wait_for(ids, describe, clock=clock)) == 1000
    assert looks[:2] == [(TaskKind.IMPORT_IMAGE, 600), (TaskKind.IMPORT_SNAPSHOT, 400)]
    # 40 steps of 20 s: with two kinds every 15 to 30 s, no more than about 2 x 800/15 looks in all.
    assert len(looks) < 120


def test_the_pause_is_jittered_and_longer_in_the_stages_that_last() -> None:
    def pauses(name: str) -> list[float]:
        clock = ManualClock()
        looks = [[stage(name, n)] for n in range(30)]
        wait_for([AMI], Script(*looks, [DONE]), clock=clock)
        return clock.sleeps

    usual, slow = pauses("updating"), pauses("booting")
    assert all(15 <= pause <= 30 for pause in usual)
    assert all(30 <= pause <= 60 for pause in slow)
    assert len({round(pause, 3) for pause in usual}) > 20


def test_transient_failures_never_end_a_wait_and_are_told_once_they_last() -> None:
    clock, events = ManualClock(), list[Event]()
    script = Script([BEGUN], *[THROTTLED] * 40, [DONE])
    [task] = wait_for([AMI], script, clock=clock, transient=outage, report=events.append)
    assert task.image_id == "ami-1"
    notes = [event.text for event in events if isinstance(event, Note)]
    assert [note.split()[0] for note in notes] == ["3", "4", "8", "16", "32", "AWS"]
    assert max(clock.sleeps) <= 300


def test_an_outage_is_outlasted_until_the_deadline_only() -> None:
    clock, cancelled = ManualClock(), list[str]()
    with pytest.raises(DeadlineExceeded):
        wait_for(
            [AMI],
            Script([BEGUN], THROTTLED),
            clock=clock,
            transient=outage,
            cancel=lambda task_id, reason: cancelled.append(task_id),
        )
    assert cancelled == [AMI]
    assert 7 * DAY <= clock.elapsed < 7 * DAY + 400


def test_a_refused_describe_ends_the_wait_with_the_refusal() -> None:
    refused = AwsRefused("you may not", code="UnauthorizedOperation")
    with pytest.raises(AwsRefused, match="may not"):
        wait_for([AMI], Script([BEGUN], refused), clock=ManualClock(), transient=outage)


def test_an_id_is_given_time_to_become_visible() -> None:
    clock = ManualClock()
    [task] = wait_for([AMI], Script([], [], [BEGUN], [DONE]), clock=clock)
    assert task.image_id == "ami-1"


def test_an_id_that_nobody_ever_sees_is_explained() -> None:
    clock = ManualClock()
    with pytest.raises(VmieError, match=AMI) as failed:
        wait_for([AMI], Script([]), clock=clock)
    assert failed.value.code == "TaskNotFound"
    assert 120 <= clock.elapsed < 200


def test_a_task_older_than_seven_days_is_explained_as_expired() -> None:
    clock = ManualClock()
    with pytest.raises(VmieError) as failed:
        wait_for([AMI], Script([]), clock=clock, started=clock.now() - dt.timedelta(days=8))
    assert "seven days" in failed.value.cause
    assert clock.elapsed == 0


def test_completed_without_ids_is_described_a_little_longer() -> None:
    bare = replace(DONE, image_id=None, snapshot_ids=())
    [task] = wait_for([AMI], Script([bare], [bare], [DONE]), clock=ManualClock())
    assert task.image_id == "ami-1"
    events = list[Event]()
    [task] = wait_for([AMI], Script([bare]), clock=ManualClock(), report=events.append)
    assert task.image_id is None
    assert any(isinstance(event, Note) and event.level == "warning" for event in events)


def test_a_snapshot_task_waits_for_a_snapshot_id() -> None:
    bare = Task(SNAP, TaskKind.IMPORT_SNAPSHOT, TaskState.COMPLETED)
    [task] = wait_for([SNAP], Script([bare], [replace(bare, snapshot_ids=("snap-9",))]), clock=ManualClock())
    assert task.snapshot_ids == ("snap-9",)


def test_seven_days_pass_in_a_moment_then_the_task_is_cancelled() -> None:
    clock, cancelled, began = ManualClock(), list[tuple[str, str]](), time.process_time()
    with pytest.raises(DeadlineExceeded, match="7 days") as failed:
        wait_for(
            [AMI],
            Script([stage("booting", 39)]),
            clock=clock,
            cancel=lambda task_id, reason: cancelled.append((task_id, reason)),
        )
    assert failed.value.exit_code == 1
    assert "booting" in failed.value.cause
    assert [task_id for task_id, _ in cancelled] == [AMI]
    assert 7 * DAY <= clock.elapsed < 7 * DAY + 150
    assert time.process_time() - began < 10


def test_the_deadline_counts_from_the_start_of_the_task_not_of_the_wait() -> None:
    clock = ManualClock()
    with pytest.raises(DeadlineExceeded):
        wait_for([AMI], Script([BEGUN]), clock=clock, started=clock.now() - dt.timedelta(days=6))
    assert DAY <= clock.elapsed < DAY + 150


@pytest.mark.parametrize("jump", [dt.timedelta(days=8), -dt.timedelta(days=8)])
def test_a_wall_clock_that_is_set_cancels_no_task(monkeypatch: pytest.MonkeyPatch, jump: dt.timedelta) -> None:
    class Set(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return dt.datetime.now(tz) + jump

    clock, cancelled = SystemClock(), list[str]()
    looks = iter(([BEGUN], [stage("converting", 28)], [DONE]))

    def describe(kind: TaskKind, ids: Sequence[str]) -> Sequence[Task]:
        monkeypatch.setattr("vmie.poll.clock.dt", SimpleNamespace(datetime=Set, timedelta=dt.timedelta, UTC=dt.UTC))
        return next(looks)

    fast = WaitSettings(low=0.01, high=0.02)
    wait_for([AMI], describe, clock=clock, settings=fast, cancel=lambda task_id, reason: cancelled.append(task_id))
    assert cancelled == []


def test_after_the_deadline_a_settling_wait_sees_the_task_end() -> None:
    clock, asked = ManualClock(), list[str]()

    def describe(kind: TaskKind, ids: Sequence[str]) -> list[Task]:
        return [replace(BEGUN, state=TaskState.DELETED)] if asked else [BEGUN]

    with pytest.raises(DeadlineExceeded):
        wait_for([AMI], describe, clock=clock, cancel=lambda task_id, reason: asked.append(task_id), settle=True)
    assert asked == [AMI]


def test_a_failed_cancellation_at_the_deadline_does_not_hide_the_deadline() -> None:
    events = list[Event]()

    def cancel(task_id: str, reason: str) -> None:
        raise AwsRefused("too late", code="DeleteConversionTaskError")

    settings = WaitSettings(deadline=600)
    with pytest.raises(DeadlineExceeded):
        wait_for(
            [AMI],
            Script([BEGUN]),
            clock=ManualClock(),
            cancel=cancel,
            settings=settings,
            settle=True,
            report=events.append,
        )
    assert any(isinstance(event, Note) and "too late" in event.text for event in events)


def test_a_long_silence_is_told_each_hour_and_is_no_failure() -> None:
    clock, events = ManualClock(), list[Event]()

    def describe(kind: TaskKind, ids: Sequence[str]) -> list[Task]:
        return [stage("booting", 39)] if clock.elapsed < 3 * 3600 + 200 else [DONE]

    wait_for([AMI], describe, clock=clock, report=events.append)
    assert [event.text.count("still waiting") for event in events if isinstance(event, Note)] == [1, 1, 1]


def test_ctrl_c_passes_through() -> None:
    class Impatient(ManualClock):
        def sleep(self, seconds: float) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_for([AMI], Script([BEGUN]), clock=Impatient())


def test_a_failure_of_one_does_not_stop_the_wait_for_the_others() -> None:
    other = "import-ami-2"
    first = [replace(BEGUN, state=TaskState.DELETED, message="ClientError: x"), replace(BEGUN, id=other)]
    clock = ManualClock()
    script = Script(first, [replace(DONE, id=other)])
    with pytest.raises(TaskFailed):
        wait_for([AMI, other], script, clock=clock)
    assert script.calls[1] == (TaskKind.IMPORT_IMAGE, (other,))


def test_a_poller_takes_tasks_at_any_time_and_tells_each_when_done() -> None:
    clock, over = ManualClock(), list[str]()
    script: Callable[[TaskKind, Sequence[str]], list[Task]] = lambda kind, ids: [  # noqa: E731
        replace(DONE, id=task_id) for task_id in ids
    ]
    poller = Poller(script, clock=clock)
    first = poller.watch(AMI, on_done=lambda watch: over.append(watch.id))
    assert poller.tick() is None
    assert first.result().image_id == "ami-1"
    second = poller.watch("import-ami-2", on_done=lambda watch: over.append(watch.id))
    run(poller, clock=clock)
    assert second.done
    assert over == [AMI, "import-ami-2"]
    with pytest.raises(VmieError, match="still"):
        poller.watch("import-ami-3").result()


def test_no_id_of_a_task_is_refused() -> None:
    with pytest.raises(ValueError, match="ami-1"):
        wait_for(["ami-1"], Script([]), clock=ManualClock())
