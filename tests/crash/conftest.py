"""Real crashes: processes killed with SIGKILL, against a sandbox in another process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash import postgres
from tests.e2e.conftest import Server, disk, server, serving  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def quick() -> Iterator[Server]:
    """One server for all who count only what is theirs; an import takes less than a second there."""
    with serving(speed=2400) as running:
        yield running


@pytest.fixture(scope="session")
def database() -> Iterator[postgres.Postgres]:
    """A PostgreSQL that tests share; each makes databases of its own in it."""
    with postgres.running() as running:
        yield running
