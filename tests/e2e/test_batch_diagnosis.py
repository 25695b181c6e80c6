"""Items that AWS refuses say which of its reasons it is, and the account is looked at once for all of them."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clocks import ManualClock
from tests.sandbox.conftest import BUCKET, bootable
from vmie import events, sandbox
from vmie.aws.session import Aws, connect
from vmie.batch.context import BatchContext
from vmie.batch.model import BatchPlan, Item, ItemKind, PlanItem, State
from vmie.batch.run import api
from vmie.batch.run.diagnosis_cache import DiagnosisCache
from vmie.batch.run.stages import Stages
from vmie.batch.store.locations import Locations
from vmie.errors import AwsRefused, TaskFailed
from vmie.ops.import_ import ImportRequest
from vmie.poll import SystemClock
from vmie.sandbox import Sandbox
from vmie.settings import Settings

#: AWS's one sentence for all that can be wrong with the role
SENTENCE = "The service role vmimport provided does not exist or does not have sufficient permissions"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=10_000) as running_:
        yield running_


class Counting:
    """A reporter that counts calls, and the door that tells it."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __call__(self, event: events.Event, /) -> None:
        if isinstance(event, events.AwsCall):
            self.calls[event.operation] += 1

    def door(self, region: str, profile: str = "") -> Aws:
        return connect(region=region or "us-east-1", reporter=self)


def request(**given: object) -> dict[str, object]:
    return ImportRequest(sources=("/nowhere/vm.raw",), **given).as_json()  # type: ignore[arg-type]


def made(number: int, request: dict[str, object]) -> Item:
    return Item(
        *("batch", f"vm-{number}", number, ItemKind.IMPORT, "vm.raw", request, "us-east-1", "default"),
        *(0, (), 0, State.SUBMITTING, 1, ""),
    )


def refusal() -> AwsRefused:
    return AwsRefused(SENTENCE, code="InvalidParameter", cause="what the catalogue guesses")


def no_reading(box: Sandbox) -> None:
    """Take the role's right to read the bucket's objects."""
    allowed = ["s3:ListBucket", "s3:GetBucketLocation", "ec2:*"]
    statement = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    box.client("iam").put_role_policy(RoleName="vmimport", PolicyName="vmimport", PolicyDocument=document)


def test_the_account_is_looked_at_once_for_five_hundred_items(box: Sandbox) -> None:
    no_reading(box)
    counting, clock = Counting(), ManualClock()
    door = counting.door("us-east-1")
    diagnoses = DiagnosisCache(settings=Settings(bucket=BUCKET), clock=clock)

    def explained(number: int, **given: object) -> str:
        return diagnoses.explain(refusal(), made(number, request(**given)), lambda _: door).cause

    first = explained(0)
    assert "s3:GetObject" in first
    once = counting.calls.total()
    assert once > 0
    assert {explained(number) for number in range(1, 500)} == {first}
    assert counting.calls.total() == once

    explained(500, role_name="other")
    assert counting.calls.total() > once, "another role is another question"

    asked = counting.calls.total()
    clock.time += dt.timedelta(seconds=301)
    explained(501)
    assert counting.calls.total() > asked, "who mends the account is told anew"


def test_what_the_account_cannot_explain_costs_no_call(box: Sandbox) -> None:
    counting = Counting()
    diagnoses = DiagnosisCache(settings=Settings(bucket=BUCKET), clock=ManualClock())
    error = TaskFailed("import-ami-1 failed", cause="ClientError: Unknown OS / Missing OS files.")
    told = diagnoses.explain(error, made(0, request()), lambda item: counting.door(item.region))
    assert told is error
    assert told.cause == "ClientError: Unknown OS / Missing OS files."
    assert not counting.calls


class Hurried(SystemClock):
    """Sleeps of minutes pass in no time."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = dt.timedelta()

    def now(self) -> dt.datetime:
        return super().now() + self._ahead

    def sleep(self, seconds: float) -> None:
        self._ahead += dt.timedelta(seconds=seconds)
        time.sleep(0.001)


def test_items_of_a_batch_name_the_reason(box: Sandbox, tmp_path: Path) -> None:
    """The role was well when the items were thought through; AWS finds it wanting."""

    class Breaking(Stages):
        def upload(self) -> None:
            super().upload()
            no_reading(box)

    items = []
    for number in range(2):
        path = tmp_path / f"vm-{number}.raw"
        path.write_bytes(bootable(mark=b"%d" % number))
        wanted = ImportRequest(sources=(str(path),), bucket=BUCKET, skip_check=("all",))
        items.append(PlanItem(f"vm-{number}", ItemKind.IMPORT, str(path), wanted.as_json()))
    context = BatchContext(
        Locations(tmp_path), Counting().door, replace(Settings(), poll_seconds=0.02), clock=Hurried()
    )
    batch = api.begin(context, BatchPlan("two", tuple(items)))
    outcome = api.run(context, batch, stages=Breaking)
    assert [item.state for item in outcome.items] == [State.FAILED, State.FAILED]
    for item in outcome.items:
        assert "s3:GetObject" in item.error["cause"], item.error
        assert "setup-role" in item.error["cure"]
