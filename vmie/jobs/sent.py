"""What a job sent, disk by disk, for `vmie verify`: from its file alone. Nothing is locked or written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from vmie import posix
from vmie.errors import Cancel, Drop, ImageError, PreflightError, Resume, Run, UsageError, says
from vmie.jobs.kept import KeptJob, is_job
from vmie.jobs.runner import store
from vmie.ops import codec, verify
from vmie.ops.file_identity import FileIdentity
from vmie.ops.import_.direct_blocks import DirectDisk
from vmie.ops.import_.direct_parent import kept_at
from vmie.ops.import_.direct_plan import DirectPlan
from vmie.ops.import_.direct_send import step_of
from vmie.ops.opening import Opening, is_snapshot
from vmie.ops.verify import SentDisk
from vmie.poll import Clock


def of(
    source: str, snapshot_ids: Sequence[str], *, state: Path, opening: Opening, index: int | None, clock: Clock
) -> tuple[SentDisk, ...]:
    """What the snapshots are to hold by an import's job, or by a disk where a file is called so.

    Raises UsageError, PreflightError, ImageError.
    """
    if not (is_job(source) or source.startswith("job-")) or os.path.lexists(source):
        return verify.of_image(Path(source), snapshot_ids, opening=opening, index=index)
    for field, given in (("machine", opening.machine), ("empty_disks", opening.empty_disks)):
        if given:
            template = f"{{{field}}} chooses from an appliance; {{job}} knows what it sent"
            raise UsageError(says(template, job=source), fields=(field,), cure=Drop((field,)))
    posix.require("jobs")
    kept = store(state, clock).read(source)
    return of_job(kept, state, snapshot_ids, index=index)


def of_job(
    kept: KeptJob, state: Path, snapshot_ids: Sequence[str], *, index: int | None = None
) -> tuple[SentDisk, ...]:
    """What the snapshots of a job are to hold, or `snapshot_ids`, which are copies of them; `index`: of one disk.

    A job by S3 keeps no digests: its snapshots are compared with its files. Raises UsageError, PreflightError.
    """
    job = kept.job
    if kept.kind != "import":
        raise UsageError(f"{job} is no import", cause=f"it is of the kind {kept.kind}", cure="name an import's job")
    found = list(_direct(kept, state)) if kept.get(step_of(0)) is not None else _by_object(kept)
    if index is not None:
        if index >= len(found):
            raise UsageError(f"{job} has {len(found)} disks, counted from 0", fields=("disk",))
        found = [found[index]]
    if snapshot_ids:
        own = {one.snapshot_id: one for one in found}
        if set(snapshot_ids) <= own.keys():
            return tuple(own[one] for one in snapshot_ids)
        return verify.paired(found, snapshot_ids, what=job)
    if gone := next((one for one in found if not one.snapshot_id), None):
        raise PreflightError(
            f"the snapshot of {gone.label} was removed once an AMI was made of it",
            cause="AWS has adapted the AMI's own snapshots: they differ on purpose",
            cure=Run(("vmie", "diff", gone.path or "FILE", "snap-…"), "shows what AWS changed"),
            code="SnapshotRemoved",
        )
    return tuple(found)


def _direct(kept: KeptJob, state: Path) -> Iterator[SentDisk]:
    """Of an import by EBS direct: the digests that were kept of each disk, else its file."""
    if kept.plan is None:
        raise UsageError(f"{kept.job} was begun by another version, which kept no plan", cure="compare with the file")
    try:
        planned = codec.load(DirectPlan, kept.plan)
    except (KeyError, TypeError, ValueError) as error:
        raise _strange(kept) from error
    opening = Opening(planned.request.machine, empty_disks=planned.request.empty_disks)
    for number, disk in enumerate(planned.disks):
        step = kept.get(step_of(number)) or {}
        snapshot_id, made = str(step.get("snapshot_id") or ""), kept.result is not None
        if snapshot_id and not is_snapshot(snapshot_id):
            raise _strange(kept)
        if not step.get("completed") and not made:
            raise PreflightError(
                f"{kept.job} has not written all of {disk.label}",
                cause="a snapshot can be read when it is completed",
                cure=(Resume(kept.job, "goes on"), Cancel(kept.job, "gives it up")),
                code="SnapshotNotCompleted",
            )
        record = kept_at(state, snapshot_id) if snapshot_id else None
        path = str(disk.path) if _same(disk) else ""
        if record is None and not path:
            raise PreflightError(
                f"nothing is known of what was sent of {disk.label}",
                cause="its digests are not kept here, and its file is another now",
                cure="bring the file back as it was, and name it in place of the job",
                code="NothingToCompareWith",
            )
        label = f"what {kept.job} sent of {disk.label}"
        yield SentDisk(snapshot_id, label, disk.path.name, opening, path, disk.index, str(record or ""), disk.size)


def _same(disk: DirectDisk) -> bool:
    with suppress(ImageError):
        return FileIdentity.of(disk.path) == disk.identity
    return False


def _by_object(kept: KeptJob) -> list[SentDisk]:
    """Of an import by S3: its local files, and the snapshots that AWS made of them."""
    made = [str(one) for one in (kept.result or {}).get("snapshot_ids") or ()]
    if not made:
        raise PreflightError(
            f"{kept.job} has made no snapshot", cause=f"it is {kept.status}", code="NoSnapshot", cure="name a snapshot"
        )
    request = kept.request
    sources = request.get("sources")
    if not isinstance(sources, list):
        raise _strange(kept)
    opening = Opening(str(request.get("machine") or ""), empty_disks=bool(request.get("empty_disks")))
    disks = [disk for one in sources for disk in verify.disks_of(_local(kept, str(one)), opening=opening)]
    return list(verify.paired(disks, made, what=kept.job))


def _strange(kept: KeptJob) -> UsageError:
    return UsageError(
        f"what {kept.job} sent cannot be told",
        cause="its file is damaged, or of another version",
        cure="name the disk's file and the snapshot in place of the job",
    )


def _local(kept: KeptJob, source: str) -> Path:
    if source.startswith("s3://"):
        raise UsageError(
            f"{kept.job} sent nothing: {source} was in S3", cure="name the disk's file in place of the job"
        )
    return Path(source)
