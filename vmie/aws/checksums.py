"""Does a file hold what S3 holds? By the strongest checksum that S3 kept and that can be computed here.

S3 keeps a checksum over the whole object, or, for a multipart upload, over the checksums of its parts (COMPOSITE,
written ``value-N``). An ETag is an MD5 in the same two ways, unless the object is encrypted with KMS.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from vmie.aws.listing import CHECKSUMS, Head
from vmie.errors import VmieError

_CHUNK = 4 << 20


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def digest(self) -> bytes:
        """The checksum of all bytes so far."""


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


_MAKE: dict[str, Callable[[], _Digest]] = {
    "SHA256": hashlib.sha256,
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "CRC32": _Crc32,
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
}


def verify(path: Path, known: Head) -> str:
    """The name of the checksum that proved `path` equal to the object, "" when only its size could be.

    Raises VmieError (ChecksumMismatch) when it differs. A multipart checksum is computed with parts as large as the
    first one, which is how uploaders cut. Where that is not known for sure it can prove, but not refute.
    """
    if path.stat().st_size != known.size:
        raise _mismatch(path, "size", str(known.size), str(path.stat().st_size))
    for name, wanted, parts in _candidates(known):
        if parts and not _cut_evenly(known, parts):
            continue
        found = _composite(path, name, known.part_size or known.size) if parts else _whole(path, name)
        if found == wanted:
            return name
        if not parts or known.parts_even:
            raise _mismatch(path, name, wanted.hex(), found.hex())
    return ""


def _candidates(known: Head) -> Iterator[tuple[str, bytes, int]]:
    """(algorithm, expected digest, number of parts or 0), strongest first."""
    for name in CHECKSUMS:
        if name in known.checksums:
            value, _, parts = known.checksums[name].partition("-")
            try:
                yield name, base64.b64decode(value, validate=True), int(parts or 0)
            except ValueError:
                continue
    value, _, parts = known.etag.partition("-")
    if len(value) == 32 and not known.encryption.startswith("aws:kms"):
        try:
            yield "MD5", bytes.fromhex(value), int(parts or 0)
        except ValueError:
            return


def _cut_evenly(known: Head, parts: int) -> bool:
    size = known.part_size
    return bool(size) and size is not None and -(-known.size // size) == parts


def _whole(path: Path, name: str) -> bytes:
    digest = _MAKE[name]()
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    return digest.digest()


def _composite(path: Path, name: str, part: int) -> bytes:
    outer = _MAKE[name]()
    with path.open("rb") as file:
        while True:
            inner, left = _MAKE[name](), part
            while left and (data := file.read(min(_CHUNK, left))):
                inner.update(data)
                left -= len(data)
            if left == part:
                return outer.digest()
            outer.update(inner.digest())


def _mismatch(path: Path, what: str, wanted: str, found: str) -> VmieError:
    return VmieError(
        f"what was downloaded to {path} is not what S3 holds",
        cause=f"{what}: S3 has {wanted}, the file has {found}",
        cure="it was removed; download it again",
        code="ChecksumMismatch",
        passing=True,
    )
