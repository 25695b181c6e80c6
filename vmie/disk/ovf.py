"""Appliances: an OVF descriptor with its package, and the bare .ovf as an input of its own.

`open_appliance` is what `vmie.disk.appliance` calls; `ova` brings the archive.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vmie.disk import envelope, ova, wrapper, zip  # noqa: A004 - a format as the others
from vmie.disk import manifest as manifests
from vmie.disk.appliance_model import ApplianceDisk, PackageManifest, VirtualMachine, plain
from vmie.disk.base import Disk, FileSource, Source
from vmie.disk.empty import EmptyDisk
from vmie.disk.foreign import NOT_A_DISK, is_partitioned
from vmie.disk.manifest import Digest
from vmie.disk.package import Archive, Folder, Package, local_files
from vmie.disk.reading import damaged, read_exact
from vmie.disk.refusals import refused
from vmie.disk.tarball import looks_like_tar
from vmie.errors import Drop, ImageError, Set


@dataclass(frozen=True, slots=True, kw_only=True)
class Appliance(VirtualMachine):
    """A machine and its files: what the descriptor says, and the disks to open.

    `signed` says whether a .cert lies beside the descriptor; its signature is not checked. Close the
    appliance when done: disks opened by `open_disk` from an OVA read through it.
    """

    manifest: PackageManifest
    signed: bool
    package: Package = field(repr=False, compare=False)
    digests: tuple[Digest, ...] | None = field(repr=False)

    @classmethod
    def of(cls, package: Package, *, machine: str = "", empty_disks: bool = False) -> Appliance:
        """Read a package's descriptor and manifest; the options as `envelope.parse` has them. Raises ImageError."""
        found = envelope.parse(_descriptor(package), name=package.source.name, machine=machine, empty_disks=empty_disks)
        digests, problem = _manifest(package)
        return cls(
            **{item.name: getattr(found, item.name) for item in fields(VirtualMachine)},
            manifest=PackageManifest(
                present=digests is not None or bool(problem),
                algorithms=tuple(sorted({digest.algorithm for digest in digests or ()})),
                files=len(digests or ()),
                problem=problem,
            ),
            signed=_there(package, ".cert"),
            package=package,
            digests=digests,
        )

    def open_disk(self, index: int = 0) -> Disk:
        """The disk at `index`, read in place. Raises ImageError: no such disk, empty, delta, missing file."""
        chosen = self._disk(index)
        if not chosen.file:
            disk: Disk = self._empty(chosen)
        else:
            source = self.package.file(chosen.file, chunk_size=chosen.chunk_size, size=chosen.file_size)
            try:
                disk = _disk_in(source)
            except BaseException:
                source.close()
                raise
        disk.facts["appliance"] = self.as_json()
        disk.facts["appliance_disk"] = index
        return disk

    def _disk(self, index: int) -> ApplianceDisk:
        if not self.disks:
            raise self._without_disks()
        if not 0 <= index < len(self.disks):
            raise ImageError(
                f"{self.package.source.name} has no disk {index}",
                cause=f"its machine has {len(self.disks)} disks, counted from 0",
                cure="name one of them",
            )
        disk = self.disks[index]
        if disk.parent:
            raise refused(
                self.package.source,
                "an appliance with a delta disk",
                cause=f"disk {disk.id!r} holds only what changed since {disk.parent!r}",
                cure="delete the machine's snapshots, then export it again",
            )
        return disk

    def _empty(self, disk: ApplianceDisk) -> Disk:
        if disk.problem:
            raise refused(
                self.package.source,
                "an appliance with an empty disk of unknown size",
                cause=f"disk {disk.id!r} has no file, and {disk.problem}",
                cure=(
                    Drop(("empty_disks",), "leaves such disks out"),
                    "or write its capacity into the descriptor, in bytes",
                ),
            )
        return EmptyDisk(disk.capacity, name=f"{self.package.source.name}: {disk.id}")

    def _without_disks(self) -> ImageError:
        empty = [disk.id for disk in self.left_out if disk.reason == "empty"]
        if empty:
            return refused(
                self.package.source,
                "an appliance of empty disks",
                cause=f"none of its disks has a file: {', '.join(empty[:10])}",
                cure=("export the machine with its disks", Set("empty_disks", note="makes them, all zeros")),
            )
        return refused(
            self.package.source,
            "an appliance without disks",
            cause="its descriptor lists none" if len(self.machines) < 2 else "the machine's hardware holds none",
            cure="export the machine again with its disks",
        )

    def as_json(self) -> dict[str, Any]:
        """The machine's facts, the manifest's and the package's, JSON-able."""
        return {
            **VirtualMachine.as_json(self),
            "manifest": plain(self.manifest),
            "signed": self.signed,
            **self.package.describe(),
        }

    def close(self) -> None:
        """Close the package."""
        self.package.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_appliance(path: str | os.PathLike[str] | Source, *, machine: str = "", empty_disks: bool = False) -> Appliance:
    """The appliance in an OVA or beside a bare .ovf; the options as `envelope.parse` has them.

    Raises ImageError, also when it is neither.
    """
    source = FileSource(path) if isinstance(path, str | os.PathLike) else path
    try:
        return Appliance.of(_package(source), machine=machine, empty_disks=empty_disks)
    except BaseException:
        source.close()
        raise


def _package(source: Source) -> Package:
    if looks_like_tar(source):
        found: Archive = ova.package(source)
    elif zip.probe(source):
        found = zip.package(source)
    elif wrapper.probe(source):
        return _unpacked(wrapper.spooled(source))
    elif probe(source):
        return Folder(source)
    else:
        raise _neither(source)
    if not found.has_descriptor:
        raise _neither(source)
    return found


def _unpacked(inner: Source) -> Package:
    try:
        return _package(inner)
    except BaseException:
        inner.close()
        raise


def _neither(source: Source) -> ImageError:
    return refused(
        source,
        "neither an OVA nor an OVF descriptor",
        cause="it begins neither as an archive with a descriptor in it nor as OVF XML",
        cure="a single disk image needs no appliance: give it as it is",
    )


def files_beside(path: str | os.PathLike[str]) -> list[Path]:
    """See `vmie.disk.files_of_descriptor`."""
    source = FileSource(path)
    try:
        if not probe(source):
            return []
        names = envelope.files(_bounded(source), name=source.name)
        return sorted({one for name in names for one in local_files(Path(path), name)})
    except ImageError:
        return []
    finally:
        source.close()


def probe(source: Source) -> bool:
    """Whether the bytes are XML with an OVF envelope near the beginning."""
    if source.size > envelope.MAX_DESCRIPTOR:
        return False
    head = source.pread(0, 16384).replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return head.startswith(b"<") and b"Envelope" in head


def open_source(source: Source, *, index: int = 0, machine: str = "", empty_disks: bool = False) -> Disk:
    """Disk `index` of a bare .ovf; `facts["appliance"]` describes the machine. Raises ImageError."""
    disk = Appliance.of(Folder(source), machine=machine, empty_disks=empty_disks).open_disk(index)
    source.close()  # the disk lies in a file of its own
    return disk


def _manifest(package: Package) -> tuple[tuple[Digest, ...] | None, str]:
    try:
        return manifests.read(package), ""
    except ImageError as error:
        return None, error.cause or error.message


def _descriptor(package: Package) -> bytes:
    if isinstance(package, Folder):
        return _bounded(package.source)
    source = package.find(package.descriptor.rpartition("/")[2])
    if source is None:
        raise damaged(package.source, "its descriptor is not there")
    try:
        return _bounded(source)
    finally:
        source.close()


def _bounded(source: Source) -> bytes:
    if source.size > envelope.MAX_DESCRIPTOR:
        raise damaged(source, f"a descriptor of {source.size:,} bytes; at most {envelope.MAX_DESCRIPTOR:,} are read")
    return read_exact(source, 0, source.size, what="descriptor")


def _there(package: Package, suffix: str) -> bool:
    source = package.neighbour(suffix)
    if source is None:
        return False
    source.close()
    return True


def _disk_in(source: Source) -> Disk:
    """The disk in a file of an appliance. Raises ImageError for an appliance, and for what its name does not keep."""
    from vmie.disk import registry  # noqa: PLC0415 - it asks this module too

    if registry.detect(source) in ("ova", "ovf", "zip"):
        raise _within(source)
    disk = registry.open_source(source)
    try:
        _expected(disk)
    except BaseException:
        disk.close()
        raise
    return disk


def _expected(disk: Disk) -> None:
    named = disk.facts.get("named_as")
    if named and disk.format == "raw" and not is_partitioned(disk.source):
        raise refused(
            disk.source,
            f"no {named}, though its name says so",
            cause="its descriptor lists it as a disk, and nothing in it is one's",
            cure="export the appliance again, and compare its size and checksum with the manifest's",
            code=NOT_A_DISK,
        )
    if "appliance" in disk.facts:
        raise _within(disk.source)


def _within(source: Source) -> ImageError:
    return refused(
        source,
        "an appliance within an appliance",
        cause="a disk image is expected here",
        cure="unpack the outer one and give the inner one by itself",
    )
