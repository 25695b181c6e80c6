"""S3's objects, versions and parts kept as `Blob`, and let go as soon as S3 no longer shows them."""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

from moto.s3 import models
from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML, NoSuchUpload

from vmie.sandbox.moto_fixes.s3_checksums import completed
from vmie.sandbox.patching import Patcher
from vmie.sandbox.storage import Blob, LazyBytes

_lazy: ContextVar[bool] = ContextVar("values of keys are passed on, not looked into", default=False)

_streamed: ContextVar[bool] = ContextVar("answers are read in pieces", default=False)


def install(patcher: Patcher) -> None:
    """Let keys and parts hold `Blob`; nothing but what S3 shows keeps one alive."""
    key, upload, backend = models.FakeKey, models.FakeMultipart, models.S3Backend
    patcher.attribute(key, "value", property(_value, _set_value))
    patcher.attribute(key, "dispose", _dispose)
    patcher.attribute(key, "__deepcopy__", _copy_key)
    patcher.attribute(upload, "set_part", _set_part)
    patcher.attribute(upload, "complete", _complete)
    patcher.attribute(models.FakeDeleteMarker, "__init__", _marker(models.FakeDeleteMarker.__init__))
    patcher.attribute(backend, "delete_object", _forgetting_tags(backend.delete_object))
    patcher.attribute(backend, "delete_bucket", _delete_bucket(backend.delete_bucket))
    for name in ("copy_object", "upload_part_copy"):
        patcher.attribute(backend, name, _without_reading(getattr(backend, name)))
    for name in ("upload_part", "complete_multipart_upload", "upload_part_copy"):
        patcher.attribute(backend, name, _with_upload(getattr(backend, name)))


@contextmanager
def unread() -> Iterator[None]:
    """In here a key's value is a `LazyBytes`: for code that only passes values on."""
    token = _lazy.set(True)
    try:
        yield
    finally:
        _lazy.reset(token)


@contextmanager
def streaming() -> Iterator[None]:
    """In here an answer's body may be a `LazyBytes`: for those who read it in pieces."""
    token = _streamed.set(True)
    try:
        yield
    finally:
        _streamed.reset(token)


def sendable(body: Any, *, to_server: bool) -> Any:
    """An answer's body as it may be handed on: pieces to a server, the object to who is `streaming`, else its bytes."""
    if not isinstance(body, LazyBytes):
        return body
    if to_server:
        return body.stored.chunks()
    return body if _streamed.get() else body.whole()


def stored(key: Any) -> Blob:
    """The bytes of a moto key."""
    held: Any = key._value_buffer  # noqa: SLF001
    if not isinstance(held, Blob):  # a key from before `install`
        held.seek(0)
        held = Blob.of(held.read())
    result: Blob = held.named(f"s3://{key.bucket_name}/{key.name}")
    return result


def _value(key: Any) -> bytes:
    held: Blob = key._value_buffer  # noqa: SLF001
    return LazyBytes.of(held) if _lazy.get() else held.pread(0, held.size)


def _set_value(key: Any, value: bytes | str | Blob) -> None:
    before = key._value_buffer  # noqa: SLF001
    if not isinstance(before, Blob):
        before.close()
    if isinstance(value, LazyBytes):
        value = value.stored
    elif isinstance(value, str):
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


def _copy_key(key: Any, memo: object) -> Any:
    """moto copies every version in depth to list them: the bytes, the parts and the lock are not part of that."""
    copied = object.__new__(models.FakeKey)
    vars(copied).update(vars(key))
    vars(copied)["_metadata"] = deepcopy(key.metadata)
    return copied


def _marker(original: Callable[..., None]) -> Callable[..., None]:
    """A delete marker would keep the version that it hides, after that is deleted too."""

    def init(marker: Any, key: Any) -> None:
        original(marker, key)
        # of what a marker hides moto asks whether it is a marker, and nothing else
        name = SimpleNamespace(name=key.name)
        marker.key = models.FakeDeleteMarker(name) if isinstance(key, models.FakeDeleteMarker) else name  # type: ignore[arg-type]

    return init


def _forgetting_tags(original: Callable[..., Any]) -> Callable[..., Any]:
    """moto keeps the tags of what was deleted, and shows them on the next object of that name."""

    def delete_object(self: Any, bucket_name: str, key_name: str, *args: Any, **kwargs: Any) -> Any:
        keys = self.get_bucket(bucket_name).keys
        before = [one.arn for one in keys.getlist(key_name, []) if isinstance(one, models.FakeKey)]
        answer = original(self, bucket_name, key_name, *args, **kwargs)
        left = {one.arn for one in keys.getlist(key_name, []) if isinstance(one, models.FakeKey)}
        for arn in before:
            if arn not in left:
                self.tagger.delete_all_tags_for_resource(arn)
        return answer

    return delete_object


def _delete_bucket(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete_bucket(self: Any, bucket_name: str) -> Any:
        removed = original(self, bucket_name)
        if removed:
            self.tagger.delete_all_tags_for_resource(removed.arn)
        return removed

    return delete_bucket


def _without_reading(original: Callable[..., Any]) -> Callable[..., Any]:
    def copy(*args: Any, **kwargs: Any) -> Any:
        with unread():
            return original(*args, **kwargs)

    return copy


def _with_upload(original: Callable[..., Any]) -> Callable[..., Any]:
    """An upload that is completed, aborted or was never there is an answer of S3's, not a KeyError."""

    def act(self: Any, bucket_name: str, multipart_id: str, *args: Any, **kwargs: Any) -> Any:
        if multipart_id not in self.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(upload_id=multipart_id)
        return original(self, bucket_name, multipart_id, *args, **kwargs)

    return act


def _set_part(upload: Any, part_id: int, value: bytes) -> Any:
    if part_id < 1:
        raise NoSuchUpload(upload_id=part_id)
    key = models.FakeKey(
        part_id,  # type: ignore[arg-type]
        value,
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
    taken: dict[int, Any] = {}
    last: Any = None
    for number, etag in body:
        part = upload.parts.get(number)
        if part is None or part.etag.strip('"') != etag.strip('"'):
            raise InvalidPart
        if last is not None and last.contentsize < vars(models)["S3_UPLOAD_PART_MIN_SIZE"]:
            raise EntityTooSmall
        taken[number] = last = part
    if not taken:
        raise MalformedXML
    checksum = completed(upload, taken)
    # the parts that were sent and not asked for go at once
    upload.parts, upload.partlist = taken, list(taken)
    digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in taken.values())
    etag = hashlib.md5(digests, usedforsecurity=False).hexdigest()
    parts = (part._value_buffer for part in taken.values())  # noqa: SLF001
    return Blob.joined(parts), f"{etag}-{len(taken)}", checksum
