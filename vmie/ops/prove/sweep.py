"""The instances that proofs have left behind are ended: of this machine's jobs that nobody works on, and expired ones.

Every instance bears its job and its last hour as tags from the moment that it exists: RunInstances sets both.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

from vmie import events
from vmie.aws import instances
from vmie.aws.instances import LaunchedInstance
from vmie.errors import VmieError
from vmie.ops.context import Context
from vmie.ops.process_lock import ProcessLock

#: on every instance of a proof: its job, and from when on anybody may end it
PROOF_TAG, EXPIRES_TAG = "vmie:proof", "vmie:expires"
_JOB = re.compile(r"job-[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")


def sweep(context: Context) -> list[str]:
    """End what is left of other proofs in this account and Region; the ids. Raises AwsRefused."""
    try:
        return _swept(context)
    except VmieError as error:
        if not error.passing:
            raise
        context.reporter(events.Note(f"what other proofs left behind is not looked for: {error.message}", "warning"))
        return []


def _swept(context: Context) -> list[str]:
    found = instances.tagged(context.aws, PROOF_TAG)
    left = [one for one in found if one.tags.get(PROOF_TAG) != context.journal.job and _abandoned(context, one)]
    for one in left:
        context.reporter(events.Note(f"{one.id}, left behind by {one.tags.get(PROOF_TAG)}, is ended", "warning"))
    instances.terminate(context.aws, [one.id for one in left])
    return [one.id for one in left]


def _abandoned(context: Context, one: LaunchedInstance) -> bool:
    try:
        expires = dt.datetime.fromisoformat(one.tags.get(EXPIRES_TAG, ""))
        if expires <= context.clock.now():
            return True
    except (ValueError, TypeError):  # somebody else's tag
        return False
    return _nobody_works_on(context.state, one.tags.get(PROOF_TAG, ""))


def _nobody_works_on(state: Path | None, job: str) -> bool:
    """Whether it is a job of this machine whose process has died."""
    if state is None or not _JOB.fullmatch(job):
        return False
    file = state / "jobs" / f"{job}.json"
    return file.exists() and not ProcessLock(file.with_suffix(".lock")).held()
