"""What an item's `source` stands for: the files of a pattern, one VM's disks, objects in S3, or what to export."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from fnmatch import translate
from pathlib import Path
from typing import Any

from vmie.batch.plan import patterns
from vmie.batch.plan.requests import Wrong
from vmie.model import S3Object

EXPORTED = re.compile(r"(i|ami)-([0-9a-f]{8}|[0-9a-f]{17})")
_LIKE_AN_ID = re.compile(r"(i|ami|snap|vol)-[0-9a-zA-Z]+")
#: a pattern is one folder's content, not a file server's
_MOST_FILES = 100_000
_SHARED = ("key", "name", "register")


def vms(own: dict[str, Any], folder: Path, wrong: Wrong, *, label: str = "default") -> Iterator[tuple[list[str], bool]]:
    """The sources of each VM that an item stands for, and whether a pattern found them.

    `label`: of the workers that read the disks; files of another site need not be here.
    """
    given: list[str] = list(own.get("source") or ())
    if len(given) == 1 and _pattern(given[0]):
        yield from (([name], True) for name in _matched(given[0], own, folder, wrong, label=label))
        return
    if own.get("without"):
        wrong("except", "only a pattern in source has exceptions")
    resolved = [_resolved(source, folder, wrong, label=label) for source in given]
    if len(set(resolved)) < len(resolved):
        twice = next(source for number, source in enumerate(given) if resolved[number] in resolved[:number])
        wrong("source", f"{twice!r} is named twice: each disk of a VM is named once")
    if all(resolved) and resolved:
        yield resolved, False


def absolute(folder: Path, text: str) -> str:
    """A path of the plan: relative ones begin at `folder`."""
    return os.path.normpath(folder / _home(text))


def _home(text: str) -> str:
    try:
        return str(Path(text).expanduser())
    except RuntimeError:
        return text


def _pattern(source: str) -> bool:
    return glob.has_magic(source) and not re.match(r"[A-Za-z0-9]+://", source)


def _matched(pattern: str, own: dict[str, Any], folder: Path, wrong: Wrong, *, label: str) -> list[str]:
    if patterns.is_file(absolute(folder, pattern)):
        # A file may have brackets in its name.
        return [absolute(folder, pattern)]
    left_out = dict.fromkeys(absolute(folder, one) for one in own.get("without") or ())
    for field, one in (("source", pattern), *(("except", path) for path in left_out)):
        if not patterns.readable(one):
            wrong(field, f"{one[:60]!r}… is longer than the name of any file")
            return []
    spare = re.compile("|".join(map(translate, left_out)) or "(?!)")
    found: set[str] = set()
    try:
        for path in map(os.path.normpath, patterns.files(str(folder / _home(pattern)))):
            if path not in left_out and not spare.match(path):
                found.add(path)
            if len(found) > _MOST_FILES:
                wrong("source", f"{pattern!r} matches more than {_MOST_FILES} files")
                return []
    except patterns.TooManyFolders:
        wrong("source", f"{pattern!r} leads through more than {patterns.MOST_FOLDERS} folders: name a nearer one")
        return []
    if odd := next((path for path in sorted(found) if not _unicode(path)), ""):
        wrong("source", f"{pattern!r} matches {odd!r}, whose name is not UTF-8: rename the file, or except it")
        return []
    if not found:
        there = f"; files of the site {label} are named one by one" if label != "default" else ""
        spared = " that is not excepted" if left_out else ""
        wrong("source", f"{pattern!r} matches no file{spared} in {folder}{there}")
    shared = [name for name in _SHARED if own.get(name)]
    if len(found) > 1 and shared:
        wrong(shared[0], f"cannot be shared by the {len(found)} files that the pattern matches")
    return sorted(found)


def _unicode(path: str) -> bool:
    """Whether a path can be written down; Linux takes any bytes as a name."""
    return not re.search("[\ud800-\udfff]", path)


def _resolved(source: str, folder: Path, wrong: Wrong, *, label: str) -> str:
    """The absolute path, the address or the id; "" for what was reported to be none."""
    if source.startswith("s3://"):
        return _stored(source, wrong)
    if EXPORTED.fullmatch(source):
        return source
    if found := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|arn:", source):
        wrong("source", f"{source!r}: {found[0]}… is not read; give a file, s3://BUCKET/KEY, i-… or ami-…")
        return ""
    path = absolute(folder, source)
    if problem := _unreadable(path):
        if _LIKE_AN_ID.fullmatch(source):
            wrong(
                "source", f"{source!r} is neither a file nor an instance or AMI: i- or ami- and 8 or 17 digits 0-9a-f"
            )
        elif label == "default" or not problem.startswith("there is no"):
            wrong("source", problem)
    return path


def _stored(source: str, wrong: Wrong) -> str:
    try:
        S3Object.parse(source)
    except ValueError as error:
        wrong("source", str(error))
        return ""
    if "*" in source:
        wrong("source", f"{source!r}: patterns are not looked up in S3; name each object")
    return source


def _unreadable(path: str) -> str:
    try:
        here = Path(path)
        if here.is_dir():
            return f"{path} is a folder; {os.path.join(path, '*')} is every file in it"  # noqa: PTH118 - a pattern
        if not here.is_file():
            return f"there is no file {path}" if not here.exists() else f"{path} is no regular file"
        if not os.access(path, os.R_OK):
            return f"{path} may not be read"
    except (OSError, ValueError) as error:
        return f"there is no file {path[:200]}: {getattr(error, 'strerror', None) or error}"
    return ""


def size(source: str) -> int:
    """Bytes of a local file, 0 for what is elsewhere."""
    try:
        return Path(source).stat().st_size if not source.startswith("s3://") else 0
    except (OSError, ValueError):
        return 0
