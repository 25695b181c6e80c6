"""Failures of the state itself: no item's failure, they stop the process that meets them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from vmie.errors import Run, VmieError
from vmie.ops.ownership import UNAVAILABLE

LEASE_LOST, DAMAGED = "LeaseLost", "DamagedState"
#: a shared state is tried again after these; the calls of an item are not (they are not `passing`)
STATE_LOST = (UNAVAILABLE, LEASE_LOST)


def is_database_error(error: BaseException) -> bool:
    """Whether the database itself failed."""
    return isinstance(error, sa.exc.SQLAlchemyError)


def unavailable(error: BaseException) -> VmieError:
    """The state cannot be read or written: which of its usual reasons it is, and what to do."""
    why = str(getattr(error, "orig", None) or error).strip()
    low = why.lower()
    if "malformed" in low or "not a database" in low or "could not decode" in low:
        return damaged((why.splitlines() or [""])[0])
    cure = "see that the database runs and can be reached"
    if "full" in low or "no space" in low:
        cure = "free space where the state is kept (VMIE_STATE names another folder)"
    elif "readonly" in low or "read-only" in low or "permission" in low or "unable to open" in low:
        cure = "see that the state folder can be written (VMIE_STATE names another one)"
    return VmieError(
        "what was done cannot be recorded, so nothing more is done",
        cause=(why.splitlines() or [type(error).__name__])[0],
        cure=cure,
        code=UNAVAILABLE,
    )


def lease_lost() -> VmieError:
    """For a process whose session with the state database has ended."""
    return VmieError(
        "the session with the state database is lost",
        cause="another worker may have taken over this one's work, so it stops",
        cure="start it again",
        code=LEASE_LOST,
    )


@contextmanager
def intact() -> Iterator[None]:
    """Raises VmieError (DamagedState) when what was read in here is nothing that vmie has written."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise damaged(f"a row cannot be read: {str(error)[:500]}") from error


def damaged(why: str) -> VmieError:
    """For what no vmie has written."""
    return VmieError(
        "the state database is damaged",
        cause=why,
        cure=(
            Run(("vmie", "batch", "status"), "lists the batches that can be read"),
            Run(("vmie", "tasks", "list"), "shows what AWS has"),
        ),
        code=DAMAGED,
    )


@contextmanager
def reported() -> Iterator[None]:
    """Raises VmieError when the state cannot be read or written in here (NoState), or is damaged (DamagedState)."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise unavailable(error) from error
    except UnicodeDecodeError as error:  # SQLite's words for a damaged schema hold its bytes
        raise damaged(str(error)) from error
