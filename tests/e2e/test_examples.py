"""The example plans run as they are, in a sandbox of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Done

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", ["plan.yaml", pytest.param("plan.csv", marks=pytest.mark.soak)])
def test_an_example_plan_runs(vmie: Callable[..., Done], name: str) -> None:
    looked = vmie("--sandbox", "batch", "run", EXAMPLES / name, "--dry-run")
    assert looked.code == 0, looked.out + looked.err
    assert looked.json["result"]["plan"]["blocked"] == 0
    done = vmie("--sandbox", "batch", "run", EXAMPLES / name)
    assert done.code == 0, done.out + done.err
    whole, disk = done.json["result"]["items"]
    assert whole["image_id"].startswith("ami-")
    assert disk["image_id"].startswith("ami-")
    assert (disk["wave"], disk["status"]) == (1, "completed")
