"""Thousands of VMs in virtual time: the slots are always full, never over, and looks do not grow with items."""

from __future__ import annotations

import resource
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.unit.engine.batch.simulation import STEP, Driver, ToyCloud, ToyStages, VirtualTime
from vmie.engine.batch import running
from vmie.engine.batch.model import Kind, Limits, Plan, PlanItem, State
from vmie.engine.batch.places import Places
from vmie.model import Route
from vmie.ops.import_ import ImportRequest
from vmie.settings import Settings

REGIONS = ("us-east-1", "eu-west-1")


def simulate(folder: Path, count: int, *, limit: int) -> tuple[ToyCloud, running.Outcome, Driver]:
    clock = VirtualTime()
    cloud = ToyCloud(clock, limit)
    request = ImportRequest(sources=("s3://b/k.raw",), route=Route.SNAPSHOT).as_json()
    items = tuple(
        PlanItem(f"vm-{n}", Kind.IMPORT, "s3://b/k.raw", request, region=REGIONS[n % 2], size=n) for n in range(count)
    )
    # Everything is sent at once here, so as many may be ahead as slots can fall free within a look.
    plan = Plan("simulated", items, Limits(imports=limit, uploads=8, ahead=2 * limit))
    company = running.Company(
        Places(folder),
        cloud.door,
        Settings(poll_seconds=15.0),
        clock=clock,
        stages=partial(ToyStages, cloud=cloud),
        looks_every=0.05,
    )
    driver = Driver(cloud, Counter(item.region for item in items))
    thread = threading.Thread(target=driver.run, daemon=True)
    batch = running.begin(company, plan)
    thread.start()
    try:
        outcome = running.run(company, batch)
    finally:
        driver.done.set()
        thread.join()
    return cloud, outcome, driver


def expect_good(cloud: ToyCloud, outcome: running.Outcome, driver: Driver, count: int, *, within: float) -> None:
    failed = outcome.count(State.FAILED)
    assert outcome.count(State.COMPLETED) + failed == count
    assert failed <= 0.07 * count
    assert all(cloud.peak[region] <= cloud.limit for region in REGIONS), "never more than AWS allows"
    assert all(cloud.peak[region] == cloud.limit for region in REGIONS), "all of what AWS allows"
    assert cloud.refused == 0
    again = sum(one.fails.startswith("ServerError") for one in cloud.tasks.values())
    assert len(cloud.tasks) <= count + again, "one task per item, another only when AWS failed it"
    bound = max(cloud.work[region] / cloud.limit for region in REGIONS)
    assert cloud.clock.elapsed <= within * bound
    for region in REGIONS:
        assert cloud.describes[f"{region} snapshot"] <= driver.steps + 2, "one look per kind and tick, whoever waits"
        assert cloud.describes[f"{region} image"] <= 3


def test_a_few_dozen_vms(tmp_path: Path) -> None:
    cloud, outcome, driver = simulate(tmp_path, 60, limit=4)
    # With eight VMs a slot the last ones, alone in their Region, weigh more than anything else.
    expect_good(cloud, outcome, driver, 60, within=1.5)


@pytest.mark.soak
def test_ten_thousand_vms(tmp_path: Path) -> None:
    began, cpu = time.monotonic(), time.process_time()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cloud, outcome, driver = simulate(tmp_path, 10_000, limit=20)
    each = (time.process_time() - cpu) / 10_000 * 1000
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) >> 10
    print(f"10,000 VMs: {time.monotonic() - began:.0f} s, {each:.1f} ms of CPU per VM, {more} MiB more")
    print(f"{driver.steps} steps of {STEP:.0f} s")
    assert more < 200
    expect_good(cloud, outcome, driver, 10_000, within=1.03)
