"""The disk below a qcow2 that holds only what differs from it: libvirt's and Proxmox's external snapshots.

    disk.snap2 (qcow2) ──► disk.snap1 (qcow2) ──► disk.img (raw or anything else)

What a header names is a path that anyone may have written: it is opened in the folder of the file that names it, and
nowhere else. https://www.qemu.org/docs/master/system/images.html#disk-image-file-formats
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from vmie.disk.base import Disk, FileSource, Source
from vmie.disk.beside import beside, is_inside
from vmie.disk.extents import coalesced
from vmie.disk.mapped import MappedDisk
from vmie.disk.raw import RawDisk
from vmie.disk.reading import NEEDS_PARENT, damaged, within
from vmie.disk.refusals import refused
from vmie.disk.tables import TableFault
from vmie.errors import ImageError
from vmie.model import Extent, ExtentKind

#: files of one chain; libvirt itself stops at 200
LONGEST = 64
_FLATTEN = "make it stand alone: `qemu-img convert -O qcow2 FILE WHOLE.qcow2` where its other files are at hand"


class BackedDisk(Disk):
    """`top` over `base`: what is a hole in `top` is what `base` has there, zeros beyond its end. Owns both."""

    def __init__(self, top: MappedDisk, base: Disk) -> None:
        super().__init__(top.source)
        self.top, self.base = top, base
        self.format, self.variant, self.size = top.format, top.variant, top.size
        self.allocated_size = min(top.size, top.allocated_size + base.allocated_size)
        self.facts = {**top.facts, "files": self._files()}

    def _files(self) -> list[str]:
        """The files of the chain, as paths from the folder of `top`."""
        folder = os.path.dirname(os.path.realpath(str(self.top.source.path)))  # noqa: PTH120
        named = os.path.relpath(str(self.base.source.path), folder)
        below = self.base.facts.get("files", ())
        return [named, *(os.path.normpath(os.path.join(os.path.dirname(named), one)) for one in below)]  # noqa: PTH118, PTH120

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        length = within(offset, length, self.size)
        found = None
        at = offset
        for size, kind in self.top.runs(offset, length):
            if kind is ExtentKind.HOLE and at < self.base.size:
                if found is None:
                    found = bytearray(self.top.read(offset, length))
                data = self.base.read(at, size)
                found[at - offset : at - offset + len(data)] = data
            at += size
        return self.top.read(offset, length) if found is None else bytes(found)

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`."""
        return coalesced(_filled(self.top.extents(), self.base.extents()), self.size)

    def table_faults(self) -> Iterator[TableFault]:
        """See `Disk.table_faults`: of the whole chain."""
        yield from self.top.table_faults()
        yield from self.base.table_faults()

    def close(self) -> None:
        """Close both."""
        self.base.close()
        self.top.close()


def _filled(top: Iterable[Extent], base: Iterator[Extent]) -> Iterator[tuple[int, ExtentKind]]:
    """(length, kind) of `top`, whose holes are filled from `base`."""
    below = next(base, None)
    for extent in top:
        at = extent.offset
        if extent.kind is not ExtentKind.HOLE:
            yield extent.length, extent.kind
            continue
        while at < extent.end:
            while below is not None and below.end <= at:
                below = next(base, None)
            end = extent.end if below is None else min(extent.end, below.end)
            yield end - at, ExtentKind.HOLE if below is None else below.kind
            at = end


class BackingSource(FileSource):
    """A file that another one names; `above` are those that lead to it, the first one first."""

    def __init__(self, path: Path, above: tuple[Path, ...]) -> None:
        super().__init__(path, follow=False)
        self.above = above


def open_base(source: Source, name: str, form: str) -> Disk:
    """The disk `name` that `source` rests on; `form` is what its header calls the format, "" where it does not.

    Raises ImageError: NeedsParent for one that is not there or elsewhere, DamagedImage for a chain without end.
    """
    path = _path(source, name)
    above = (*getattr(source, "above", ()), Path(os.path.realpath(str(source.path))))
    if path in above:
        raise damaged(source, f"its backing file {name[:200]!r} rests on it in turn")
    if len(above) >= LONGEST:
        raise damaged(source, f"a chain of more than {LONGEST} backing files")
    below = BackingSource(path, above)
    try:
        return _opened(source, below, form)
    except BaseException:
        below.close()
        raise


def _opened(source: Source, below: Source, form: str) -> Disk:
    if form == "raw":
        return RawDisk(below)  # whatever a guest may have written to its first sector
    from vmie.disk.registry import open_source  # noqa: PLC0415 - which opens what is here

    base = open_source(below)
    if form and base.format != {"vpc": "vhd"}.get(form, form):
        base.close()
        raise damaged(source, f"its header calls its backing file {form}, it is {base.format}")
    return base


def _path(source: Source, name: str) -> Path:
    if source.path is None:
        raise _refused(source, name, "that file is not looked for from within an archive or an object")
    name = name.removeprefix("file:")
    if name.startswith("json:") or ":" in name.partition("/")[0]:
        raise _refused(source, name, "which is no file")
    folder = Path(os.path.realpath(source.path)).parent
    if os.path.isabs(name) and Path(os.path.realpath(os.path.dirname(name))) == folder:  # noqa: PTH117, PTH120 - text of a header
        name = os.path.basename(name)  # noqa: PTH119
    if not is_inside(name.removeprefix("./")):
        raise _refused(source, name, "outside of its folder, where no header may lead")
    found = beside(source.path, name.removeprefix("./"))
    if found is None:
        raise _refused(source, name, "which is not there")
    return found


def _refused(source: Source, name: str, why: str) -> ImageError:
    shown = "".join(char if char.isprintable() else "?" for char in name[:200])
    return refused(
        source,
        "a qcow2 with a backing file",
        cause=f"it holds only what differs from {shown}, {why}",
        cure=f"put that file beside it, or {_FLATTEN}",
        code=NEEDS_PARENT,
    )
