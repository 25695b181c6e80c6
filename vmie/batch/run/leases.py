"""Who is alive: one seat per process. Who holds none is dead, and its work is for others to go on with."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol, Self

import sqlalchemy as sa

from vmie.batch.run.retry_policy import seat_lost
from vmie.batch.store.store import Store
from vmie.batch.store.tables import WORKERS
from vmie.errors import UsageError

#: for how many of its own pauses a worker is waited for after its lock is gone: it must have noticed by then
_GRACE = 10.0


class Seat(Protocol):
    """What a process knows of the others."""

    def leads(self) -> bool:
        """Whether this process is the one that feeds and adopts; raises VmieError when its own seat is lost."""

    def living(self) -> set[str]:
        """Who is alive, by name, this process too; who is found dead can write nothing from now on."""

    def rise(self) -> None:
        """Leave nothing behind: what this process was at is for others at once."""


class FileSeat:
    """The only process of a batch on this machine: an exclusive lock beside the database.

    Raises UsageError, naming the holder, when another process has it.
    """

    def __init__(self, folder: Path, store: Store, worker: str) -> None:
        self._store = store
        self._worker = worker
        self._lock = (folder / "lock").open("a+")
        if not _locked(self._lock):
            self._lock.seek(0)
            holder = self._lock.read().strip() or "another process"
            self._lock.close()
            raise UsageError(
                f"{folder.name} is being worked on by {holder}",
                cause="one process at a time works on a batch that is kept in files",
                cure=f"vmie batch status {folder.name} --watch shows it; stop that process to take it over",
                code="BatchLocked",
            )
        self._lock.seek(0)
        self._lock.truncate()
        self._lock.write(f"process {os.getpid()}")
        self._lock.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def leads(self) -> bool:
        """See `Seat.leads`."""
        return True

    def living(self) -> set[str]:
        """See `Seat.living`: who holds the lock is alone."""
        _bury(self._store, _others(self._store, self._worker))
        return {self._worker}

    def rise(self) -> None:
        """See `Seat.rise`."""
        _bury(self._store, [self._worker])


def held(folder: Path) -> bool:
    """Whether a process is working on the batch in `folder`."""
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _locked(file: IO[str]) -> bool:
    """Lock a file for oneself; whoever only looks whether it is held holds it for a moment."""
    for _ in range(10):
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time in here, by a lock in `folder`; for moments."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def alone_with(engine: sa.Engine, name: str) -> Iterator[None]:
    """One process at a time in here, by a lock of that name in a PostgreSQL; for moments."""
    with engine.connect() as session:
        session.execute(sa.select(sa.func.pg_advisory_lock(_number(name))))
        try:
            yield
        finally:
            session.execute(sa.select(sa.func.pg_advisory_unlock(_number(name))))


class SessionSeat:
    """One of many processes on PostgreSQL: a session's advisory lock, which the server frees when the process dies.

    A process that loses its session has lost its seat, and stops: others may be at its work already. They wait for
    ten of its pauses before they begin, and the store takes nothing from it from then on.
    """

    def __init__(self, store: Store, worker: str, *, pause: float) -> None:
        self._store = store
        self._worker = worker
        self._grace = _GRACE * pause
        self._missed: dict[str, float] = {}
        self._session = store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._leading = False
        self._session.execute(sa.select(sa.func.pg_advisory_lock(_number(worker))))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Not back into the pool: the locks are the session's.
        self._session.invalidate()
        self._session.close()

    def leads(self) -> bool:
        """See `Seat.leads`."""
        with self._kept():
            if not self._leading:
                self._leading = self._take("leader")
            else:
                self._session.execute(sa.select(1))
        return self._leading

    def living(self) -> set[str]:
        """See `Seat.living`: whose lock can be had, and still after a while, is gone."""
        now = time.monotonic()
        others = _others(self._store, self._worker)
        with self._kept():
            missing = [worker for worker in others if self._take(worker, keep=False)]
        self._missed = {worker: self._missed.get(worker, now) for worker in missing}
        dead = [worker for worker, since in self._missed.items() if now - since >= self._grace]
        _bury(self._store, dead)
        return {self._worker, *others} - set(dead)

    def rise(self) -> None:
        """See `Seat.rise`."""
        _bury(self._store, [self._worker])

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise seat_lost() from error

    def _take(self, name: str, *, keep: bool = True) -> bool:
        number = _number(name)
        got = bool(self._session.execute(sa.select(sa.func.pg_try_advisory_lock(number))).scalar())
        if got and not keep:
            self._session.execute(sa.select(sa.func.pg_advisory_unlock(number)))
        return got


def sit_down(store: Store, worker: str, *, host: str, queues: list[str], uploads: int | None = None) -> None:
    """Make this process known to the others; after its seat is taken."""
    row = {"worker": worker, "host": host, "queues": queues, "started": store.now(), "gone": False, "uploads": uploads}
    with store.engine.begin() as db:
        db.execute(WORKERS.insert().values(**row))


def seated(store: Store) -> set[str]:
    """Those of a PostgreSQL whose session holds their lock now; asked without touching a lock."""
    # pg_locks shows a lock's 64 bits as two halves (PostgreSQL 16, 54.12).
    locks = "SELECT classid::bigint << 32 | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with store.engine.connect() as db:
        numbers = set(db.execute(sa.text(locks)).scalars())
        known = list(db.execute(sa.select(WORKERS.c.worker).where(WORKERS.c.gone.is_(False))).scalars())
    return {worker for worker in known if _number(worker) in numbers}


def _others(store: Store, worker: str) -> list[str]:
    with store.engine.connect() as db:
        wanted = sa.select(WORKERS.c.worker).where(WORKERS.c.gone.is_(False), WORKERS.c.worker != worker)
        return list(db.execute(wanted).scalars())


def _bury(store: Store, workers: list[str]) -> None:
    if workers:
        with store.engine.begin() as db:
            db.execute(WORKERS.update().where(WORKERS.c.worker.in_(workers)).values(gone=True))


def _number(name: str) -> int:
    """A lock's number: advisory locks have no names."""
    return int.from_bytes(hashlib.sha256(f"vmie/{name}".encode()).digest()[:8], "big", signed=True)
