"""The address of a shared state database: checked when it is given, and shown without what is secret in it."""

from __future__ import annotations

import re

import sqlalchemy as sa

from vmie.errors import UsageError, says


def parsed(address: str) -> sa.URL:
    """The address as SQLAlchemy takes it, for psycopg. Raises UsageError, which repeats nothing of the address."""
    if not re.match(r"postgres(ql)?(\+\w+)?://", address):
        raise _refused("it begins otherwise")
    try:
        url = sa.make_url(address).set(drivername="postgresql+psycopg")
    except (sa.exc.ArgumentError, ValueError):
        # The library's words may hold the password.
        raise _refused("its host or port cannot be read") from None
    if "@" in (url.host or ""):
        raise _refused("there is an @ too many")
    return url


def shown(url: sa.URL) -> str:
    """The address for people: host, port and database, no user, and no query, which may hold passwords as well."""
    return sa.URL.create("postgresql", host=url.host, port=url.port, database=url.database).render_as_string()


def _refused(why: str) -> UsageError:
    return UsageError(
        says("{state} takes postgresql://USER@HOST/DATABASE"),
        cause=f"{why}; in a user or a password @ is written %40, : %3A and / %2F",
        cure="leave it out to keep batches on this machine",
    )
