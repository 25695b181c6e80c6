"""Disks to bytes: every format that vmie writes, as a stream that only goes forward.

    Disk ──► spans (which units hold data) ──► parallel (read, compress; order kept) ──► bytes

Memory is bounded by the number of workers, time by the data that the disk holds, not by its size.
The bytes of a stream depend on the disk's content and vmie's version, never on the number of
workers: a stream can be begun again and skipped to where it broke off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO, Protocol

from vmie.disk.base import Disk
from vmie.disk.stream import qcow2 as _qcow2
from vmie.disk.stream import raw as _raw
from vmie.disk.stream import vhd as _vhd
from vmie.disk.stream import vhdx as _vhdx
from vmie.disk.stream import vmdk as _vmdk
from vmie.disk.stream.parallel import cores
from vmie.errors import UsageError

__all__ = [
    "FILES",
    "TARGETS",
    "FileFormat",
    "Target",
    "cores",
    "dynamic_vhd",
    "file_format",
    "raw",
    "stream_optimized",
    "target",
    "upper_bound",
    "write",
]

Progress = Callable[[int], None]
"""Takes the bytes of data read from the source so far; called by the consumer's thread."""


def _unheard(_: int) -> None: ...


class _Stream(Protocol):
    def __call__(
        self, disk: Disk, /, *, workers: int | None = None, progress: Progress = _unheard
    ) -> Iterator[bytes]: ...


class _Save(Protocol):
    def __call__(
        self, disk: Disk, file: BinaryIO, /, *, workers: int | None = None, progress: Progress = _unheard
    ) -> int: ...


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format that disks are written as, into a file that can be written anywhere.

    `check(disk)` raises ImageError when the format cannot hold it; `upper_bound(disk)` is a length
    in bytes that the file never passes, computed without reading data;
    `save(disk, file)` writes a new file, with holes where the format has zeros, and returns
    the bytes written.
    """

    name: str
    variant: str
    suffix: str
    check: Callable[[Disk], None]
    upper_bound: Callable[[Disk], int]
    save: _Save


@dataclass(frozen=True, slots=True)
class Target(FileFormat):
    """A format that EC2 takes: `stream(disk)` yields its bytes, so that they can be sent as they are made."""

    stream: _Stream


def _saver(stream: _Stream) -> _Save:
    def save(disk: Disk, file: BinaryIO, /, *, workers: int | None = None, progress: Progress = _unheard) -> int:
        return sum(file.write(piece) for piece in stream(disk, workers=workers, progress=progress))

    return save


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "vmdk": Target(
            *("vmdk", "streamOptimized", ".vmdk"), _vmdk.check, _vmdk.upper_bound, _saver(_vmdk.stream), _vmdk.stream
        ),
        "vhd": Target(*("vhd", "dynamic", ".vhd"), _vhd.check, _vhd.upper_bound, _saver(_vhd.stream), _vhd.stream),
        "raw": Target(*("raw", "raw", ".raw"), _raw.check, _raw.upper_bound, _raw.save, _raw.stream),
    }
)
#: what is written for other virtualisers too. Both formats have tables in front of data that they depend on: no streams
FILES: Mapping[str, FileFormat] = MappingProxyType(
    {
        **TARGETS,
        "qcow2": FileFormat("qcow2", "qcow2", ".qcow2", _qcow2.check, _qcow2.upper_bound, _qcow2.save),
        "vhdx": FileFormat("vhdx", "dynamic", ".vhdx", _vhdx.check, _vhdx.upper_bound, _vhdx.save),
    }
)


def target(name: str) -> Target:
    """The target of that name: vmdk, vhd or raw. Raises UsageError."""
    try:
        return TARGETS[name]
    except KeyError:
        raise UsageError(
            f"vmie does not write {name!r}", cure=f"choose one of {', '.join(TARGETS)}: EC2 takes each of them"
        ) from None


def file_format(name: str) -> FileFormat:
    """The format of that name, one of `FILES`. Raises UsageError."""
    return FILES.get(name) or target(name)


def stream_optimized(disk: Disk, *, workers: int | None = None, progress: Progress = _unheard) -> Iterator[bytes]:
    """`disk` as a stream-optimised VMDK, compressed on `workers` threads (default: all cores).

    Raises ImageError when the source is damaged, is empty, or outgrows the format.
    """
    return _vmdk.stream(disk, workers=workers, progress=progress)


def dynamic_vhd(disk: Disk, *, workers: int | None = None, progress: Progress = _unheard) -> Iterator[bytes]:
    """`disk` as a dynamic VHD. Raises ImageError when the source is damaged, is empty, or passes 2040 GiB."""
    return _vhd.stream(disk, workers=workers, progress=progress)


def raw(disk: Disk, *, workers: int | None = None, progress: Progress = _unheard) -> Iterator[bytes]:
    """The bytes of `disk`, zeros included. Raises ImageError when the source is damaged or empty."""
    return _raw.stream(disk, workers=workers, progress=progress)


def upper_bound(disk: Disk, name: str) -> int:
    """A length in bytes that `disk` written as `name`, one of `FILES`, never passes; reads no data."""
    return file_format(name).upper_bound(disk)


def write(disk: Disk, name: str, *, workers: int | None = None, progress: Progress = _unheard) -> Iterator[bytes]:
    """`disk` as a stream of the format `name` (vmdk, vhd, raw). Raises UsageError and ImageError."""
    return target(name).stream(disk, workers=workers, progress=progress)
