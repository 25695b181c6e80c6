"""From paths to machines: which files of a folder are disks, and which disks belong together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vmie import disk
from vmie.checks import SEVERITY, CheckedDisk, CheckedMachine
from vmie.disk.foreign import expected_disk
from vmie.disk.tables import TableFault
from vmie.errors import ImageError, UsageError
from vmie.model import Verdict
from vmie.ops.opening import Counted, Opening, Snapshots

_SUFFIXES = frozenset(
    (
        *(".vmdk", ".vhd", ".vpc", ".vhdx", ".avhdx", ".qcow2", ".qcow", ".vdi", ".ova", ".ovf"),
        *(".raw", ".img", ".dd", ".gz", ".xz", ".zst", ".zip", ".tar", ".tgz", ".txz", ".vma"),
    )
)
#: the data files of a VMDK, which its descriptor names
_EXTENT = re.compile(r"(.+)-(?:flat|delta|sesparse|rdmp?|pt|ctk|[sf]\d{3,})\.vmdk", re.IGNORECASE)
_DEPTH = 3
_MOST = 1000


@dataclass
class Opened:
    """One machine's disks, open; `error` instead of them where one cannot be read. Close it."""

    paths: tuple[Path, ...]
    disks: list[disk.Disk] = field(default_factory=list)
    images: list[CheckedDisk] = field(default_factory=list)
    appliance: dict[str, Any] | None = None
    error: ImageError | None = None

    def close(self) -> None:
        """Close all disks."""
        for opened in self.disks:
            opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def blocks_read(self) -> int | None:
        """The blocks that were read of snapshots, so far; None where there is none among the disks."""
        counts = [one.blocks_read for one in self.disks if isinstance(one, Counted)]
        return sum(counts) if counts else None

    @property
    def machine(self) -> CheckedMachine | None:
        """What the OVF says, None for bare disks."""
        return machine_of(self.appliance) if self.appliance is not None else None


def machine_of(appliance: dict[str, Any]) -> CheckedMachine:
    """The facts of an appliance that rules ask for; `appliance` as `disk.appliance(…).as_json()` has it."""
    disks = appliance.get("disks") or []
    cdroms = [drive.get("file") or drive.get("name") for drive in appliance.get("cdroms") or [] if drive.get("file")]
    system = appliance.get("os_section") or {}
    return CheckedMachine(
        nics=len(appliance.get("nics") or []),
        cdroms=tuple(str(name)[:200] for name in cdroms),
        chunked=any(item.get("chunked") for item in disks),
        firmware={"efi": "uefi", "bios": "bios"}.get(str(appliance.get("firmware")), ""),
        product=str(appliance.get("hardware_version") or "")[:100],
        guest_os=str(system.get("description") or system.get("os_type") or "")[:200],
        empty=tuple(str(one["id"])[:100] for one in appliance.get("left_out") or [] if one["reason"] == "empty"),
    )


def expand(paths: Sequence[Path]) -> list[Path]:
    """The files that `paths` name: a folder stands for the disks and appliances in it. Raises UsageError."""
    out: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = _in_folder(path)
            if not found:
                raise UsageError(
                    f"{path} holds no disk image",
                    cause=f"no file in it ends in {', '.join(sorted(_SUFFIXES))}",
                    cure="name the files themselves",
                )
            out += found
        else:
            out.append(path)
    return out


def _in_folder(folder: Path) -> list[Path]:
    files = sorted(_walk(folder))
    owned = _owned(files)
    return [path for path in files if path not in owned]


def _walk(folder: Path) -> Iterator[Path]:
    count = 0
    for top, folders, names in os.walk(folder):
        depth = len(Path(top).relative_to(folder).parts)
        folders[:] = [] if depth >= _DEPTH - 1 else sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if Path(name).suffix.lower() in _SUFFIXES and not name.startswith("."):
                count += 1
                if count > _MOST:
                    raise UsageError(f"{folder} holds more than {_MOST} disk images", cure="check it folder by folder")
                yield Path(top) / name


def _owned(files: list[Path]) -> set[Path]:
    """Files that belong to another one in the list: extents of a VMDK, disks of an OVF."""
    there = set(files)
    there_as = {path.resolve(): path for path in files}
    owned = set()
    for path in files:
        match = _EXTENT.fullmatch(path.name)
        if match and path.with_name(f"{match[1]}.vmdk") in there:
            owned.add(path)
        if path.suffix.lower() == ".ovf":
            owned |= {there_as[real] for real in _files_of_ovf(path) if real in there_as}
    return owned & there


def _files_of_ovf(path: Path) -> list[Path]:
    try:
        return disk.files_of_descriptor(path)
    except ImageError:
        return []


def open_machine(
    paths: Sequence[Path], *, machine: str = "", empty_disks: bool = False, snapshots: Snapshots | None = None
) -> Opened:
    """All disks of one machine: those of an appliance, of several files, or of snapshots, which `snapshots` opens.

    Never raises ImageError: see `error`.
    """
    opened = Opened(tuple(paths))
    with ExitStack() as undo:
        undo.callback(opened.close)
        for path in paths:
            try:
                _open_file(opened, path, Opening(machine, empty_disks, snapshots))
            except ImageError as error:
                opened.error = error
                opened.images = [_unreadable(path, error)]
                break
        undo.pop_all()
    return opened


def _open_file(opened: Opened, path: Path, how: Opening) -> None:
    first = how.disk(path)
    _add(opened, first, str(path))
    appliance = first.facts.get("appliance")
    if appliance is None:
        return
    if opened.appliance is None:
        opened.appliance = appliance
    for index in range(1, len(appliance.get("disks") or [])):
        other = how.disk(path, index=index)
        _add(opened, other, f"{path}#{index}")


def _add(opened: Opened, one: disk.Disk, path: str) -> None:
    opened.disks.append(one)
    expected_disk(one.source, one.facts)
    opened.images.append(image_of(one, path))


def image_of(one: disk.Disk, path: str) -> CheckedDisk:
    """What rules ask about an open disk."""
    # The size of a gzip file is known only after unpacking all of it: too dear for a check.
    unmeasured = bool(one.facts.get("forward_only")) and one.variant == "gzip"
    faults, error = _table_faults(one)
    return CheckedDisk(
        path=path,
        format=one.format,
        variant=one.variant,
        size=0 if unmeasured else one.size,
        allocated_size=0 if unmeasured else one.allocated_size,
        file_size=one.source.size,
        damaged=f"{error.message}: {error.cause}" if error else "",
        damaged_cure=error.actions if error else (),
        faults=faults,
        facts={key: one.facts.get(key) for key in ("looks_like", "named_as", "wrapper") if one.facts.get(key)},
    )


def _table_faults(one: disk.Disk) -> tuple[tuple[TableFault, ...], ImageError | None]:
    """The worst fault of each verdict, and the error that ended the search."""
    worst: dict[Verdict, TableFault] = {}
    try:
        for fault in one.table_faults():
            worst.setdefault(fault.verdict, fault)
            if fault.verdict is Verdict.FAIL:
                break
    except ImageError as error:
        return (), error
    return tuple(sorted(worst.values(), key=lambda fault: SEVERITY.index(fault.verdict))), None


def _unreadable(path: Path, error: ImageError) -> CheckedDisk:
    what = f"{error.message}: {error.cause}" if error.cause else error.message
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    return CheckedDisk(
        path=str(path),
        format=path.suffix.lstrip(".").lower() or "unknown",
        size=size,
        allocated_size=0,
        unreadable=what,
        unreadable_cure=error.actions,
        code=error.code,
    )
