"""Real crashes: processes killed with SIGKILL, against a sandbox in another process."""

from __future__ import annotations

from tests.e2e.conftest import disk, server  # noqa: F401 - fixtures
