"""One disk into one file: stream-optimised VMDK, dynamic VHD or raw, which EC2 takes; qcow2 or VHDX for others.

`plan` reads headers and says what would be written; `apply` writes it under a temporary name beside
the target and renames it when it is whole, so the target is either absent, as it was, or complete.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vmie import disk, events
from vmie.disk import stream
from vmie.disk.foreign import expected_disk
from vmie.disk.wrapper import WrappedDisk
from vmie.errors import Set, UsageError
from vmie.ops import atomic_file
from vmie.ops.opening import Opening, Snapshots

#: Suffixes of the target and the formats they name.
SUFFIXES = {".vmdk": "vmdk", ".vhd": "vhd", ".raw": "raw", ".img": "raw", ".qcow2": "qcow2", ".vhdx": "vhdx"}

#: Bytes after which what was written is sent on to the medium, so that the final fsync has little left to wait for.
_SETTLE = 8 << 20
#: 32-bit sector numbers in its grain tables.
_VMDK_MOST = 2 << 40


@dataclass(frozen=True, slots=True)
class ConvertPlan:
    """What `apply` would do. Sizes in bytes; `upper_bound` is the most that the target can take."""

    source: Path
    target: Path
    format: str
    index: int
    source_format: str
    source_variant: str
    virtual_size: int
    allocated_size: int
    upper_bound: int
    overwrite: bool
    workers: int | None
    opening: Opening

    def as_json(self) -> dict[str, Any]:
        """The shape of ``result`` under ``--dry-run``."""
        return {
            "path": str(self.target),
            "format": self.format,
            "virtual_size": self.virtual_size,
            "source": {
                "path": str(self.source),
                "format": self.source_format,
                "variant": self.source_variant,
                "disk": self.index,
                "allocated_size": self.allocated_size,
            },
            "upper_bound": self.upper_bound,
            "overwrite": self.overwrite,
        }


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written: `bytes_source` of data read, `bytes_written` without the holes of a raw file."""

    path: Path
    format: str
    virtual_size: int
    bytes_source: int
    bytes_written: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The contracted shape of ``result``."""
        return {
            "path": str(self.path),
            "format": self.format,
            "virtual_size": self.virtual_size,
            "bytes_source": self.bytes_source,
            "bytes_written": self.bytes_written,
            "seconds": round(self.seconds, 3),
        }


def plan(
    source: Path,
    target: Path,
    *,
    index: int | None = None,
    machine: str = "",
    empty_disks: bool = False,
    force: bool = False,
    workers: int | None = None,
    snapshots: Snapshots | None = None,
    reporter: events.Reporter = events.silent,
) -> ConvertPlan:
    """What converting `source` to `target` means; its suffix names the format.

    `index` picks a disk of an appliance, from 0, boot disk first; one with several disks needs it. `machine` and
    `empty_disks` are as `disk.open` has them. A snapshot's id is a source where `snapshots` opens it. Raises UsageError
    for a target that cannot be written, ImageError for a source that cannot be read or does not fit the format.
    """
    format_ = format_of(target)
    atomic_file.check(target, source=source, force=force)
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers can do no work", cure=Set("workers", note="a number from 1 on"))
    opening = Opening(machine, empty_disks, snapshots)
    with opening.disk(source, index=index) as opened:
        _one_disk(opened, index)
        keep_parts(opened, target)
        _look(opened, source, reporter)
        if isinstance(opened, WrappedDisk):
            opened.measure(reporter=reporter)  # gzip does not say the size: the file is read once
        into = stream.file_format(format_)
        into.check(opened)
        upper_bound = into.upper_bound(opened)
        if format_ == "vmdk" and upper_bound > _VMDK_MOST:
            text = f"{source} may compress to more than 2 TiB, where a VMDK ends: then only .raw can hold it"
            reporter(events.Note(text, level="warning"))
        return ConvertPlan(
            source=source,
            target=target,
            format=format_,
            index=index or 0,
            source_format=opened.format,
            source_variant=opened.variant,
            virtual_size=opened.size,
            allocated_size=opened.allocated_size,
            upper_bound=upper_bound,
            overwrite=target.exists(),
            workers=workers,
            opening=opening,
        )


def apply(
    plan: ConvertPlan, *, reporter: events.Reporter = events.silent, clock: Callable[[], float] = time.monotonic
) -> Converted:
    """Carry out `plan`. Raises ImageError for a damaged source, VmieError when the target cannot be written.

    Whatever ends it early, Ctrl-C too, the unfinished file is removed.
    """
    begun = clock()
    reporter(events.Stage("convert", f"{plan.source} to {plan.format} {plan.target}"))
    with plan.opening.disk(plan.source, index=plan.index) as opened, _target(plan) as file:
        if isinstance(opened, WrappedDisk):
            opened.expect(plan.virtual_size)
        follow = _Following(file, opened.allocated_size, reporter)
        written = stream.file_format(plan.format).save(opened, file, workers=plan.workers, progress=follow)
    return Converted(
        path=plan.target,
        format=plan.format,
        virtual_size=plan.virtual_size,
        bytes_source=follow.done,
        bytes_written=written,
        seconds=clock() - begun,
    )


def _target(plan: ConvertPlan) -> AbstractContextManager[BinaryIO]:
    return atomic_file.written(plan.target, source=plan.source, replace=plan.overwrite, needed=plan.upper_bound)


def format_of(target: Path) -> str:
    """The format that the target's suffix names. Raises UsageError for one that vmie does not write."""
    try:
        return SUFFIXES[target.suffix.lower()]
    except KeyError:
        raise UsageError(
            f"{target} names no format that vmie writes",
            cause=f"the suffix {target.suffix!r} is none of {', '.join(SUFFIXES)}",
            cure="end the name in .vmdk (stream-optimised, the best for EC2), .vhd (dynamic), .raw, .qcow2 or .vhdx",
        ) from None


class _Following:
    """Passes progress on, and the file's pages to the medium."""

    def __init__(self, file: BinaryIO, total: int, reporter: events.Reporter) -> None:
        self.done = 0
        self._file = file
        self._total = total
        self._reporter = reporter
        self._settled = 0

    def __call__(self, done: int) -> None:
        self.done = done
        self._reporter(events.Progress("convert", min(done, self._total), total=self._total))
        position = self._file.tell()
        if position - self._settled >= _SETTLE and hasattr(os, "posix_fadvise"):
            # Linux begins to write dirty pages back when told that they are not needed (posix_fadvise(2)).
            length = position - self._settled
            os.posix_fadvise(self._file.fileno(), self._settled, length, os.POSIX_FADV_DONTNEED)
            self._settled = position


def _look(opened: disk.Disk, source: Path, reporter: events.Reporter) -> None:
    """Refuse what is surely no disk; warn of what may be something else."""
    expected_disk(opened.source, opened.facts)
    looks, named = opened.facts.get("looks_like"), opened.facts.get("named_as")
    if looks:
        reporter(events.Note(f"{source} looks like {looks}; read as raw", level="warning"))
    elif named:
        reporter(events.Note(f"{source} is named {named}, but has no {named} header; read as raw", level="warning"))


def _one_disk(opened: disk.Disk, index: int | None) -> None:
    """Refuse to pick one of several disks on the user's behalf."""
    disks = opened.facts.get("appliance", {}).get("disks", ())
    if index is not None or len(disks) < 2:
        return
    listed = "\n".join(f"{n}: {each['file'] or each['id']}, {each['capacity']} bytes" for n, each in enumerate(disks))
    raise UsageError(
        f"{opened.source.name} holds {len(disks)} disks, one file takes one of them",
        cause=listed,
        cure=Set("disk", note="its number; convert each into a file of its own"),
        fields=("disk",),
    )


def keep_parts(opened: disk.Disk, target: Path) -> None:
    """Raise UsageError where `target` is a file of the disk: extents, backing files, or the disk that an OVF names."""
    main = opened.source.path
    if main is None or not target.exists():
        return
    names = [name for name in opened.facts.get("files", ()) if isinstance(name, str)]
    folders = {main.parent, main.resolve().parent}
    for part in (main, *(folder / name for folder in folders for name in names)):
        if part.exists() and part.samefile(target):
            raise UsageError(
                f"{target} is a part of the disk that is read",
                cause=f"{main} keeps its data there",
                cure="give the target another name",
            )
