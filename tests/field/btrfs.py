"""Btrfs: the images that btrfs-progs is tested and fuzzed with. The judges are `btrfs check` and `btrfs restore`.

https://github.com/kdave/btrfs-progs/tree/devel/tests
"""

from __future__ import annotations

import hashlib
import lzma
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from tests.field.corpora import Folder
from tests.field.judging import Case, Said
from tests.guests import Disk
from tests.tools import find
from vmie.guest.budget import Budget
from vmie.guest.filesystem import FileKind, FileSystem, FileSystemError, open_filesystem
from vmie.guest.recognise import recognise

NAME = "btrfs"
CORPORA = ("btrfs-progs",)
TOOLS = ("btrfs", "btrfs-image")
_ANSWERED = "an answer"
_MIB = 1 << 20
_LARGEST = 4 << 30
_MAX_DEPTH = 12
_MAX_FILES = 2000


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """One case an image: whole ones have every file that restore finds, with its content; damaged ones answer."""
    image, restored = work / "image", work / "restored"
    for packed in sorted((folders["btrfs-progs"].root / "tests").glob("*-tests/*/*.*")):
        if not _unpacked(packed, image):
            continue
        whole = _run("btrfs", "check", "--readonly", image).returncode == 0
        shutil.rmtree(restored, ignore_errors=True)
        restored.mkdir()
        whole = whole and _run("btrfs", "restore", "--ignore-errors", "--symlinks", image, restored).returncode == 0
        # btrfs-image keeps no content of files
        found = _listed(restored, content=".raw" in packed.name) if whole else {}
        name = f"{packed.parent.name} {packed.name}"
        yield Case(name, found if whole else _ANSWERED, partial(_ours, image, found if whole else None))


def _run(program: str, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    found = [find(program) or program, *map(str, argv)]
    try:
        return subprocess.run(
            found, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=20, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(found, 1, "", "")


def _unpacked(packed: Path, image: Path) -> bool:
    """Whether it was an image of btrfs-image, or of a disk."""
    image.unlink(missing_ok=True)
    kind = packed.name.removesuffix(".xz").rpartition(".")[2]
    if kind not in ("img", "raw") or packed.stat().st_size > 16 * _MIB:
        return False
    plain = image if kind == "raw" else image.with_name("dump")
    with lzma.open(packed) if packed.suffix == ".xz" else packed.open("rb") as source, plain.open("wb") as target:
        while piece := source.read(_MIB):
            if piece.strip(b"\0"):
                target.write(piece)
            else:
                target.seek(len(piece), 1)
            if target.tell() > _LARGEST:
                return False
        target.truncate()
    return kind == "raw" or _run("btrfs-image", "-r", plain, image).returncode == 0


def _listed(folder: Path, *, content: bool) -> dict[str, str]:
    """The digest of every file by its path; links' targets; "" for directories, and for files without content."""
    found = {}
    for path in sorted(folder.rglob("*"))[:_MAX_FILES]:
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if content and path.is_file() else ""
    return found


def _ours(image: Path, wanted: Mapping[str, str] | None) -> object:
    blocks = Disk(image)
    try:
        content = recognise(blocks)
        if content.kind != "btrfs":
            return content.kind if wanted is not None else _ANSWERED
        opened = open_filesystem(blocks, content, budget=Budget(seconds=60))
        top = opened.mounted(("subvolid=5",)) or opened
        if wanted is None:
            _walk(top, "", 0)
            return _ANSWERED
        return {name: _told(top, f"/{name}", digest) for name, digest in wanted.items()}
    except FileSystemError:
        return _ANSWERED if wanted is None else Said.REFUSED


def _told(top: FileSystem, path: str, digest: str) -> str:
    entry = top.lstat(path)
    if entry is None:
        return "is not there"
    if entry.kind is FileKind.LINK:
        return top.readlink(path)
    if not digest or entry.kind is not FileKind.FILE:
        return ""
    return hashlib.sha256(top.read(path, entry.size)).hexdigest()


def _walk(top: FileSystem, folder: str, depth: int) -> None:
    for name in top.listdir(folder or "/")[:_MAX_FILES]:
        path = f"{folder}/{name}"
        try:
            entry = top.lstat(path)
            if entry and entry.kind is FileKind.DIRECTORY and depth < _MAX_DEPTH:
                _walk(top, path, depth + 1)
            elif entry and entry.kind is FileKind.FILE:
                top.read(path, 4 * _MIB)
        except FileSystemError:
            continue
