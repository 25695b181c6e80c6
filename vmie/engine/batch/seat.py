"""Who is alive: one seat per process. Who holds none is dead, and its work is for others to go on with."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Protocol, Self

import sqlalchemy as sa

from vmie.engine.batch.store import Store
from vmie.engine.batch.tables import WORKERS
from vmie.errors import UsageError, VmieError


class Seat(Protocol):
    """What a process knows of the others."""

    def leads(self) -> bool:
        """Whether this process is the one that feeds and adopts; raises VmieError when its own seat is lost."""

    def dead(self) -> list[str]:
        """The processes that died with work in hand, by their names; each until `buried`."""

    def bury(self, workers: list[str]) -> None:
        """Their work was handed on."""


class FileSeat:
    """The only process of a batch on this machine: an exclusive lock beside the database.

    Raises UsageError, naming the holder, when another process has it.
    """

    def __init__(self, folder: Path, store: Store, worker: str) -> None:
        self._store = store
        self._worker = worker
        self._lock = (folder / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "another process"
            self._lock.close()
            raise UsageError(
                f"{folder.name} is being worked on by {holder}",
                cure=f"vmie batch status {folder.name} --watch shows it; stop that process to take it over",
                code="BatchLocked",
            ) from error
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

    def dead(self) -> list[str]:
        """See `Seat.dead`: who holds the lock is alone."""
        return _others(self._store, self._worker)

    def bury(self, workers: list[str]) -> None:
        """See `Seat.bury`."""
        _bury(self._store, workers)


def held(folder: Path) -> bool:
    """Whether a process is working on the batch in `folder`."""
    try:
        with (folder / "lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


class SessionSeat:
    """One of many processes on PostgreSQL: a session's advisory lock, which the server frees when the process dies.

    A process that loses its session has lost its seat, and stops: others may be at its work already.
    """

    def __init__(self, store: Store, worker: str) -> None:
        self._store = store
        self._worker = worker
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
        try:
            if not self._leading:
                self._leading = self._take("leader")
            else:
                self._session.execute(sa.select(1))
        except sa.exc.DBAPIError as error:
            raise VmieError(
                "the session with the state database is lost",
                cause="another worker may have taken over what this one was at, so it stops",
                cure="start the worker again",
                code="SeatLost",
            ) from error
        return self._leading

    def dead(self) -> list[str]:
        """See `Seat.dead`: whose lock can be had is gone."""
        return [worker for worker in _others(self._store, self._worker) if self._take(worker, keep=False)]

    def bury(self, workers: list[str]) -> None:
        """See `Seat.bury`."""
        _bury(self._store, workers)

    def _take(self, name: str, *, keep: bool = True) -> bool:
        number = _number(name)
        got = bool(self._session.execute(sa.select(sa.func.pg_try_advisory_lock(number))).scalar())
        if got and not keep:
            self._session.execute(sa.select(sa.func.pg_advisory_unlock(number)))
        return got


def sit_down(store: Store, worker: str, *, host: str, queues: list[str]) -> None:
    """Make this process known to the others; after its seat is taken."""
    with store.engine.begin() as db:
        db.execute(WORKERS.insert().values(worker=worker, host=host, queues=queues, started=store.now(), gone=False))


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
