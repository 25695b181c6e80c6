"""Plan files for tests: written, judged, and what was told of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmie.batch.model import BatchPlan
from vmie.batch.plan import validate
from vmie.errors import UsageError
from vmie.settings import Settings


def load(folder: Path, text: str, *, name: str = "plan.yaml", variables: dict[str, str] | None = None) -> BatchPlan:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return validate.load(path, settings=Settings(), variables=variables)


def mistakes(
    folder: Path, text: str, *, name: str = "plan.yaml", variables: dict[str, str] | None = None
) -> list[tuple[int, str, str]]:
    with pytest.raises(UsageError) as caught:
        load(folder, text, name=name, variables=variables)
    assert caught.value.exit_code == 2
    assert caught.value.code == "PlanRefused"
    assert "nothing was begun" in caught.value.message
    return [(one["line"], one["field"], one["message"]) for one in caught.value.result["mistakes"]]
