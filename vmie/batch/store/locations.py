"""Where batches are kept: a folder with one SQLite file for each, or one PostgreSQL for all."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from vmie.batch.run.leases import alone, alone_with, held
from vmie.batch.store.store import Store
from vmie.errors import UsageError, VmieError

_BATCH = re.compile(r"batch-[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one batch is. `folder` is None on PostgreSQL. `url` may hold a password: never shown."""

    url: str = field(repr=False)
    folder: Path | None

    @property
    def shared(self) -> bool:
        """Whether many processes may work on it."""
        return self.folder is None

    def held(self) -> bool:
        """Whether a process of this machine is at it."""
        return self.folder is not None and held(self.folder)

    def engine(self) -> sa.Engine:
        """An engine of our own beside DBOS's. Raises VmieError when the database cannot be reached."""
        if self.folder is not None:
            engine = sa.create_engine(self.url, connect_args={"timeout": 30}, poolclass=sa.pool.QueuePool, pool_size=20)
            sa.event.listen(engine, "connect", _set_up)
            return engine
        # A PostgreSQL takes a hundred connections if nobody says otherwise: with DBOS's, for half a dozen workers.
        engine = sa.create_engine(
            re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", self.url),
            pool_pre_ping=True,
            pool_size=4,
            max_overflow=4,
        )
        try:
            engine.connect().close()
        except sa.exc.SQLAlchemyError as error:
            where = engine.url.render_as_string(hide_password=True)
            raise VmieError(
                f"cannot reach the state database {where}",
                cause=str(getattr(error, "orig", error)).strip().splitlines()[0],
                cure="check the address, the user and that the server runs",
                code="NoState",
            ) from error
        return engine


def _set_up(connection: Any, _record: Any) -> None:
    # WAL: the status is read while items move. FULL: what was recorded was done, also after a power cut.
    connection.isolation_level = "IMMEDIATE"
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


class Hasty(sqlite3.Connection):
    """What DBOS works through: does not wait for the disk after each of its twenty or so transactions per item.

    Nothing is lost by that when the process is killed: what was written is the kernel's. At a power cut the end of the
    log may be missing, though never something from its middle: the log is one, and each of our own commits waits for
    all of it. So what can be lost is what DBOS did after our last record, and each of that is as if the process had
    been killed a moment earlier. A workflow that was not enqueued yet: the leader's audit finds an item that nobody
    stands for. A step not recorded: it runs again and finds in the journal what it did. A workflow not ended, or not
    claimed: it is handed on and finds that its item has gone on.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # https://sqlite.org/pragma.html#pragma_synchronous; the file is in WAL mode since we made it
        self.execute("PRAGMA synchronous=NORMAL")


@dataclass(frozen=True, slots=True)
class Places:
    """All batches that can be seen from here. `address` is ``postgresql://…``, "" for the folder."""

    state: Path
    address: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.address and not re.match(r"postgres(ql)?(\+\w+)?://", self.address):
            raise UsageError(
                "--state takes postgresql://USER@HOST/DATABASE", cure="leave it out to keep batches on this machine"
            )

    def shared(self) -> Place:
        """The PostgreSQL; raises UsageError when none was named."""
        if not self.address:
            raise UsageError("a worker needs a shared state", cure="add --state postgresql://USER@HOST/DATABASE")
        return Place(self.address, None)

    def create(self, batch: str, fingerprint: str) -> Place:
        """Room for a new batch."""
        if self.address:
            return self.shared()
        folder = self._folder(batch)
        folder.mkdir(parents=True, mode=0o700)
        (folder / "fingerprint").write_text(fingerprint, encoding="ascii")
        return self._in(folder)

    def of(self, batch: str) -> Place:
        """Where a batch is; raises UsageError when this folder has none of that name."""
        if self.address:
            return self.shared()
        folder = self._folder(batch)
        if not _BATCH.fullmatch(batch) or not (folder / "state.db").exists():
            raise UsageError(f"there is no batch {batch!r}", cure="`vmie batch status` lists them")
        return self._in(folder)

    def all(self) -> list[Place]:
        """Every place that holds batches."""
        if self.address:
            return [self.shared()]
        root = self.state / "batches"
        if not root.is_dir():
            return []
        found = (folder for folder in sorted(root.iterdir(), reverse=True) if _BATCH.fullmatch(folder.name))
        return [self._in(folder) for folder in found if (folder / "state.db").exists()]

    @contextmanager
    def alone(self, fingerprint: str) -> Iterator[None]:
        """One process at a time in here for a plan; for moments."""
        if not self.address:
            with alone(self.state / "batches"):
                yield
            return
        engine = self.shared().engine()
        try:
            with alone_with(engine, f"plan/{fingerprint}"):
                yield
        finally:
            engine.dispose()

    def unfinished(self, fingerprint: str, *, now: Callable[[], datetime]) -> str | None:
        """The batch of the same plan that has not ended."""
        for place in self.all():
            mark = place.folder / "fingerprint" if place.folder else None
            if mark is not None and mark.read_text(encoding="ascii") != fingerprint:
                continue
            engine = place.engine()
            try:
                store = Store(engine, now=now)
                store.prepare()
                if (known := store.unfinished(fingerprint)) is not None:
                    return known
            finally:
                engine.dispose()
        return None

    def _folder(self, batch: str) -> Path:
        return self.state / "batches" / batch

    def _in(self, folder: Path) -> Place:
        return Place(f"sqlite:///{folder / 'state.db'}", folder)
