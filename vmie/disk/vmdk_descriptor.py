"""The text part of a VMDK: what it says, and which kinds of disk it may describe that cannot be read alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from vmie.disk.base import Source
from vmie.disk.reading import DEVICE, NEEDS_PARENT
from vmie.errors import ImageError

#: An embedded descriptor has 20 sectors by custom; a file with a line for each of 10,000 extents fits in the latter.
EMBEDDED_LIMIT = 64 << 10
FILE_LIMIT = 1 << 20
_EXTENTS_LIMIT = 16_384

_NO_PARENT = "ffffffff"
_EXTENT = re.compile(
    r"(?P<access>RW|RDONLY|NOACCESS)\s+(?P<sectors>\d{1,18})\s+(?P<kind>[A-Za-z0-9]+)"
    r'(?:\s+"(?P<file>[^"]*)"(?:\s+(?P<offset>\d{1,18}))?)?'
)
_SETTING = re.compile(r'(?P<key>[A-Za-z0-9_.:-]+)\s*=\s*"?(?P<value>[^"]*)"?')
_FIRST_LINES = re.compile(rb"\s*#\s*disk\s+descriptor\s?file", re.IGNORECASE)
_VERSION = re.compile(rb"version\s*=\s*[0-9]", re.IGNORECASE)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ExtentLine:
    """``RW 4192256 SPARSE "disk-s001.vmdk" 0``: `sectors` and `offset` in sectors, `file` as written."""

    access: str
    sectors: int
    kind: str
    file: str = ""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A parsed descriptor; `settings` has every other ``key = value``, keys in lower case."""

    settings: dict[str, str] = field(default_factory=dict)
    extents: tuple[ExtentLine, ...] = ()

    @property
    def create_type(self) -> str:
        """``createType``, "" where it is missing."""
        return self.settings.get("createtype", "")

    def facts(self) -> dict[str, Any]:
        """What the text says of the disk, JSON-able."""
        get = self.settings.get
        return {
            "create_type": self.create_type or None,
            "cid": get("cid"),
            "parent_cid": get("parentcid"),
            "adapter_type": get("ddb.adaptertype"),
            "hardware_version": get("ddb.virtualhwversion"),
            "tools_version": get("ddb.toolsversion"),
            "uuid": get("ddb.uuid") or get("ddb.uuid.image"),
            "geometry": {part: _number(get(f"ddb.geometry.{part}")) for part in ("cylinders", "heads", "sectors")},
            "change_tracking": "changetrackpath" in self.settings,
        }


def looks_like_descriptor(head: bytes) -> bool:
    """Whether `head`, the start of a file, begins a VMDK descriptor file."""
    head = head.removeprefix(_BYTE_ORDER_MARK)
    if _FIRST_LINES.match(head):
        return True
    lines = (line.strip() for line in head.split(b"\n"))
    first = next((line for line in lines if line and not line.startswith(b"#")), b"")
    return bool(_VERSION.match(first)) and b"createtype" in head.lower()


def parse(data: bytes, *, name: str) -> Descriptor:
    """The descriptor in `data`, which may be padded with NULs. Raises ImageError for extent lines without sense."""
    text = _decode(data.removeprefix(_BYTE_ORDER_MARK).split(b"\0", 1)[0])
    settings: dict[str, str] = {}
    extents: list[ExtentLine] = []
    for raw_line in text.splitlines():
        line = raw_line.strip()
        if not line or line.startswith("#"):
            continue
        if line.split(None, 1)[0] in ("RW", "RDONLY", "NOACCESS"):
            extents.append(_extent(line, name))
            if len(extents) > _EXTENTS_LIMIT:
                raise ImageError(
                    f"{name} lists more than {_EXTENTS_LIMIT:,} extents", cure="export the disk again as one file"
                )
        elif setting := _SETTING.match(line):
            settings.setdefault(setting["key"].lower(), setting["value"].strip())
    return Descriptor(settings, tuple(extents))


def refuse_what_is_not_a_whole_disk(descriptor: Descriptor, source: Source) -> None:
    """Raise ImageError, by name and with a cure, for disks whose bytes are (partly) somewhere else."""
    if any(key.startswith(("encryption.", "encryptionkeys", ".encryption")) for key in descriptor.settings):
        raise ImageError(
            f"{source.name} is an encrypted VMDK",
            cause="its contents can be read only with the virtual machine's key",
            cure="remove the encryption of the virtual machine (in vSphere: storage policy, in Workstation: "
            "Access Control), then export it again",
        )
    for kind in (descriptor.create_type, *(line.kind for line in descriptor.extents)):
        refuse_kind(kind, source)
    parent = descriptor.settings.get("parentcid", _NO_PARENT).lower()
    hint = descriptor.settings.get("parentfilenamehint", "")
    if parent != _NO_PARENT or hint:
        raise ImageError(
            f"{source.name} is a snapshot or linked-clone delta, not a whole disk",
            cause=f"it holds only what changed since its parent{f' {hint!r}' if hint else ''} (parentCID {parent})",
            cure="delete (consolidate) the snapshots, or clone the virtual machine in full, and export the result",
            code=NEEDS_PARENT,
        )


def refuse_kind(kind: str, source: Source) -> None:
    """Raise ImageError if `kind`, a createType or an extent's type, names a disk that cannot be read as a file."""
    found = _REFUSED.get(kind.lower())
    if found is None:
        return
    what, cause, cure, code = found
    raise ImageError(f"{source.name} is {what}", cause=cause, cure=cure, code=code)


_DELTA_CURE = (
    "delete (consolidate) the snapshots and export the virtual machine as OVF or OVA, or clone the disk with "
    "vmkfstools -i SOURCE.vmdk TARGET.vmdk -d thin"
)
_RDM = (
    "a raw device mapping (RDM)",
    "it only points to a LUN: the data is not in VMware's files",
    "convert it to a virtual disk: vmkfstools -i MAPPING.vmdk TARGET.vmdk -d thin, or migrate it with Storage vMotion",
    DEVICE,
)
_DEVICE = (
    "a VMDK of a physical device (fullDevice or partitionedDevice)",
    "it only points to a disk of the host: the data is not in VMware's files",
    "image the device itself, for example with dd, and give that raw file",
    DEVICE,
)
_COWD = (
    "an ESXi copy-on-write extent (vmfsSparse, COWD)",
    "such extents hold the changes of a snapshot, not a whole disk",
    _DELTA_CURE,
    NEEDS_PARENT,
)
_SESPARSE = (
    "an ESXi SEsparse extent",
    "its layout is not published, and such extents usually hold the changes of a snapshot",
    _DELTA_CURE,
    DEVICE,
)
_REFUSED = {
    "vmfssparse": _COWD,
    "sesparse": _SESPARSE,
    "vsansparse": (
        "a vSAN sparse extent (vsanSparse)",
        "it holds the changes of a snapshot on vSAN, not a whole disk",
        _DELTA_CURE,
        NEEDS_PARENT,
    ),
    **dict.fromkeys(
        (
            "vmfsrawdevicemap",
            "vmfspassthroughrawdevicemap",
            "vmfsrdm",
            "vmfsrdmp",
            "vmfsraw",
            "passthroughrawdevicemap",
        ),
        _RDM,
    ),
    **dict.fromkeys(("fulldevice", "partitioneddevice"), _DEVICE),
}


def _extent(line: str, name: str) -> ExtentLine:
    match = _EXTENT.match(line)
    if match is None:
        raise ImageError(
            f"{name} has an extent line in its descriptor that makes no sense",
            cause=repr(line[:120]),
            cure="copy or export the disk again",
        )
    return ExtentLine(
        access=match["access"],
        sectors=int(match["sectors"]),
        kind=match["kind"].upper(),
        file=match["file"] or "",
        offset=int(match["offset"] or 0),
    )


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:  # encoding="windows-1252", "GBK" …: only file names can be hurt, and they must exist
        return data.decode("latin-1")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 12 else None
