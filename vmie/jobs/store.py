"""Jobs on disk: one file each in the state folder, locked by the process that works on it.

A job file is replaced atomically and synced on every step, so that what it says was done, was done.
It holds no secret: requests are options, steps are ids.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from vmie.errors import Run, UsageError
from vmie.model import DAMAGED, JobSummary
from vmie.ops import ownership
from vmie.ops.journal import bytes_held, damage
from vmie.ops.process_lock import ProcessLock

_ID = re.compile(r"job-[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")

RUNNING, DONE, FAILED, CANCELLED = "running", "done", "failed", "cancelled"
#: AWS has the task and nobody waits for it
SUBMITTED = "submitted"
#: far above what a job of a thousand disks has
_MOST_BYTES = 64 << 20
#: the longest wait, in seconds, for another command that is looking for its job or making it
_BEGIN_WITHIN = 30.0


class Job:
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
            self._data: dict[str, Any] = _read(path) if data is None else data
        except UsageError:
            self._lock.release()
            raise
        if data is not None:
            self._write()

    @property
    def job(self) -> str:
        """The job's id."""
        return self._path.stem

    @property
    def kind(self) -> str:
        """The verb that began it."""
        return str(self._data["kind"])

    @property
    def request(self) -> dict[str, Any]:
        """The options it was begun with."""
        return dict(self._data["request"])

    @property
    def status(self) -> str:
        """What was last recorded: running, done, failed or cancelled."""
        return str(self._data["status"])

    def get(self, step: str) -> dict[str, Any] | None:
        """See `Journal.get`."""
        found = self._data["steps"].get(step)
        return dict(found) if found is not None else None

    def put(self, step: str, value: dict[str, Any]) -> None:
        """See `Journal.put`."""
        with self._writing:
            self._data["steps"][step] = value
            self._write()

    @property
    def begun(self) -> bool:
        """Whether anything was done yet."""
        return bool(self._data["steps"])

    def finish(self, status: str, result: dict[str, Any] | None = None) -> None:
        """Record how the job ended, and what it came to."""
        self._data["status"] = status
        if result is not None:
            self._data["result"] = result
        self._write()

    @property
    def result(self) -> dict[str, Any] | None:
        """What it came to, None when it did not end or was ended by a version that kept no results."""
        return _mapping(self._data.get("result"))

    @property
    def plan(self) -> dict[str, Any] | None:
        """The plan that it was last carried out by, None before there was one."""
        return _mapping(self._data.get("plan"))

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
                data = _read(path)
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
        path = self._root / f"{job}.json"
        if not _ID.fullmatch(job) or not path.exists():
            raise UsageError(f"there is no job {job!r}", cure=Run(("vmie", "jobs"), "lists them"))
        ownership.check(self._root.parent, self._root, path)
        return Job(path, now=self._now)

    def list(self) -> list[JobSummary]:
        """Every job, newest first."""
        return sorted((_summary(path) for path in self._paths()), key=lambda job: job.updated, reverse=True)

    def _paths(self) -> Iterator[Path]:
        if self._root.is_dir():
            yield from (path for path in sorted(self._root.glob("job-*.json")) if _ID.fullmatch(path.stem))


def _summary(path: Path) -> JobSummary:
    """What `vmie jobs` shows of a job; one bad file must not hide the others."""
    try:
        return _summed(path, _read(path))
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


def _mapping(value: Any) -> dict[str, Any] | None:
    return dict(value) if isinstance(value, dict) else None


def _lock(path: Path) -> ProcessLock:
    return ProcessLock(path.with_suffix(".lock"))


#: what a job file holds at least, and of which kind
_SHAPE: Mapping[str, type] = {
    **dict.fromkeys(("status", "kind", "source", "updated"), str),
    **dict.fromkeys(("request", "steps"), dict),
}


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_MOST_BYTES).decode("utf-8"))
        wrong = sorted(name for name, kind in _SHAPE.items() if not isinstance(data.get(name), kind))
        wrong += filter(None, (damage(name, step) for name, step in (data.get("steps") or {}).items()))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UsageError(f"cannot read the job file {path}: {error}", cure="remove it if it is damaged") from error
    if wrong:
        raise UsageError(f"the job file {path} is damaged: {', '.join(wrong)[:500]}", cure="remove it")
    return dict(data)
