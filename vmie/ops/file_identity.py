"""Whether a local file is still the one that it was: asked before a send goes on, and before every part."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmie import disk
from vmie.disk.beside import beside, is_inside
from vmie.errors import ImageError, Run

#: an .ovf may be this large; a VMDK's descriptor is far smaller
_LARGEST_DESCRIPTOR = 10 << 20


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What shows that a local file is still the same: bytes, nanoseconds, inode, a sampled SHA-256.

    `sample` also covers the other files of a disk in several (a VMDK's extents, the disks beside an .ovf). `layer` is
    the digest of what a repair lays over the disk, "" without one: the file is the same, what is sent of it is not.
    """

    size: int
    mtime_ns: int
    inode: int
    sample: str
    layer: str = field(default="", compare=False)

    @classmethod
    def of(cls, path: Path) -> FileIdentity:
        """Read the identity of `path`; samples 64 places at most, so it costs the same for any size."""
        digest = hashlib.sha256()
        status = _sample(path, digest.update)
        for other in _beside(path, status.st_size):
            found = _sample(other, digest.update)
            digest.update(b"%d %d %d" % (found.st_size, found.st_mtime_ns, found.st_ino))
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, digest.hexdigest())

    def as_json(self) -> dict[str, Any]:
        """For the journal."""
        shown = {"size": self.size, "mtime_ns": self.mtime_ns, "inode": self.inode, "sample": self.sample}
        return {**shown, "layer": self.layer} if self.layer else shown

    def touched(self, path: Path) -> bool:
        """Whether the file itself was written to or replaced, by its times alone: cheap enough for every part."""
        try:
            status = path.stat()
        except OSError:
            return True
        return (status.st_size, status.st_mtime_ns, status.st_ino) != (self.size, self.mtime_ns, self.inode)


def _sample(path: Path, update: Callable[[bytes], None]) -> os.stat_result:
    """Give `update` 4 KiB from each 64th of a file, and its end."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe would never open
        try:
            status = os.fstat(file)
            size = status.st_size
            for offset in range(0, max(1, size), max(1 << 20, size // 64)):
                update(os.pread(file, 4096, offset))
            update(os.pread(file, 65536, max(0, size - 65536)))
        finally:
            os.close(file)
    except IsADirectoryError as error:
        raise ImageError(
            f"{path} is a folder, and a disk is a file",
            cure=(Run(("vmie", "check", str(path)), "shows the images in it"), "name one of them"),
        ) from error
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}", cure="check the path and its permissions") from error
    return status


def _beside(path: Path, size: int) -> list[Path]:
    """The other files of a disk: named by a small descriptor, and only in its own folder."""
    if size > _LARGEST_DESCRIPTOR:
        return []
    try:
        if found := disk.files_of_descriptor(path):
            return found
        with disk.open(path) as one:
            names = [str(name) for name in one.facts.get("files", ())]
    except ImageError:
        return []  # whoever opens it in earnest says why
    return [other for name in sorted(names) if is_inside(name) and (other := beside(path, name))]
