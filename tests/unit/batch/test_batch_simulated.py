"""Thousands of VMs in virtual time: AWS's places are always full, never over, and looks do not grow with items.

What happened is told by the sandbox, which stands in for AWS: it counts, and it refuses what is too many.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.batch.simulation import FAULTS, REGIONS, Story, failed_by_choice, simulate
from vmie.batch.model import State

IMAGES_FAULT, AWS_FAULT = FAULTS
#: looks that are none of the task poller's: the gate's first count of the account's tasks, per kind
COUNTS = 1


def expect_good(story: Story, *, within: float) -> None:
    box, count, limit = story.box, story.count, story.watch.limit
    for region in REGIONS:
        assert box.stats.region(region).peak == {"imports": limit}, "all of what AWS allows, never more"
    assert box.stats.errors["ResourceCountLimitExceeded"] == 0, "nothing was started in vain"
    assert box.stats.failed.keys() <= FAULTS.keys(), "no task failed but by the sandbox's choice"
    failed = failed_by_choice(story)
    assert story.outcome.count(State.COMPLETED) + len(failed) == count
    assert set(failed) <= FAULTS.keys(), "each says so with the words of AWS"
    # A fault of AWS's own is another task; an item whose third task it strikes has failed of it.
    struck = failed.count(AWS_FAULT)
    assert failed.count(IMAGES_FAULT) == box.stats.failed[IMAGES_FAULT]
    assert sum(box.stats.tasks.values()) == count + box.stats.failed[AWS_FAULT] - struck
    assert struck <= 1
    for region in REGIONS:
        for name, looks in story.describes(region).items():
            assert looks <= story.driver.steps + COUNTS, f"{name}: one look per kind, Region and tick, whoever waits"
    assert story.driver.unexpected == 0, "time never had to move on for an engine that waited in vain"
    assert story.stretch <= within


def test_two_dozen_vms(tmp_path: Path) -> None:
    # The fewer there are for a place, the more its first and last ones weigh.
    with simulate(tmp_path, 24, limit=3) as story:
        print(story.told())
        expect_good(story, within=1.1)
        own = {"s3:HeadObject", "s3:GetObject"}  # of the disk itself
        calls = {name: count for name, count in story.box.stats.calls.items() if name not in own}
        reads = sum(count for name, count in calls.items() if name.startswith(("iam:", "s3:")))
        assert reads < 3 * story.count, "what they have in common is not asked for each: it was eleven"


@pytest.mark.soak
def test_ten_thousand_vms(tmp_path: Path) -> None:
    with simulate(tmp_path, 10_000) as story:
        print(story.told())
        expect_good(story, within=1.03)
        assert story.grown() < 16 << 10, "what is kept of a VM that has ended: most of it the sandbox's"
