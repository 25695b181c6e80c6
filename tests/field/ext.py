"""ext2, ext3 and ext4: the images that e2fsck is tested with. The judges are e2fsck (is it whole?) and debugfs.

https://git.kernel.org/pub/scm/fs/ext2/e2fsprogs.git/tree/tests
"""

from __future__ import annotations

import bz2
import gzip
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from tests.field.corpora import Folder
from tests.field.judging import Case, Said
from tests.guests import Disk
from tests.tools import find
from vmie.guest.budget import Budget
from vmie.guest.filesystem import FileKind, FileSystemError, open_filesystem
from vmie.guest.recognise import recognise

NAME = "ext"
CORPORA = ("e2fsprogs",)
TOOLS = ("e2fsck", "debugfs")
_KINDS = {"10": FileKind.FILE, "04": FileKind.DIRECTORY, "12": FileKind.LINK}
#: what is asked of a damaged one: an answer or a refusal, and no fault of ours
_ANSWERED = "an answer"
_PACKED = {".gz": gzip.decompress, ".bz2": bz2.decompress}
_LARGEST = 64 << 20

Listing = dict[str, tuple[FileKind, int]]


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """One case an image: whole ones list what debugfs lists at their top, damaged ones end in an answer or an error."""
    for packed in sorted((folders["e2fsprogs"].root / "tests").glob("*/image*")):
        if packed.suffix not in _PACKED:
            continue
        data = _PACKED[packed.suffix](packed.read_bytes())
        if len(data) > _LARGEST:
            continue
        image = work / "image"
        image.write_bytes(data)
        whole = _run("e2fsck", "-fn", image).returncode == 0
        expected: object = _listed(image) if whole else _ANSWERED
        if expected:  # debugfs reads some in which e2fsck finds nothing no further than to their top
            yield Case(f"{packed.parent.name} {packed.name}", expected, partial(_ours, image, whole=whole))


def _run(program: str, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    """Some of the images keep e2fsck busy for minutes: those are not whole."""
    found = [find(program) or program, *map(str, argv)]
    try:
        return subprocess.run(
            found, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=10, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(found, 1, "", "")


def _listed(image: Path) -> Listing:
    """Lines such as ``/12/100644/0/0/name/size/``; a directory has no size there."""
    found: Listing = {}
    for line in _run("debugfs", "-R", "ls -p /", image).stdout.splitlines():
        words = line.split("/")
        if len(words) == 8 and words[5] not in (".", "..") and words[2].strip("0"):
            kind = _KINDS.get(words[2][:2], FileKind.OTHER)
            found[words[5]] = (kind, int(words[6] or 0) if kind is FileKind.FILE else 0)
    return found


def _ours(image: Path, *, whole: bool) -> object:
    blocks = Disk(image)
    content = recognise(blocks)
    if not content.kind.startswith("ext") and whole:
        return content.kind
    found: Listing = {}
    try:
        opened = open_filesystem(blocks, content, budget=Budget())
        for name in opened.listdir("/"):
            entry = opened.lstat(f"/{name}")
            kind = entry.kind if entry else FileKind.OTHER
            found[name] = (kind, entry.size if entry and kind is FileKind.FILE else 0)
    except FileSystemError:
        return Said.REFUSED if whole else _ANSWERED
    return found if whole else _ANSWERED
