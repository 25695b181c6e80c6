"""The modules that a kernel's initramfs needs on EC2, with what they depend on, from the guest's own /lib/modules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from vmie.guest.filesystem import FileSystemError
from vmie.guest.linux.unpack import Feed, UnpackError, compression
from vmie.guest.tree import Tree
from vmie.repair import kmod_index
from vmie.repair.kmod_index import Index, module_name

#: by what they are for: a disk on Nitro, one on Xen, the network of both, KVM (to try the image at home).
#: xen-vbd, xen-vnif, xenblk and xennet are the names of RHEL 5 and SLES 11
GROUPS: dict[str, tuple[str, ...]] = {
    "nvme": ("nvme",),
    "xen-blkfront": ("xen_blkfront", "xen_vbd", "xenblk"),
    "ena": ("ena",),
    "xen-netfront": ("xen_netfront", "xen_vnif", "xennet"),
    "virtio": ("virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net"),
}
_MAX_LIST = 8 << 20
_MAX_MODULE = 32 << 20
_MAX_MODULES = 200
#: behind what is listed already
_LAST = 1 << 16
_ENDINGS = (".xz", ".zst", ".gz", ".bz2", ".lzma")


class NoModuleError(Exception):
    """A module is listed and cannot be read; `str` says which and why."""


@dataclass
class ModuleFolder:
    """/lib/modules/VERSION as depmod lists it: `paths` and `needs` by the name of the module, paths from the folder."""

    version: str
    path: str
    paths: dict[str, str] = field(default_factory=dict)
    needs: dict[str, list[str]] = field(default_factory=dict)
    builtin: frozenset[str] = frozenset()
    aliases: str = ""
    softdeps: list[str] = field(default_factory=list)

    @property
    def wanted(self) -> dict[str, tuple[str, ...]]:
        """What of `GROUPS` this kernel has as modules."""
        present = {
            group: tuple(name for name in names if name in self.paths and name not in self.builtin)
            for group, names in GROUPS.items()
        }
        return {group: names for group, names in present.items() if names}

    def closure(self, names: Iterable[str]) -> list[str]:
        """`names` and all that they need, softly too, what is needed first; what is built in is left out."""
        ordered: dict[str, None] = {}
        todo = [(name, False) for name in reversed(list(names))]
        seen: set[str] = set()
        while todo and len(seen) < _MAX_MODULES:
            name, done = todo.pop()
            if done:
                ordered.setdefault(name)
            elif name in self.paths and name not in seen:
                seen.add(name)
                todo.append((name, True))
                todo += ((below, False) for below in (*self.needs[name], *self._soft(name)))
        return list(ordered)

    def _soft(self, name: str) -> Iterator[str]:
        for line in self.softdeps:
            words = line.replace("-", "_").split()
            if words[1:2] == [name]:
                for word in words[2:]:
                    if word not in ("pre:", "post:"):
                        yield from [word] if word in self.paths else self._answering(word)

    def _answering(self, alias: str) -> list[str]:
        lines = re.findall(rf"^alias {re.escape(alias).replace('_', '[_-]')} (\S+)$", self.aliases, re.MULTILINE)
        return [name.replace("-", "_") for name in lines]

    def dependency_lines(self, names: Iterable[str], present: Mapping[str, str]) -> Index:
        """Entries of modules.dep for `names`; those of `present` lie where that says, the others unpacked."""
        where = {name: present.get(name) or bare(path) for name, path in self.paths.items()}
        return {
            name: [(_LAST, f"{where[name]}:{''.join(' ' + where[other] for other in self.needs[name])}")]
            for name in names
        }

    def alias_lines(self, names: Iterable[str]) -> Index:
        """Entries of modules.alias that lead to `names`."""
        chosen = {f" {name}" for name in names}
        lines = [line for line in self.aliases.splitlines() if line[line.rfind(" ") :].replace("-", "_") in chosen]
        return kmod_index.aliases("\n".join(lines))

    def soft_lines(self, names: Iterable[str]) -> list[str]:
        """Lines of modules.softdep about `names`."""
        chosen = set(names)
        return [line for line in self.softdeps if line.replace("-", "_").split()[1:2] and _subject(line) in chosen]


def _subject(line: str) -> str:
    return line.replace("-", "_").split()[1]


def bare(path: str) -> str:
    """`path` without the ending of a compression: the initramfs is compressed as a whole."""
    return next((path.removesuffix(ending) for ending in _ENDINGS if path.endswith(ending)), path)


def folder(tree: Tree, version: str) -> ModuleFolder | None:
    """What depmod wrote about the modules of kernel `version`; None without its lists."""
    if not version or "/" in version or version in (".", ".."):
        return None
    place = tree.resolve(f"/lib/modules/{version}")
    text = tree.text(f"/lib/modules/{version}/modules.dep", limit=_MAX_LIST)
    if place is None or not text:
        return None
    found = ModuleFolder(version, place.path)
    for line in text.splitlines():
        path, colon, rest = line.partition(":")
        if colon and path.isascii():
            name = module_name(path)
            found.paths[name] = _inside(path, version)
            found.needs[name] = [module_name(other) for other in rest.split()]
    for name, needs in found.needs.items():
        found.needs[name] = [other for other in needs if other in found.paths]
    builtin = tree.text(f"{place.path}/modules.builtin", limit=_MAX_LIST) or ""
    found.builtin = frozenset(module_name(line.strip()) for line in builtin.splitlines())
    found.aliases = tree.text(f"{place.path}/modules.alias", limit=_MAX_LIST) or ""
    soft = tree.text(f"{place.path}/modules.softdep", limit=_MAX_LIST) or ""
    found.softdeps = [line for line in soft.splitlines()[:10_000] if line.startswith("softdep ") and line.isascii()]
    return found


def _inside(path: str, version: str) -> str:
    """Old depmods write whole paths."""
    return path.partition(f"/modules/{version}/")[2] or path.lstrip("/")


def contents(tree: Tree, modules: ModuleFolder, names: Iterable[str]) -> Mapping[str, bytes]:
    """The modules' files by their paths in the folder, unpacked. Raises NoModuleError."""
    return {bare(modules.paths[name]): _content(tree, f"{modules.path}/{modules.paths[name]}") for name in names}


def _content(tree: Tree, path: str) -> bytes:
    place = tree.file(path)
    if place is None:
        raise NoModuleError(f"{path} is listed and not there")
    try:
        data = place.filesystem.read(place.inner, _MAX_MODULE + 1)
        return _unpacked(data) if bare(path) != path else _bounded(data)
    except (FileSystemError, UnpackError) as error:
        raise NoModuleError(f"{path} cannot be read: {error}") from error


def _unpacked(data: bytes) -> bytes:
    feed = Feed(lambda offset, length: data[offset : offset + length], size=len(data))
    _, reader = compression(feed)
    if reader is None:
        raise UnpackError("it is of an unknown compression")
    parts, total = [], 0
    for piece in reader(feed):
        parts.append(piece)
        total += len(piece)
        _bounded(piece, total)
    return b"".join(parts)


def _bounded(data: bytes, total: int = 0) -> bytes:
    if max(total, len(data)) > _MAX_MODULE:
        raise UnpackError(f"it is longer than {_MAX_MODULE >> 20} MiB")
    return data
