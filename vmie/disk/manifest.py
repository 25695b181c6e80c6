"""The manifest (.mf) of an appliance: digests of its files, checked on demand. Source: DSP0243 7.1, "manifest file"."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from vmie.disk.base import Source
from vmie.disk.package import Package
from vmie.disk.reading import damaged, read_exact
from vmie.events import Progress, Reporter

_MAX_BYTES = 1 << 20
_PIECE = 1 << 20
_LINE = re.compile(r"\s*([A-Za-z0-9-]+)\s*\((.+)\)\s*=\s*([0-9A-Fa-f]+)\s*")
_ALGORITHMS = {"SHA1": "sha1", "SHA256": "sha256", "SHA384": "sha384", "SHA512": "sha512"}


@dataclass(frozen=True, slots=True)
class Digest:
    """One line: `algorithm` in the manifest's spelling without dash, upper case; `value` in lower-case hex."""

    file: str
    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A file that is not what the manifest says. `reason` is differs, missing, unlisted or unknown-algorithm."""

    file: str
    reason: str
    expected: str = ""
    found: str = ""

    def as_json(self) -> dict[str, Any]:
        """JSON-able, keys as the fields."""
        return {"file": self.file, "reason": self.reason, "expected": self.expected, "found": self.found}


def read(package: Package) -> tuple[Digest, ...] | None:
    """The lines of the package's manifest, None where it has none; ImageError when a line is not one."""
    source = package.neighbour(".mf")
    if source is None:
        return None
    try:
        return _parse(source)
    finally:
        source.close()


def _parse(source: Source) -> tuple[Digest, ...]:
    if source.size > _MAX_BYTES:
        raise damaged(source, f"a manifest of {source.size:,} bytes; at most {_MAX_BYTES:,} are read")
    text = read_exact(source, 0, source.size, what="manifest").decode("utf-8-sig", errors="replace")
    digests = []
    for line in text.splitlines():
        if not line.strip(" \t\0"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise damaged(source, f"its line {line[:80]!r} is not of the form SHA256(name)= digest")
        digests.append(Digest(match[2].strip(), match[1].upper().replace("-", ""), match[3].lower()))
    return tuple(digests)


def verify(
    package: Package, digests: tuple[Digest, ...], *, files: tuple[str, ...], reporter: Reporter
) -> tuple[Mismatch, ...]:
    """Read every listed file once and compare; `files` are those the descriptor names, all of which must be listed.

    Reports `Progress("verify")` in bytes. Memory does not grow with the files.
    """
    wrong: list[Mismatch] = []
    sources: list[tuple[Digest, Source | None]] = []
    done = 0
    try:
        sources.extend((digest, package.find(digest.file)) for digest in digests)
        total = sum(source.size for _, source in sources if source is not None)
        for digest, source in sources:
            if digest.algorithm not in _ALGORITHMS:
                wrong.append(Mismatch(digest.file, "unknown-algorithm", expected=digest.algorithm))
            elif source is None:
                wrong.append(Mismatch(digest.file, "missing", expected=digest.value))
            else:
                found = _hash(source, digest.algorithm, reporter=reporter, done=done, total=total)
                if found != digest.value:
                    wrong.append(Mismatch(digest.file, "differs", expected=digest.value, found=found))
            done += source.size if source is not None else 0
    finally:
        for _, source in sources:
            if source is not None:
                source.close()
    listed = {digest.file for digest in digests}
    wrong.extend(
        Mismatch(name, "unlisted")
        for name in dict.fromkeys((package.descriptor.rpartition("/")[2], *files))
        if name not in listed and f"{name}.000000000" not in listed
    )
    return tuple(wrong)


def _hash(source: Source, algorithm: str, *, reporter: Reporter, done: int, total: int) -> str:
    state = hashlib.new(_ALGORITHMS[algorithm], usedforsecurity=False)
    for offset in range(0, source.size, _PIECE):
        piece = source.pread(offset, _PIECE)
        state.update(piece)
        reporter(Progress("verify", done + offset + len(piece), total))
    return state.hexdigest()
