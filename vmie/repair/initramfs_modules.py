"""An initramfs with modules added: unpacked, merged, and compressed anew into the room that its file has.

No program of the guest runs. What loads the modules is in the initramfs already: udev asks kmod for the driver of
each device that it meets, and kmod finds it in modules.alias and modules.dep, which are merged here.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from vmie.guest.budget import Budget
from vmie.guest.linux.unpack import GaveUpError
from vmie.repair import kmod_index
from vmie.repair.cpio import CpioArchive, CpioStream, Entry, Read, entry, streams, trailer
from vmie.repair.kernel_modules import ModuleFolder
from vmie.repair.kmod_index import Index, module_name

_FOLDER = re.compile(rb"((?:\./)?(?:usr/)?lib/modules/([^/]+))(?:/|$)")
_MODULE = re.compile(rb"\.ko(?:\.(?:gz|xz|zst|bz2|lzma))?$")
#: programs that ask for the driver of each device: udev's, busybox's, Alpine's
_ASKING = {b"udevd", b"systemd-udevd", b"udevadm", b"mdev", b"nlplug-findfs"}
_MAX_INDEX = 16 << 20
_PIECE = 1 << 20


@dataclass
class Unpacked:
    """An initramfs taken apart: `kept` bytes at its start stay as they are, `archives` are to be written anew."""

    kept: int
    kind: str
    archives: list[CpioArchive]
    folder: bytes = b""
    #: by their names: where they lie within the folder
    modules: dict[str, str] = field(default_factory=dict)
    names: dict[bytes, Entry] = field(default_factory=dict)
    asks: bool = False

    def file(self, name: bytes) -> bytes | None:
        """What the guest would find at `name`."""
        found = self.names.get(name)
        archive = next((one for one in reversed(self.archives) if found in one.entries), None) if found else None
        return archive.content(found, _MAX_INDEX) if archive and found else None


def take_apart(read: Read, size: int, version: str, scratch: BinaryIO, *, budget: Budget) -> Unpacked:
    """The initramfs of kernel `version`, unpacked into `scratch`. Raises UnpackError and OverBudget."""
    found = streams(read, size, scratch, budget=budget)
    first = next((number for number, one in enumerate(found) if one.kind), None)
    if first is None:
        first = next((number for number, one in enumerate(found) if not one.archives[0].early), None)
    if first is None:
        raise GaveUpError("it holds nothing but microcode")
    begun = found[first]
    unpacked = Unpacked(begun.start, begun.kind or "none", [one for stream in found[first:] for one in stream.archives])
    _look(unpacked, found, version)
    return unpacked


def _look(unpacked: Unpacked, found: list[CpioStream], version: str) -> None:
    folders = set()
    for one in (one for stream in found for archive in stream.archives for one in archive.entries):
        unpacked.names[one.name] = one
        last = one.name.rpartition(b"/")[2]
        unpacked.asks = unpacked.asks or last in _ASKING
        if match := _FOLDER.match(one.name):
            folders.add((match[2], match[1]))
            if _MODULE.search(last) and match[2] == version.encode():
                path = one.name[len(match[1]) + 1 :].decode("utf-8", "replace")
                unpacked.modules[module_name(path)] = path
    unpacked.folder = next((path for name, path in sorted(folders) if name == version.encode()), b"")
    if not unpacked.folder:
        if any(name[:1].isdigit() for name, _ in folders):
            raise GaveUpError(f"it holds modules of another kernel than {version}")
        prefix = b"./" if b"./init" in unpacked.names else b""
        lib = unpacked.names.get(prefix + b"lib")
        merged = b"usr/" if lib is not None and stat.S_ISLNK(lib.mode) else b""
        unpacked.folder = prefix + merged + b"lib/modules/" + version.encode()


def added_files(
    unpacked: Unpacked, lists: ModuleFolder, files: Mapping[str, bytes], names: list[str]
) -> dict[bytes, bytes]:
    """All that is new or takes the place of something: `files` by paths in the folder of modules, and merged lists.

    `names` are the modules that the lists are to lead to, those that were there before too.
    """
    base = unpacked.folder + b"/"
    new = {base + path.encode(): data for path, data in files.items()}
    dependencies = _merged(unpacked, "dep", lists.dependency_lines(names, unpacked.modules))
    aliases = _merged(unpacked, "alias", lists.alias_lines(names))
    new[base + b"modules.dep.bin"] = kmod_index.write(dependencies)
    new[base + b"modules.alias.bin"] = kmod_index.write(aliases)
    # kmod reads the binary ones; busybox's modprobe, and people, the text
    new[base + b"modules.dep"] = kmod_index.as_dependencies(dependencies).encode()
    new[base + b"modules.alias"] = kmod_index.as_aliases(aliases).encode()
    before = unpacked.file(base + b"modules.softdep") or b""
    known = before.decode("utf-8", "replace").splitlines()
    if soft := [line for line in lists.soft_lines(names) if line not in known]:
        new[base + b"modules.softdep"] = before + "".join(f"{line}\n" for line in soft).encode()
    return new


def _merged(unpacked: Unpacked, name: str, new: Index) -> Index:
    """The list that the initramfs has, and `new`; for an alias in both, both modules."""
    old: Index = {}
    base = unpacked.folder + b"/modules." + name.encode()
    if data := unpacked.file(base + b".bin"):
        old = kmod_index.read(data)
    elif text := unpacked.file(base):
        read = kmod_index.dependencies if name == "dep" else kmod_index.aliases
        old = read(text.decode("utf-8", "replace"))
    merged = old | new
    if name == "alias":
        for key in old.keys() & new.keys():
            known = {module for _, module in old[key]}
            merged[key] = old[key] + [one for one in new[key] if one[1] not in known]
    return merged


def written(unpacked: Unpacked, files: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """The archives anew: in the last one `files` stand where they belong in the order of names, or at its end."""
    new = _entries(unpacked, files)
    for archive in unpacked.archives[:-1]:
        yield from _copied(archive, archive.entries)
        yield trailer()
    last = unpacked.archives[-1]
    old = [one for one in last.entries if one.name not in files or one.links > 1]
    names = [one.name for one in old]
    if names != sorted(names):
        yield from _copied(last, old)
    else:
        at = 0
        for name in list(new):
            upto = at
            while upto < len(old) and old[upto].name <= name:
                upto += 1
            yield from _copied(last, old[at:upto])
            yield new.pop(name)
            at = upto
        yield from _copied(last, old[at:])
    yield from new.values()
    yield trailer()


def _entries(unpacked: Unpacked, files: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """`files` and the folders that they need, as entries in the order of names."""
    folders = set()
    for name in files:
        parts = name.split(b"/")
        above = {b"/".join(parts[:count]) for count in range(1, len(parts))}
        folders |= {folder for folder in above if folder not in unpacked.names and folder != b"."}
    found = {}
    for number, name in enumerate(sorted({*folders, *files})):
        mode = stat.S_IFDIR | 0o755 if name in folders else stat.S_IFREG | 0o644
        found[name] = entry(name, mode, files.get(name, b""), number)
    return found


def _copied(archive: CpioArchive, entries: list[Entry]) -> Iterator[bytes]:
    """Entries as they are, neighbours in one go."""
    at = end = 0
    for one in entries:
        if one.at != end:
            yield from _pieces(archive, at, end)
            at = one.at
        end = one.at + one.length
    yield from _pieces(archive, at, end)


def _pieces(archive: CpioArchive, at: int, end: int) -> Iterator[bytes]:
    while at < end:
        piece = archive.read(at, min(_PIECE, end - at))
        if not piece:
            yield bytes(end - at)  # the padding of the last entry, where the file ends before it
            return
        yield piece
        at += len(piece)
