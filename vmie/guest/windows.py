"""A Windows installation on one volume: find it, read its hives, and look at a few files. No secret is read."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from vmie.errors import ImageError
from vmie.guest import windows_software, windows_system
from vmie.guest.budget import OverBudget
from vmie.guest.filesystem import FileKind, Files, FileStatus, FileSystemError
from vmie.guest.registry import Hive, HiveError
from vmie.guest.windows_facts import WindowsFacts

_BLOCK = 128 << 10
_BLOCKS_KEPT = 64
_CONFIG = "System32/config"
_UNREADABLE = (FileSystemError, ImageError)


def inspect(files: Files, *, volume: str = "", disk: int = 0) -> WindowsFacts | None:
    """The Windows on the volume, None when there is none. Damage ends in `unknown`; raises OverBudget only."""
    root = _find_root(files)
    if root is None:
        return None
    config = f"{root}/{_CONFIG}"
    found: dict[str, Any] = {"volume": volume, "disk": disk, "root": root.strip("/")}
    unknown: list[str] = []
    dirty: list[str] = []
    _volume_state(files, found, unknown)
    with _hive(files, config, "SOFTWARE", unknown, dirty) as software:
        if software is not None:
            _collect(found, unknown, lambda: windows_software.identity(software))
            _collect(found, unknown, lambda: windows_software.state(software))
    with _hive(files, config, "SYSTEM", unknown, dirty) as system:
        if system is not None:
            _collect(found, unknown, lambda: _system(system, found, unknown))
    _boot_store(files, found)
    _finish(files, root, found)
    return WindowsFacts(**found, dirty_hives=tuple(dirty), unknown=tuple(unknown))


def _system(hive: Hive, found: dict[str, Any], unknown: list[str]) -> dict[str, Any]:
    facts, reasons = windows_system.facts(hive)
    unknown += reasons
    if facts.pop("renames_pending", False):
        facts["pending_reboot"] = (*found.get("pending_reboot", ()), "file renames")
    if not found.get("edition"):
        named = next((suite for suite in windows_system.suites(hive) if suite in {"Enterprise", "DataCenter"}), "")
        facts["edition"] = f"Server{named}" if named else ""
    facts["vmware_tools"] = bool(facts.get("vmware_tools") or found.get("vmware_tools"))
    return facts


def _finish(files: Files, root: str, found: dict[str, Any]) -> None:
    """What follows from several places at once."""
    if not found.get("architecture"):
        wide = locate(files, f"{root}/SysWOW64")
        found["architecture"] = "x86_64" if wide else ""
    found["release"] = windows_software.release(
        version=found.get("version", ""),
        build=found.get("build"),
        kind=found.get("kind", ""),
        product=found.get("product", ""),
    )
    if not found.get("edition") and found["release"].startswith("2003"):
        found["edition"] = "ServerStandard"  # 2003 names its editions in ProductSuite, the standard one not at all


def _find_root(files: Files) -> str | None:
    """The directory that holds System32/config/SOFTWARE, by its usual names."""
    try:
        names = files.listdir("/")
    except _UNREADABLE:
        names = ["Windows"]
    for name in names:
        if name.lower() in {"windows", "winnt"}:
            root = f"/{name}"
            if any(locate(files, f"{root}/{_CONFIG}/{hive}") for hive in ("SOFTWARE", "SYSTEM")):
                return root
    return None


def locate(files: Files, path: str) -> tuple[str, FileStatus] | None:
    """`path` as the volume spells it, and what lies there: NTFS keeps the case of names, readers may insist on it.

    None also where it cannot be read.
    """
    try:
        found = files.lstat(path)
        if found is not None:
            return path, found
        at = ""
        for part in path.strip("/").split("/"):
            names = files.listdir(at or "/")
            at = f"{at}/{next((name for name in names if name.lower() == part.lower()), part)}"
        found = files.lstat(at)
    except _UNREADABLE:
        return None
    return None if found is None else (at, found)


def _collect(found: dict[str, Any], unknown: list[str], ask: Callable[[], dict[str, Any]]) -> None:
    try:
        found.update({name: value for name, value in ask().items() if value not in ("", None) or name not in found})
    except HiveError as error:
        unknown.append(str(error))


def _volume_state(files: Files, found: dict[str, Any], unknown: list[str]) -> None:
    try:
        found["filesystem_size"] = files.size
        clean = files.clean
        found["dirty_volume"] = None if clean is None else not clean
        found["hibernated"] = _hibernated(files)
        found["free_bytes"] = files.free_bytes
    except _UNREADABLE as error:
        unknown.append(f"the state of the volume: {error}")


def _hibernated(files: Files) -> bool | None:
    """A hiberfil.sys that begins with "hibr" holds a session; "wake" and zeros are what is left after a resume."""
    found = locate(files, "/hiberfil.sys")
    if found is None or found[1].kind is not FileKind.FILE or found[1].size < 4:
        return False
    try:
        return files.read(found[0], 4).lower() in {b"hibr", b"rstr"}
    except _UNREADABLE:
        return None


_EMS = ("16000020", "260000b0")
_HYPERVISOR = "250000f0"


def _boot_store(files: Files, found: dict[str, Any]) -> None:
    """EMS and the hypervisor's launch, when the boot store lies on this volume (older or one-partition systems)."""
    ignored: list[str] = []
    with _hive(files, "/Boot", "BCD", ignored, []) as store:
        if store is None:
            return
        try:
            elements = [f"Objects\\{name}\\Elements" for name in store.subkeys("Objects")[:64]]
            found["ems"] = any(_set(store, f"{key}\\{code}") for key in elements for code in _EMS)
            launched = any(_set(store, f"{key}\\{_HYPERVISOR}") for key in elements)
            found["hyperv_role"] = found.get("hyperv_role") or launched
        except HiveError:
            found["ems"] = None


def _set(store: Hive, key: str) -> bool:
    value = store.value(key, "Element")
    return isinstance(value, bytes) and any(value)


@contextmanager
def _hive(files: Files, folder: str, name: str, unknown: list[str], dirty: list[str]) -> Iterator[Hive | None]:
    """The hive, None with the reason in `unknown` when it cannot be read."""
    found = locate(files, f"{folder}/{name}")
    if found is None:
        unknown.append(f"there is no {name} hive")
        yield None
        return
    path, entry = found
    stream = _HiveFile(files, path, entry.size)
    try:
        hive = Hive(cast("BinaryIO", stream), name=name, size=entry.size)
    except HiveError as error:
        stream.raise_over_budget()
        unknown.append(str(error))
        yield None
        return
    with hive:
        if hive.dirty:
            dirty.append(name)
        yield hive
    stream.raise_over_budget()


class _HiveFile(io.RawIOBase):
    """A file of the guest as libregf reads it; a few blocks are kept, for it asks for 32 bytes at a time."""

    def __init__(self, files: Files, path: str, size: int) -> None:
        self._files = files
        self._path = path
        self._size = size
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._over: OverBudget | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def get_size(self) -> int:
        """Asked for by libyal."""
        return self._size

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._size - self._at if size < 0 else min(size, self._size - self._at)
        parts = []
        while wanted > 0:
            index, inside = divmod(self._at, _BLOCK)
            piece = self._block(index)[inside : inside + wanted]
            if not piece:
                break
            parts.append(piece)
            self._at += len(piece)
            wanted -= len(piece)
        return b"".join(parts)

    def _block(self, index: int) -> bytes:
        kept = self._blocks.get(index)
        if kept is not None:
            self._blocks.move_to_end(index)
            return kept
        try:
            data = self._files.read(self._path, _BLOCK, index * _BLOCK)
        except OverBudget as error:
            self._over = error
            raise OSError(str(error)) from error
        except _UNREADABLE as error:
            raise OSError(str(error)) from error
        self._blocks[index] = data
        if len(self._blocks) > _BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return data

    def raise_over_budget(self) -> None:
        """libregf makes an OSError of everything: give the end of the budget its own name again."""
        if self._over is not None:
            raise self._over
