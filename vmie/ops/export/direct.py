"""An export by EBS direct: the blocks of snapshots are read into local files. No bucket, no task, no grant.

plan ──► temporary snapshots (of vol-…, i-…) ──► blocks into a partial file ──► the format asked for ──► removed
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from vmie import disk, events
from vmie.aws import snapshots, temporary_snapshots
from vmie.disk import stream
from vmie.disk.stream import ova, qcow2
from vmie.errors import VmieError
from vmie.model import Task
from vmie.ops import atomic_file, idempotency
from vmie.ops.export import direct_disk, direct_plan
from vmie.ops.export.direct_disk import Delta, FetchedDisk
from vmie.ops.export.direct_plan import DirectExportPlan
from vmie.ops.export.operation import ExportResult
from vmie.ops.import_ import direct_wait
from vmie.ops.operation import Operation, RefusalSubject
from vmie.options import ExportRequest

#: far above the disks of any machine
_MOST_DISKS = 1000
_TAKEN, _WRITTEN = "taken", "written"


class DirectExport(Operation[ExportRequest, DirectExportPlan, ExportResult]):
    """One export. The journal: ``taken`` (temporary snapshots), ``file N`` (see `direct_disk`), ``written``."""

    verb = "export"
    plan_type = DirectExportPlan
    result_type = ExportResult
    made = ("its files are written", "delete those")
    kept_so_far = "the blocks that were read are kept and not read again"

    @property
    def source(self) -> str:
        """See `Operation.source`."""
        return self.request.source

    def subject(self) -> RefusalSubject:
        """See `Operation.subject`."""
        return RefusalSubject(job="export-ebs")

    @property
    def tasks(self) -> int:
        """See `Operation.tasks`."""
        return 0

    def _planned(self) -> DirectExportPlan:
        return direct_plan.plan(self.context, self.request, written=frozenset(self._done))

    @property
    def _done(self) -> dict[str, int]:
        """The files that are written, and the blocks that were read for each."""
        return dict((self.journal.get(_WRITTEN) or {}).get("files") or {})

    # --- send -----------------------------------------------------------------------------------------

    def send(self) -> None:
        """Read the blocks and write the files. After a failure that does not pass no temporary snapshot stays."""
        try:
            fetched = [
                FetchedDisk(self.context, one, number, self._partial(number), self._delta)
                for number, one in enumerate(self._sources())
            ]
            if self.request.format == "ova":
                self._write(self.planned.files[0], fetched)
            else:
                for path, one in zip(self.planned.files, fetched, strict=True):
                    self._write(path, [one])
        except VmieError as error:
            if not error.passing and self.journal.get(_TAKEN):
                self._clear()
            raise

    def _sources(self) -> list[direct_plan.SourceDisk]:
        """The disks with the snapshots that they are read of, completed all of them."""
        if all(one.snapshot_id for one in self.planned.disks):
            return list(self.planned.disks)
        taken = self._taken()
        self.context.reporter(events.Stage("snapshot", ", ".join(taken.values())))
        for failure in direct_wait.completed(self.context, dict.fromkeys(taken.values(), 0)).values():
            raise failure
        return [direct_plan.with_snapshot(one, taken[one.volume_id]) for one in self.planned.disks]

    def _taken(self) -> dict[str, str]:
        """The temporary snapshots by their volumes, taken once."""
        job, aws = self.journal.job, self.context.aws
        known = self.journal.get(_TAKEN) or {}
        wanted = {one.volume_id for one in self.planned.disks}
        found: dict[str, str] = dict(known.get("snapshots") or {})
        if not found and known.get("asked"):  # an answer may have been lost
            found = temporary_snapshots.tagged(aws, idempotency.JOB_TAG, job)
        if not wanted <= found.keys():
            self.journal.put(_TAKEN, {"asked": True})
            tags = {idempotency.JOB_TAG: job, **self.request.tags}
            found = temporary_snapshots.take(aws, self.source, description=f"vmie {job}, temporary", tags=tags)
        self.journal.put(_TAKEN, {"asked": True, "snapshots": found})
        return found

    @property
    def _delta(self) -> Delta | None:
        request = self.request
        if not request.since:
            return None
        return Delta(request.since, "" if request.format == "qcow2" else request.base)

    def _partial(self, number: int) -> Path:
        file = Path(self.planned.files[0]).resolve()
        return file.with_name(f".vmie-{self.journal.job}-{number}.partial")

    # --- write ----------------------------------------------------------------------------------------

    def _write(self, path: str, fetched: Sequence[FetchedDisk]) -> None:
        done = self._done
        if path not in done:
            read = sum(one.fetch() for one in fetched)
            self.context.reporter(events.Stage("write", path))
            with ExitStack() as stack:
                self._save(Path(path), [stack.enter_context(one.open()) for one in fetched])
            self.journal.put(_WRITTEN, {"files": {**done, path: read}})
        for one in fetched:
            one.remove()

    def _save(self, target: Path, disks: Sequence[disk.Disk]) -> None:
        request, only = self.request, disks[0]
        base = Path(request.base or ".")
        if request.format == "raw":
            atomic_file.check(target, source=base, force=request.force)
            partial = only.source.path
            assert partial is not None  # noqa: S101 - a fetched disk is a file
            partial.chmod(0o666 & ~_mask())
            partial.replace(target.resolve())
            return
        form = stream.FILES.get(request.format)
        needed = form.upper_bound(only) if form else ova.upper_bound(disks)
        with atomic_file.written(target, source=base, replace=request.force, needed=needed) as file:
            if form is None:
                ova.save(disks, file, name=target.stem, progress=self._progress(disks))
            elif request.format == "qcow2" and request.since:
                qcow2.save(only, file, backing=_backing(base, target), progress=self._progress(disks))
            else:
                form.save(only, file, progress=self._progress(disks))

    def _progress(self, disks: Sequence[disk.Disk]) -> stream.Progress:
        total = sum(one.allocated_size for one in disks)
        return lambda done: self.context.reporter(events.Progress("write", min(done, total), total=total))

    # --- finish ---------------------------------------------------------------------------------------

    def finish(self, done: Sequence[Task], *, began: dt.datetime) -> ExportResult:
        """See `Operation.finish`: the temporary snapshots go."""
        self._remove_taken()
        return ExportResult(
            job=self.journal.job,
            status="completed",
            task_id="",
            location=self.planned.files[0],
            downloaded=self.planned.files,
            seconds=self._seconds(began),
            via="ebs",
            blocks_read=sum(self._done.values()),
        )

    def begun(self, *, began: dt.datetime) -> ExportResult:
        """See `Operation.begun`: once all is read there is nothing to wait for."""
        return self.finish((), began=began)

    # --- undo -----------------------------------------------------------------------------------------

    def undo(self, *, reason: str = "") -> dict[str, Any]:
        """The temporary snapshots and what was fetched; ``{"task_id": None, "removed": [ids]}``."""
        return {"task_id": None, "removed": self._clear()}

    def _clear(self) -> list[str]:
        for number in range(_MOST_DISKS):
            kept: Mapping[str, Any] | None = self.journal.get(direct_disk.step_of(number))
            if kept is None:
                break
            if kept.get("partial"):
                direct_disk.tidy(self.context.state, self.journal.job, number, str(kept["partial"]))
        return self._remove_taken()

    def _remove_taken(self) -> list[str]:
        known = self.journal.get(_TAKEN)
        if not known:
            return []
        found: dict[str, str] = dict(known.get("snapshots") or {})
        if not found and known.get("asked"):
            with suppress(VmieError):
                found = temporary_snapshots.tagged(self.context.aws, idempotency.JOB_TAG, self.journal.job)
        for snapshot_id in found.values():
            if snapshots.delete(self.context.aws, snapshot_id):
                self.context.reporter(events.Note(f"{snapshot_id}, which was temporary, removed"))
        self.journal.put(_TAKEN, {})
        return list(found.values())


def _backing(base: Path, target: Path) -> qcow2.Backing:
    with disk.open(base) as opened:
        form = direct_plan.BACKINGS[opened.format]
    folder = target.resolve().parent
    name = base.name if base.resolve().parent == folder else str(base.resolve())
    return qcow2.Backing(name, form)


def _mask() -> int:
    """The process's umask: it can only be read by being set."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
