"""The manifest (.mf) of an appliance: digests of its files, checked on demand. Source: DSP0243 7.1, "manifest file"."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from vmie.disk.base import Source, place_in_file
from vmie.disk.package import Package
from vmie.disk.reading import damaged, read_exact, truncated
from vmie.events import Progress, Reporter, silent

_MAX_BYTES = 1 << 20
#: large, for between two pieces a busy process makes the thread wait for its turn
_PIECE = 4 << 20
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
    """A file that is not what the manifest says. `reason` is differs, contradiction, missing, unlisted or
    unknown-algorithm."""

    file: str
    reason: str
    expected: str = ""
    found: str = ""

    @property
    def damage(self) -> bool:
        """Whether it shows that a file, or the manifest, is not as it was written; else something is left unsaid."""
        return self.reason in ("differs", "contradiction")

    @property
    def text(self) -> str:
        """In words."""
        match self.reason:
            case "differs":
                return f"{self.file!r} has the digest {self.found}, in the manifest it has {self.expected}"
            case "contradiction":
                return f"{self.file!r} stands twice in the manifest, with different digests"
            case "missing":
                return f"{self.file!r} stands in the manifest, and is not there"
            case "unlisted":
                return f"{self.file!r} does not stand in the manifest"
            case _:
                return f"{self.file!r} has a digest by {self.expected}, which is not known"

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


class RunningDigests:
    """The digests of a package's files, taken bit by bit: beside another reader, or alone.

    `files` are those of the descriptor, which must all be listed; `only` some files, by name (None: all). `wrong`
    is what was found so far; what is known without reading is there at once. Close it.
    """

    def __init__(
        self,
        package: Package,
        digests: tuple[Digest, ...],
        *,
        files: tuple[str, ...],
        only: Collection[str] | None = None,
    ) -> None:
        self.wrong: list[Mismatch] = []
        self._open: list[_OpenFile] = []
        try:
            for digest in digests:
                if only is None or digest.file in only:
                    self._add(package, digest)
        except BaseException:
            self.close()
            raise
        # In the order in which the files lie in an archive: as another reader comes by them.
        self._open.sort(key=lambda one: place_in_file(one.source) or 0)
        self.total = sum(one.source.size for one in self._open)
        self.done = 0
        listed = {digest.file for digest in digests}
        named = dict.fromkeys((package.descriptor.rpartition("/")[2], *files))
        self.wrong += (
            Mismatch(name, "unlisted")
            for name in named
            if (only is None or name in only) and name not in listed and f"{name}.000000000" not in listed
        )

    def advance(self, end: int, *, reporter: Reporter = silent) -> list[Mismatch]:
        """Read on until `end` of `total` bytes are read; the files found to differ by that."""
        found: list[Mismatch] = []
        for one in self._open:
            while one.at < one.source.size and self.done < end:
                piece = one.source.pread(one.at, min(_PIECE, end - self.done))
                if not piece:
                    raise truncated(one.source, one.source.size, what="last byte")
                one.state.update(piece)
                one.at += len(piece)
                self.done += len(piece)
                reporter(Progress("verify", self.done, self.total))
            if one.at < one.source.size:
                break
            if not one.reported:
                one.reported = True
                if (value := one.state.hexdigest()) != one.digest.value:
                    found.append(Mismatch(one.digest.file, "differs", expected=one.digest.value, found=value))
        self.wrong += found
        return found

    def close(self) -> None:
        """Close the files."""
        for one in self._open:
            one.source.close()

    def _add(self, package: Package, digest: Digest) -> None:
        same = (
            one.digest
            for one in self._open
            if one.digest.file == digest.file and one.digest.algorithm == digest.algorithm
        )
        if (first := next(same, None)) is not None:
            if first.value != digest.value:
                self.wrong.append(Mismatch(digest.file, "contradiction", expected=first.value, found=digest.value))
        elif digest.algorithm not in _ALGORITHMS:
            self.wrong.append(Mismatch(digest.file, "unknown-algorithm", expected=digest.algorithm))
        elif (source := package.find(digest.file)) is None:
            self.wrong.append(Mismatch(digest.file, "missing", expected=digest.value))
        else:
            state = hashlib.new(_ALGORITHMS[digest.algorithm], usedforsecurity=False)
            self._open.append(_OpenFile(digest, source, state))


@dataclass(slots=True)
class _OpenFile:
    """A listed file on its way through its hash: `at` bytes of it are in `state`."""

    digest: Digest
    source: Source
    state: Any
    at: int = 0
    reported: bool = False
