"""Jobs on disk: one file each in the state folder, locked by the process that works on it.

A job file is replaced atomically and synced on every step, so that what it says was done, was done.
It holds no secret: requests are options, steps are ids.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from vmie.errors import Run, UsageError
from vmie.jobs.kept import KeptJob, is_job, read
from vmie.model import DAMAGED, JobSummary
from vmie.ops import ownership
from vmie.ops.journal import bytes_held
from vmie.ops.process_lock import ProcessLock

RUNNING, DONE, FAILED, CANCELLED = "running", "done", "failed", "cancelled"
#: AWS has the task and nobody waits for it
SUBMITTED = "submitted"
#: the longest wait, in seconds, for another command that is looking for its job or making it
_BEGIN_WITHIN = 30.0


class Job(KeptJob):
    """An open job: a `vmie.ops.journal.Journal` in a file, under an exclusive lock until closed."""

    def __init__(self, path: Path, *, now: Callable[[], datetime], data: dict[str, Any] | None = None) -> None:
        self._path = path
        self._now = now
        #: steps are recorded by the threads that do them
        self._writing = threading.Lock()
        self._lock = _lock(path)
        if not self._lock.acquire():
            raise UsageError(
                f"{path.stem} is being worked on by {self._lock.holder}",
                cure="wait for it, or stop that process and run the command again",
                code="JobLocked",
            )
        try:
            super().__init__(path, read(path) if data is None else data)
        except UsageError:
            self._lock.release()
            raise
        if data is not None:
            self._write()

    def put(self, step: str, value: dict[str, Any]) -> None:
        """See `Journal.put`."""
        with self._writing:
            self._data["steps"][step] = value
            self._write()

    def finish(self, status: str, result: dict[str, Any] | None = None) -> None:
        """Record how the job ended, and what it came to."""
        self._data["status"] = status
        if result is not None:
            self._data["result"] = result
        self._write()

    def keep_plan(self, plan: dict[str, Any]) -> None:
        """Record the plan, so that steps that need nothing else can be taken without what it was made from."""
        self._data["plan"] = plan
        self._write()

    def remove(self) -> None:
        """Forget a job that never began."""
        self._path.unlink(missing_ok=True)
        self._lock.remove()

    def close(self) -> None:
        """Let go of the lock."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self) -> None:
        self._data["updated"] = self._now().isoformat(timespec="seconds")
        temporary = self._path.with_suffix(".new")
        with ownership.usable(self._path):
            with open(temporary, "w", encoding="utf-8", opener=ownership.private) as file:
                json.dump(self._data, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


class JobStore:
    """The folder of jobs. `now` and `token_hex` are handed in."""

    def __init__(self, root: Path, *, now: Callable[[], datetime], token_hex: Callable[[int], str]) -> None:
        self._root = root / "jobs"
        self._now = now
        self._token_hex = token_hex

    def begin(
        self, kind: str, *, source: str, fingerprint: str, request: dict[str, Any], ended_too: bool = False
    ) -> tuple[Job, bool]:
        """The unfinished or failed job with the same `fingerprint`, or a new one; True for an old one.

        With `ended_too` one that is done counts as well: it will see for itself that nothing is left to do.

        Raises UsageError when another process is at that job, VmieError (UntrustedState) when others can write here.
        """
        ownership.make_folder(self._root)
        ownership.check(self._root.parent, self._root)
        wanted = (RUNNING, SUBMITTED, FAILED, *((DONE,) if ended_too else ()))
        with self._exclusive():
            if (known := self._known(fingerprint, wanted)) is not None:
                return known, True
            name = f"job-{self._now():%Y%m%d-%H%M%S}-{self._token_hex(3)}"
            data = {
                "id": name,
                "kind": kind,
                "source": source,
                "fingerprint": fingerprint,
                "request": request,
                "status": RUNNING,
                "created": self._now().isoformat(timespec="seconds"),
                "steps": {},
            }
            return Job(self._root / f"{name}.json", now=self._now, data=data), False

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One process at a time looks for a job and makes it: equal commands at the same moment share one job."""
        lock = FileLock(self._root / "begin.lock", timeout=_BEGIN_WITHIN, mode=0o600, thread_local=False)
        try:
            with ownership.usable(self._root):
                lock.acquire()
        except Timeout:
            raise UsageError(
                f"another command has been beginning a job in {self._root} for {_BEGIN_WITHIN:.0f} s",
                cure="run the command again once that is over",
                code="JobLocked",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _known(self, fingerprint: str, wanted: tuple[str, ...]) -> Job | None:
        """The job with the fingerprint whose status is one of `wanted`, locked; None when there is none."""
        for path in self._paths():
            try:
                data = read(path)
            except UsageError:
                continue
            if data.get("fingerprint") != fingerprint or data["status"] not in wanted:
                continue
            try:
                job = Job(path, now=self._now)
            except UsageError:
                if path.exists():
                    raise
                continue  # refused before its first step, and forgotten meanwhile
            if job.status == CANCELLED:  # meanwhile
                job.close()
                continue
            if job.status in wanted:
                job.finish(RUNNING)  # one that was done meanwhile stays so
            return job
        return None

    def open(self, job: str) -> Job:
        """An existing job, locked; raises UsageError when there is none of that name."""
        return Job(self._existing(job), now=self._now)

    def read(self, job: str) -> KeptJob:
        """An existing job as it is now, whoever works on it; raises UsageError when there is none of that name."""
        path = self._existing(job)
        return KeptJob(path, read(path))

    def _existing(self, job: str) -> Path:
        path = self._root / f"{job}.json"
        if not is_job(job) or not path.exists():
            raise UsageError(f"there is no job {job!r}", cure=Run(("vmie", "jobs"), "lists them"))
        ownership.check(self._root.parent, self._root, path)
        return path

    def list(self) -> list[JobSummary]:
        """Every job, newest first."""
        return sorted((_summary(path) for path in self._paths()), key=lambda job: job.updated, reverse=True)

    def _paths(self) -> Iterator[Path]:
        if self._root.is_dir():
            yield from (path for path in sorted(self._root.glob("job-*.json")) if is_job(path.stem))


def _summary(path: Path) -> JobSummary:
    """What `vmie jobs` shows of a job; one bad file must not hide the others."""
    try:
        return _summed(path, read(path))
    except (UsageError, OSError, KeyError, TypeError, ValueError):
        return JobSummary(job=path.stem, status=DAMAGED, kind="", source=str(path), task_id=None, updated="")


def _summed(path: Path, data: dict[str, Any]) -> JobSummary:
    status = data["status"]
    if status == RUNNING and not _lock(path).held():
        status = "interrupted"
    steps = data["steps"]
    submitted = steps.get("submit") or {}
    uploads = [step for name, step in sorted(steps.items()) if name.startswith("upload ")]
    held = [found for step in uploads if (found := bytes_held(step)) is not None]
    first = uploads[0] if uploads else {}
    return JobSummary(
        job=path.stem,
        status=status,
        kind=data["kind"],
        source=data["source"],
        task_id=submitted.get("task_id"),
        updated=data["updated"],
        object=f"s3://{first['bucket']}/{first['key']}" if {"bucket", "key"} <= first.keys() else None,
        bytes_held=sum(held) if held and status != CANCELLED else None,
    )


def _lock(path: Path) -> ProcessLock:
    return ProcessLock(path.with_suffix(".lock"))
