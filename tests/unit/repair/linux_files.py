"""A Linux on an ext4 that mends can be tried on: its files in, its files out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.guests import MIB, Link
from tests.linux_guest import files, linux_disk
from vmie import disk
from vmie.disk.overlay import Overlay
from vmie.guest import Budget, opened
from vmie.repair import Mend, Repair, apply

Content = Mapping[str, str | bytes | Link | None]


def guest(folder: Path, content: Content) -> Path:
    """The disk of a small Debian with `content` over its files."""
    return linux_disk(folder / "guest.raw", {**files(), **content}, size=24)


def mended(path: Path, mends: Sequence[Mend]) -> tuple[Repair, dict[str, str]]:
    """What `mends` did to the guest in `path`, and its changed files by now; done again they change nothing."""
    with disk.open(path) as base:
        layer = Overlay(base)
        done = apply([layer], mends)
        texts = {change.path: reading(layer, change.path) for change in done.changes}
        assert all(change.after == texts[change.path].encode() for change in done.changes)
        assert not apply([layer], mends).changes
    return done, texts


def reading(layer: Overlay, path: str) -> str:
    """A file of the guest on `layer`."""
    with opened([layer], budget=Budget()) as found:
        raw = found.systems[0][1].read(path, limit=MIB)
    assert raw is not None
    return raw.decode()
