"""`vmie batch` against the shell loop: a migration in virtual time, and what the engine itself takes for it.

The engine is the real one, before the sandbox: images in S3, two Regions of 20 places, log-normal conversion times that
grow with the disk, five failures in a hundred. The loop is what people run today: start 20, wait for all of them, start
the next 20; each waits for its task with a poll of its own. It is given the same times, no failures, and no time lost
between a task's end and its noticing it.

    python benchmarks/bench_batch.py            1,000 VMs: a few minutes
    python benchmarks/bench_batch.py --quick    200 VMs
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import rig

from tests.unit.batch.simulation import REGIONS, SPREAD, Story, simulate
from vmie.batch.model import Item
from vmie.sandbox.service.durations import Durations

#: the seconds between two polls of botocore's and the AWS CLI's own waiters for these tasks
WAITER = 15.0
SEED = 7


def main() -> None:
    count = 200 if "--quick" in sys.argv[1:] else 1000
    with rig.scratch() as folder, simulate(folder, count, seed=SEED) as story:
        print(story.told())
        result = {"vms": count, **engine(story), **schedule(story), **looks(story)}
    rig.finish("batch", result)


def engine(story: Story) -> dict[str, float]:
    """What an item costs on this machine, state on its disk."""
    wall, cpu, sandbox = story.steady
    print(
        f"the engine takes {1000 * cpu:.0f} ms of processor per VM, {1000 * wall:.0f} ms on the wall with the sandbox"
    )
    return {"cpu_per_vm": cpu, "wall_per_vm": wall, "sandbox_cpu_per_vm": sandbox, "bytes_per_vm": story.grown()}


def schedule(story: Story) -> dict[str, float]:
    """Days of both sides, and of the best schedule that there can be."""
    theirs = max(waves([item for item in story.outcome.items if item.region == region]) for region in REGIONS)
    day = 86400
    print(
        f"makespan: vmie {story.makespan / day:.2f} days, waves of 20 {theirs / day:.2f}, "
        f"least possible {story.bound / day:.2f}: vmie {story.stretch:.3f} of that, {theirs / story.makespan:.2f} "
        "times as fast as waves"
    )
    return {
        "makespan": story.makespan,
        "makespan_waves": theirs,
        "bound": story.bound,
        "ratio": theirs / story.makespan,
    }


def waves(items: Sequence[Item], *, places: int = 20) -> float:
    """The seconds in which a shell loop imports a Region's items, in the plan's order: each wave as its slowest."""
    starts = range(0, len(items), places)
    return sum(max(taken(item) for item in items[start : start + places]) for start in starts)


def looks(story: Story) -> dict[str, float]:
    """Describe calls of both sides."""
    ours = sum(sum(story.describes(region).values()) for region in REGIONS)
    theirs = sum(taken(item) / WAITER for item in story.outcome.items)
    print(f"Describe calls: vmie {ours}, a waiter per task {theirs:.0f}: {theirs / ours:.0f} times as many")
    return {"describes": ours, "describes_waiters": theirs, "describes_ratio": theirs / ours}


def taken(item: Item) -> float:
    """The seconds of an item's first task."""
    fresh = Durations(median=SPREAD.median, per_gib=SPREAD.per_gib, spread=SPREAD.spread, seed=SEED)
    return fresh.draw(SPREAD.median, origin=item.source.removeprefix("s3://"), size=item.size)


if __name__ == "__main__":
    main()
