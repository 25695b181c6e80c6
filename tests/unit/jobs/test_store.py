"""Jobs on disk: durable, locked, continued by the same command."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path

import pytest

from vmie.errors import UsageError
from vmie.jobs.store import CANCELLED, DONE, FAILED, SUBMITTED, JobStore


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    ids = count(1)
    return JobStore(
        tmp_path, now=lambda: dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), token_hex=lambda n: f"{next(ids):06x}"
    )


def begin(store: JobStore, fingerprint: str = "same"):
    return store.begin("import", source="disk.ova", fingerprint=fingerprint, request={"a": 1})


def test_a_step_is_durable_once_put_returns(store: JobStore) -> None:
    job, again = begin(store)
    assert not again
    job.put("submit", {"task_id": "import-ami-1", "at": "2026-01-02T03:04:05+00:00"})
    name = job.job
    job.close()
    with store.open(name) as found:
        assert (found.get("submit") or {})["task_id"] == "import-ami-1"
        assert found.get("finish") is None
        assert found.request == {"a": 1}
    assert [(line.job, line.task_id, line.status) for line in store.list()] == [(name, "import-ami-1", "interrupted")]


@pytest.mark.parametrize(
    ("status", "continued"), [(FAILED, True), (SUBMITTED, True), (DONE, False), (CANCELLED, False)]
)
def test_the_same_command_goes_on_with_what_is_not_over(store: JobStore, status: str, continued: bool) -> None:
    job, _ = begin(store)
    job.finish(status)
    job.close()
    second, again = begin(store)
    assert again is continued
    assert (second.job == job.job) is continued
    second.close()


def test_another_command_is_another_job(store: JobStore) -> None:
    first, _ = begin(store)
    second, again = begin(store, "other")
    assert not again
    assert first.job != second.job
    assert {line.status for line in store.list()} == {"running"}
    first.close()
    second.close()


def test_a_job_is_looked_for_and_made_by_one_command_at_a_time(tmp_path: Path) -> None:
    second: list[Exception | None] = []

    def other() -> None:
        rival = JobStore(tmp_path, now=lambda: dt.datetime.now(dt.UTC), token_hex=lambda n: "bbbbbb")
        try:
            begin(rival)[0].close()
            second.append(None)
        except UsageError as error:
            second.append(error)

    thread = threading.Thread(target=other)

    def between_the_two(length: int) -> str:
        """The first command has found no job and makes one: the second gets all the time that it needs."""
        thread.start()
        thread.join(1.0)
        return "aaaaaa"

    with begin(JobStore(tmp_path, now=lambda: dt.datetime.now(dt.UTC), token_hex=between_the_two))[0]:
        thread.join()
    (met,) = second
    assert isinstance(met, UsageError)
    assert met.code == "JobLocked"
    assert len(list((tmp_path / "jobs").glob("job-*.json"))) == 1


def test_a_second_process_is_told_who_holds_the_job(store: JobStore, tmp_path: Path) -> None:
    job, _ = begin(store)
    code = (
        "import sys, datetime as dt; from pathlib import Path; from vmie.jobs.store import JobStore\n"
        f"s = JobStore(Path({str(tmp_path)!r}), now=lambda: dt.datetime.now(dt.UTC), token_hex=lambda n: 'ffffff')\n"
        "try: s.begin('import', source='disk.ova', fingerprint='same', request={})\n"
        "except Exception as e: print(e); sys.exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert "is being worked on by process" in done.stdout
    job.close()


def test_a_killed_process_holds_nothing(store: JobStore, tmp_path: Path) -> None:
    code = (
        "import time, datetime as dt; from pathlib import Path; from vmie.jobs.store import JobStore\n"
        f"s = JobStore(Path({str(tmp_path)!r}), now=lambda: dt.datetime.now(dt.UTC), token_hex=lambda n: 'ffffff')\n"
        "job = s.begin('import', source='disk.ova', fingerprint='same', request={})\n"
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == "held\n"
            assert [line.status for line in store.list()] == ["running"]
            with pytest.raises(UsageError, match=f"is being worked on by process {other.pid}$"):
                begin(store)
        finally:
            other.kill()
    assert [line.status for line in store.list()] == ["interrupted"]
    job, again = begin(store)
    assert again
    job.close()


def test_listing_jobs_makes_no_file(store: JobStore, tmp_path: Path) -> None:
    job, _ = begin(store)
    job.close()
    (tmp_path / "jobs" / f"{job.job}.lock").unlink(missing_ok=True)
    before = sorted(path.name for path in (tmp_path / "jobs").iterdir())
    assert [line.status for line in store.list()] == ["interrupted"]
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == before


_WHOLE = {"status": "done", "kind": "import", "source": "s", "request": {}, "steps": {}, "updated": "2026"}

_AT = "2026-01-02T03:04:05+00:00"
#: steps that no vmie has written, and that would be believed later
_DAMAGED = (
    ("upload 0", {"upload_id": "u", "held": "much"}),
    ("upload 0", {"bucket": "b"}),
    ("upload 0", {"bucket": "b", "key": "k", "sent": "nul\0within"}),
    ("upload 0", {"bucket": "b", "key": "k", "stem": "k", "parts": 10**18}),
    ("upload 0", {"bucket": "b", "key": "k", "stem": "k", "parts": 1, "done": 1 << 50}),
    ("upload 7", {"bucket": None, "key": "k"}),
    ("submit", {"at": _AT}),
    ("submit", {"task_id": "import-ami-1"}),
    ("submit", {"task_id": "vol-1", "at": _AT}),
    ("submit 3", {"task_id": "import-ami-1", "at": "yesterday"}),
    ("submit", {"task_id": "import-ami-1", "at": "2026-01-02T03:04:05"}),
    ("submit", {"task_id": "import-ami-1", "at": _AT, "expires": 7}),
    ("intent", {"token": "t"}),
    ("intent", {"kind": "2026-13-45T99:99:99"}),
    ("upload", {"stem": "s", "done": 7, "parts": None}),
    ("attempt", {"number": "²"}),
    ("attempt", {"number": 10**30}),
    ("finish", {"snapshot_ids": "snap-1"}),
    ("downloaded", {"s3://b/k": 7}),
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"status": "running"}',
        "null",
        "[" * 100_000,
        json.dumps(_WHOLE | {"updated": None}),
        json.dumps(_WHOLE | {"steps": ["submit"]}),
        json.dumps(_WHOLE | {"steps": {"submit": "import-ami-1"}}),
        json.dumps(_WHOLE | {"plan": json.loads("[" * 400 + "]" * 400)}),
        *(json.dumps(_WHOLE | {"steps": {name: step}}) for name, step in _DAMAGED),
    ],
    ids=range(10 + len(_DAMAGED)),
)
def test_a_damaged_job_file_is_named_and_hides_no_other(store: JobStore, tmp_path: Path, text: str) -> None:
    job, _ = begin(store)
    job.close()
    path = tmp_path / "jobs" / f"{job.job}.json"
    assert json.loads(path.read_text())["id"] == job.job
    path.write_text(text)
    other, _ = begin(store, "other")
    with other:
        assert [one.job for one in store.list()] == [other.job, job.job]
        assert [(one.status, one.source) for one in store.list()][1] == ("damaged", str(path))
    with pytest.raises(UsageError, match=str(path.name)):
        store.open(job.job).close()


@pytest.mark.parametrize("name", ["job-x", "../../etc/passwd", "", "job-20260102-030405-zzzzzz"])
def test_a_job_that_is_not_there(store: JobStore, name: str) -> None:
    with pytest.raises(UsageError, match="there is no job"):
        store.open(name)
