"""The library's functions that compare disks: with each other, and snapshots with what was sent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from vmie import event_log
from vmie.library.place import Place, StrPath, connected

if TYPE_CHECKING:
    from vmie.ops.diff import Difference
    from vmie.ops.verify_statement import Verified


def diff(one: StrPath, other: StrPath, *, machine: str = "", **place: Unpack[Place]) -> Difference:
    """Where two disks differ, files or snapshots (``snap-…``): `ranges`, and the `files` that lie there.

    `machine` is the one that is meant of an appliance `one`. Raises UsageError and ImageError (see `vmie.ops.diff`).
    """
    from vmie.ops import diff as op  # noqa: PLC0415

    return op.diff(
        Path(one),
        Path(other),
        machine=machine,
        snapshots=lambda name: connected(place).snapshot(name),
        reporter=event_log.reporter(place.get("on_event")),
    )


def verify(
    source: StrPath,
    snapshots: str | Sequence[str] = (),
    *,
    disk: int | None = None,
    machine: str = "",
    empty_disks: bool = False,
    statement: StrPath | None = None,
    force: bool = False,
    **place: Unpack[Place],
) -> Verified:
    """Whether snapshots hold what was sent: `identical`, and `snapshots` with the blocks and files that differ.

    `source` is an import's job, whose snapshots need not be named, or the disk that was sent; `disk`, `machine` and
    `empty_disks` as `convert` has them. `statement` is the file for an in-toto Statement, written where all is
    identical. Raises UsageError, ImageError, PreflightError for a snapshot that cannot be read, AwsRefused.
    """
    from vmie.jobs import sent as jobs  # noqa: PLC0415
    from vmie.ops import verify as op  # noqa: PLC0415
    from vmie.ops.opening import Opening  # noqa: PLC0415
    from vmie.poll import SystemClock  # noqa: PLC0415

    connection, clock = connected(place), SystemClock()
    named = (snapshots,) if isinstance(snapshots, str) else tuple(snapshots)
    opening = Opening(machine, empty_disks=empty_disks, snapshots=connection.snapshot)
    sent = jobs.of(os.fspath(source), named, state=connection.state, opening=opening, index=disk, clock=clock)
    target = None if statement is None else Path(statement)
    plan = op.plan(sent, snapshots=connection.snapshot, target=target, force=force)
    return op.apply(plan, clock=clock, reporter=connection.reporter)
