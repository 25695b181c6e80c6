"""From any local disk to the bytes that are sent: as they are, or re-streamed on the way.

The choice is a pure function of what the file is; the payloads are what `aws.upload` sends.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmie import disk
from vmie.aws.upload import Part
from vmie.disk import stream
from vmie.disk.base import FileSource
from vmie.disk.ovf import Appliance
from vmie.errors import ImageError, UsageError
from vmie.model import Route

#: formats that ImportImage and ImportSnapshot take, by our names (aws-facts 3.1)
AWS_FORMATS = {"vmdk": "VMDK", "vhd": "VHD", "vhdx": "VHDX", "raw": "RAW", "ova": "OVA"}


@dataclass(frozen=True, slots=True)
class Choice:
    """How one file is sent: `method` is as-is, vmdk, vhd or raw; `aws_format` is what AWS is told."""

    method: str
    aws_format: str
    reasons: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        return {"method": self.method, "format": self.aws_format, "reasons": list(self.reasons)}


@dataclass(frozen=True, slots=True)
class Look:
    """What a choice rests on. `container` is "ova" or "ovf" for an appliance, "" for a bare disk.

    `odd` says why AWS would not take an OVA whole, "" when it would.
    """

    format: str
    variant: str
    container: str = ""
    disks: int = 1
    odd: str = ""


def look(path: Path) -> Look:
    """Tell what `path` is. Raises ImageError for what is no disk."""
    with disk.open(path) as first:
        kind, variant = first.format, first.variant
        container = str((first.facts.get("appliance") or {}).get("package", ""))
    if not container:
        return Look(kind, variant)
    with disk.appliance(path) as appliance:
        count = len(appliance.disks)
        odd = next(filter(None, (_oddity(appliance, number) for number in range(count))), "")
    if container == "ovf":
        odd = "an .ovf with its files beside it is no single object"
    return Look(kind, variant, container, count, odd)


def _oddity(appliance: Appliance, number: int) -> str:
    """Why AWS would not take this disk inside an OVA, "" when it would."""
    named = appliance.disks[number]
    if named.chunked:
        return f"its disk {number + 1} is split in chunks, which AWS refuses"
    if named.compressed:
        return f"its disk {number + 1} is compressed as a file, which AWS refuses"
    with appliance.open_disk(number) as opened:
        if (opened.format, opened.variant) in _OVA_TAKES or opened.format == "raw":
            return ""
        return f"its disk {number + 1} is {opened.format} {opened.variant}"


#: what may be inside an OVA (aws-facts 3.1, 5.2)
_OVA_TAKES = {("vmdk", "streamOptimized"), ("vhd", "fixed"), ("vhd", "dynamic"), ("vhdx", "fixed"), ("vhdx", "dynamic")}


def choose(what: Look, *, route: Route = Route.IMAGE, as_is: bool = False, wanted: str | None = None) -> Choice:
    """Decide how a file is sent.

    Raises UsageError for options that cannot be meant: as-is of a format AWS does not take.
    """
    name = what.container or what.format
    if as_is:
        if name not in AWS_FORMATS or (name == "ova" and route is not Route.IMAGE):
            raise UsageError(
                f"AWS takes no {name} by this route", cure="leave --as-is out: vmie converts it on the way"
            )
        return Choice("as-is", AWS_FORMATS[name], ("--as-is was given",))
    if wanted is not None:
        return Choice(wanted, AWS_FORMATS[wanted], (f"--format {wanted} was given",))
    if what.container:
        if what.container == "ova" and not what.odd and route is Route.IMAGE:
            return Choice("as-is", "OVA", ("AWS takes an OVA whole, with all its disks",))
        return Choice("vmdk", "VMDK", (what.odd or "ImportSnapshot takes no OVA: its disk goes alone",))
    if (what.format, what.variant) == ("vmdk", "streamOptimized"):
        return Choice("as-is", "VMDK", ("already stream-optimised: compressed, and what AWS takes",))
    return Choice("vmdk", "VMDK", (_REASONS.get(what.format, f"AWS takes no {what.format}: re-streamed").format(what),))


_REASONS = {
    "raw": "raw holds every zero: stream-optimised it is a fraction of the size",
    "vhd": "VHD is not compressed: stream-optimised VMDK is smaller",
    "vhdx": "VHDX is not compressed: stream-optimised VMDK is smaller",
    "vmdk": "AWS refuses VMDK {0.variant}: re-streamed as stream-optimised",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells that a local file is still the same: bytes, nanoseconds, inode, a sampled SHA-256."""

    size: int
    mtime_ns: int
    inode: int
    sample: str

    @classmethod
    def of(cls, path: Path) -> Identity:
        """Read the identity of `path`; samples 64 places at most, so it costs the same for any size."""
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                digest = hashlib.sha256()
                step = max(1 << 20, status.st_size // 64)
                for offset in range(0, max(1, status.st_size), step):
                    digest.update(os.pread(file.fileno(), 4096, offset))
                digest.update(os.pread(file.fileno(), 65536, max(0, status.st_size - 65536)))
        except OSError as error:
            raise ImageError(
                f"cannot read {path}: {error.strerror}", cure="check the path and its permissions"
            ) from error
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, digest.hexdigest())

    def as_json(self) -> dict[str, Any]:
        """For the journal."""
        return {"size": self.size, "mtime_ns": self.mtime_ns, "inode": self.inode, "sample": self.sample}


class FilePayload:
    """A file sent as it is: parts are read in the workers that send them. Close it when all are sent."""

    def __init__(self, path: Path, size: int) -> None:
        self._source = FileSource(path)
        self.bound = self.source_size = size

    def parts(self, part_size: int) -> Iterator[Part]:
        """See `vmie.aws.upload.Payload`."""
        for number, offset in enumerate(range(0, max(1, self.bound), part_size), start=1):
            end = min(self.bound, offset + part_size)
            yield Part(number, _reader(self._source.pread, offset, end - offset), end)

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _reader(pread: Callable[[int, int], bytes], offset: int, length: int) -> Callable[[], bytes]:
    def load() -> bytes:
        data = pread(offset, length)
        if len(data) != length:
            raise ImageError("the file became shorter while it was read", cure="let nothing write to it")
        return data

    return load


class StreamPayload:
    """A disk re-streamed as `method` (vmdk, vhd, raw) while it is sent; deterministic, so it resumes."""

    def __init__(self, opened: disk.Disk, method: str) -> None:
        self._disk = opened
        self._method = method
        self._read = 0
        self.bound = stream.upper_bound(opened, method)
        self.source_size = opened.allocated_size

    def parts(self, part_size: int) -> Iterator[Part]:
        """See `vmie.aws.upload.Payload`."""
        pieces: list[bytes] = []
        length = number = 0
        for piece in stream.write(self._disk, self._method, progress=self._progress):
            pieces.append(piece)
            length += len(piece)
            # The last part is held back: it may be short, and every other must be whole.
            while length > part_size:
                number += 1
                data = b"".join(pieces)
                pieces = [data[part_size:]]
                length -= part_size
                yield Part(number, _ready(data[:part_size]), self._read)
        yield Part(number + 1, _ready(b"".join(pieces)), max(self._read, self.source_size))

    def close(self) -> None:
        """Close the disk."""
        self._disk.close()

    def _progress(self, read: int) -> None:
        self._read = read


def _ready(data: bytes) -> Callable[[], bytes]:
    return lambda: data


def bound(opened: disk.Disk, method: str) -> int:
    """The most bytes that sending `opened` as `method` can come to."""
    return stream.upper_bound(opened, method)
