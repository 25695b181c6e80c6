"""The library's function that mends an image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vmie import event_log
from vmie.library.place import OnEvent, StrPath

if TYPE_CHECKING:
    from vmie.ops.repair import RepairResult


def repair_image(
    files: StrPath | Sequence[StrPath],
    out: StrPath | None = None,
    *,
    only: Sequence[str] = (),
    machine: str = "",
    empty_disks: bool = False,
    force: bool = False,
    on_event: OnEvent | None = None,
) -> RepairResult:
    """Mend what a check finds in an appliance, or in the disks of one machine, in a layer over it.

    `out` is where the mended disk goes: a .qcow2 that lies over the image, or a whole disk by its suffix; without it
    nothing is kept. `only` narrows to rules. The result has `done.changes`, `done.mended`, `done.left` and `outputs`.
    Raises UsageError, ImageError (see `vmie.ops.repair`).
    """
    from vmie.ops import repair_output as op  # noqa: PLC0415
    from vmie.poll import SystemClock  # noqa: PLC0415

    listed = [files] if isinstance(files, str | os.PathLike) else list(files)
    return op.repair_image(
        [Path(one) for one in listed],
        clock=SystemClock(),
        target=None if out is None else Path(out),
        force=force,
        only=only,
        machine=machine,
        empty_disks=empty_disks,
        reporter=event_log.reporter(on_event),
    )
