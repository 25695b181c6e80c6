"""One QEMU: a machine much like those of EC2's Nitro (NVMe, VGA, a serial port), without a way out and without files.

The disks come over NBD sockets in a private folder, and what the guest writes goes to a temporary layer. The guest has
no network but a DHCP server. QEMU ends with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from vmie.boot import child, installed, screen
from vmie.boot.console import Console
from vmie.boot.dhcp import DhcpWatch
from vmie.boot.qmp import Qmp, QmpError
from vmie.boot.tpm import SOCKET
from vmie.errors import VmieError

_PREFIX = "vmie-boot-"
_TPM = (
    *("-chardev", f"socket,id=tpm,path={SOCKET}"),
    *("-tpmdev", "emulator,id=tpm,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm"),
)
_MEMORY_MIB = 1024
#: seconds until the control socket is there, and until QEMU has gone by itself
_CONTROL = 30.0
_QUIT = 3.0
_PIECE = 1 << 16
#: seconds that a folder must be old before it is swept
_FRESH = 60.0


class QemuMachine:
    """A machine that runs while the context lasts; `console` has what it shows. The disks are paths of NBD sockets.

    `uefi` is the firmware, None for BIOS; with `tpm` there is one behind `vmie.boot.tpm`'s socket. It is to be entered,
    used and left by one thread. Raises VmieError (QemuFailed) when QEMU does not start.
    """

    def __init__(
        self, folder: Path, disks: Sequence[Path], *, uefi: installed.Uefi | None = None, tpm: bool = False
    ) -> None:
        self.folder = folder
        self.console = Console()
        self.dhcp = DhcpWatch()
        self.cpu_seconds = 0.0
        self._argv = [installed.qemu(), *_arguments(folder, disks, uefi), *(_TPM if tpm else ())]
        self._uefi = uefi
        self._errors = b""
        self._selector = selectors.DefaultSelector()
        self._process: subprocess.Popen[bytes] | None = None
        self._qmp: Qmp | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _start(self) -> None:
        if self._uefi is not None:
            shutil.copyfile(self._uefi.variables, self.folder / "variables")
        os.mkfifo(self.folder / "packets", 0o600)
        packets = os.open(self.folder / "packets", os.O_RDONLY | os.O_NONBLOCK)
        self._selector.register(packets, selectors.EVENT_READ, self._network)
        self._process = child.start(self._argv, self.folder)
        assert self._process.stdout is not None and self._process.stderr is not None  # noqa: S101, PT018 - pipes
        for pipe, take in ((self._process.stdout, self.console.feed), (self._process.stderr, self._complain)):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, take)
        self._qmp = self._connect(time.monotonic() + _CONTROL)

    def _connect(self, until: float) -> Qmp:
        while True:
            try:
                return Qmp(self.folder / "control")
            except QmpError as error:
                if not self.running or time.monotonic() > until:
                    self.wait(0.2)
                    said = self._errors.decode("utf-8", "replace").strip().splitlines()
                    raise VmieError(
                        "QEMU does not start",
                        cause=said[-1][:300] if said else str(error),
                        cure=f"see what `{installed.PROGRAM} --version` says; 6.0 and later are known to work",
                        code="QemuFailed",
                    ) from error
            self.wait(0.05)

    def control(self, command: str) -> Any:
        """What QEMU answers to a command without arguments. Raises QmpError."""
        if self._qmp is None:
            raise QmpError("QEMU does not run")
        return self._qmp.run(command)

    @property
    def running(self) -> bool:
        """Whether QEMU is there still: a machine that switches itself off ends it."""
        return not self._gone(os.WNOHANG)

    @property
    def restarts(self) -> int:
        """How often the machine was reset so far."""
        return self._qmp.events.get("RESET", 0) if self._qmp else 0

    def wait(self, seconds: float) -> None:
        """Take in what the machine shows for so long; the screen, too, where it is in text mode."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and self._selector.get_map():
            for key, _ in self._selector.select(left):
                data = os.read(key.fd, _PIECE)
                if data:
                    key.data(data)
                elif key.data != self._network:
                    self._selector.unregister(key.fileobj)
                else:  # nobody writes yet, or any more
                    time.sleep(min(0.05, left))
            if not self.running:
                self._take_rest()
                return

    def _take_rest(self) -> None:
        """What QEMU had written before it ended."""
        for key in list(self._selector.get_map().values()):
            with contextlib.suppress(BlockingIOError):
                while data := os.read(key.fd, _PIECE):
                    key.data(data)

    def look(self) -> None:
        """Read the screen, where it is text."""
        memory = self._dump("pmemsave", val=screen.TEXT_AT, size=screen.TEXT_BYTES)
        if memory:
            self.console.see(screen.text_of(memory) or ())

    def picture(self) -> bytes | None:
        """The screen as PNG; None when there is none to be had."""
        return screen.png_of(self._dump("screendump"))

    def _dump(self, command: str, **arguments: int) -> bytes:
        path = self.folder / "dump"
        try:
            if self._qmp is None or not self.running:
                return b""
            self._qmp.run(command, filename=str(path), **arguments)
            return path.read_bytes()
        except (QmpError, OSError):
            return b""
        finally:
            path.unlink(missing_ok=True)

    def _network(self, data: bytes) -> None:
        self.dhcp.feed(data)

    def _complain(self, data: bytes) -> None:
        self._errors = (self._errors + data)[-_PIECE:]

    def end(self) -> None:
        """Kill QEMU, and know what it used of the processor."""
        if self._qmp is not None:
            with contextlib.suppress(QmpError):
                self._qmp.run("quit")
            self._qmp.close()
        until = time.monotonic() + (_QUIT if self._qmp else 0)
        while self.running and time.monotonic() < until:
            time.sleep(0.02)
        if self._process is not None and self.running:
            self._process.kill()
            self._gone()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, int):
                os.close(key.fd)
        self._selector.close()
        for pipe in (self._process.stdout, self._process.stderr) if self._process else ():
            if pipe is not None:
                pipe.close()

    def _gone(self, flags: int = 0) -> bool:
        """Whether QEMU has ended; then what it used of the processor is known, too."""
        if self._process is None or self._process.returncode is not None:
            return True
        pid, status, usage = os.wait4(self._process.pid, flags)
        if pid:
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_seconds = usage.ru_utime + usage.ru_stime
        return bool(pid)


def _arguments(folder: Path, disks: Sequence[Path], uefi: installed.Uefi | None) -> list[str]:
    """The machine: https://www.qemu.org/docs/master/system/invocation.html."""
    argv = ["-nodefaults", "-no-user-config", "-machine", "q35"]
    argv += ["-accel", "kvm" if installed.kvm() else "tcg,tb-size=512"]
    argv += ["-cpu", "max", "-smp", "1", "-m", str(_MEMORY_MIB), "-rtc", "base=utc", "-vga", "std", "-display", "none"]
    argv += ["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"]
    argv += ["-qmp", "unix:control,server=on,wait=off"]
    argv += ["-netdev", "user,id=net,restrict=on", "-device", "e1000e,netdev=net,romfile="]
    argv += ["-object", "filter-dump,id=packets,netdev=net,maxlen=700,file=packets"]
    if sys.platform == "linux":
        argv += ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    if uefi is not None:
        argv += ["-drive", f"if=pflash,format=raw,readonly=on,file={_escaped(uefi.code)}"]
        argv += ["-drive", "if=pflash,format=raw,file=variables"]
    for index, path in enumerate(disks):
        name = path.relative_to(folder)
        argv += ["-drive", f"if=none,id=disk{index},format=raw,snapshot=on,cache=unsafe,file=nbd:unix:{name}"]
        argv += ["-device", f"nvme,drive=disk{index},serial=vol{index},bootindex={index}"]
    return argv


def _escaped(path: Path) -> str:
    """A comma in a name is written twice in QEMU's options."""
    return str(path).replace(",", ",,")


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder of our own (0700) for sockets and what QEMU writes; those of processes that were killed are swept."""
    sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        with FileLock(folder / "lock", timeout=0, mode=0o600, thread_local=False):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(where: Path) -> None:
    """Remove the folders of ours in `where` that no live process holds."""
    for folder in where.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, Timeout):
            state = folder.lstat()
            if folder.is_symlink() or state.st_uid != os.geteuid() or time.time() - state.st_mtime < _FRESH:
                continue
            with FileLock(folder / "lock", timeout=0, mode=0o600, thread_local=False):
                shutil.rmtree(folder, ignore_errors=True)
