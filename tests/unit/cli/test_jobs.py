"""One id for all verbs: `vmie jobs`, `vmie resume` and `vmie cancel` know single jobs and batches."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from vmie.batch.model import BatchPlan, ItemKind, PlanItem, State
from vmie.batch.store.locations import Locations
from vmie.batch.store.store import Store
from vmie.cli import run
from vmie.jobs.store import JobStore

AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
BATCH = "batch-20260102-030405-0000ff"

Call = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("VMIE_STATE", str(tmp_path))
    monkeypatch.delenv("VMIE_BATCH_STATE", raising=False)

    def call(*argv: str) -> tuple[int, dict[str, Any]]:
        code = run(["--output", "json", *argv])
        return code, json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def job(tmp_path: Path) -> str:
    """A job that was submitted, and that nobody is at."""
    ids = count(1)
    store = JobStore(tmp_path, now=lambda: AT, token_hex=lambda n: f"{next(ids):06x}")
    with store.begin("import", source="web.ova", fingerprint="one", request={})[0] as held:
        held.put("submit", {"task_id": "import-ami-0123456789abcdef0", "at": AT.isoformat()})
        return held.job


@pytest.fixture
def batch(tmp_path: Path) -> str:
    """A batch of three, one of them completed, later than the job."""
    place = Locations(tmp_path).create(BATCH, "fingerprint")
    engine = place.engine()
    store = Store(engine, now=lambda: AT + dt.timedelta(hours=1))
    store.prepare()
    items = tuple(PlanItem(f"vm-{number}", ItemKind.IMPORT, "vm.raw", {}) for number in range(3))
    store.begin(BATCH, BatchPlan("web", items, source="plan.yaml"), fingerprint="f", account="1", region="us-east-1")
    store.move(store.item(BATCH, "vm-1"), State.COMPLETED)
    engine.dispose()
    return BATCH


def test_one_list_of_jobs_and_batches_newest_first(call: Call, job: str, batch: str) -> None:
    code, shown = call("jobs")
    assert code == 0
    first, second = shown["result"]["jobs"]
    assert {name: first[name] for name in ("job", "status", "kind", "source", "task_id", "updated", "progress")} == {
        "job": batch,
        "status": "interrupted",
        "kind": "batch",
        "source": "plan.yaml",
        "task_id": None,
        "updated": "2026-01-02T04:04:05+00:00",
        "progress": "1/3",
    }
    assert (second["job"], second["kind"], second["progress"]) == (job, "import", None)
    assert first.keys() == second.keys()


def test_a_damaged_batch_hides_no_other(call: Call, job: str, batch: str, tmp_path: Path) -> None:
    (tmp_path / "batches" / batch / "state.db").write_bytes(b"no database" * 100)
    (tmp_path / "batches" / batch / "state.db-wal").unlink(missing_ok=True)
    _, shown = call("jobs")
    assert [(one["job"], one["status"]) for one in shown["result"]["jobs"]] == [
        (job, "interrupted"),
        (batch, "damaged"),
    ]


def test_the_list_imports_no_dbos_and_without_batches_no_sqlalchemy(job: str, tmp_path: Path) -> None:
    def imported() -> list[str]:
        script = (
            "import sys; from vmie.cli import run; run(['-q', 'jobs']);"
            "print([name for name in ('dbos', 'moto', 'sqlalchemy') if name in sys.modules], file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"VMIE_STATE": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stderr.replace("'", '"'))  # type: ignore[no-any-return]

    assert imported() == []
    Locations(tmp_path).create(BATCH, "fingerprint")
    assert imported() == ["sqlalchemy"]


@pytest.mark.parametrize("verb", ["resume", "cancel"])
@pytest.mark.parametrize("group", [[], ["batch"]])
def test_a_dry_run_says_what_would_be_done_to_a_batch_and_does_nothing(
    call: Call, batch: str, verb: str, group: list[str]
) -> None:
    code, shown = call(*group, verb, batch, "--dry-run")
    assert code == 0
    assert shown["command"] == " ".join([*group, verb])
    assert shown["result"]["plan"] | {"verb": verb, "job": batch, "progress": "1/3"} == shown["result"]["plan"]
    assert call("jobs")[1]["result"]["jobs"][0]["status"] == "interrupted"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("batch-20260102-030405-0000f", "batch"), ("20260102-030405-000001", "job"), ("job-20260102-030405-00001", "job")],
)
def test_an_unknown_id_names_the_nearest(call: Call, job: str, batch: str, wrong: str, meant: str) -> None:
    for verb in ("resume", "cancel"):
        code, shown = call(verb, wrong)
        assert code == 2
        assert shown["error"]["code"] == "NoSuchJob"
        assert f"did you mean {batch if meant == 'batch' else job}?" in shown["error"]["cure"]


def test_a_task_is_resumed_by_its_job(call: Call, job: str) -> None:
    code, shown = call("resume", "import-ami-0123456789abcdef0")
    assert code == 2
    assert shown["error"]["cure"] == f"this is the task of {job}: give that"


def test_nothing_like_it(call: Call) -> None:
    code, shown = call("resume", "x")
    assert (code, shown["error"]["cure"]) == (2, "`vmie jobs` lists them")
