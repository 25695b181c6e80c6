"""What a file's holes tell: which ranges of a source hold data, by SEEK_DATA and SEEK_HOLE."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from vmie.disk.base import Source
from vmie.errors import ImageError
from vmie.model import ExtentKind

_WITHOUT_HOLES = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})
_TELLS_HOLES = hasattr(os, "SEEK_DATA")  # Windows does not


def file_runs(source: Source, offset: int, length: int) -> Iterator[tuple[int, ExtentKind]]:
    """(length, kind) runs of ``[offset, offset+length)`` of `source`, in order: HOLE or ALLOCATED.

    A source that is not a local file, or lies on a file system without holes, is one allocated run.
    """
    descriptor = _descriptor(source)
    if descriptor is None:
        yield length, ExtentKind.ALLOCATED
        return
    position, stop = offset, offset + length
    while position < stop:
        data, end = _next_data(descriptor, position, stop, source.name)
        yield data - position, ExtentKind.HOLE
        yield end - data, ExtentKind.ALLOCATED
        position = end


def file_allocated(source: Source) -> int:
    """Bytes of the source that the file system stores: at most its size; cheap."""
    descriptor = _descriptor(source)
    if descriptor is None:
        return source.size
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):  # a block device has no holes to tell of
        return source.size
    return min(source.size, status.st_blocks * 512)  # POSIX: st_blocks counts 512 bytes


def _descriptor(source: Source) -> int | None:
    fileno = getattr(source, "fileno", None)
    return None if fileno is None or not _TELLS_HOLES else int(fileno())


def _next_data(descriptor: int, position: int, stop: int, name: str) -> tuple[int, int]:
    """The next range with data, (stop, stop) when only a hole is left."""
    try:
        data = os.lseek(descriptor, position, os.SEEK_DATA)
        end = os.lseek(descriptor, data, os.SEEK_HOLE)
    except OSError as error:
        if error.errno == errno.ENXIO:  # no data up to the end
            return stop, stop
        if error.errno in _WITHOUT_HOLES:
            return position, stop
        raise ImageError(f"cannot read the holes of {name}: {error.strerror}", cure="check the medium") from error
    return min(data, stop), min(max(end, data + 1), stop)
