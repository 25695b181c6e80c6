"""VMDK: a sparse extent with its descriptor inside, or a descriptor file with its extents beside it.

Read: streamOptimized, monolithicSparse, twoGbMaxExtentSparse, monolithicFlat, twoGbMaxExtentFlat, vmfs (flat).
Refused by name: what is only a part of a disk (deltas, split extents) or elsewhere (RDM, devices), see
`vmdk_descriptor`.
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import PurePath
from typing import Any

from vmie.disk import vmdk_descriptor as text
from vmie.disk import vmdk_layout as layout
from vmie.disk import vmdk_tables
from vmie.disk.base import SECTOR, Disk, Placed, Source
from vmie.disk.beside import beside, is_plain, open_beside
from vmie.disk.extents import coalesced
from vmie.disk.reading import damaged, read_exact, within
from vmie.disk.tables import TableFault
from vmie.disk.vmdk_descriptor import Descriptor, ExtentLine
from vmie.disk.vmdk_flat import FlatExtent, VmdkPart, ZeroExtent
from vmie.disk.vmdk_sparse import SparseExtent
from vmie.errors import ImageError
from vmie.model import Extent, ExtentKind

_DISK_LIMIT = 1 << 62
#: Up to so many grain tables (8 GiB of disk) are counted exactly when a disk is opened.
_TABLES_COUNTED = 256
_STREAM = "streamOptimized"


def probe(source: Source) -> bool:
    """A sparse extent's magic, or the first lines of a descriptor file."""
    head = source.pread(0, 8)
    if head[:4] in (layout.MAGIC, layout.COWD_MAGIC) or head == layout.SESPARSE_MAGIC:
        return True
    if not head.strip() or head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"#", b"v", b"V"):
        return False
    return text.looks_like_descriptor(source.pread(0, 4096))


def open_source(source: Source) -> Disk:
    """The whole disk. Raises ImageError for damage, missing extent files and what cannot stand alone."""
    head = source.pread(0, 8)
    if head[:4] == layout.COWD_MAGIC:
        text.refuse_kind("vmfsSparse", source)
    if head == layout.SESPARSE_MAGIC:
        text.refuse_kind("seSparse", source)
    if head[:4] != layout.MAGIC:
        return _open_descriptor(source, source.pread(0, text.FILE_LIMIT), embedded=False)
    header = layout.read_header(source)
    data = _embedded(source, header)
    if header.capacity == 0 and header.gd_offset != layout.GD_AT_END and data:
        return _open_descriptor(source, data, embedded=True)  # a descriptor in a sparse extent's clothes
    return _open_sparse(source, header, data)


class VmdkDisk(Disk):
    """One or more extents end to end.

    `facts`: the descriptor's (`Descriptor.facts`), ``descriptor`` (embedded, file or missing), ``files`` (the
    extent files beside the descriptor), ``stream_optimized``, ``compressed``, ``version``, ``grain_size``,
    ``unclean_shutdown``, ``grain_directory`` (header, footer or redundant).
    """

    format = "vmdk"

    def __init__(
        self, source: Source, parts: list[VmdkPart], *, variant: str, facts: dict[str, Any], files: dict[str, Source]
    ) -> None:
        super().__init__(source)
        self.variant = variant
        self.facts = facts
        self.parts = parts
        self._files = files
        self._starts = [0, *accumulate(part.size for part in parts)]
        self.size = self._starts.pop()
        tables = sum(part.tables for part in parts if isinstance(part, SparseExtent))
        self.allocated_size = sum(part.allocated(counted=tables <= _TABLES_COUNTED) for part in parts)

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        end = offset + within(offset, length, self.size)
        pieces = []
        index = max(bisect_right(self._starts, offset) - 1, 0)
        while offset < end:
            part, start = self.parts[index], self._starts[index]
            size = min(end, start + part.size) - offset
            if size > 0:
                pieces.append(part.read(offset - start, size))
                offset += size
            index += 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`."""
        return coalesced(self._runs(), self.size)

    def table_faults(self) -> Iterator[TableFault]:
        """See `Disk.table_faults`: extent by extent."""
        for part in self.parts:
            if isinstance(part, SparseExtent):
                for fault in vmdk_tables.faults(part):
                    name = f"{PurePath(part.source.name).name}: " if len(self.parts) > 1 else ""
                    yield replace(fault, table=f"{name}{fault.table}")

    def close(self) -> None:
        """Close the descriptor and every extent file."""
        for file in self._files.values():
            file.close()
        super().close()

    def _runs(self) -> Iterator[tuple[int, ExtentKind]]:
        for part in self.parts:
            left = part.size
            for length, kind in part.runs():
                yield min(length, left), kind
                left -= min(length, left)


def _embedded(source: Source, header: layout.SparseHeader) -> bytes:
    """The descriptor within a sparse extent, b"" where there is none."""
    if header.descriptor_offset == 0 or header.descriptor_sectors == 0:
        return b""
    length = min(header.descriptor_sectors * SECTOR, text.EMBEDDED_LIMIT)
    return read_exact(source, header.descriptor_offset * SECTOR, length, what="embedded descriptor")


def _open_sparse(source: Source, header: layout.SparseHeader, data: bytes) -> Disk:
    descriptor = text.parse(data, name=source.name) if data else Descriptor()
    text.refuse_what_is_not_a_whole_disk(descriptor, source)
    extent = SparseExtent(source)
    compressed = extent.header.compressed
    described = bool(descriptor.settings or descriptor.extents)  # split extents may have 20 sectors of NULs there
    if not described and not compressed:
        raise ImageError(
            f"{source.name} is one extent of a split VMDK, not a whole disk",
            cause="it has no descriptor of its own",
            cure="give the small text file that lists the extents (disk.vmdk beside disk-s001.vmdk), with all of them",
        )
    facts = {
        **descriptor.facts(),
        **_sparse_facts(extent),
        "descriptor": "embedded" if described else "missing",
        "files": [],
    }
    variant = _STREAM if compressed else descriptor.create_type or "monolithicSparse"
    return VmdkDisk(source, [extent], variant=variant, facts=facts, files={})


def _sparse_facts(extent: SparseExtent) -> dict[str, Any]:
    header = extent.header
    return {
        "version": header.version,
        "flags": header.flags,
        "grain_size": extent.grain,
        "compressed": header.compressed,
        "stream_optimized": header.compressed and header.markers,
        "unclean_shutdown": header.unclean_shutdown,
        "grain_directory": "redundant" if extent.redundant_used else "footer" if extent.footer else "header",
    }


def _open_descriptor(source: Source, data: bytes, *, embedded: bool) -> Disk:
    descriptor = text.parse(data, name=source.name)
    text.refuse_what_is_not_a_whole_disk(descriptor, source)
    if not descriptor.extents:
        raise damaged(source, "its descriptor lists no extents")
    if sum(line.sectors for line in descriptor.extents) * SECTOR > _DISK_LIMIT:
        raise damaged(source, "its extents add up to more than any real disk")
    files: dict[str, Source] = {}
    try:
        parts = [_part(line, source, files) for line in descriptor.extents]
    except BaseException:
        for file in files.values():
            file.close()
        raise
    sparse = [part for part in parts if isinstance(part, SparseExtent)]
    facts = {
        **descriptor.facts(),
        **(_sparse_facts(sparse[0]) if sparse else {"compressed": False, "stream_optimized": False}),
        "unclean_shutdown": any(part.header.unclean_shutdown for part in sparse),
        "descriptor": "embedded" if embedded else "file",
        "files": sorted(files),
    }
    return VmdkDisk(source, parts, variant=descriptor.create_type or "custom", facts=facts, files=files)


def _part(line: ExtentLine, source: Source, files: dict[str, Source]) -> VmdkPart:
    size = line.sectors * SECTOR
    if line.kind == "ZERO":
        return ZeroExtent(size)
    if line.access == "NOACCESS":
        raise ImageError(
            f"{source.name} has an extent that may not be read (NOACCESS)",
            cause=f"the descriptor withholds {size:,} bytes of the disk, in {line.file!r}",
            cure="export the disk in full with the program that wrote it",
        )
    if line.kind in ("FLAT", "VMFS"):
        return FlatExtent(_sibling(line, source, files), offset=line.offset * SECTOR, size=size)
    if line.kind == "SPARSE":
        file = _sibling(line, source, files)
        head = file.pread(0, 8)
        if head[:4] == layout.COWD_MAGIC:
            text.refuse_kind("vmfsSparse", source)
        extent = SparseExtent(file)
        if extent.size != size:
            raise damaged(
                source, f"extent {line.file!r} holds {extent.size:,} bytes where the descriptor says {size:,}"
            )
        return extent
    raise ImageError(
        f"{source.name} has an extent of a kind that vmie does not know: {line.kind}",
        cure="export the disk as OVF or OVA, or convert it to stream-optimised VMDK",
    )


def _sibling(line: ExtentLine, source: Source, files: dict[str, Source]) -> Source:
    """The extent file of that name in the descriptor's own directory, and nowhere else."""
    name = line.file
    if name in files:
        return files[name]
    if not is_plain(name) or ":" in name:
        raise ImageError(
            f"{source.name} names an extent outside its own directory",
            cause=f"{name!r}: only plain file names are followed, since a descriptor may come from anyone",
            cure="put the extent files beside the descriptor and write their bare names into it",
        )
    if isinstance(source, Placed) and (member := source.sibling(name)) is not None:
        files[name] = member
        return member
    if source.path is None:
        raise ImageError(
            f"{source.name} is only the descriptor of a disk",
            cause=f"the data is in {name!r}, which cannot be found from here",
            cure="give the path of the descriptor, with the extent files in the same directory",
        )
    if (path := beside(source.path, name)) is None:
        raise ImageError(
            f"{source.name} lacks its extent file {name}",
            cause="a VMDK of this kind is a small text file with the data in other files beside it",
            cure="put all files of the disk into one directory under the names that the descriptor gives them",
        )
    try:
        files[name] = open_beside(path)
    except ImageError as error:
        if getattr(error.__cause__, "errno", None) != errno.EMFILE:
            raise
        raise ImageError(
            f"{source.name} has more extent files than may be open at once",
            cause=f"{len(files):,} are open already",
            cure="raise the limit for this shell: ulimit -n 65536",
        ) from error
    return files[name]
