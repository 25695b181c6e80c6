"""A pytest plugin for moto's own suites: they run on moto as the sandbox patches it, with its `mock_aws`."""

from __future__ import annotations

import random

import pytest

from vmie.sandbox.clock import SandboxClock
from vmie.sandbox.emulator import Emulator
from vmie.sandbox.service.task_service import Quotas
from vmie.sandbox.service.validation import any_guest

_running: list[Emulator] = []


def pytest_configure(config: pytest.Config) -> None:
    """Patch moto before its tests are imported: they take functions of it by name."""
    suffix = random.Random(0)
    emulator = Emulator(
        clock=SandboxClock(speed=0),
        limits=Quotas(),
        verdict=any_guest,
        seed=0,
        suffix=lambda: f"{suffix.getrandbits(68):017x}",
    )
    emulator.open()
    _running.append(emulator)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Put moto back."""
    while _running:
        _running.pop().close()
