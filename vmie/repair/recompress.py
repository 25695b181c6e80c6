"""Compression of an initramfs into a given room: cheap levels first, dear ones only when nothing else fits."""

from __future__ import annotations

import importlib
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from vmie.guest.budget import Budget
from vmie.guest.tree import Tree

#: steps by what they cost; on 130 MB of a Debian's initramfs (36 MB by gzip -9) in CPU seconds: zstd 3 0.7 (34 MB),
#: zstd 9 3 (30 MB), xz 0 7 (29 MB), xz 1 13 (27 MB), xz 6 83 (24 MB). zstd 19 takes longer than xz 6, for 26 MB.
#: gzip 3 is ISA-L's: larger than that of zlib, and smaller than what lz4 makes
_STEPS: tuple[tuple[str, int], ...] = (
    ("gzip", 3),
    ("zstd", 3),
    ("zstd", 9),
    ("xz", 0),
    ("lzma", 0),
    ("gzip", 9),
    ("xz", 1),
    ("lzma", 1),
    ("zstd", 19),
    ("xz", 6),
    ("lzma", 6),
)
_OPTION = re.compile(r"^CONFIG_RD_(GZIP|ZSTD|XZ|LZMA)=y$", re.MULTILINE)
_MAX_CONFIG = 2 << 20
_THREADS = 2
_PIECE = 1 << 20
#: ISA-L's highest level; the ones above are zlib's
_ISAL = 3


def unpackable(tree: Tree, version: str, before: str) -> frozenset[str]:
    """What kernel `version` can unpack, by its configuration; without one what its initramfs was packed with `before`.

    https://github.com/torvalds/linux/blob/master/usr/Kconfig (RD_GZIP, RD_ZSTD …)
    """
    for path in (f"/boot/config-{version}", f"/lib/modules/{version}/config"):
        config = tree.text(path, limit=_MAX_CONFIG) or ""
        if found := frozenset(name.lower() for name in _OPTION.findall(config)):
            return found
    return frozenset({before} & {kind for kind, _ in _STEPS}) or frozenset({"gzip"})


def steps(able: frozenset[str]) -> list[tuple[str, int]]:
    """The compressors among `able` and their levels, in the order in which they are tried."""
    better = {"zstd": {"gzip"}, "xz": {"lzma"}}
    worse = {kind for one in able for kind in better.get(one, ())}
    beaten = [("gzip", 9), ("zstd", 19)] if able & {"xz", "lzma"} else []
    return [step for step in _STEPS if step[0] in able - worse and step not in beaten]


def compressed(
    pieces: Callable[[], Iterable[bytes]], room: int, able: frozenset[str], *, budget: Budget
) -> bytes | None:
    """The first that fits into `room` bytes, None if nothing does. Raises OverBudget."""
    for kind, level in steps(able):
        packed = _fitting(_machine(kind, level), pieces(), room, budget)
        if packed is not None:
            return packed
    return None


def _fitting(machine: Any, pieces: Iterable[bytes], room: int, budget: Budget) -> bytes | None:
    out = bytearray()
    for piece in _joined(pieces):
        out += machine.compress(piece)
        if len(out) > room:
            return None
        budget.check()
    out += machine.flush()
    return bytes(out) if len(out) <= room else None


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Small ones together: ISA-L ends a block with each piece that it gets."""
    waiting: list[bytes] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(map(len, waiting)) >= _PIECE:
            yield b"".join(waiting)
            waiting.clear()
    yield b"".join(waiting)


def _machine(kind: str, level: int) -> Any:
    """The kernel's xz checks nothing but CRC32 (https://docs.kernel.org/staging/xz.html)."""
    if kind == "zstd":
        return importlib.import_module("zstandard").ZstdCompressor(level=level, threads=_THREADS).compressobj()
    if kind == "xz":
        return lzma.LZMACompressor(lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, preset=level)
    if kind == "lzma":
        return lzma.LZMACompressor(lzma.FORMAT_ALONE, preset=level)
    if level <= _ISAL:
        return importlib.import_module("isal.isal_zlib").compressobj(level=level, wbits=31)
    return zlib.compressobj(level, zlib.DEFLATED, 31)
