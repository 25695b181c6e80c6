"""What only reads a batch, or thinks one through, does not pay for the engine that carries one out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vmie.aws.session import Aws
from vmie.batch.context import BatchContext
from vmie.batch.model import BatchPlan, ItemKind, Limits, PlanItem
from vmie.batch.run import api
from vmie.batch.store.locations import Locations
from vmie.settings import Settings

CALL = "import json, sys; from vmie import cli; code = cli.run(sys.argv[1:]); print(json.dumps(sorted(sys.modules)))"


def modules(state: Path, *argv: str) -> set[str]:
    """What a process has imported when it has carried out a command."""
    environ = {**os.environ, "VMIE_STATE": str(state)}
    done = subprocess.run([sys.executable, "-c", CALL, *argv], env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def connect(region: str, profile: str = "", /) -> Aws:
    return Aws.of({}, region=region or "eu-west-1", account="123456789012")


@pytest.fixture
def batch(tmp_path: Path) -> str:
    plan = BatchPlan("one", (PlanItem("a", ItemKind.IMPORT, "s3://b/k.raw", {}),), Limits())
    return api.begin(BatchContext(Locations(tmp_path), connect, Settings()), plan)


def test_looking_at_batches_imports_no_engine(tmp_path: Path, batch: str) -> None:
    report = ("batch", "report", batch, "--to", str(tmp_path / "report.html"))
    for argv in (("batch", "status"), ("batch", "status", batch), report, ("jobs",)):
        found = modules(tmp_path, *argv)
        assert "vmie.batch.store.store" in found
        assert not found & {"dbos", "boto3", "vmie.batch.run"}, argv


def test_a_dry_run_imports_no_engine(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(1 << 20))
    plan = tmp_path / "plan.yaml"
    plan.write_text("items: [{source: a.raw, skip_check: all}]\n", encoding="utf-8")
    found = modules(tmp_path, "--sandbox", "batch", "run", str(plan), "--dry-run", "--output", "json")
    assert "vmie.batch.estimate.estimate" in found
    assert not found & {"dbos", "vmie.batch.run"}
