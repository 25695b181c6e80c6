"""The file of a saved world: a tar of world.json, the bytes of its files (data/N), and left-out.json.

No pickle and no path: members are read where they lie, by names that are these and no others.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import weakref
from pathlib import Path
from typing import Any, BinaryIO

from vmie.sandbox.world.reading import MOST_BYTES, SeedSource, parse, parse_plain, refused, why_not

_NAMES = re.compile(r"world\.json|left-out\.json|data/\d{1,9}")
_MOST_WORLD = 64 << 20


class _Chunks(io.RawIOBase):
    """The bytes of an iterator, as a file to read."""

    def __init__(self, chunks: Any) -> None:
        self._chunks, self._left = chunks, b""

    def read(self, size: int = -1) -> bytes:
        while len(self._left) < size and (data := next(self._chunks, b"")):
            self._left += data
        out, self._left = self._left[:size], self._left[size:]
        return out


def write(out: Any, to: BinaryIO) -> None:
    """Write a `saving.Saved`."""
    with tarfile.open(fileobj=to, mode="w:") as tar:
        for name, data in (("world.json", out.world), ("left-out.json", dict(out.left_out))):
            text = json.dumps(data).encode()
            _add(tar, name, len(text), io.BytesIO(text))
        for name, chunks in out.contents.items():
            _add(tar, name, out.length(name), _Chunks(chunks()))


def _add(tar: tarfile.TarFile, name: str, size: int, file: Any) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    tar.addfile(member, file)


def read(path: Path) -> SeedSource:
    """The world in a seed file or in the file of a saved one. Raises UsageError, which names every mistake."""
    try:
        file = path.open("rb")
        head = file.read(512)
        if head[257:262] == b"ustar":
            file.seek(0)
            return unpack(file, name=str(path))
        with file:
            data = head + file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise refused(str(path), f"it cannot be read: {why_not(error)}") from error
    return SeedSource(parse(data, name=str(path)), path.parent, str(path))


def unpack(file: BinaryIO, *, name: str) -> SeedSource:
    """The world in an open, seekable file, which is closed with the world's end. Raises UsageError."""
    try:
        source = _unpacked(file, name=name)
    except BaseException:
        file.close()
        raise
    weakref.finalize(source, file.close)
    return source


def _unpacked(file: BinaryIO, *, name: str) -> SeedSource:
    try:
        tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - its members are read later
        members = {}
        for member in tar:
            if not member.isreg() or member.issparse() or not _NAMES.fullmatch(member.name):
                raise refused(name, f"{member.name[:80]!r} is no part of a saved world")
            members[member.name] = member
        if "world.json" not in members or members["world.json"].size > _MOST_WORLD:
            raise refused(name, "it is no saved world: it has no world.json of a usual size")
        text = _open(tar, members["world.json"]).read()
        given = json.loads(text)
    except (tarfile.TarError, OSError, ValueError, EOFError, RecursionError) as error:
        raise refused(name, "it is no saved world, or is damaged") from error
    blobs = {one: lambda member=member: _open(tar, member) for one, member in members.items() if "/" in one}
    world = parse_plain(given, name=name)
    for one in (*world.snapshots, *(item for bucket in world.buckets for item in bucket.objects)):
        if one.file is not None and one.file not in blobs:
            raise refused(name, f"its file {one.file[:80]!r} is missing")
    return SeedSource(world, Path(), name, blobs)


def _open(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    return tar.extractfile(member)
