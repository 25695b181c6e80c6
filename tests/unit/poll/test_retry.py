"""Retrying: a role that is not ready yet is waited for, two minutes and no longer."""

from __future__ import annotations

import pytest

from tests.clocks import ManualClock
from vmie.errors import AwsRefused
from vmie.events import Event, Note
from vmie.poll import ROLE, TRANSIENT, VISIBILITY, retrying

PATIENCE = {"role": ROLE, "transient": TRANSIENT, "visibility": VISIBILITY}


def classify(error: BaseException) -> str:
    return getattr(error, "code", "")


def test_a_role_that_becomes_ready_is_no_failure() -> None:
    clock, events = ManualClock(), list[Event]()

    def call() -> str:
        if clock.elapsed < 40:
            raise AwsRefused("the role does not exist or does not have sufficient permissions", code="role")
        return "import-ami-1"

    assert retrying(call, clock=clock, classify=classify, patience=PATIENCE, report=events.append) == "import-ami-1"
    assert clock.elapsed < 60
    assert all(isinstance(event, Note) and "not ready" in event.text for event in events)


def test_a_role_that_stays_wrong_is_explained_after_two_minutes() -> None:
    clock = ManualClock()

    def call() -> str:
        raise AwsRefused("no role", code="role", cause="the trust policy names another service")

    with pytest.raises(AwsRefused, match="no role") as failed:
        retrying(call, clock=clock, classify=classify, patience=PATIENCE)
    assert 100 <= clock.elapsed <= 120
    assert failed.value.cause.startswith("the trust policy")
    assert "it still said so after" in failed.value.cause


def test_what_no_class_knows_is_raised_at_once() -> None:
    clock = ManualClock()

    def call() -> str:
        raise AwsRefused("never", code="InvalidParameter")

    with pytest.raises(AwsRefused):
        retrying(call, clock=clock, classify=classify, patience=PATIENCE)
    assert clock.sleeps == []


def test_each_class_has_a_time_of_its_own() -> None:
    clock = ManualClock()

    def call() -> str:
        if clock.elapsed < 100:
            raise AwsRefused("role", code="role")
        if clock.elapsed < 150:
            raise AwsRefused("unseen", code="visibility")
        return "done"

    assert retrying(call, clock=clock, classify=classify, patience=PATIENCE) == "done"
