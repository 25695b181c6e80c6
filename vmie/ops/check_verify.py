"""`vmie check --verify`: every byte read, every grain unpacked, an appliance compared with its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vmie import events
from vmie.checks import CheckedDisk, CheckedMachine
from vmie.disk import Disk
from vmie.errors import ImageError
from vmie.model import Verdict


def disks(
    opened: Sequence[Disk], images: Sequence[CheckedDisk], *, reporter: events.Reporter = events.silent
) -> list[CheckedDisk]:
    """`images` with the first damage that reading all of each disk meets; those known to be damaged are not read."""
    return [_disk(disk, image, reporter) for disk, image in zip(opened, images, strict=True)]


def _disk(disk: Disk, image: CheckedDisk, reporter: events.Reporter) -> CheckedDisk:
    if image.damaged or any(fault.verdict is Verdict.FAIL for fault in image.faults):
        return image
    from vmie.disk.integrity import read_through  # noqa: PLC0415 - it needs every format

    reporter(events.Stage("verify", image.path))
    try:
        read_through(disk, reporter=reporter)
    except ImageError as error:
        return damaged(image, error)
    # All was read: no table is left that was too large to look at.
    return replace(image, faults=tuple(one for one in image.faults if one.verdict is not Verdict.UNKNOWN))


def damaged(image: CheckedDisk, error: ImageError) -> CheckedDisk:
    """`image` with the damage that an error names."""
    what = f"{error.message}: {error.cause}" if error.cause else error.message
    return replace(image, damaged=what, damaged_cure=error.actions)


def machine(
    found: CheckedMachine | None, path: Path, *, chosen: str, reporter: events.Reporter = events.silent
) -> CheckedMachine | None:
    """`found` with what its manifest says of its files; `chosen` is one of several machines."""
    if found is None:
        return None
    from vmie.disk.integrity import ManifestCheck  # noqa: PLC0415 - it needs every format
    from vmie.disk.ovf import open_appliance  # noqa: PLC0415

    try:
        with open_appliance(path, machine=chosen) as appliance, closing(ManifestCheck(appliance)) as manifest:
            if not appliance.manifest.present:
                return found
            reporter(events.Stage("verify", f"the manifest of {path}"))
            wrong = tuple((one.text, one.damage) for one in manifest.compare(reporter=reporter))
            problem = appliance.manifest.problem
    except ImageError as error:
        problem, wrong = f"{error.message}: {error.cause}", ()
    unread = ((f"the manifest could not be compared: {problem}", False),) if problem else ()
    return replace(found, manifest=(*unread, *wrong))
