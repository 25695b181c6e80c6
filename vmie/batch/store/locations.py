"""Where batches are kept: a folder with one SQLite file for each, or one PostgreSQL for all."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock

from vmie.batch.store import address
from vmie.batch.store.leases import FileLease, SessionLease, exclusive, file_lock
from vmie.batch.store.migrations import expect_tables
from vmie.batch.store.overview import Overview
from vmie.batch.store.state_errors import reported
from vmie.batch.store.store import Store
from vmie.errors import Run, Set, UsageError, VmieError
from vmie.ops import ownership
from vmie.ops.ownership import UNAVAILABLE

_BATCH = re.compile(r"batch-[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Location:
    """Where one batch is. `folder` is None on PostgreSQL. `url` may hold a password: never shown."""

    url: str = field(repr=False)
    folder: Path | None

    @property
    def shared(self) -> bool:
        """Whether many processes may work on it."""
        return self.folder is None

    def in_use(self) -> bool:
        """Whether a process of this machine works on it."""
        return self.folder is not None and file_lock(self.folder).held()

    def lease(self, store: Store, worker: str, *, pause: float) -> FileLease | SessionLease:
        """A lease for this process; a context manager. Raises UsageError (BatchLocked) when there is no other."""
        if self.folder is not None:
            return FileLease(self.folder, store, worker)
        return SessionLease(store, worker, pause=pause)

    @contextmanager
    def open(self, now: Callable[[], datetime], *, worker: str = "") -> Iterator[Store]:
        """The store, closed afterwards. Raises VmieError (NoState) when it cannot be read or written."""
        with reported():
            engine = self.engine()
            try:
                store = Store(engine, now=now, worker=worker)
                store.prepare()
                yield store
            finally:
                engine.dispose()

    def overview(self, now: Callable[[], datetime]) -> list[Overview] | None:
        """Every batch in short, from tables left as they are; None if unreadable."""
        try:
            engine = self.engine()
            try:
                with engine.connect() as db:
                    expect_tables(db)
                return Store(engine, now=now).overview()
            finally:
                engine.dispose()
        except (sa.exc.SQLAlchemyError, UnicodeDecodeError):
            return None
        except VmieError:
            if self.folder is None:
                raise
            return None

    def engine(self) -> sa.Engine:
        """An engine of our own beside DBOS's.

        Raises VmieError (NoState) when the database cannot be reached, (UntrustedState) when others could write it.
        """
        if self.folder is not None:
            files = (self.folder / f"state.db{suffix}" for suffix in ("", "-wal", "-shm", "-journal"))
            ownership.check(self.folder.parent.parent, self.folder.parent, self.folder, *files)
            engine = sa.create_engine(self.url, connect_args={"timeout": 30}, poolclass=sa.pool.QueuePool, pool_size=20)
            sa.event.listen(engine, "connect", _configure)
            return engine
        # A PostgreSQL takes a hundred connections if nobody says otherwise: with DBOS's, for half a dozen workers.
        url = address.parsed(self.url)
        engine = sa.create_engine(url, pool_pre_ping=True, pool_size=4, max_overflow=4)
        try:
            engine.connect().close()
        except sa.exc.SQLAlchemyError as error:
            raise VmieError(
                f"cannot reach the state database {address.shown(url)}",
                cause=str(getattr(error, "orig", error)).strip().splitlines()[0],
                cure="check the address, the user and that the server runs",
                code=UNAVAILABLE,
            ) from error
        return engine


def _begun_for(folder: Path, fingerprint: str) -> bool:
    """Whether the batch in `folder` is of that plan; one that has lost its mark hides no other."""
    try:
        return (folder / "fingerprint").read_bytes() == fingerprint.encode()
    except OSError:
        return False


def _configure(connection: Any, _record: Any) -> None:
    # WAL: the status is read while items move. FULL: what was recorded was done, also after a power cut.
    connection.isolation_level = "IMMEDIATE"
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


class UnsyncedConnection(sqlite3.Connection):
    """DBOS's connection: does not wait for the disk after each of its transactions, several per item.

    Nothing is lost by that when the process is killed: what was written is the kernel's. At a power cut the end of the
    log may be missing, though never something from its middle: the log is one, and each of our own commits waits for
    all of it. So what can be lost is what DBOS did after our last record, and each of that is as if the process had
    been killed a moment earlier. A workflow that was not enqueued yet: the scheduler's audit finds an item without a
    workflow. A workflow not ended, or not claimed: it is requeued, and finds in the journal what it did.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # https://sqlite.org/pragma.html#pragma_synchronous; the file is in WAL mode since we made it
        self.execute("PRAGMA synchronous=NORMAL")
        if sqlite3.sqlite_version_info < (3, 42):
            # On Python 3.12 and later DBOS dates its rows with unixepoch('subsec'), which is NULL before SQLite 3.42
            # (https://sqlite.org/changes.html): Debian 12 has 3.40. No call of DBOS gives it a time.
            self.create_function("unixepoch", 1, lambda _modifier: time.time())


@dataclass(frozen=True, slots=True)
class Locations:
    """All batches that can be seen from here. `address` is ``postgresql://…``, "" for the folder."""

    state: Path
    address: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.address:
            address.parsed(self.address)

    def shared(self) -> Location:
        """The PostgreSQL; raises UsageError when none was named."""
        if not self.address:
            raise UsageError("a worker needs a shared state", cure=Set("state", "postgresql://USER@HOST/DATABASE"))
        return Location(self.address, None)

    def create(self, batch: str, fingerprint: str) -> Location:
        """Room for a new batch."""
        if self.address:
            return self.shared()
        folder = self._folder(batch)
        ownership.make_folder(folder)
        # SQLite gives its other files the mode of this one.
        ownership.make_file(folder / "state.db")
        (folder / "fingerprint").write_text(fingerprint, encoding="ascii")
        return self._in(folder)

    def of(self, batch: str) -> Location:
        """Where a batch is; raises UsageError when this folder has none of that name."""
        if self.address:
            return self.shared()
        folder = self._folder(batch)
        if not _BATCH.fullmatch(batch) or not (folder / "state.db").exists():
            raise UsageError(f"there is no batch {batch!r}", cure=Run(("vmie", "batch", "status"), "lists them"))
        return self._in(folder)

    def all(self) -> list[Location]:
        """Every location that holds batches."""
        if self.address:
            return [self.shared()]
        root = self.state / "batches"
        if not root.is_dir():
            return []
        ownership.check(self.state, root)
        found = (folder for folder in sorted(root.iterdir(), reverse=True) if _BATCH.fullmatch(folder.name))
        return [self._in(folder) for folder in found if (folder / "state.db").exists()]

    @contextmanager
    def exclusive(self, fingerprint: str) -> Iterator[None]:
        """One process at a time in here for a plan; for moments."""
        if not self.address:
            folder = self.state / "batches"
            ownership.make_folder(folder)
            ownership.check(self.state, folder)
            with FileLock(folder / "lock", mode=0o600):
                yield
            return
        engine = self.shared().engine()
        try:
            with exclusive(engine, f"plan/{fingerprint}"):
                yield
        finally:
            engine.dispose()

    def unfinished(self, fingerprint: str, *, now: Callable[[], datetime]) -> str | None:
        """The batch of the same plan that has not ended."""
        for location in self.all():
            if location.folder is not None and not _begun_for(location.folder, fingerprint):
                continue
            with location.open(now) as store:
                if (known := store.unfinished(fingerprint)) is not None:
                    return known
        return None

    def _folder(self, batch: str) -> Path:
        return self.state / "batches" / batch

    def _in(self, folder: Path) -> Location:
        return Location(f"sqlite:///{folder / 'state.db'}", folder)
