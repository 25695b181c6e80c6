"""A machine's disks started here and judged: stopped as soon as the verdict is certain, or when the time is over."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from vmie import events
from vmie.boot import installed
from vmie.boot.console import ConsoleReading
from vmie.boot.model import BootEvidence, BootResult, BootStage, BootVerdict
from vmie.boot.nbd import NbdServer
from vmie.boot.qemu import QemuMachine, private_folder
from vmie.boot.tpm import tpm as swtpm
from vmie.disk import Disk

#: seconds between two looks at the console, and at the screen
_TICK = 0.25
_SCREEN = 2.0
#: seconds after what decided, for what explains it, or for the prompt and the address that follow
_AFTER_FAILURE = 1.5
_AFTER_SUCCESS = 8.0
_AFTER_LOGIN = 3.0
#: and of a machine that stands still and reads nothing from its disks
_STILL = 45.0
#: machines that start over so often do not come up
_RESTARTS = 3
_RESTART_SOURCE = "https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html"


def boot(
    disks: Sequence[Disk],
    *,
    uefi: bool = False,
    tpm: bool = False,
    timeout: float = 600.0,
    reporter: events.Reporter = events.silent,
) -> tuple[BootResult, bytes | None]:
    """Start the disks of one machine, the boot disk first, in QEMU; nothing is written to them. With its last picture.

    `timeout` in seconds; with `tpm` the machine has a fresh one. Raises UsageError (NoQemu, NoUefiFirmware, NoTpm) for
    what is not installed, VmieError (QemuFailed, TpmFailed), and ImageError for what could not be read of a disk, when
    the machine did not start.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        folder = stack.enter_context(private_folder())
        served = [stack.enter_context(NbdServer(disk, folder, name=f"disk{n}")) for n, disk in enumerate(disks)]
        if tpm:
            stack.enter_context(swtpm(folder))
        paths = [one.path for one in served]
        machine = QemuMachine(folder, paths, uefi=installed.uefi() if uefi else None, tpm=tpm)
        with machine:
            reporter(events.Note(f"QEMU works {'with' if installed.kvm() else 'without'} KVM", "debug"))
            watch = _Watch(machine, served, reporter)
            watch.until(began + timeout)
            picture = machine.picture()
        found = _result(machine, stood=watch.stood, over=time.monotonic() - began)
        failure = next((one.failure for one in served if one.failure), None)
    if failure is not None and found.verdict is not BootVerdict.BOOTS:
        raise failure
    return replace(found, firmware="uefi" if uefi else "bios"), picture


class _Watch:
    """A machine that is watched until its verdict is certain and explained, it is gone, or the time is over."""

    def __init__(self, machine: QemuMachine, disks: Sequence[NbdServer], reporter: events.Reporter) -> None:
        self._machine, self._disks, self._reporter = machine, disks, reporter
        self._stage: BootStage | None = None
        self._decided = self._moved = 0.0
        self._read = 0
        #: it stood still for so long that it goes on no more
        self.stood = False

    def until(self, end: float) -> None:
        """Watch, until `end` of the monotonic clock at most."""
        next_look = 0.0
        while self._machine.running and (now := time.monotonic()) < end:
            self._machine.wait(_TICK)
            if now >= next_look:
                self._machine.look()
                next_look = now + _SCREEN
            reading = self._machine.console.reading()
            if reading.stage is not self._stage and reading.stage is not None:
                self._stage = reading.stage
                self._reporter(events.Stage("boot", reading.stage.value))
            if self._enough(reading, now):
                return

    def _enough(self, reading: ConsoleReading, now: float) -> bool:
        before, self._read = self._read, sum(one.reads for one in self._disks)
        if self._read != before or not self._machine.console.stands_still:
            self._moved = now
        self.stood = now - self._moved > _STILL
        if not reading.certain:
            return self.stood or self._machine.restarts >= _RESTARTS
        self._decided = self._decided or now
        up, asks = reading.verdict is BootVerdict.BOOTS, reading.stage is BootStage.LOGIN
        patience = _AFTER_FAILURE if not up else _AFTER_LOGIN if asks else _AFTER_SUCCESS
        return (up and asks and bool(self._machine.dhcp.address)) or now - self._decided > patience


def _result(machine: QemuMachine, *, stood: bool, over: float) -> BootResult:
    reading = machine.console.reading(ended=stood)
    verdict, stage, evidence = reading.verdict, reading.stage, reading.evidence
    address = machine.dhcp.address
    if verdict is BootVerdict.UNKNOWN and machine.restarts >= _RESTARTS:
        said = f"the machine was reset {machine.restarts} times"
        verdict = BootVerdict.FAILS
        evidence = (*evidence, BootEvidence(said, stage or BootStage.FIRMWARE, "it starts over", _RESTART_SOURCE))
    if verdict is BootVerdict.BOOTS and address and stage is BootStage.LOGIN:
        stage = BootStage.NETWORK
    return BootResult(
        verdict=verdict,
        stage=stage,
        evidence=evidence,
        rules=reading.rules,
        seconds=over,
        cpu_seconds=machine.cpu_seconds,
        last_lines=reading.last_lines,
        address=address,
    )
