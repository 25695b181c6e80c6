"""One tree of files out of a root file system and what its fstab mounts into it, all links resolved inside the image.

An absolute link means the guest's root, never ours; a loop of links is a missing file. What cannot be
read becomes a `Problem` once, and a missing file: the functions that gather facts need no error handling.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from vmie.guest.budget import Budget
from vmie.guest.disk_facts import Problem
from vmie.guest.filesystem import FileKind, FileStatus, FileSystem, FileSystemError

_MAX_LINKS = 40
_MAX_STEPS = 512
_MAX_PROBLEMS = 50
#: directories whose names are kept, as several questions are asked of each; and how many names one of them may have
_MAX_LISTED = 200
_MAX_NAMES = 2000
_ROOT = FileStatus(FileKind.DIRECTORY)


@dataclass(frozen=True, slots=True)
class ResolvedPath:
    """A path without links: `path` in the tree, `inner` in `filesystem`."""

    path: str
    filesystem: FileSystem
    inner: str
    entry: FileStatus


class Tree:
    """A guest's files as the guest would see them."""

    def __init__(self, root: FileSystem, *, budget: Budget, where: str = "") -> None:
        self.root = root
        self.budget = budget
        self.where = where
        self.problems: list[Problem] = []
        self.mounts: dict[str, FileSystem] = {}
        self._listed: dict[str, list[str]] = {}

    def mount(self, path: str, filesystem: FileSystem) -> None:
        """Let `filesystem` stand at `path` (absolute, without links)."""
        self.mounts[path] = filesystem
        self._listed.clear()

    def problem(self, where: str, what: str, why: str = "") -> None:
        """Note, once, that something could not be read."""
        found = Problem(f"{self.where}:{where}" if self.where else where, what, why)
        if found not in self.problems and len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(found)

    def resolve(self, path: str, *, follow: bool = True) -> ResolvedPath | None:
        """Where `path` is; `follow` is about its last part only. None when nothing is there. Raises OverBudget."""
        try:
            return self._resolve(path, follow)
        except FileSystemError as error:
            self.problem(path, "cannot be read", str(error))
            return None

    def _resolve(self, path: str, follow: bool) -> ResolvedPath | None:
        todo = deque(_parts(path))
        real: list[str] = []
        links = steps = 0
        place = self._place(real)
        while todo:
            steps += 1
            part = todo.popleft()
            if part == "..":
                del real[-1:]
                place = self._place(real)
                continue
            if place is None or steps > _MAX_STEPS:
                return None
            if place.entry.kind is not FileKind.DIRECTORY:
                return None  # readers take a file that is asked for names below it for damage
            below = self._place([*real, part])
            if below is None:
                return None
            if below.entry.kind is FileKind.LINK and (todo or follow):
                links += 1
                if links > _MAX_LINKS:
                    self.problem(path, "cannot be followed", "its symbolic links form a loop")
                    return None
                target = below.filesystem.readlink(below.inner)
                if target.startswith("/"):
                    real = []
                todo.extendleft(reversed(_parts(target)))
                place = self._place(real)
                continue
            real.append(part)
            place = below
        return place

    def _place(self, real: list[str]) -> ResolvedPath | None:
        path = "/" + "/".join(real)
        filesystem, inner = self.root, path
        for size in range(len(real), 0, -1):
            mounted = self.mounts.get("/" + "/".join(real[:size]))
            if mounted is not None:
                filesystem, inner = mounted, "/" + "/".join(real[size:])
                break
        entry = _ROOT if inner == "/" else filesystem.lstat(inner)
        return None if entry is None else ResolvedPath(path, filesystem, inner, entry)

    def of_loader(self, path: str) -> list[str]:
        """Where `path` may be that a boot loader counts from the top of all subvolumes.

        GRUB does on Btrfs (find_path in https://cgit.git.savannah.gnu.org/cgit/grub.git/tree/grub-core/fs/btrfs.c),
        unless SUSE's btrfs_relative_path lets it begin at the default one.
        """
        found = []
        for place, filesystem in (("", self.root), *self.mounts.items()):
            name = filesystem.name.rstrip("/")
            if name and path.startswith(f"{name}/"):
                found.append(place + path.removeprefix(name))
        return found

    def exists(self, path: str) -> bool:
        """Whether anything is at `path`, links followed."""
        return self.resolve(path) is not None

    def there(self, path: str) -> bool:
        """Whether anything is at `path`, even a link to nowhere."""
        return self.resolve(path, follow=False) is not None

    def is_dir(self, path: str) -> bool:
        """Whether `path` is a directory, links followed."""
        place = self.resolve(path)
        return place is not None and place.entry.kind is FileKind.DIRECTORY

    def file(self, path: str) -> ResolvedPath | None:
        """The regular file at `path`, links followed."""
        place = self.resolve(path)
        return place if place is not None and place.entry.kind is FileKind.FILE else None

    def link(self, path: str) -> str:
        """The target of the link at `path`, "" if it is none."""
        place = self.resolve(path, follow=False)
        if place is None or place.entry.kind is not FileKind.LINK:
            return ""
        try:
            return place.filesystem.readlink(place.inner)
        except FileSystemError as error:
            self.problem(path, "cannot be read", str(error))
            return ""

    def read(self, path: str, *, limit: int, offset: int = 0) -> bytes | None:
        """At most `limit` bytes of the file at `path`; None when there is no such file or it cannot be read."""
        place = self.file(path)
        if place is None:
            return None
        try:
            return place.filesystem.read(place.inner, limit, offset)
        except FileSystemError as error:
            self.problem(path, "cannot be read", str(error))
            return None

    def text(self, path: str, *, limit: int | None = None) -> str | None:
        """The file at `path` as text, cut (and noted) at the budget's limit; None as for `bytes`."""
        limit = limit or self.budget.text
        data = self.read(path, limit=limit + 1)
        if data is None:
            return None
        if len(data) > limit:
            self.problem(path, "was read in part only", f"it is larger than {limit} bytes")
            data = data[:limit]
        return data.decode("utf-8", "replace")

    def lines(self, path: str) -> list[str]:
        """The lines of the file at `path` without comments (#) and blank ones; none when it is not there."""
        text = self.text(path) or ""
        stripped = (line.strip() for line in text.splitlines())
        return [line for line in stripped if line and not line.startswith("#")]

    def listdir(self, path: str) -> list[str]:
        """The names at `path`, sorted; none when it is no directory."""
        if path in self._listed:
            return list(self._listed[path])
        names = self._list(path)
        if len(self._listed) < _MAX_LISTED and len(names) <= _MAX_NAMES:
            self._listed[path] = names
        return list(names)

    def _list(self, path: str) -> list[str]:
        place = self.resolve(path)
        if place is None or place.entry.kind is not FileKind.DIRECTORY:
            return []
        try:
            return place.filesystem.listdir(place.inner)
        except FileSystemError as error:
            self.problem(path, "cannot be listed", str(error))
            return []

    def first(self, *paths: str) -> str:
        """The first of `paths` that exists, else ""."""
        return next((path for path in paths if self.exists(path)), "")


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
