"""Which processes are alive: each holds a lease. Who holds none has died, and others continue its work."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import sqlalchemy as sa

from vmie.batch.store.rows import worker_of
from vmie.batch.store.state_errors import intact, lease_lost
from vmie.batch.store.store import Store
from vmie.batch.store.tables import WORKERS
from vmie.errors import Run, UsageError
from vmie.ops.process_lock import ProcessLock

#: how many of its own pauses pass before a worker without a lock is declared dead: it must have noticed by then
_GRACE = 10.0
_LEADER = "leader"


class Lease(Protocol):
    """What one process has and knows of the others."""

    def is_leader(self) -> bool:
        """Whether this process is the one that schedules; raises VmieError (LeaseLost) when its own lease is lost."""

    def live_workers(self) -> set[str]:
        """The names of those alive, this process included; from now on the store refuses the writes of all others."""


def file_lock(folder: Path) -> ProcessLock:
    """The lock of a batch that is kept in `folder`."""
    return ProcessLock(folder / "lock")


class FileLease:
    """The only process of a batch on this machine: an exclusive lock beside the database.

    Raises UsageError (BatchLocked), naming the holder, when another process has it.
    """

    def __init__(self, folder: Path, store: Store, worker: str) -> None:
        self._store = store
        self._worker = worker
        self._lock = file_lock(folder)
        if not self._lock.acquire():
            raise UsageError(
                f"{folder.name} is being worked on by {self._lock.holder}",
                cause="one process at a time works on a batch that is kept in files",
                cure=(
                    Run(("vmie", "batch", "status", folder.name, "--watch"), "shows it"),
                    "stop that process to take it over",
                ),
                code="BatchLocked",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def is_leader(self) -> bool:
        """See `Lease.is_leader`."""
        return True

    def live_workers(self) -> set[str]:
        """See `Lease.live_workers`: the holder of the lock is alone."""
        mark_gone(self._store, _others(self._store, self._worker))
        return {self._worker}


class SessionLease:
    """One of many processes on PostgreSQL: a session's advisory lock, which the server frees when the process dies.

    A process that loses its session has lost its lease, and stops: others may have its work already. They wait for
    ten of its pauses before they begin, and the store refuses its writes from then on.
    """

    def __init__(self, store: Store, worker: str, *, pause: float) -> None:
        self._store = store
        self._worker = worker
        self._grace = _GRACE * pause
        self._missing_since: dict[str, float] = {}
        self._session = store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._leading = False
        self._session.execute(sa.select(sa.func.pg_advisory_lock(lock_number(worker))))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Not back into the pool: the locks are the session's.
        self._session.invalidate()
        self._session.close()

    def is_leader(self) -> bool:
        """See `Lease.is_leader`."""
        with self._session_alive():
            if not self._leading:
                self._leading = self._try_lock(_LEADER)
            else:
                self._session.execute(sa.select(1))
        return self._leading

    def live_workers(self) -> set[str]:
        """See `Lease.live_workers`: a worker whose lock is free, and still is after a while, is dead."""
        now = time.monotonic()
        others = _others(self._store, self._worker)
        with self._session_alive():
            missing = [worker for worker in others if self._try_lock(worker, keep=False)]
        self._missing_since = {worker: self._missing_since.get(worker, now) for worker in missing}
        dead = [worker for worker, since in self._missing_since.items() if now - since >= self._grace]
        mark_gone(self._store, dead)
        return {self._worker, *others} - set(dead)

    @contextmanager
    def _session_alive(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise lease_lost() from error

    def _try_lock(self, name: str, *, keep: bool = True) -> bool:
        number = lock_number(name)
        got = bool(self._session.execute(sa.select(sa.func.pg_try_advisory_lock(number))).scalar())
        if got and not keep:
            self._session.execute(sa.select(sa.func.pg_advisory_unlock(number)))
        return got


@contextmanager
def exclusive(engine: sa.Engine, name: str) -> Iterator[None]:
    """One process at a time in here, by a lock of that name in a PostgreSQL; for moments."""
    with engine.connect() as session:
        session.execute(sa.select(sa.func.pg_advisory_lock(lock_number(name))))
        try:
            yield
        finally:
            session.execute(sa.select(sa.func.pg_advisory_unlock(lock_number(name))))


def register(store: Store, worker: str, *, host: str, queues: list[str], uploads: int | None = None) -> None:
    """Make this process known to the others; after it has its lease."""
    row = {"worker": worker, "host": host, "queues": queues, "started": store.now(), "gone": False, "uploads": uploads}
    with store.engine.begin() as db:
        db.execute(WORKERS.insert().values(**row))


def registered(store: Store) -> list[dict[str, Any]]:
    """The rows of workers that nobody has declared dead, longest at work first."""
    with store.engine.connect() as db, intact():
        rows = db.execute(sa.select(WORKERS).where(WORKERS.c.gone.is_(False)).order_by(WORKERS.c.started))
        return [worker_of(row) for row in rows.mappings()]


def uploads(store: Store) -> dict[str, int]:
    """The most uploads at once that a live worker of a label was started with; without those that were given none."""
    most: dict[str, int] = {}
    for row in registered(store):
        if row["uploads"] is not None:
            most |= {label: max(row["uploads"], most.get(label, 0)) for label in row["queues"]}
    return most


def lease_holders(store: Store, workers: Collection[str]) -> set[str]:
    """Those of a PostgreSQL's workers whose session holds their lock now; asked without touching a lock."""
    # pg_locks shows a lock's 64 bits as two halves (PostgreSQL 16, 54.12).
    locks = "SELECT classid::bigint << 32 | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with store.engine.connect() as db:
        numbers = set(db.execute(sa.text(locks)).scalars())
    return {worker for worker in workers if lock_number(worker) in numbers}


def lock_number(name: str) -> int:
    """A PostgreSQL advisory lock's number: such locks have no names."""
    return int.from_bytes(hashlib.sha256(f"vmie/{name}".encode()).digest()[:8], "big", signed=True)


def _others(store: Store, worker: str) -> list[str]:
    return [row["worker"] for row in registered(store) if row["worker"] != worker]


def mark_gone(store: Store, workers: Collection[str]) -> None:
    """Declare workers dead: what they worked on is free for others, and the store refuses their writes."""
    if workers:
        with store.engine.begin() as db:
            db.execute(WORKERS.update().where(WORKERS.c.worker.in_(workers)).values(gone=True))
