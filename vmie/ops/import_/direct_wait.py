"""What is waited for after the last block: snapshots that are completed and hold what was written, and volumes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from vmie import events
from vmie.aws import snapshots
from vmie.aws.ebs.client import BLOCK
from vmie.errors import DeadlineExceeded, Resume, TaskFailed
from vmie.ops.context import Context
from vmie.ops.idempotency import JOB_TAG
from vmie.ops.import_.direct_plan import DirectPlan

#: seconds that a snapshot, or a volume, may take; EBS makes them in minutes
_WITHIN = 6 * 3600.0
#: states that pass; "error" does not, nor does "recoverable": it was deleted, and lies in the Recycle Bin
_LASTING = ("pending", "recovering")
#: seconds that a snapshot which AWS shows no more is looked for: a new one may not be seen for two minutes
_UNSEEN = 180.0


def completed(context: Context, written: Mapping[str, int]) -> dict[str, TaskFailed]:
    """Wait until the snapshots are completed; those that failed, and why. `written`: the blocks of each.

    Raises DeadlineExceeded, AwsRefused.
    """
    left, failed = dict(written), dict[str, TaskFailed]()
    clock, began = context.clock, context.clock.now()
    pause = context.settings.poll_seconds or 5.0
    while True:
        waited = (clock.now() - began).total_seconds()
        # One call for all items of a batch, and one more for each that is pending no longer.
        pending = context.aws.cached("pending jobs", lambda: snapshots.pending(context.aws, tag=JOB_TAG), seconds=pause)
        ended = [one for one in left if one not in (pending or ())]
        seen = snapshots.look(context.aws, ended)
        for snapshot_id in ended:
            found = seen.get(snapshot_id)
            if found is not None and found.state == "completed":
                if wrong := _amiss(found, left[snapshot_id]):
                    failed[snapshot_id] = wrong
                del left[snapshot_id]
            elif found is None and waited <= _UNSEEN:
                continue
            elif found is None or found.state not in _LASTING:
                failed[snapshot_id] = _failed(context, snapshot_id, found)
                del left[snapshot_id]
        if not left:
            return failed
        if waited > _WITHIN:
            raise DeadlineExceeded(
                f"{', '.join(left)} is still pending after {_WITHIN / 3600:.0f} hours",
                cure=Resume(context.journal.job, "waits on"),
            )
        clock.sleep(clock.uniform(pause, 2 * pause))


def _amiss(found: snapshots.Snapshot, blocks: int) -> TaskFailed | None:
    """What a completed snapshot lacks of what was written; its checksum EBS has compared already.

    FullSnapshotSizeInBytes is "the size of all the blocks that were written", its parent's too:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Snapshot.html
    """
    if found.full_size is None or found.full_size >= blocks * BLOCK:
        return None
    return TaskFailed(
        f"{found.id} holds {found.full_size:,} bytes, and {blocks * BLOCK:,} were written to it",
        cause="EBS lost some of them",
        code="SnapshotIncomplete",
        result={"snapshot_id": found.id},
    )


def _failed(context: Context, snapshot_id: str, found: snapshots.Snapshot | None) -> TaskFailed:
    there = found is not None and found.state != "recoverable"
    why = (found.message or "EBS gives no reason") if found and there else "somebody deleted it"
    return TaskFailed(
        f"{snapshot_id} {'is in error' if there else 'is there no more'}",
        cause=why,
        cure=Resume(context.journal.job, "begins another snapshot"),
        code="SnapshotError",
        result={"snapshot_id": snapshot_id},
    )


def volumes(
    context: Context, plan: DirectPlan, snapshot_ids: Sequence[str], tags: Mapping[str, str]
) -> tuple[str, ...]:
    """A volume of each snapshot, made once and waited for. Raises TaskFailed, DeadlineExceeded, AwsRefused."""
    request, job = plan.request, context.journal.job
    made = []
    for number, snapshot_id in enumerate(snapshot_ids):
        token = hashlib.sha256(f"{job}/{snapshot_id}/volume".encode()).hexdigest()[:40]
        asked = snapshots.CreateVolume(
            snapshot_id=snapshot_id,
            zone=plan.zone,
            token=f"vmie-{token}",
            volume_type=request.volume_type,
            size_gib=request.volume_size if number == 0 else None,
            tags=tags,
        )
        made.append(snapshots.create_volume(context.aws, asked))
    for volume_id in made:
        _available(context, volume_id)
    return tuple(made)


def _available(context: Context, volume_id: str) -> None:
    clock, began = context.clock, context.clock.now()
    pause = context.settings.poll_seconds or 5.0
    while (state := snapshots.volume_state(context.aws, volume_id)) not in ("available", "in-use"):
        if state != "creating":
            raise TaskFailed(f"the volume {volume_id} is {state}", code="VolumeError", result={"volume_id": volume_id})
        if (clock.now() - began).total_seconds() > _WITHIN:
            raise DeadlineExceeded(f"{volume_id} is still being made", cure=Resume(context.journal.job, "waits on"))
        context.reporter(events.Note(f"{volume_id} is {state}", "debug"))
        clock.sleep(clock.uniform(pause, 2 * pause))
