"""The library's function that starts a machine here and says whether it comes up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from vmie import event_log
from vmie.library.place import Place, StrPath, connected

if TYPE_CHECKING:
    from vmie.ops.boot import BootReport


def boot_image(
    source: StrPath,
    *,
    repair: bool = False,
    firmware: str = "auto",
    tpm: bool = False,
    timeout: float = 600.0,
    machine: str = "",
    screenshot: StrPath | None = None,
    **place: Unpack[Place],
) -> BootReport:
    """Whether a disk, an appliance or a snapshot (``snap-…``) starts, in QEMU here: ``report.result.verdict``.

    Nothing is written to it; with `repair` what can be mended is mended in memory. `firmware` is "auto", "bios" or
    "uefi"; with `tpm` the machine has one (swtpm); `timeout` in seconds; `machine` as `check` has it; `screenshot` the
    file for its last screen (PNG). Raises UsageError for what is not installed, ImageError, VmieError (QemuFailed). By
    the thread that calls it to its end.
    """
    from vmie.ops import boot as op  # noqa: PLC0415
    from vmie.poll import SystemClock  # noqa: PLC0415

    reporter = event_log.reporter(place.get("on_event"))
    with op.plan(
        Path(source),
        clock=SystemClock(),
        mend=repair,
        by=op.firmware(firmware),
        tpm=tpm,
        machine=machine,
        snapshots=lambda name: connected(place).snapshot(name),
        reporter=reporter,
    ) as planned:
        return op.start(
            planned, timeout=timeout, screenshot=Path(screenshot) if screenshot else None, reporter=reporter
        )
