"""The checksums of S3: computed for real, of one piece, of parts together, and of a whole object of parts.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from vmie.sandbox import crc
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.storage import Blob, LazyBytes

#: bytes of a digest
LENGTHS = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32, "SHA512": 64, "MD5": 16}
#: which S3 takes and nothing here computes: kept as they come
UNCHECKED = ("XXHASH64", "XXHASH3", "XXHASH128")
_OF_WHOLE = ("CRC32", "CRC32C", "CRC64NVME")


class RunningChecksum(Protocol):
    """What hashlib's objects have."""

    def update(self, data: bytes, /) -> object:
        """More bytes."""

    def digest(self) -> bytes:
        """The checksum of all bytes so far."""


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class _Crc:
    def __init__(self, polynomial: crc.Polynomial) -> None:
        self._polynomial, self._register = polynomial, polynomial.ones

    def update(self, data: bytes, /) -> None:
        self._register = crc.register(self._polynomial, data, self._register)

    def digest(self) -> bytes:
        return (self._register ^ self._polynomial.ones).to_bytes(self._polynomial.width // 8, "big")


def digest(algorithm: str) -> RunningChecksum:
    """A new digest; `algorithm` is one of `LENGTHS`."""
    if algorithm == "CRC32":
        return _Crc32()
    if algorithm in ("CRC32C", "CRC64NVME"):
        return _Crc(crc.CRC32C if algorithm == "CRC32C" else crc.CRC64NVME)
    return hashlib.new(algorithm.lower(), usedforsecurity=False)


def checksum(algorithm: str, content: Blob | bytes) -> str:
    """The checksum in base64; "" for an algorithm that nothing here computes."""
    if algorithm not in LENGTHS:
        return ""
    made = digest(algorithm)
    for chunk in content.chunks() if isinstance(content, Blob) else (content,):
        made.update(chunk)
    return base64.b64encode(made.digest()).decode()


def of_any(body: bytes, algorithm: str, encode_base64: bool = True) -> bytes:
    """In place of moto's `compute_checksum`, which reads all and has CRC-32 for what it lacks."""
    content = body.stored if isinstance(body, LazyBytes) else bytes(body)
    made = checksum(algorithm.upper() if algorithm.upper() in LENGTHS else "SHA256", content).encode()
    return made if encode_base64 else base64.b64decode(made)


def given(headers: Mapping[str, str]) -> tuple[str, str]:
    """Algorithm and value of the one x-amz-checksum- header, ("", "") without one; raises ApiError for several."""
    found = [
        (name, headers[header])
        for name in (*LENGTHS, *UNCHECKED)
        if (header := f"x-amz-checksum-{name.lower()}") in headers
    ]
    if len(found) > 1:
        raise ApiError(
            "InvalidRequest",
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        )
    return found[0] if found else ("", "")


def require_form(algorithm: str, value: str) -> None:
    """Raise ApiError for what is no digest of that algorithm in base64."""
    try:
        length = len(base64.b64decode(value.encode(), validate=True))
    except (binascii.Error, ValueError):
        length = -1
    if algorithm in LENGTHS and length != LENGTHS[algorithm]:
        raise ApiError("InvalidRequest", f"Value for x-amz-checksum-{algorithm.lower()} header is invalid.")


def mismatch(algorithm: str) -> ApiError:
    """The error for content that is not what the client said."""
    return ApiError("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def kind_of(metadata: Mapping[str, str]) -> tuple[str, str]:
    """An upload's algorithm, "" for none, and COMPOSITE or FULL_OBJECT; raises ApiError for a pair that S3 lacks."""
    algorithm = (metadata.get("x-amz-checksum-algorithm") or "").upper()
    kind = (metadata.get("x-amz-checksum-type") or "").upper()
    if not algorithm:
        return "", ""
    if algorithm not in LENGTHS and algorithm not in UNCHECKED:
        raise ApiError("InvalidRequest", "Checksum algorithm provided is unsupported. Please try again.")
    kind = kind or ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE")
    if (kind == "FULL_OBJECT" and algorithm not in _OF_WHOLE) or (kind == "COMPOSITE" and algorithm == "CRC64NVME"):
        raise ApiError(
            "InvalidRequest",
            f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.",
        )
    return algorithm, kind


def completed(upload: Any, parts: Mapping[int, Any]) -> tuple[str, str, int] | None:
    """Type, value and number of parts of the object that `parts` make; None where the upload names no algorithm.

    Raises ApiError where the client said that the whole would have another checksum.
    """
    algorithm, kind = kind_of(upload.metadata)
    if algorithm not in LENGTHS:
        return None
    if kind == "FULL_OBJECT":
        value = checksum(algorithm, Blob.joined(part._value_buffer for part in parts.values()))  # noqa: SLF001
    else:
        values = (part_checksum(part, algorithm) for part in parts.values())
        value = checksum(algorithm, b"".join(map(base64.b64decode, values)))
    expected = getattr(upload, "vmie_expected", None)
    if expected and expected[0] == algorithm and expected[1].partition("-")[0] != value:
        raise mismatch(algorithm)
    return kind, value, len(parts) if kind == "COMPOSITE" else 1


def part_checksum(part: Any, algorithm: str) -> str:
    """A part's checksum: as it was sent, else computed now."""
    if part.checksum_algorithm != algorithm or not part.checksum_value:
        part.checksum_algorithm = algorithm
        part.checksum_value = checksum(algorithm, part._value_buffer)  # noqa: SLF001
    return str(part.checksum_value)


def named(pairs: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """As the API's structures name them: ``{"ChecksumCRC32": value}``, without what is not there."""
    return {f"Checksum{algorithm}": value for algorithm, value in pairs if algorithm and value}
