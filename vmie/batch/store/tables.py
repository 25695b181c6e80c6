"""The tables of a batch, beside DBOS's own in the same database; SQLite and PostgreSQL alike."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

#: one row: which vmie made these tables; see `migrations`
SHAPE = sa.Table("vmie_shape", METADATA, sa.Column("version", sa.Integer, nullable=False))

BATCHES = sa.Table(
    "vmie_batches",
    METADATA,
    sa.Column("batch", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False, index=True),
    sa.Column("limits", sa.JSON, nullable=False),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("cancelling", sa.Boolean, nullable=False, default=False),
    #: none of its items is to begin until this is taken back
    sa.Column("paused", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    #: its end was reported: the same plan given again is then a new batch
    sa.Column("told", sa.Boolean, nullable=False, default=False, key="reported"),
    sa.Column("created", sa.Text, nullable=False),
)

ITEMS = sa.Table(
    "vmie_items",
    METADATA,
    sa.Column("batch", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("queue", sa.Text, nullable=False),
    sa.Column("wave", sa.Integer, nullable=False),
    sa.Column("after", sa.JSON, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    #: one more each time the item is begun anew: part of its workflows' ids
    sa.Column("round", sa.Integer, nullable=False, default=1),
    sa.Column("updated", sa.Text, nullable=False),
    sa.Column("task_id", sa.Text),
    sa.Column("worker", sa.Text, nullable=False, default=""),
    sa.Column("result", sa.JSON, nullable=False),
    sa.Column("error", sa.JSON, nullable=False),
    #: the AWS profile asked for, "" for the session's; and the account that it was when the batch began
    sa.Column("profile", sa.Text, nullable=False, server_default=""),
    sa.Column("account", sa.Text, nullable=False, server_default=""),
    # All that the scheduler asks for again and again: how many there are of each, and which come next, largest first.
    sa.Index(
        "vmie_items_next",
        *("batch", "state", "wave", "account", "region", "queue", "kind"),
        sa.text("size DESC"),
        "position",
    ),
)

STEPS = sa.Table(
    "vmie_steps",
    METADATA,
    sa.Column("batch", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("step", sa.Text, primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)

#: every change of an item's state, which the report draws
MARKS = sa.Table(
    "vmie_marks",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("batch", sa.Text, nullable=False, index=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
)

WORKERS = sa.Table(
    "vmie_workers",
    METADATA,
    sa.Column("worker", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("queues", sa.JSON, nullable=False),
    sa.Column("started", sa.Text, nullable=False),
    sa.Column("gone", sa.Boolean, nullable=False, default=False),
    #: uploads at once that it was started with; NULL: as many as the batch says
    sa.Column("uploads", sa.Integer),
)
