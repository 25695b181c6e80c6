"""`vmie boot` here: the disks of a machine started in QEMU, judged, and compared with what the rules said before.

open ──► check ──► layer: what is mended ──► layer: a serial console ──► QEMU ──► verdict ──► does the check agree?

Nothing is written to what is started; layers are in memory, and what the guest writes goes with QEMU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from vmie import events, posix
from vmie.boot import installed, local
from vmie.boot.model import BootResult, BootVerdict
from vmie.cures import says
from vmie.disk import Disk
from vmie.disk.overlay import Overlay
from vmie.errors import ImageError, UsageError
from vmie.guest.facts import Firmware
from vmie.model import Finding, Route, Verdict
from vmie.ops import repair as mending
from vmie.ops.check import ImageReport, examined
from vmie.ops.check_inputs import open_machine
from vmie.ops.opening import Snapshots
from vmie.poll import Clock
from vmie.repair import Repair, apply
from vmie.repair.console import SERIAL_CONSOLE

#: seconds that a machine has by default: without KVM a large one takes minutes, and dracut gives up after three
TIMEOUT = 600.0
#: rules by which a machine does not start whatever the route, when they fail
_STOPPING = frozenset({"VMIE-BOOT-014", "VMIE-LNX-003", "VMIE-OS-001"})


class BootFirmware(StrEnum):
    """Which firmware starts the disk; `AUTO` as the disk, or its appliance, is made for."""

    AUTO = "auto"
    BIOS = "bios"
    UEFI = "uefi"


def firmware(name: str) -> BootFirmware:
    """The firmware of that name. Raises UsageError."""
    try:
        return BootFirmware(name)
    except ValueError:
        why = f"{name!r} is none of {', '.join(BootFirmware)}"
        raise UsageError(says("{firmware}: {_why}", _why=why), fields=("firmware",)) from None


@dataclass(frozen=True, slots=True)
class BootPlan:
    """What would be started: the layers over the disks of `source`, by BIOS or `uefi`, and what the check says of it.

    `expected` is what the rules foretell (`BootVerdict.UNKNOWN` where they cannot say), `stopping` the findings why.
    `serial_console` tells whether one was added.
    """

    source: str
    disks: tuple[Disk, ...]
    uefi: bool
    findings: tuple[Finding, ...]
    repaired: Repair | None
    serial_console: bool
    tpm: bool = False

    @property
    def stopping(self) -> tuple[Finding, ...]:
        """The findings by which it would not start."""
        return tuple(one for one in self.findings if one.verdict is not Verdict.UNKNOWN and _stops(one))

    @property
    def expected(self) -> BootVerdict:
        """What the rules foretell."""
        if self.stopping:
            return BootVerdict.FAILS
        unclear = any(_stops(one) for one in self.findings)
        return BootVerdict.UNKNOWN if unclear else BootVerdict.BOOTS

    def as_json(self) -> dict[str, Any]:
        """The contracted ``plan``."""
        return {
            "source": self.source,
            "disks": len(self.disks),
            "firmware": "uefi" if self.uefi else "bios",
            "accelerator": "kvm" if installed.kvm() else "tcg",
            "tpm": self.tpm,
            "check": self.expected.value,
            "repaired": mending.statement(self.repaired) if self.repaired else None,
        }


@dataclass(frozen=True, slots=True)
class BootReport:
    """How it went, beside what was foretold."""

    plan: BootPlan
    result: BootResult

    @property
    def explained_by(self) -> tuple[Finding, ...]:
        """The findings of the check that explain the failure, the nearest first."""
        if self.result.verdict is not BootVerdict.FAILS:
            return ()
        return tuple(one for rule in self.result.rules for one in self.plan.findings if one.rule == rule)

    @property
    def agrees(self) -> bool | None:
        """Whether the check foretold it; None where either cannot say."""
        known = {BootVerdict.BOOTS, BootVerdict.FAILS}
        if self.result.verdict not in known or self.plan.expected not in known:
            return None
        return self.result.verdict is self.plan.expected

    @property
    def disagreement(self) -> str:
        """How the check and the start differ, in words; "" where they do not."""
        if self.agrees is not False:
            return ""
        if self.result.verdict is BootVerdict.BOOTS:
            named = ", ".join(dict.fromkeys(one.rule for one in self.plan.stopping))
            return f"the check says that it does not start ({named}), and it does"
        named = " or ".join(self.result.rules[:3]) or "a rule"
        return f"the check found nothing that stops it: {named} should have foretold this"

    def as_json(self) -> dict[str, Any]:
        """The contracted ``result``."""
        explained = dict.fromkeys(one.rule for one in self.explained_by)
        return {
            **self.result.as_json(),
            "source": self.plan.source,
            "explained_by": list(explained),
            "should_have_foretold": [] if explained else list(self.result.rules),
            "check": {
                "expected": self.plan.expected.value,
                "agrees": self.agrees,
                "rules": list(dict.fromkeys(one.rule for one in self.plan.stopping)),
                "disagreement": self.disagreement,
            },
            "repaired": mending.statement(self.plan.repaired) if self.plan.repaired else None,
            "serial_console_added": self.plan.serial_console,
        }


@contextmanager
def plan(
    source: Path,
    *,
    clock: Clock,
    mend: bool = False,
    by: BootFirmware = BootFirmware.AUTO,
    tpm: bool = False,
    machine: str = "",
    snapshots: Snapshots | None = None,
    reporter: events.Reporter = events.silent,
) -> Iterator[BootPlan]:
    """What would be started of `source`, a file, an appliance or a snapshot, while the context lasts.

    With `mend` what `vmie repair` mends is mended in memory; with `tpm` the machine has one. Raises ImageError for what
    cannot be read, or is packed, and for a snapshot what `aws.ebs.snapshots.open_snapshot` raises.
    """
    posix.require("disks that are started here")
    reporter(events.Stage("check", str(source)))
    with open_machine([source], machine=machine, snapshots=snapshots) as opened:
        if opened.error is not None:
            raise opened.error
        mended = [mending.layer(disk) for disk in opened.disks]
        report = examined(opened, clock=clock)
        done = mending.mend(mended, report.subject, path=report.path) if mend else None
        findings = report.findings if done is None else done.findings
        shown = [Overlay(disk) for disk in mended]
        yield BootPlan(
            source=str(source),
            disks=tuple(shown),
            uefi=_by_uefi(by, report),
            findings=tuple(one for one in findings if one.verdict is not Verdict.PASS),
            repaired=done,
            serial_console=_with_serial_console(shown),
            tpm=tpm,
        )


def start(
    planned: BootPlan,
    *,
    timeout: float = TIMEOUT,
    screenshot: Path | None = None,
    pictures: Path | None = None,
    reporter: events.Reporter = events.silent,
) -> BootReport:
    """Start it. `timeout` in seconds; the screen is kept in the file `screenshot`, or, when it did not start, in the
    folder `pictures`. Raises what `vmie.boot.local.boot` raises, UsageError for a file that cannot be written.
    """
    found, picture = local.boot(planned.disks, uefi=planned.uefi, tpm=planned.tpm, timeout=timeout, reporter=reporter)
    path = screenshot
    if path is None and pictures is not None and found.verdict is not BootVerdict.BOOTS:
        path = pictures / f"{Path(planned.source).name[:100]}.png"
    if picture is None or path is None:
        return BootReport(planned, found)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    except OSError as error:
        template = "{screenshot}: {_path} cannot be written: {_why}"
        raise UsageError(says(template, _path=str(path), _why=error.strerror), fields=("screenshot",)) from error
    return BootReport(planned, replace(found, screenshot=str(path)))


def _stops(finding: Finding) -> bool:
    if finding.verdict is Verdict.PASS:
        return False
    return (Route.SNAPSHOT, "boot") in finding.without or (
        finding.rule in _STOPPING and finding.verdict in (Verdict.FAIL, Verdict.UNKNOWN)
    )


def _by_uefi(asked: BootFirmware, report: ImageReport) -> bool:
    """What a disk that both can start is started by, its appliance says; else BIOS does."""
    if asked is not BootFirmware.AUTO:
        return asked is BootFirmware.UEFI
    machine = report.subject.machine
    named = machine.firmware if machine else ""
    can = report.subject.guest.firmware
    return can is Firmware.UEFI or (can is not Firmware.BIOS and named == "uefi")


def _with_serial_console(disks: Sequence[Overlay]) -> bool:
    """Let the guest speak on its serial port, where its boot loader's files can be changed in place."""
    try:
        return bool(apply(disks, (SERIAL_CONSOLE,)).changes)
    except ImageError:
        for one in disks:
            one.clear()
        return False
