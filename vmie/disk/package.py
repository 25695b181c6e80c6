"""The files of an appliance, wherever they lie: members of an OVA, or neighbours of an .ovf.

A package finds bytes by a name that the descriptor gives. The name is compared (OVA) or must be a path in the
descriptor's own folder (OVF): it never leads anywhere else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

from vmie.disk.base import Source, Window
from vmie.disk.beside import beside, is_inside, open_beside
from vmie.disk.reading import damaged
from vmie.disk.refusals import refused
from vmie.disk.tar_sparse import SparseSource
from vmie.disk.tarball import ArchiveMember

_MAX_CHUNKS = 4096
#: missing chunks in a row that are noticed
_GAP = 10
_CURE_NAMES = "edit the descriptor so that it names files in its own folder, or export the appliance again"


class Package(ABC):
    """The descriptor and the files around it. `descriptor` is its name; `source` the archive or the .ovf itself."""

    def __init__(self, source: Source, *, descriptor: str) -> None:
        self.source = source
        self.descriptor = descriptor

    @abstractmethod
    def find(self, name: str) -> Source | None:
        """A file of the package by its name, None when there is none; the caller closes it."""

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """Facts of the package itself, JSON-able."""

    def neighbour(self, suffix: str) -> Source | None:
        """The descriptor's companion with another suffix: .mf, .cert."""
        return self.find(Path(self.descriptor).stem + suffix)

    def file(self, href: str, *, chunk_size: int | None = None, size: int | None = None) -> Source:
        """The file that a descriptor's href names, of `size` bytes where that is said; put together where it is split.

        Raises ImageError when it is missing, remote, not whole, or leads out of the package.
        """
        if "://" in href:
            raise refused(
                self.source,
                "an appliance whose disks are elsewhere",
                cause=f"a file is to be fetched from {href[:200]}",
                cure="download it, put it beside the descriptor and make the descriptor name it",
            )
        for name in _spellings(href):
            if chunk_size is None and (whole := self.find(name)) is not None:
                return whole
            if parts := self._parts(name):
                return _whole(self.source, name, parts, chunk_size=chunk_size, size=size)
            if chunk_size is not None and (whole := self.find(name)) is not None:
                return whole  # the chunks were put together, and the descriptor does not know it
        raise damaged(self.source, f"its descriptor names {href[:200]!r}, which is not there")

    def _parts(self, name: str) -> list[Source]:
        """``NAME.000000000``, ``NAME.000000001`` … in order; ImageError for a gap."""
        parts: list[Source] = []
        while len(parts) < _MAX_CHUNKS and (part := self.find(f"{name}.{len(parts):09d}")) is not None:
            parts.append(part)
        gap = len(parts)
        behind = next(filter(None, (self.find(f"{name}.{later:09d}") for later in range(gap + 1, gap + _GAP))), None)
        if behind is not None:
            _close([*parts, behind])
            raise damaged(self.source, f"chunk {gap} of {name[:200]!r} is missing")
        return parts

    def close(self) -> None:
        """Close the archive or the descriptor."""
        self.source.close()


class Archive(Package):
    """Members of a tar or zip archive, the descriptor being the only .ovf in it; ImageError for several."""

    kind = "ova"

    def __init__(self, source: Source, *, members: Sequence[ArchiveMember]) -> None:
        descriptors = [member for member in members if _is_descriptor(member)]
        if len(descriptors) > 1:
            raise refused(
                source,
                f"an archive of {len(descriptors)} OVF descriptors",
                cause=f"one of them would have to be meant: {', '.join(one.name[:80] for one in descriptors[:10])}",
                cure="unpack it, and give one descriptor with its disks beside it",
            )
        super().__init__(source, descriptor=descriptors[0].name if descriptors else "")
        self.members = tuple(members)
        self._by_name = {member.name: member for member in members}
        self._folder = self.descriptor[: self.descriptor.rfind("/") + 1]

    @property
    def has_descriptor(self) -> bool:
        """Whether the archive is an appliance."""
        return bool(self.descriptor)

    def find(self, name: str) -> Source | None:
        """See `Package.find`."""
        member = self._by_name.get(self._folder + name) or self._by_name.get(name)
        return None if member is None else self.open(member)

    def open(self, member: ArchiveMember) -> Source:
        """A member's bytes; ImageError for a folder, a link, a device."""
        if member.kind != "file":
            raise damaged(self.source, f"its member {member.name[:200]!r} is a {member.kind}, not a file")
        name = f"{self.source.name}: {member.name}"
        if member.pieces is not None:
            return SparseSource(self.source, member.pieces, offset=member.offset, size=member.size, name=name)
        return Window(self.source, offset=member.offset, size=member.size, name=name)

    def neighbours_of(self, member: ArchiveMember) -> Callable[[str], Source | None]:
        """What finds a file in the folder of a member by its bare name."""
        folder = member.name[: member.name.rfind("/") + 1]

        def find(name: str) -> Source | None:
            found = self._by_name.get(folder + name)
            return None if found is None else self.open(found)

        return find

    def describe(self) -> dict[str, object]:
        """See `Package.describe`."""
        return {
            "package": self.kind,
            "descriptor": self.descriptor,
            "descriptor_first": self.members[0].name == self.descriptor,
            "members": len(self.members),
            "sparse": any(member.pieces is not None for member in self.members),
        }


class Folder(Package):
    """A bare .ovf and the files in its folder."""

    def __init__(self, source: Source) -> None:
        super().__init__(source, descriptor=Path(source.name).name)
        self._path = source.path

    def find(self, name: str) -> Source | None:
        """See `Package.find`; ImageError for a name or a link that leads out of the folder."""
        if self._path is None:
            raise refused(
                self.source,
                "a descriptor without a folder",
                cause="an .ovf names files beside it, and this one was not opened from a path",
                cure="open it by its path, or pack it as OVA",
            )
        if not is_inside(name):
            raise damaged(self.source, f"its descriptor names {name[:200]!r}, no file in its folder", cure=_CURE_NAMES)
        path = beside(self._path, name)
        return None if path is None else open_beside(path)

    def neighbour(self, suffix: str) -> Source | None:
        """See `Package.neighbour`."""
        return super().neighbour(suffix) if self._path is not None else None

    def describe(self) -> dict[str, object]:
        """See `Package.describe`."""
        return {"package": "ovf", "descriptor": self.descriptor}


class Joined:
    """Sources one after the other, as one."""

    def __init__(self, *, name: str) -> None:
        self.path: Path | None = None
        self.name = name
        self._parts: list[Source] = []
        self._starts = [0]
        self.size = 0

    @property
    def count(self) -> int:
        """How many parts there are."""
        return len(self._parts)

    def append(self, part: Source) -> None:
        """Put `part` behind the others; it is closed with them."""
        self._parts.append(part)
        self.size += part.size
        self._starts.append(self.size)

    def pread(self, offset: int, length: int) -> bytes:
        """See `Source.pread`."""
        pieces: list[bytes] = []
        end = min(offset + length, self.size)
        while offset < end:
            index = bisect_right(self._starts, offset) - 1
            piece = self._parts[index].pread(offset - self._starts[index], end - offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Close all parts."""
        for part in self._parts:
            part.close()


def _whole(source: Source, name: str, parts: list[Source], *, chunk_size: int | None, size: int | None) -> Source:
    """Numbered files as one: chunks of a file (DSP0243 7.1), or the last of a disk's versions, one a snapshot."""
    total = sum(part.size for part in parts)
    if chunk_size is None and len(parts) > 1 and _are_versions(parts, total=total, size=size):
        _close(parts[:-1])
        return parts[-1]
    each = chunk_size or parts[0].size
    odd = next((number for number, part in enumerate(parts[:-1]) if part.size != each), None)
    if odd is not None or (chunk_size is not None and size is not None and size != total):
        _close(parts)
        why = f"chunk {odd} of {name[:200]!r} has not {each:,} bytes"
        if odd is None:
            why = f"the chunks of {name[:200]!r} have {total:,} bytes, and the descriptor says {size:,}"
        raise damaged(source, why)
    joined = Joined(name=f"{source.name}: {name}")
    for part in parts:
        joined.append(part)
    return joined


def _are_versions(parts: Sequence[Source], *, total: int, size: int | None) -> bool:
    """Whether each is a disk of its own: the descriptor gives the last one's size, or the second begins as a VMDK."""
    return size != total and (size == parts[-1].size or parts[1].pread(0, 4) == b"KDMV")


def _close(parts: Sequence[Source]) -> None:
    for part in parts:
        part.close()


def local_files(descriptor: Path, href: str) -> list[Path]:
    """The files beside a descriptor that an href names: the one, or its chunks. Raises ImageError."""
    found: list[Path] = []
    for name in filter(is_inside, _spellings(href)):
        chunks = (f"{name}.{number:09d}" for number in range(_MAX_CHUNKS))
        found += filter(None, [beside(descriptor, name)])
        found += filter(None, takewhile(bool, (beside(descriptor, chunk) for chunk in chunks)))
    return found


def _spellings(href: str) -> list[str]:
    """The names that an href may mean: it is a URI reference, yet many exporters write the path as they have it."""
    paths = (name.replace("\\", "/") for name in (href, unquote(href)))
    plain = ("/".join(part for part in path.split("/") if part != ".") for path in paths)
    return list(dict.fromkeys(plain))


def _is_descriptor(member: ArchiveMember) -> bool:
    base = member.name.rpartition("/")[2]
    # "._x.ovf" is what macOS keeps of a file's attributes
    return member.kind == "file" and base.lower().endswith(".ovf") and not base.startswith("._")
