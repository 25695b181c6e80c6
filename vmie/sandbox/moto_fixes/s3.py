"""moto's S3 made fit for disks: see `vmie.sandbox.storage` for why."""

from __future__ import annotations

import binascii
import hashlib
import io
from bisect import insort
from contextvars import ContextVar
from typing import Any

from moto.s3 import models, responses
from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML, NoSuchUpload, S3AccessDeniedError
from moto.s3.utils import compute_checksum
from moto.settings import S3_UPLOAD_PART_MIN_SIZE

from vmie.sandbox.patching import Patcher
from vmie.sandbox.storage import Blob, BlobFile, LazyBytes

_ranged: ContextVar[bool] = ContextVar("a range of an object is being read", default=False)


def install(patcher: Patcher) -> None:
    """Let keys hold `Blob`, an upload's parts share a `BlobFile`, and ranges be read alone."""
    patcher.attribute(models.FakeKey, "value", property(_value, _set_value))
    patcher.attribute(models.FakeKey, "dispose", _dispose)
    patcher.attribute(models.FakeMultipart, "set_part", _set_part)
    patcher.attribute(models.FakeMultipart, "complete", _complete)
    for name in ("_bucket_response", "_key_response"):
        patcher.attribute(responses.S3Response, name, _owned(getattr(responses.S3Response, name)))
    patcher.attribute(responses.S3Response, "key_response", _key_response(responses.S3Response.key_response))


def _owned(original: Any) -> Any:
    """x-amz-expected-bucket-owner, which moto passes over: another owner is refused."""

    def response(self: Any, request: Any, full_url: str, *rest: Any) -> Any:
        expected = request.headers.get("x-amz-expected-bucket-owner")
        if expected:
            name = self.parse_bucket_name_from_url(request, full_url)
            account = models.s3_backends.bucket_accounts.get(name, (None, None))[1]
            if account and account != expected:
                raise S3AccessDeniedError
        return original(self, request, full_url, *rest)

    return response


def stored(key: models.FakeKey) -> Blob:
    """The bytes of a moto key."""
    held: Any = key._value_buffer  # noqa: SLF001
    if not isinstance(held, Blob):  # a key from before `install`
        held.seek(0)
        held = Blob.of(held.read())
    result: Blob = held.named(f"s3://{key.bucket_name}/{key.name}")
    return result


def _value(key: Any) -> bytes:
    held: Blob = key._value_buffer  # noqa: SLF001
    return LazyBytes.of(held) if _ranged.get() else held.pread(0, held.size)


def _set_value(key: Any, value: bytes | str | Blob) -> None:
    before = key._value_buffer  # noqa: SLF001
    if not isinstance(before, Blob):
        before.close()
    if isinstance(value, str):
        value = value.encode()
    held = value if isinstance(value, Blob) else Blob.of(value)
    key._value_buffer = held  # noqa: SLF001
    key.contentsize = held.size
    if key._etag is None:  # noqa: SLF001
        # moto would read the buffer through a shared position, later and from any thread
        key._etag = held.md5()  # noqa: SLF001


def _dispose(key: Any, garbage: bool = False) -> None:
    """Bytes go when the last reader lets go of them, so there is nothing to close and nothing to warn of."""
    key.disposed = True


def _set_part(upload: Any, part_id: int, value: bytes) -> Any:
    if part_id < 1:
        raise NoSuchUpload(upload_id=part_id)
    # setdefault is atomic: parts come from many threads
    file = vars(upload).get("vmie_file") or vars(upload).setdefault("vmie_file", BlobFile())
    key = models.FakeKey(
        part_id,  # type: ignore[arg-type]
        Blob.of(value, file=file),  # type: ignore[arg-type]
        account_id=upload.account_id,
        region_name=upload.region_name,
        encryption=upload.sse_encryption,
        kms_key_id=upload.kms_key_id,
    )
    upload.parts[part_id] = key
    if part_id not in upload.partlist:
        insort(upload.partlist, part_id)
    return key


def _complete(upload: Any, body: Any) -> tuple[Blob, str, tuple[str, str, int] | None]:
    parts: list[Blob] = []
    digests = b""
    for number, etag in body:
        part = upload.parts.get(number)
        if part is None or part.etag.strip('"') != etag.strip('"'):
            raise InvalidPart
        if parts and parts[-1].size < S3_UPLOAD_PART_MIN_SIZE:
            raise EntityTooSmall
        parts.append(part._value_buffer)  # noqa: SLF001
        digests += bytes.fromhex(part.etag.strip('"'))
    if not parts:
        raise MalformedXML
    etag = hashlib.md5(digests, usedforsecurity=False).hexdigest()
    return Blob.joined(parts), f"{etag}-{len(parts)}", _checksum(upload.metadata, parts)


def _checksum(metadata: Any, parts: list[Blob]) -> tuple[str, str, int] | None:
    """The object's checksum: only where the client chose an algorithm, and never with the object in memory."""
    algorithm = metadata.get("x-amz-checksum-algorithm")
    kind = metadata.get("x-amz-checksum-type") or "COMPOSITE"
    if not algorithm:
        return None
    if kind == "COMPOSITE":
        digests = b"".join(compute_checksum(part.pread(0, part.size), algorithm, encode_base64=False) for part in parts)
        return kind, compute_checksum(digests, algorithm).decode(), len(parts)
    if algorithm != "CRC32":
        return None
    crc = 0
    for part in parts:
        for chunk in part.chunks():
            crc = binascii.crc32(chunk, crc)
    return kind, binascii.b2a_base64(crc.to_bytes(4, "big"), newline=False).decode(), 1


def _forget_body(request: Any) -> None:
    """A request and its environment refer to each other: until the collector runs, every part sent stays in memory."""
    for name in ("data", "_cached_data", "stream"):
        vars(request).pop(name, None)
    request.environ["wsgi.input"] = io.BytesIO()


def _key_response(original: Any) -> Any:
    def key_response(self: Any, request: Any, full_url: str, headers: dict[str, Any]) -> Any:
        token = _ranged.set(request.method == "GET" and bool(request.headers.get("range")))
        try:
            status, answer_headers, body = original(self, request, full_url, headers)
        finally:
            _ranged.reset(token)
            _forget_body(request)
        return status, answer_headers, body.whole() if isinstance(body, LazyBytes) else body

    return key_response
