"""What vmie keeps is the user's own: made so, and refused where others can write it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmie.batch.model import BatchPlan, ItemKind, PlanItem
from vmie.batch.report import summary
from vmie.batch.store.locations import Locations
from vmie.errors import VmieError
from vmie.jobs.store import Job, JobStore
from vmie.model import DAMAGED
from vmie.ops import ownership
from vmie.poll import SystemClock

CLOCK = SystemClock()
BATCH, OTHER = "batch-20260102-030405-aaaaaa", "batch-20260102-030405-bbbbbb"
PLAN = BatchPlan("few", (PlanItem("vm", ItemKind.IMPORT, "s3://b/k.raw", {}),))


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """As many systems have it: what asks for no mode is writable by the group."""
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with two batches and a job."""
    state = tmp_path / "above" / "state"
    for batch in (BATCH, OTHER):
        with Locations(state).create(batch, "plan").open(CLOCK.now) as store:
            store.begin(batch, PLAN, fingerprint="plan", account="123456789012", region="eu-west-1")
    _begin(state).close()
    return state


def _begin(state: Path) -> Job:
    jobs = JobStore(state, now=CLOCK.now, token_hex=secrets.token_hex)
    return jobs.begin("import", source="a.raw", fingerprint="f", request={})[0]


def test_what_is_made_is_the_users_alone(state: Path) -> None:
    made = [*state.parent.rglob("*"), state.parent]
    assert {path.stat().st_mode & 0o777 for path in made if path.is_dir()} == {0o700}
    kept = [path for path in made if path.name.startswith("state.db") or path.suffix == ".json"]
    assert len(kept) >= 3
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}


@pytest.mark.parametrize("where", [".", "batches", f"batches/{BATCH}", f"batches/{BATCH}/state.db"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_a_batch_that_others_can_write_is_not_opened(state: Path, where: str, mode: int) -> None:
    path = state / where
    path.chmod(path.stat().st_mode | mode)
    with pytest.raises(VmieError) as caught, Locations(state).of(BATCH).open(CLOCK.now):
        pass
    assert caught.value.code == ownership.UNTRUSTED
    assert f"chmod go-w {path}" in caught.value.cure
    path.chmod(path.stat().st_mode & ~0o022)
    with Locations(state).of(BATCH).open(CLOCK.now) as store:
        assert store.items(BATCH)


def test_a_batch_that_others_can_write_hides_no_other(state: Path) -> None:
    (state / "batches" / BATCH / "state.db").chmod(0o666)
    found = {one.job: one.status for one in summary.summaries(Locations(state), clock=CLOCK)}
    assert found == {BATCH: DAMAGED, OTHER: "interrupted"}


def test_jobs_that_others_can_write_are_not_opened(state: Path) -> None:
    (job,) = (state / "jobs").glob("job-*.json")
    jobs = JobStore(state, now=CLOCK.now, token_hex=secrets.token_hex)
    for path in (job, state / "jobs", state):
        path.chmod(path.stat().st_mode | 0o020)
        with pytest.raises(VmieError) as caught:
            jobs.open(job.stem)
        assert caught.value.code == ownership.UNTRUSTED
        path.chmod(path.stat().st_mode & ~0o020)
    jobs.open(job.stem).close()
    (state / "jobs").chmod(0o777)
    with pytest.raises(VmieError):
        _begin(state)


def test_what_belongs_to_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    ownership.check(tmp_path, tmp_path / "absent", Path("/"))
    if os.geteuid() == 0:
        os.chown(tmp_path, 4711, 4711)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(VmieError, match="other users could change") as caught:
        ownership.check(tmp_path)
    assert f"chown {os.geteuid()} {tmp_path}" in caught.value.cure
