"""Which format a file is in: each module of `vmie.disk` is asked in turn."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, BinaryIO

from vmie.disk import candidates
from vmie.disk.base import Disk, FileSource, ObjectSource, Source
from vmie.errors import Drop, ImageError

if TYPE_CHECKING:
    from types import ModuleType

#: Modules of `vmie.disk` in the order they are asked; imported only when their turn comes.
_FORMATS: tuple[str, ...] = (
    "vhdx",
    "qcow2",
    "vdi",
    "vmdk",
    "ova",
    "ovf",
    "zip",
    "vma",
    "wrapper",
    "vhd",
    "raw",  # last: any bytes are a raw disk
)

#: Those of `_FORMATS` that may hold several disks: their `open_source` takes the keywords of `open`.
_APPLIANCES = frozenset({"ova", "ovf", "zip", "vma", "wrapper"})


def open(  # noqa: A001 - it is vmie.disk.open
    source: str | os.PathLike[str] | BinaryIO, *, index: int = 0, machine: str = "", empty_disks: bool = False
) -> Disk:
    """The disk in a file or seekable binary file object, whatever its format.

    `index` picks a disk of an appliance (OVA, OVF), boot disk first; a plain image has only disk 0. `machine` is the
    id or Name of one of an appliance's machines; with `empty_disks` the disks without a file are among its disks.
    Closing the disk closes the file, but never a file object handed in. Raises ImageError.
    """
    bytes_: Source
    if isinstance(source, str | os.PathLike):
        if "\0" in os.fsdecode(source):
            raise ImageError("a path cannot hold a zero character", cure="check the path")
        if os.path.isdir(source):  # noqa: PTH112 - Path.is_dir raises for names that are too long
            raise ImageError(
                f"{os.fsdecode(source)} is a directory", cause="a disk image is a file", cure="name an image file in it"
            )
        bytes_ = FileSource(source)
    else:
        bytes_ = ObjectSource(source)
    try:
        return open_source(bytes_, index=index, machine=machine, empty_disks=empty_disks)
    except BaseException:
        bytes_.close()
        raise


def open_source(source: Source, *, index: int = 0, machine: str = "", empty_disks: bool = False) -> Disk:
    """`open` for a `Source`, such as a member of an archive. Closes nothing when it fails."""
    if source.size <= 0:
        raise ImageError(
            f"{source.name} is empty", cause="it has no bytes", cure="copy or export the disk again, or name another"
        )
    name, module = _detect(source)
    if name in _APPLIANCES:
        opened: Disk = module.open_source(source, index=index, machine=machine, empty_disks=empty_disks)
        return opened
    expect_single(source, index=index, machine=machine)
    return module.open_source(source)  # type: ignore[no-any-return]


def expect_single(source: Source, *, index: int, machine: str) -> None:
    """Raise ImageError where a plain disk is asked for a second disk, or for a machine by name."""
    if machine:
        raise ImageError(
            f"{source.name} holds no machine {machine[:80]!r}",
            cause="it is a single disk image, not an appliance",
            cure=Drop(("machine",)),
            code="NoSuchMachine",
            fields=("machine",),
        )
    if index != 0:
        raise ImageError(
            f"{source.name} has no disk {index}",
            cause="it is a single disk image, not an appliance",
            cure="use index 0, or name an OVA or OVF file",
        )


def formats() -> tuple[str, ...]:
    """The names of the format modules, in the order they are asked."""
    return _FORMATS


def detect(source: Source) -> str:
    """The name of the format module that `open_source` would use; "raw" for whatever no other answers to."""
    return _detect(source)[0]


def _detect(source: Source) -> tuple[str, Any]:
    vhd = importlib.import_module("vmie.disk.vhd")
    if vhd.named_and_fixed(source):
        return "vhd", vhd
    possible = candidates.possible(source)
    for name in (one for one in _FORMATS if one in possible):
        module: ModuleType = importlib.import_module(f"vmie.disk.{name}")
        if module.probe(source):
            return name, module
    raise ImageError(f"{source.name} is in no format that vmie reads")  # pragma: no cover - raw takes anything
