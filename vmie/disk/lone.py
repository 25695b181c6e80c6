"""What an archive holds for vmie: an appliance, or one disk among other files."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from vmie.disk.base import Disk, Placed, Source, depth_of
from vmie.disk.foreign import NOT_A_DISK, is_partitioned
from vmie.disk.package import Archive
from vmie.disk.refusals import refused
from vmie.disk.tarball import ArchiveMember
from vmie.errors import Run

#: archives within archives
_MOST_DEPTH = 4
#: names of disks, also packed ones
_DISKS = re.compile(
    r".+\.(?:vmdk|vhdx?|vpc|avhdx|qcow2?|vdi|ova|vma|raw|img|dd)(?:\.(?:gz|xz|zst))?|.+\.(?:zip|tgz|txz)", re.IGNORECASE
)
#: data files of a VMDK, which its descriptor names
_EXTENT = re.compile(r"(.+)-(?:flat|[sf]\d{3,})\.vmdk", re.IGNORECASE)


def open_archive(archive: Archive, *, index: int, machine: str, empty_disks: bool) -> Disk:
    """Disk `index` of the appliance in an archive, or its only disk, whatever form that has.

    `facts["wrapper"]` is the archive's kind where it is no OVA. Closing the disk closes the archive. Raises ImageError.
    """
    from vmie.disk.ovf import Appliance  # noqa: PLC0415 - XML only where it is needed
    from vmie.disk.registry import open_source  # noqa: PLC0415 - it asks this module too

    if depth_of(archive.source) > _MOST_DEPTH:
        raise refused(archive.source, "an archive within archives", cause="they go too deep", cure="unpack it yourself")
    if archive.has_descriptor:
        disk = Appliance.of(archive, machine=machine, empty_disks=empty_disks).open_disk(index)
    else:
        chosen = _only_disk(archive)
        member = Placed(archive.open(chosen), archive.neighbours_of(chosen))
        try:
            disk = open_source(member, index=index, machine=machine, empty_disks=empty_disks)
        except BaseException:
            member.close()
            raise
        disk.facts["member"] = member.name
    if archive.kind != "ova" or not archive.has_descriptor:
        disk.facts["wrapper"] = archive.kind
    disk.source = _Owning(disk.source, archive=archive.source)
    return disk


def _only_disk(archive: Archive) -> ArchiveMember:
    """The one disk; ImageError that lists what there is where there is none, or several."""
    files = [one for one in archive.members if one.kind == "file" and one.size and not _is_clutter(one.name)]
    named = [one for one in files if _DISKS.fullmatch(one.name)]
    there = {one.name.lower() for one in named}
    whole = [one for one in named if not _is_extent(one.name, there)]
    if len(whole) == 1:
        return whole[0]
    if not named and len(files) == 1 and _shows_a_disk(archive, files[0]):
        return files[0]
    listed = ", ".join(repr(one.name[:80]) for one in (whole or files)[:5]) or "nothing"
    what = {"zip": "a zip archive", "ova": "a tar archive"}.get(archive.kind, "an archive")
    source = archive.source
    path = str(source.path) if source.path else "FILE"
    tool = ("unzip", path) if archive.kind == "zip" else ("tar", "-xf", path)
    if len(whole) > 1:
        raise refused(
            source,
            f"{what} of {len(whole)} disks without an OVF descriptor",
            cause=f"which of them are one machine's, and which boots, is not said: {listed}",
            cure=(Run(tool), "then give the disks of one machine together, boot disk first"),
        )
    raise refused(
        source,
        f"{what} without an OVF descriptor or a disk",
        cause=f"it holds {listed}",
        cure=(Run(tool, "then give the disk image that comes out"), "or export the machine as OVA"),
        code=NOT_A_DISK,
    )


def _shows_a_disk(archive: Archive, member: ArchiveMember) -> bool:
    """Whether a file whose name says nothing is a disk by its content."""
    from vmie.disk.registry import detect  # noqa: PLC0415 - it asks this module too

    source = archive.open(member)
    try:
        return detect(source) != "raw" or is_partitioned(source)
    finally:
        source.close()


def _is_clutter(name: str) -> bool:
    """What macOS and Windows leave in archives."""
    path = PurePosixPath(name)
    return path.name.startswith("._") or "__MACOSX" in path.parts or path.name in (".DS_Store", "Thumbs.db")


def _is_extent(name: str, there: set[str]) -> bool:
    match = _EXTENT.fullmatch(name)
    return match is not None and f"{match[1]}.vmdk".lower() in there


class _Owning:
    """A disk's source whose closing closes the archive: nobody else holds it."""

    def __init__(self, inner: Source, *, archive: Source) -> None:
        self._inner = inner
        self._archive = archive
        self.path: Path | None = None
        self.name = inner.name
        self.pread = inner.pread

    @property
    def size(self) -> int:
        """The inner source's."""
        return self._inner.size

    def close(self) -> None:
        """Close the disk and the archive."""
        self._inner.close()
        self._archive.close()
