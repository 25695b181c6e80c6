"""The files that a pattern of a plan matches: as `glob` does it, but for links that go round in circles.

`glob` follows every link, so that two links to their own folder make it look at 2^40 paths. Here ``**`` follows none,
as in `pathlib`, and the folders that are listed are counted.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import PurePath

#: a file server's tree is larger, and no place to look for disks by pattern
MOST_FOLDERS = 20_000
#: a name has 255 bytes at most; Python's reading of a longer part of a pattern can take time with its square
_MOST_LETTERS = 512


class TooManyFolders(Exception):  # noqa: N818 - what there is too much of
    """The pattern leads through more folders than `MOST_FOLDERS`."""


def readable(pattern: str) -> bool:
    """Whether no part of a pattern is longer than any name could want."""
    return all(len(part) <= _MOST_LETTERS for part in pattern.split("/"))


def files(pattern: str) -> Iterator[str]:
    """The regular files that an absolute pattern matches, in no order, a file perhaps more than once.

    ``*``, ``?``, ``[…]`` and, as a whole part, ``**``; hidden ones only where the pattern says the dot. What cannot be
    looked at is left out. Raises TooManyFolders.
    """
    root, *parts = PurePath(pattern).parts
    left, listed = [(root, 0)], 0
    while left:
        path, at = left.pop()
        if at == len(parts):
            if is_file(path):
                yield path
            continue
        part = parts[at]
        if not glob.has_magic(part):
            left.append((os.path.join(path, part), at + 1))  # noqa: PTH118 - Path refuses some names
            continue
        listed += 1
        if listed > MOST_FOLDERS:
            raise TooManyFolders
        if part == "**":
            left.append((path, at + 1))
            left += ((inside, at) for inside in _inside(path, "*", folders=True, links=False))
        else:
            left += ((inside, at + 1) for inside in _inside(path, part, folders=at + 1 < len(parts)))


def _inside(folder: str, pattern: str, *, folders: bool, links: bool = True) -> list[str]:
    """The paths of what lies in a folder and matches; only `folders`, and with or without those behind `links`."""
    try:
        with os.scandir(folder) as found:
            return [
                one.path
                for one in found
                if fnmatchcase(one.name, pattern)
                and (pattern.startswith(".") or not one.name.startswith("."))
                and (not folders or one.is_dir(follow_symlinks=links))
            ]
    except (OSError, ValueError):
        return []


def is_file(path: str) -> bool:
    """Whether a regular file is there; False for what can be no path."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - Path refuses some names
    except (OSError, ValueError):
        return False
