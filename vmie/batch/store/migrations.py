"""The shape of the tables: made where they are missing, brought up to date where an older vmie made them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from vmie.batch.store.state_errors import damaged
from vmie.batch.store.tables import BATCHES, ITEMS, METADATA, SHAPE, WORKERS
from vmie.errors import UsageError

#: 1 had no accounts and profiles, and no number; 2 no uploads of workers; 3 an index that says less; 4 no pauses
VERSION = 5


def prepare(db: sa.Connection) -> None:
    """Make the tables, or bring them up to date. Raises UsageError when a newer vmie made them.

    Within a transaction in which no other process does the same.
    """
    there = set(sa.inspect(db).get_table_names())
    expect_tables(db)
    known = 0 if ITEMS.name not in there else 1
    if SHAPE.name in there:
        known = db.execute(sa.select(SHAPE.c.version)).scalar() or known
    if not isinstance(known, int):
        raise damaged("the number of its shape is none")
    if known > VERSION:
        raise UsageError(
            f"the state was written by a newer vmie (its shape is {known}, this one knows {VERSION})",
            cure="use that vmie for this batch, or upgrade this one",
            code="NewerState",
        )
    if known == VERSION:
        return
    METADATA.create_all(db)
    if known == 1:
        _accounts(db)
    if known in (1, 2):
        _add(db, WORKERS, "uploads", "INTEGER")
    if known in (1, 2, 3):
        db.execute(sa.text("DROP INDEX IF EXISTS vmie_items_state"))
        for index in ITEMS.indexes:
            index.create(db, checkfirst=True)
    if known in (1, 2, 3, 4):
        _add(db, BATCHES, "paused", "BOOLEAN NOT NULL DEFAULT FALSE")
    db.execute(SHAPE.delete())
    db.execute(SHAPE.insert().values(version=VERSION))


def expect_tables(db: sa.Connection) -> None:
    """Raises VmieError (DamagedState) where our names are no plain tables: a view or a trigger computes for ever."""
    if db.dialect.name != "sqlite":
        return
    listed = sa.text("SELECT name, tbl_name FROM sqlite_master WHERE type IN ('view', 'trigger')")
    for name, table in db.execute(listed):
        if {str(name).lower(), str(table).lower()} & METADATA.tables.keys():
            raise damaged(f"{str(name)[:80]} is no plain table")


def columns(engine: sa.Engine) -> list[sa.ColumnElement[Any]]:
    """The columns of batches in tables left as an older vmie made them: False for flags that it had not."""
    there = {column["name"] for column in sa.inspect(engine).get_columns(BATCHES.name)}
    return [one if one.name in there else sa.literal(False).label(one.key) for one in BATCHES.c]


def _accounts(db: sa.Connection) -> None:
    """From 1 to 2: all items of a batch were in the account it was begun in."""
    for name in ("profile", "account"):
        _add(db, ITEMS, name, "TEXT NOT NULL DEFAULT ''")
    of = sa.select(BATCHES.c.account).where(BATCHES.c.batch == ITEMS.c.batch).scalar_subquery()
    db.execute(ITEMS.update().where(ITEMS.c.account == "").values(account=of))


def _add(db: sa.Connection, table: sa.Table, column: str, kind: str) -> None:
    if column not in {one["name"] for one in sa.inspect(db).get_columns(table.name)}:
        db.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {column} {kind}"))
