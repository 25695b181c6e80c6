"""A damaged image is refused in AWS's words: its tables when it is validated, its grains when it is converted."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from vmie import catalogue
from vmie.disk.base import Disk
from vmie.disk.integrity import read_through
from vmie.errors import ImageError
from vmie.model import Verdict
from vmie.sandbox.service.tasks import SandboxTask, StepPending, TaskFailure

#: What reads on longer than this is waited for by later calls: no call to the service takes long.
_PATIENCE_SECONDS = 1.0
_WORK = "reading"


def check_tables(disks: Sequence[Disk]) -> None:
    """Refuse disks whose tables show damage; raises TaskFailure."""
    for disk in disks:
        try:
            for fault in disk.table_faults():
                if fault.as_is is Verdict.FAIL:
                    raise TaskFailure(catalogue.words("vhd-footers"))
                if fault.verdict is Verdict.FAIL:
                    raise TaskFailure(corrupted(disk.format))
        except ImageError as error:
            raise TaskFailure(corrupted(disk.format)) from error


def corrupted(format_: str) -> str:
    """What the service says of a damaged disk of a format."""
    return catalogue.words("image-corrupted" if format_ == "vmdk" else "disk-validation")


def read(task: SandboxTask, disks: Sequence[Disk]) -> None:
    """Unpack all that is packed in `disks`; raises TaskFailure for damage, StepPending while it takes its time."""
    reading: _Reading = task.work.setdefault(_WORK, _Reading(disks))
    if not reading.ended.wait(_PATIENCE_SECONDS if reading.start() else 0):
        raise StepPending
    del task.work[_WORK]
    if reading.error is not None:
        raise TaskFailure(f"{catalogue.words('vmdk-invalid-length')}") from reading.error


class _Reading:
    """The grains of some disks, read on a thread of their own: only compressed VMDKs can turn out to be damaged."""

    def __init__(self, disks: Sequence[Disk]) -> None:
        self._disks = [disk for disk in disks if disk.format == "vmdk"]
        self._thread: threading.Thread | None = None
        self.ended = threading.Event()
        self.error: ImageError | None = None

    def start(self) -> bool:
        """Begin, once; whether it was begun now."""
        if self._thread is not None:
            return False
        self._thread = threading.Thread(target=self._run, name="vmie-sandbox-read", daemon=True)
        self._thread.start()
        return True

    def _run(self) -> None:
        try:
            for disk in self._disks:
                # In this thread alone: a pool of them would be waited for when the program ends.
                read_through(disk, workers=1)
        except ImageError as error:
            self.error = error
        except ValueError:
            pass  # the sandbox was closed meanwhile
        finally:
            self.ended.set()
