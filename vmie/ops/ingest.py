"""From any local disk to the form that is sent: as it is, or re-streamed on the way (`payloads` makes the bytes).

The choice is a pure function of what the file is; `settle` then sees that the disk fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vmie import disk
from vmie.aws.parts import part_size_for
from vmie.disk import stream
from vmie.disk.base import FileSource
from vmie.disk.foreign import NOT_A_DISK, expected_disk
from vmie.disk.ovf import Appliance
from vmie.disk.ovf_system import SEVERAL_MACHINES
from vmie.errors import Drop, ImageError, Set, UsageError
from vmie.guest import free
from vmie.model import Route
from vmie.ops import mending

#: formats that ImportImage and ImportSnapshot take, by our names (aws-facts 3.1)
AWS_FORMATS = {"vmdk": "VMDK", "vhd": "VHD", "vhdx": "VHDX", "raw": "RAW", "ova": "OVA"}


#: what the name of an object may end in, by what AWS calls its form; the first is given to one that says another
_SUFFIXES = {
    "VMDK": (".vmdk",),
    "VHD": (".vhd", ".vpc"),
    "VHDX": (".vhdx",),
    "RAW": (".raw", ".img", ".bin", ".dd"),
    "OVA": (".ova",),
}
#: endings that promise a form: those, and the ones that are never sent
_PROMISES = {
    *(suffix for several in _SUFFIXES.values() for suffix in several),
    *(".qcow2", ".qcow", ".vdi", ".ovf", ".vma", ".iso", ".gz", ".xz", ".zst", ".bz2", ".lz4", ".zip", ".tar", ".tgz"),
}


def named_for(name: str, form: str) -> str:
    """`name` with the ending of what is sent in its place: ``server.raw`` is ``server.vmdk`` for VMDK."""
    if Path(name).suffix.lower() in _SUFFIXES[form]:
        return name
    while (suffix := Path(name).suffix.lower()) in _PROMISES:
        name = name[: -len(suffix)]
    return name + _SUFFIXES[form][0]


def promises_another(key: str, form: str) -> bool:
    """Whether the ending of `key` says another form than what is sent."""
    suffix = Path(key).suffix.lower()
    return suffix in _PROMISES and suffix not in _SUFFIXES[form]


@dataclass(frozen=True, slots=True)
class Choice:
    """How one file is sent: `method` is as-is, vmdk, vhd or raw; `aws_format` is what AWS calls it."""

    method: str
    aws_format: str
    reasons: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        return {"method": self.method, "format": self.aws_format, "reasons": list(self.reasons)}


@dataclass(frozen=True, slots=True)
class Look:
    """What a choice rests on. `container` is "ova" or "ovf" for an appliance, "" for a bare disk.

    `odd` says why AWS would not take an OVA whole, "" when it would. `packed` names what the file is packed
    with as a whole; `files` are other files that hold parts of the disk.
    """

    format: str
    variant: str
    container: str = ""
    disks: int = 1
    odd: str = ""
    packed: str = ""
    files: tuple[str, ...] = ()


#: the variant of what is sent as raw bytes though it is surely no disk
NO_DISK = "no disk"


class Selection(Protocol):
    """Which machine of an appliance is meant, and whether its disks without a file are made: a request or a plan."""

    @property
    def machine(self) -> str:
        """Its id or name, "" for the only one."""

    @property
    def empty_disks(self) -> bool:
        """Whether they are made."""

    @property
    def repair_of(self) -> tuple[str, ...]:
        """The files of the machine that is mended on the way, () for none."""


class Sending(Selection, Protocol):
    """A selection that is sent."""

    @property
    def keep_free(self) -> bool:
        """Whether what lies in free space goes too."""


def opened(path: Path, selected: Selection, *, index: int | None = None, layer: str | None = None) -> disk.Disk:
    """The disk at `index` of the selected machine, or the only one; mended, where that is wanted.

    `layer` is the digest of what mending it came to before, None where that is not known. Raises ImageError.
    """
    found = disk.open(path, index=index or 0, machine=selected.machine, empty_disks=selected.empty_disks)
    if not selected.repair_of:
        return found
    try:
        return mending.over(found, path, index, selected, expected=layer)
    except BaseException:
        found.close()
        raise


def to_send(path: Path, sent: Sending, *, index: int | None = None, layer: str | None = None) -> disk.Disk:
    """The disk at `index` as it is streamed: zeros for what its file systems call free, unless `keep_free`.

    `layer` is as in `opened`. Raises ImageError.
    """
    found = opened(path, sent, index=index, layer=layer)
    if sent.keep_free:
        return found
    try:
        return free.without_free(found)
    except BaseException:
        found.close()
        raise


def _disk(path: Path, selected: Selection) -> disk.Disk:
    """`opened`, but ImageError for what is surely no disk."""
    found = disk.open(path, machine=selected.machine, empty_disks=selected.empty_disks)
    try:
        expected_disk(found.source, found.facts)
    except BaseException:
        found.close()
        raise
    return found


def look(path: Path, selected: Selection, *, as_is: bool = False, whole: bool = True) -> Look:
    """Tell what `path` is. Raises ImageError for what is no disk; `as_is` the bytes of any file are taken as raw.

    `whole`: a file can go as it is.
    """
    try:
        return _look(path, selected)
    except ImageError as error:
        if as_is and error.code == SEVERAL_MACHINES and _is_tar(path):
            return Look("vmdk", "", "ova")  # with all its machines
        if error.code != NOT_A_DISK:
            raise
        if as_is:
            return Look("raw", NO_DISK)
        if whole:
            error.add_cure(Set("as_is", note="sends the bytes all the same"))
        raise


def _is_tar(path: Path) -> bool:
    source = FileSource(path)
    try:
        return disk.detect(source) == "ova"
    finally:
        source.close()


def _look(path: Path, selected: Selection) -> Look:
    with _disk(path, selected) as first:
        kind, variant = first.format, first.variant
        container = str((first.facts.get("appliance") or {}).get("package", ""))
        packed = str(first.facts.get("wrapper", ""))
        files = tuple(map(str, first.facts.get("files", ())))
        disks = len((first.facts.get("appliance") or {}).get("disks", ())) or 1
    if packed or not container:
        return Look(kind, variant, container, disks, packed=packed, files=files)
    with disk.appliance(path, machine=selected.machine, empty_disks=selected.empty_disks) as appliance:
        count = len(appliance.disks)
        odd = _partial(appliance) or next(filter(None, (_oddity(appliance, one) for one in range(count))), "")
    if container == "ovf":
        odd = "an .ovf with its files beside it is no single object"
    return Look(kind, variant, container, count, odd)


def _partial(appliance: Appliance) -> str:
    """Why the OVA as a whole is not the machine that was meant, "" when it is."""
    if len(appliance.machines) > 1:
        return f"it holds {len(appliance.machines)} machines, and one of them is meant"
    if appliance.left_out:
        return f"it lists disks that the machine has not: {', '.join(one.id for one in appliance.left_out[:5])}"
    if appliance.package.describe().get("sparse"):
        return "its archive has sparse members, which OVA does not allow"
    if appliance.reordered:
        return "it lists the boot disk behind another one"
    return ""


def _oddity(appliance: Appliance, number: int) -> str:
    """Why AWS would not take this disk inside an OVA, "" when it would."""
    named = appliance.disks[number]
    if not named.file:
        return f"its disk {number + 1} has no file"
    if named.chunked:
        return f"its disk {number + 1} is split in chunks, which AWS refuses"
    if named.compressed:
        return f"its disk {number + 1} is compressed as a file, which AWS refuses"
    with appliance.open_disk(number) as opened:
        if (opened.format, opened.variant) in TAKEN or opened.format == "raw":
            return ""
        return f"its disk {number + 1} is {opened.format} {opened.variant}"


#: (format, variant) of what AWS takes besides raw, also inside an OVA (aws-facts 3.1, 5.2)
TAKEN = {("vmdk", "streamOptimized"), ("vhd", "fixed"), ("vhd", "dynamic"), ("vhdx", "fixed"), ("vhdx", "dynamic")}


def choose(what: Look, *, route: Route = Route.IMAGE, as_is: bool = False, wanted: str | None = None) -> Choice:
    """Decide how a file is sent.

    Raises UsageError for options that do not fit: as-is of a format AWS does not take.
    """
    name = what.container or what.format
    if as_is and (what.packed or what.files):
        raise UsageError(
            f"AWS takes no disk that is {f'packed with {what.packed}' if what.packed else 'in several files'}",
            cure=Drop(("as_is",), "vmie makes one disk of it on the way"),
            fields=("as_is",),
        )
    if as_is:
        if name not in AWS_FORMATS or (name == "ova" and route is not Route.IMAGE):
            raise UsageError(
                f"AWS takes no {name} by this route",
                cure=Drop(("as_is",), "vmie converts it on the way"),
                fields=("as_is",),
            )
        return Choice("as-is", AWS_FORMATS[name], ("as it is, as was asked",))
    if wanted is not None:
        return Choice(wanted, AWS_FORMATS[wanted], (f"{wanted} was asked for",))
    if what.container and not what.packed:
        if what.container == "ova" and not what.odd and route is Route.IMAGE:
            return Choice("as-is", "OVA", ("AWS takes an OVA whole, with all its disks",))
        return Choice("vmdk", "VMDK", (what.odd or "ImportSnapshot takes no OVA: its disk goes alone",))
    if (what.format, what.variant, what.packed) == ("vmdk", "streamOptimized", ""):
        return Choice("as-is", "VMDK", ("already stream-optimised: compressed, and what AWS takes",))
    kind = "packed" if what.packed else what.format
    return Choice("vmdk", "VMDK", (_REASONS.get(kind, f"AWS takes no {what.format}: re-streamed").format(what),))


_REASONS = {
    "raw": "raw holds every zero: stream-optimised it is a fraction of the size",
    "vhd": "VHD is not compressed: stream-optimised VMDK is smaller",
    "vhdx": "VHDX is not compressed: stream-optimised VMDK is smaller",
    "packed": "AWS takes no disk packed with {0.packed}: unpacked and re-streamed",
    "vmdk": "AWS refuses VMDK {0.variant}: re-streamed as stream-optimised",
}


#: a stream-optimised VMDK counts its sectors in 32 bits
VMDK_MOST = 2 << 40


def settle(opened: disk.Disk, choice: Choice, *, asked: bool = False) -> tuple[Choice, int]:
    """The form that is sure to hold `opened`, and the most bytes that sending it can come to; reads no data.

    A form that nobody `asked` for gives way to raw where the disk might outgrow it on the way. Raises ImageError and
    UsageError when no form takes the disk, or not the one asked for.
    """
    if choice.method == "vmdk" and not asked:
        most = stream.upper_bound(opened, "vmdk")
        if most > VMDK_MOST:
            why = f"up to {most / 2**40:.2f} TiB as VMDK, which ends at 2 TiB: sent as raw (who asks for vmdk gets it)"
            choice = Choice("raw", "RAW", (why, *choice.reasons))
    form = stream.target(choice.method)
    form.check(opened)
    bound = form.upper_bound(opened)
    part_size_for(bound)
    return choice, bound
