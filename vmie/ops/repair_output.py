"""Mended disks as files: a qcow2 that holds what was changed over its source, or a whole disk in another format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vmie import events
from vmie.disk import stream
from vmie.disk.overlay import Differences, Overlay
from vmie.disk.stream import ova, qcow2
from vmie.errors import UsageError
from vmie.ops import atomic_file, convert
from vmie.ops.repair import Repaired, RepairResult, repaired
from vmie.poll import Clock

#: what qemu can read below a qcow2, by its names
_BACKINGS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx", "vdi": "vdi"}


def repair_image(
    paths: Sequence[Path],
    *,
    clock: Clock,
    target: Path | None = None,
    force: bool = False,
    only: Sequence[str] = (),
    machine: str = "",
    empty_disks: bool = False,
    reporter: events.Reporter = events.silent,
) -> RepairResult:
    """Mend the machine of `paths`, and write the mended disks to `target` where there is one and something changed.

    The other arguments are as `ops.repair.repaired` has them. Raises UsageError, ImageError, VmieError for a target
    that cannot be written.
    """
    if target is not None:
        check(target, paths, force=force)
    with repaired(paths, clock=clock, only=only, machine=machine, empty_disks=empty_disks, reporter=reporter) as found:
        kept = target is not None and bool(found.done.changes)
        outputs = write(found, target, force=force, reporter=reporter) if target is not None and kept else []
        return RepairResult(found.paths, found.done, tuple(outputs))


def check(target: Path, paths: Sequence[Path], *, force: bool) -> None:
    """Raise UsageError for a target that cannot be written."""
    if target.suffix.lower() != ".ova":
        convert.format_of(target)
    for path in paths:
        atomic_file.check(target, source=path, force=force)


def write(found: Repaired, target: Path, *, force: bool, reporter: events.Reporter = events.silent) -> list[Path]:
    """The files that were written: `target`, or for several disks one each, numbered; all in one for an .ova."""
    source = found.paths[0]
    several = len(found.layers) > 1 and target.suffix.lower() != ".ova"
    places = [
        target.with_stem(f"{target.stem}-{number + 1}") if several else target for number in range(len(found.layers))
    ]
    for place in places:
        for layer in found.layers:
            convert.keep_parts(layer.base, place)
    if target.suffix.lower() == ".ova":
        with atomic_file.written(target, source=source, replace=force, needed=ova.upper_bound(found.layers)) as file:
            ova.save(found.layers, file, name=target.stem)
        return [target]
    for place, layer in zip(places, found.layers, strict=True):
        reporter(events.Stage("write", str(place)))
        _write(layer, place, source=source, force=force)
    return places


def _write(layer: Overlay, target: Path, *, source: Path, force: bool) -> None:
    name = convert.format_of(target)
    backing = _backing(layer, target) if name == "qcow2" else None
    form = stream.file_format(name)
    only = layer if backing is None else Differences(layer, unit=qcow2.CLUSTER)
    form.check(only)
    with atomic_file.written(target, source=source, replace=force, needed=form.upper_bound(only)) as file:
        if backing is None:
            form.save(only, file)
        else:
            qcow2.save(only, file, backing=backing)


def _backing(layer: Overlay, target: Path) -> qcow2.Backing | None:
    """The source as the file below `target`; None for one that no file of its own holds: a member of an appliance."""
    path, base = layer.source.path, layer.base
    inside = base.facts.get("appliance") or base.facts.get("wrapper") or base.format not in _BACKINGS
    if path is None or inside:
        return None
    try:
        name = os.path.relpath(path.resolve(), target.resolve().parent)
    except ValueError as error:  # another drive of Windows
        raise UsageError(f"{target} cannot name {path}", cause=str(error), cure="put both on one drive") from error
    return qcow2.Backing(name, _BACKINGS[base.format])
