"""The files that a descriptor names: in its own folder or below it, and nowhere else, also not by way of a link.

A descriptor may come from anyone, and what it names is read and sent: a link out of the folder would send a file of
this machine to whoever may read the bucket.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from vmie.disk.base import FileSource
from vmie.errors import ImageError


def is_plain(name: str) -> bool:
    """Whether `name` is the bare name of a file, on any system."""
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\\0") and PurePath(name).name == name


def is_inside(name: str) -> bool:
    """Whether `name` is a path of plain names with ``/`` between: nothing in it leads up, or begins elsewhere."""
    return bool(name) and all(map(is_plain, name.split("/")))


def beside(descriptor: Path, name: str) -> Path | None:
    """The file `name`, a path by `is_inside`, in the folder of `descriptor`; None where there is no regular file.

    A link to a file of the same folder is followed, a folder that is a link is not. A descriptor that is a link is
    looked up beside the link and beside what it points to. Raises ImageError for a name that is a link out of its
    folder, or that cannot be looked up.
    """
    try:
        for folder in dict.fromkeys((descriptor.resolve().parent, descriptor.parent)):
            if not os.path.isfile(folder / name):  # noqa: PTH113 - a name may be too long
                continue
            real = Path(os.path.realpath(folder / name))
            if real.parent == Path(os.path.realpath(folder)) / PurePath(name).parent:
                return real
            raise ImageError(
                f"{descriptor.name} names {name[:200]!r}, a symbolic link out of its folder",
                cause="a descriptor may come from anyone, so that no link in it is followed to another folder",
                cure=f"put the file itself beside {descriptor.name}",
                code="LinkOutside",
            )
    except OSError as error:
        raise ImageError(
            f"cannot look at {name[:200]!r} beside {descriptor.name}",
            cause=str(error),
            cure="check the name and permissions",
        ) from error
    return None


def open_beside(path: Path) -> FileSource:
    """A file that `beside` found, opened; a link that was put in its place meanwhile is not followed."""
    return FileSource(path, follow=False)
