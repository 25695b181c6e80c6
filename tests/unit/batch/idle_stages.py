"""Stages that do nothing, for tests of what runs them."""

from __future__ import annotations

from typing import Any

from vmie.batch.run.stages import Stages


class NoWork(Stages):
    """Every item is done at once."""

    def check(self) -> None:
        return

    def upload(self) -> None:
        return

    def submit(self) -> str:
        return "import-ami-00000000000000000"

    def wait(self, task_id: str) -> None:
        return

    def finish(self) -> dict[str, Any]:
        return {}
