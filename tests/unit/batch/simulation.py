"""A migration of thousands of VMs in virtual time: the real engine with its real stages, before the real sandbox.

Conversions take hours of the sandbox's clock and none of this machine's. Time moves on in steps of the poller's pace,
and only when the engine has nothing to do at the moment: every place that can be taken is taken, and what has ended
is finished. So the engine's own speed here does not count in what is measured of its scheduling.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import resource
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vmie import events, policy, sandbox
from vmie.aws import session
from vmie.aws.session import Aws
from vmie.batch.context import BatchContext, Connect
from vmie.batch.model import BatchPlan, ItemKind, Limits, PlanItem, State
from vmie.batch.run import api
from vmie.batch.store.locations import Locations
from vmie.model import Route, S3Object
from vmie.ops.import_ import ImportRequest
from vmie.sandbox import Sandbox
from vmie.sandbox.service.durations import Durations
from vmie.settings import Settings

REGIONS = ("us-east-1", "eu-west-1")
#: seconds of virtual time between two looks, as on AWS
STEP = 15.0
#: seconds of this machine's time without a word of the engine after which it waits for something unexpected
SILENCE = 30.0
#: what fails in the sandbox: an image's own fault for good, AWS's own fault once more
FAULTS = {
    "ClientError: Unknown OS / Missing OS files.": 0.04,
    "ServerError: an internal error has occurred during conversion.": 0.01,
}
#: five minutes, a time per GiB, and a factor that nobody foresees
SPREAD = Durations(median=300.0, per_gib=35.0, spread=0.2)
GIB = 1 << 30


class VirtualTime:
    """The sandbox's time as a `vmie.poll.Clock`: who sleeps wakes when time was moved on.

    After a short real while too, so that the engine's own loops go round while time stands still.
    """

    def __init__(self, box: Sandbox, *, nap: float = 0.05) -> None:
        self._box = box
        self._nap = nap
        self._random = random.Random(5)
        self._moved = threading.Condition()
        #: when the threads that look at tasks want to be woken; now, while they are awake
        self._wake: dict[str, float] = {}

    def now(self) -> dt.datetime:
        return self._box.clock.now()

    def sleep(self, seconds: float) -> None:
        if threading.current_thread() is threading.main_thread():
            # The leader, whose pause is one of the machine's and not of AWS's.
            time.sleep(seconds)
            return
        end = self._box.clock.elapsed() + seconds
        me = threading.current_thread()
        with self._moved:
            if me.name == "vmie-watch":
                self._wake[f"{me.name} {me.ident}"] = end
            self._moved.wait_for(lambda: self._box.clock.elapsed() >= end, timeout=self._nap)

    def looked(self) -> bool:
        """Whether all who look at tasks have done so since time was moved on, and sleep again."""
        now = self._box.clock.elapsed()
        with self._moved:
            return all(end > now for end in self._wake.values())

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def advance(self, seconds: float) -> None:
        with self._moved:
            self._box.advance(seconds)
            self._moved.notify_all()


@dataclass(frozen=True)
class Mark:
    """What was used when so many VMs had ended: bytes, seconds on the wall, of processor, of it the sandbox's."""

    ended: int
    memory: int
    wall: float
    cpu: float
    sandbox: float


@dataclass
class Watch:
    """What the engine tells of itself, as a `vmie.events.Reporter`: who holds a place, who still needs one."""

    regions: dict[str, str]
    limit: int
    needing: Counter[str] = field(default_factory=Counter)
    holding: Counter[str] = field(default_factory=Counter)
    finishing: int = 0
    ended: int = 0
    notes: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    marks: list[Mark] = field(default_factory=list)
    #: when the engine last reported anything, in this machine's time
    heard: float = field(default_factory=time.monotonic)
    cost: Callable[[], float] = lambda: 0.0
    _tasks: dict[str, str] = field(default_factory=dict)
    _at: dict[str, State] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.needing.update(self.regions.values())

    def __call__(self, event: events.Event, /) -> None:
        self.heard = time.monotonic()
        with self._lock:
            match event:
                case events.TaskSeen(task) if task.state.terminal and task.id in self._tasks:
                    self.holding[self._tasks.pop(task.id)] -= 1
                case events.ItemSeen():
                    self._moved(event)
                case events.AwsCall():
                    self.calls[event.operation] += 1
                case events.Note(text, "warning"):
                    self.notes.append(text)

    def _moved(self, event: events.ItemSeen) -> None:
        region, state = self.regions[event.item], State(event.state)
        if state is State.CONVERTING:
            self._tasks[event.detail] = region
            self.holding[region] += 1
        elif state is State.FINISHING or (state.ended and self._at.get(event.item) is not State.FINISHING):
            self.needing[region] -= 1
        self.finishing += (state is State.FINISHING) - (self._at.get(event.item) is State.FINISHING)
        if state.ended:
            self.ended += 1
            self._at.pop(event.item, None)
            if self.ended % max(1, len(self.regions) // 20) == 0:
                self.marks.append(Mark(self.ended, resident(), time.monotonic(), time.process_time(), self.cost()))
        else:
            self._at[event.item] = state

    @property
    def left(self) -> int:
        """How many VMs have not ended."""
        return len(self.regions) - self.ended

    def settled(self) -> bool:
        """Every place that can be taken is taken, and nothing is left to be finished."""
        with self._lock:
            full = all(self.holding[region] >= min(self.limit, left) for region, left in self.needing.items())
            return full and not self.finishing


@dataclass
class Driver:
    """Moves the time on whenever the engine has nothing left to do at this moment."""

    clock: VirtualTime
    watch: Watch
    over: threading.Event = field(default_factory=threading.Event)
    steps: int = 0
    #: how often time had to move on because the engine waited for it where nobody expected that
    unexpected: int = 0

    def run(self) -> None:
        since = time.monotonic()
        while self.watch.left and not self.over.wait(0.001):
            settled = self.clock.looked() and self.watch.settled()
            # Silent for so long, it waits: filling all places takes seconds of processor time, more on a busy machine.
            if not settled and time.monotonic() - max(since, self.watch.heard) < SILENCE:
                continue
            self.unexpected += not settled
            since = time.monotonic()
            self.clock.advance(STEP)
            self.steps += 1


@dataclass(frozen=True)
class Story:
    """How it went."""

    box: Sandbox
    outcome: api.BatchResult
    watch: Watch
    driver: Driver
    seconds: float
    cpu: float
    makespan: float

    @property
    def count(self) -> int:
        return len(self.outcome.items)

    @property
    def bound(self) -> float:
        """The least seconds that any schedule needs: the work of a Region over its places."""
        regions = self.box.stats.regions
        return max(float(regions[region].busy["imports"]) / self.watch.limit for region in REGIONS)

    @property
    def stretch(self) -> float:
        """How many times as long it took as any schedule must."""
        return self.makespan / self.bound

    @property
    def steady(self) -> tuple[float, float, float]:
        """Seconds per VM once all is running: wall, processor of the engine, processor of the sandbox."""
        first, last = self.watch.marks[1], self.watch.marks[-2]
        ended, sandbox = last.ended - first.ended, last.sandbox - first.sandbox
        return (last.wall - first.wall) / ended, (last.cpu - first.cpu - sandbox) / ended, sandbox / ended

    def grown(self) -> float:
        """Bytes per VM by which memory grew from a tenth of the batch to its end."""
        marks = self.watch.marks
        early = next(mark for mark in marks if mark.ended * 10 >= self.count)
        return (marks[-1].memory - early.memory) / (marks[-1].ended - early.ended)

    def describes(self, region: str) -> dict[str, int]:
        """Looks at tasks by kind."""
        calls = self.box.stats.region(region).calls
        return {name: count for name, count in calls.items() if name.startswith("ec2:Describe") and "Tasks" in name}

    def told(self) -> str:
        """For a person."""
        counts = ", ".join(f"{self.outcome.count(state)} {state}" for state in (State.COMPLETED, State.FAILED))
        memory = ", ".join(f"{mark.ended}: {mark.memory >> 20}" for mark in self.watch.marks)
        wall, engine, others = (1000 * seconds for seconds in self.steady)
        each = {name: round(count / self.count, 2) for name, count in self.box.stats.calls.most_common(14)}
        return "\n".join(
            [
                f"{self.count} VMs ({counts}) in {self.seconds:.0f} s",
                f"once running, per VM: {wall:.0f} ms, processor: engine {engine:.1f} ms, sandbox {others:.1f} ms",
                f"virtual time {self.makespan / 86400:.2f} days, {self.stretch:.4f} of the least possible",
                f"{self.driver.steps} steps of {STEP:.0f} s, {self.driver.unexpected} of them unexpected",
                *(f"{region}: {self.describes(region)}, {self.box.stats.region(region).peak}" for region in REGIONS),
                f"failed in AWS: {dict(self.box.stats.failed)}; refused: {dict(self.box.stats.errors)}",
                f"calls per VM: {each}",
                f"resident MiB by VMs ended: {memory} ({self.grown() / 1024:.1f} KiB per VM)",
            ]
        )


@contextmanager
def simulate(folder: Path, count: int, *, limit: int = 20, pause: float = 0.1, seed: int = 7) -> Iterator[Story]:
    """Import `count` VMs, half of them as images and half as snapshots, through two Regions of `limit` places."""
    with sandbox.start(seeded=True, speed=0, seed=seed) as box:
        plan = planned(box, count, limit=limit, seed=seed)
        clock = VirtualTime(box)
        watch = Watch({item.key: item.region for item in plan.items}, limit, cost=lambda: box.stats.cpu)
        driver = Driver(clock, watch)
        context = BatchContext(
            Locations(folder), connections(clock), Settings(), reporter=watch, clock=clock, poll_every=pause
        )
        began, cpu, start = time.monotonic(), time.process_time(), box.clock.elapsed()
        batch = api.begin(context, plan)
        thread = threading.Thread(target=driver.run, name="time", daemon=True)
        thread.start()
        try:
            outcome = api.run(context, batch)
        finally:
            driver.over.set()
            thread.join()
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        yield Story(box, outcome, watch, driver, seconds, cpu, box.clock.elapsed() - start)


def planned(box: Sandbox, count: int, *, limit: int, seed: int) -> BatchPlan:
    """Disks of all sizes in a bucket of each Region, times and failures as in the field; the plan to import them."""
    box.durations.median, box.durations.per_gib, box.durations.spread = SPREAD.median, SPREAD.per_gib, SPREAD.spread
    for message, share in FAULTS.items():
        box.faults.fail_task(message, at="", times=None, probability=share)
    buckets = prepared(box)
    chance = random.Random(seed)
    items = []
    for number in range(count):
        region = REGIONS[number % 2]
        source = S3Object(buckets[region], f"vm-{number}.raw")
        # moto makes no volume of a fraction of a GiB
        size = max(1, round(40 * chance.lognormvariate(0, 0.5))) * GIB
        box.put_disk(source.bucket, source.key, size=size)
        route = Route.IMAGE if number % 4 < 2 else Route.SNAPSHOT
        request = ImportRequest(sources=(source.url,), route=route, name=f"vm-{number}").as_json()
        items.append(PlanItem(f"vm-{number}", ItemKind.IMPORT, source.url, request, region=region, size=size))
    return BatchPlan("simulated", tuple(items), Limits(imports=limit, uploads=8, ahead=2 * limit))


def prepared(box: Sandbox) -> dict[str, str]:
    """A bucket in each Region, which the service's role may read."""
    buckets = {region: f"images-{region}" for region in REGIONS}
    for region, name in buckets.items():
        elsewhere = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        box.client("s3", region=region).create_bucket(Bucket=name, **elsewhere)
    grants = policy.Grants(buckets=tuple(buckets.values()))
    box.client("iam").put_role_policy(
        RoleName="vmimport", PolicyName="images", PolicyDocument=json.dumps(policy.role(grants))
    )
    return buckets


def connections(clock: VirtualTime) -> Connect:
    """Each Region by its own door."""

    def door(region: str, profile: str = "", /) -> Aws:
        return session.connect(region=region or REGIONS[0], profile=profile or None, clock=clock)

    return door


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def failed_by_choice(story: Story) -> Sequence[str]:
    """The messages with which failed items say they failed."""
    failed = (item for item in story.outcome.items if item.state is State.FAILED)
    return [str(item.error.get("cause", "")).partition("\n")[0] for item in failed]
