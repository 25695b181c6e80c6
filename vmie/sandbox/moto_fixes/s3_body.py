"""What S3 is sent: read in pieces as it comes, out of its chunks, kept as `Blob`, and held against what it should be.

moto reads a body into memory, several times where it is chunked, and believes every checksum.
Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.moto_fixes import s3_checksums
from vmie.sandbox.storage import Blob, BlobWriter

_READ = 1 << 20
_LINE = 16 << 10


@dataclass(frozen=True, slots=True)
class Received:
    """A body; `algorithm` and `checksum` are what the client said of it, "" where it said nothing."""

    content: Blob
    algorithm: str = ""
    checksum: str = ""


def receive(request: Any) -> Received:
    """Read the body of a request of werkzeug's to its end; raises ApiError for one that is not what its headers say."""
    headers = {str(name).lower(): str(value) for name, value in request.headers.items()}
    algorithm, value = s3_checksums.given(headers)
    if algorithm:
        s3_checksums.require_form(algorithm, value)
    trailing = headers.get("x-amz-trailer", "").lower().removeprefix("x-amz-checksum-").upper()
    wanted = algorithm or trailing or headers.get("x-amz-sdk-checksum-algorithm", "").upper()
    digest = s3_checksums.digest(wanted) if wanted in s3_checksums.LENGTHS else None
    signed = headers.get("x-amz-content-sha256", "")
    whole = hashlib.sha256() if re.fullmatch("[0-9a-fA-F]{64}", signed) else None
    trailers: dict[str, str] = {}
    written = BlobWriter()
    for data in _decoded(request.stream, trailers) if _is_chunked(headers) else _plain(request.stream):
        written.write(data)
        for one in (digest, whole):
            if one is not None:
                one.update(data)
    _require_length(headers, written.size)
    if whole is not None and whole.hexdigest() != signed.lower():
        raise ApiError(
            "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."
        )
    _require_md5(headers.get("content-md5"), written.md5.digest())
    if trailing and (value := trailers.get(f"x-amz-checksum-{trailing.lower()}", value)):
        s3_checksums.require_form(trailing, value)
    if digest is not None:
        computed = base64.b64encode(digest.digest()).decode()
        if value and not hmac.compare_digest(value.encode(), computed.encode()):
            raise s3_checksums.mismatch(wanted)
        value = computed
    return Received(written.blob(), wanted if value else "", value)


def _is_chunked(headers: dict[str, str]) -> bool:
    return headers.get("x-amz-content-sha256", "").startswith("STREAMING-")


def _require_length(headers: dict[str, str], size: int) -> None:
    said = headers.get("x-amz-decoded-content-length", "") if _is_chunked(headers) else ""
    if said and (not said.isdecimal() or int(said) != size):
        raise ApiError(
            "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header."
        )


def _require_md5(header: str | None, computed: bytes) -> None:
    if header is None:
        return
    try:
        said = base64.b64decode(header.strip().encode(), validate=True)
    except (binascii.Error, ValueError):
        said = b""
    if len(said) != len(computed):
        raise ApiError("InvalidDigest", "The Content-MD5 you specified was invalid.")
    if said != computed:
        raise ApiError("BadDigest", "The Content-MD5 you specified did not match what we received.")


def _plain(stream: Any) -> Iterator[bytes]:
    while data := stream.read(_READ):
        yield data.encode() if isinstance(data, str) else bytes(data)


class _Lines:
    """Lines and exact lengths out of a stream that has neither."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._held = bytearray()

    def line(self) -> bytes:
        """Up to the next line break, without it."""
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > _LINE or not self._more():
                raise _malformed()
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        return line.rstrip(b"\r")

    def pieces(self, length: int) -> Iterator[bytes]:
        """The next `length` bytes."""
        while length > 0:
            if not self._held and not self._more():
                raise _malformed()
            data = bytes(self._held[:length])
            del self._held[:length]
            length -= len(data)
            yield data

    def _more(self) -> bool:
        data = self._stream.read(_READ)
        self._held += data
        return bool(data)


def _decoded(stream: Any, trailers: dict[str, str]) -> Iterator[bytes]:
    """What is in the chunks of aws-chunked; what comes after the last is added to `trailers`."""
    lines = _Lines(stream)
    while True:
        size = lines.line().partition(b";")[0].strip()
        if not re.fullmatch(b"[0-9a-fA-F]{1,16}", size):
            raise _malformed()
        if int(size, 16) == 0:
            break
        yield from lines.pieces(int(size, 16))
        lines.line()
    try:
        while line := lines.line():
            name, _, value = line.decode("latin-1").partition(":")
            trailers[name.strip().lower()] = value.strip()
    except ApiError:
        return  # some clients end without the empty line


def _malformed() -> ApiError:
    return ApiError("IncompleteBody", "The request body terminated unexpectedly")
