"""Btrfs images opened as file systems, and all that is in them beside all that is in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from vmie.guest.btrfs.filesystem import BtrfsFileSystem
from vmie.guest.budget import Budget
from vmie.guest.filesystem import FileKind, FileSystem, open_filesystem
from vmie.guest.recognise import recognise
from vmie.guest.stream import Blocks, Cached


class Patched:
    """`Blocks` of `raw` with other pages of 4 KiB in some places: a damaged image without a copy of it all."""

    def __init__(self, raw: bytes, pages: Mapping[int, bytes], *, size: int = 0) -> None:
        self.size = size or len(raw)
        self._raw = raw
        self._pages = pages

    def read(self, offset: int, length: int) -> bytes:
        data = bytearray(self._raw[offset : offset + length])
        for at, page in self._pages.items():
            begin, end = max(at, offset), min(at + 4096, offset + length)
            if begin < end:
                data[begin - offset : end - offset] = page[begin - at : end - at]
        return bytes(data).ljust(max(0, min(length, self.size - offset)), b"\0")


def opened(blocks: Blocks, *others: Blocks, **settings: float) -> BtrfsFileSystem:
    budget = Budget(**settings)  # type: ignore[arg-type]
    cached, *rest = (Cached(one, budget=budget) for one in (blocks, *others))
    found = open_filesystem(cached, recognise(cached), budget=budget, others=rest)
    assert isinstance(found, BtrfsFileSystem)
    return found


def contents(found: FileSystem, path: str = "/") -> dict[str, str | None]:
    """Every path: the hash of a file, the target of a link, None for a directory."""
    listed: dict[str, str | None] = {}
    for name in found.listdir(path):
        inner = f"{path.rstrip('/')}/{name}"
        status = found.lstat(inner)
        assert status is not None
        if status.kind is FileKind.DIRECTORY:
            listed[inner] = None
            listed |= contents(found, inner)
        elif status.kind is FileKind.LINK:
            listed[inner] = f"-> {found.readlink(inner)}"
        else:
            data = found.read(inner, 1 << 30)
            assert len(data) == status.size
            listed[inner] = hashlib.sha256(data).hexdigest()
    return listed


def on_disk(root: Path) -> dict[str, str | None]:
    listed: dict[str, str | None] = {}
    for path in root.rglob("*"):
        inner = f"/{path.relative_to(root)}"
        if path.is_symlink():
            listed[inner] = f"-> {path.readlink()}"
        else:
            listed[inner] = None if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
    return listed
