"""DBOS's rows beside our own tables: none is loaded that names another serialiser than vmie's.

See `vmie.batch.run.serialization` for why. Our own tables hold text, numbers and JSON (`tables`).
"""

from __future__ import annotations

import sqlalchemy as sa

from vmie.errors import Run, VmieError
from vmie.ops.ownership import UNTRUSTED

#: what our rows say in their column `serialization`
SERIALIZER = "vmie_json"
#: DBOS's own JSON, which it uses for its sleeps and streams, holds no code either
_TRUSTED = (SERIALIZER, "portable_json")
#: DBOS's schema in a PostgreSQL; SQLite has none
_SCHEMA = "dbos"


def check(engine: sa.Engine, *, batch: str = "") -> None:
    """Raises VmieError (UntrustedState) when a row names a serialiser that is not trusted; loads no row."""
    with engine.connect() as db:
        for table in _tables(db):
            found = db.execute(sa.select(table.c.serialization).where(_foreign(table)).limit(1)).scalar()
            if found is not None:
                raise untrusted(str(found), batch=batch)


def discard(engine: sa.Engine) -> int:
    """Delete the rows that `check` refuses, unread; how many. The scheduler queues their items anew."""
    with engine.begin() as db:
        return sum(db.execute(sa.delete(table).where(_foreign(table))).rowcount for table in _tables(db))


def untrusted(serializer: str, *, batch: str = "") -> VmieError:
    """For a row that another program, or a vmie from before this rule, has written."""
    return VmieError(
        f"the state database holds a workflow serialised as {serializer[:40]!r}",
        cause="vmie writes JSON only; to load anything else would run what the writer of the row wants",
        cure=(
            "see who may write the state database: vmie itself wrote such rows only in versions before this one",
            Run(
                ("vmie", "batch", "resume", batch or "BATCH", "--requeue"),
                "deletes those rows unread and queues their items anew; what AWS has is kept",
            ),
        ),
        code=UNTRUSTED,
    )


def _tables(db: sa.Connection) -> list[sa.TableClause]:
    """DBOS's tables, whatever its version, whose rows name a serialiser."""
    schema = _SCHEMA if db.dialect.name == "postgresql" else None
    inspector = sa.inspect(db)
    return [
        sa.table(name, sa.column("serialization"), schema=schema)
        for name in (*inspector.get_table_names(schema), *inspector.get_view_names(schema))
        if any(column["name"] == "serialization" for column in inspector.get_columns(name, schema))
    ]


def _foreign(table: sa.TableClause) -> sa.ColumnElement[bool]:
    # Without a name it is our own serialiser that reads it.
    return sa.and_(table.c.serialization.is_not(None), table.c.serialization.not_in(_TRUSTED))
