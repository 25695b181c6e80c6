"""Multipart uploads as S3 has them: checksums of parts and of what they make, order, conditions, pages of parts.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree as ET

from moto.s3 import models, responses
from moto.s3.exceptions import InvalidPart, InvalidPartOrder, MalformedXML, MissingKey, PreconditionFailed

from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.moto_fixes import s3_checksums
from vmie.sandbox.patching import Patcher

_MOST_PARTS = 10_000


def install(patcher: Patcher) -> None:
    """Patch the actions of uploads."""
    response = responses.S3Response
    patcher.attribute(response, "_get_checksum", _get_checksum)
    patcher.attribute(response, "_complete_multipart_body", _complete_multipart_body)
    patcher.attribute(response, "upload_part", _upload_part(response.upload_part))
    patcher.attribute(response, "_key_response_post", _conditional(response._key_response_post))  # noqa: SLF001
    for name, amend in (
        ("list_parts", _of_parts),
        ("get_object_attributes", _of_attributes),
        ("_key_response_post", _of_completed),
    ):
        patcher.attribute(response, name, amended(getattr(response, name), amend))
    patcher.attribute(models.FakeMultipart, "list_parts", _list_parts)
    patcher.attribute(models.S3Backend, "is_truncated", _is_truncated)


def amended(original: Callable[..., Any], amend: Callable[[Any, dict[str, Any]], None]) -> Callable[..., Any]:
    """The action, whose result `amend` completes before it is written down."""

    def act(self: Any, *args: Any, **kwargs: Any) -> Any:
        serialize = self.serialized

        def serialized(action_result: Any) -> Any:
            if isinstance(action_result.result, dict):
                amend(self, action_result.result)
            return serialize(action_result)

        self.serialized = serialized
        try:
            return original(self, *args, **kwargs)
        finally:
            vars(self).pop("serialized", None)

    return act


def _get_checksum(self: Any, response_headers: dict[str, Any]) -> tuple[str, str | None]:
    """In place of moto's, which searches the body for it: `s3_body` has found and checked it."""
    received = self.vmie_received
    if received is None or not received.algorithm:
        return "", None
    response_headers[f"x-amz-checksum-{received.algorithm.lower()}"] = received.checksum
    return received.algorithm, received.checksum


def _upload(self: Any) -> Any:
    return self.backend.get_bucket(self.bucket_name).multiparts.get(self._get_param("uploadId"))


def _upload_part(original: Callable[..., Any]) -> Callable[..., Any]:
    def upload_part(self: Any) -> Any:
        upload, number = _upload(self), self._get_int_param("partNumber")
        algorithm, value = self.vmie_received.algorithm, self.vmie_received.checksum
        if upload is not None and algorithm:
            expected = s3_checksums.kind_of(upload.metadata)[0]
            if expected and expected != algorithm:
                raise ApiError(
                    "InvalidRequest",
                    f"Checksum Type mismatch occurred, expected checksum Type: {expected.lower()}, "
                    f"actual checksum Type: {algorithm.lower()}",
                )
        answer = original(self)
        if upload is not None and algorithm and number in upload.parts:
            part = upload.parts[number]
            part.checksum_algorithm, part.checksum_value = algorithm, value
        return answer

    return upload_part


def _complete_multipart_body(self: Any, body: bytes) -> Iterator[tuple[int, str]]:
    """The parts that are asked for; raises MalformedXML, InvalidPartOrder and InvalidPart."""
    upload, before = _upload(self), 0
    for number, etag, checksums in _parts(body):
        if number <= before:
            raise InvalidPartOrder
        before = number
        part = upload.parts.get(number) if upload is not None else None
        for algorithm, value in checksums.items():
            if part is not None and algorithm in s3_checksums.LENGTHS:
                if part.checksum_value and part.checksum_algorithm != algorithm:
                    raise InvalidPart
                if s3_checksums.part_checksum(part, algorithm) != value:
                    raise InvalidPart
        yield number, etag


def _parts(body: bytes) -> list[tuple[int, str, dict[str, str]]]:
    out = []
    try:
        root = ET.fromstring(body)  # noqa: S314 - expat bounds what entities grow to
        for element in root.iter():
            if _local(element) != "Part":
                continue
            fields = {_local(one): (one.text or "").strip() for one in element}
            checksums = {name.removeprefix("Checksum"): fields[name] for name in fields if name.startswith("Checksum")}
            out.append((int(fields["PartNumber"]), fields["ETag"], checksums))
    except (ET.ParseError, KeyError, ValueError) as error:
        raise MalformedXML from error
    if not out or len(out) > _MOST_PARTS:
        raise MalformedXML
    return out


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _conditional(original: Callable[..., Any]) -> Callable[..., Any]:
    """CompleteMultipartUpload: If-Match, and what the client says of the whole object."""

    def post(self: Any, *args: Any) -> Any:
        _, _, bucket_name, query, key_name = args
        if "uploadId" not in query:
            return original(self, *args)
        if wanted := self.headers.get("If-Match"):
            existing = self.backend.get_object(bucket_name, key_name)
            if existing is None:
                raise MissingKey(key=key_name)
            if wanted.strip('"') != existing.etag.strip('"'):
                raise PreconditionFailed("If-Match")
        upload = _upload(self)
        if upload is not None:
            algorithm, value = s3_checksums.given({name.lower(): text for name, text in self.headers.items()})
            upload.vmie_expected = (algorithm, value) if algorithm else None
        status, headers, answer = original(self, *args)
        if self.backend.get_bucket(bucket_name).versioning_status is None:
            headers.pop("x-amz-version-id", None)
        return status, headers, answer

    return post


def qualified(key: Any) -> str:
    """An object's checksum as headers show it: with the number of its parts, if it is made of theirs."""
    return f"{key.checksum_value}-{key.checksum_parts}" if key.checksum_type == "COMPOSITE" else str(key.checksum_value)


def _of_parts(self: Any, result: dict[str, Any]) -> None:
    upload = _upload(self)
    if upload is None:
        return
    algorithm, kind = s3_checksums.kind_of(upload.metadata)
    result |= {"ChecksumAlgorithm": algorithm or None, "ChecksumType": kind or None, "StorageClass": upload.storage}
    for listed in result["Parts"]:
        part = upload.parts.get(listed["PartNumber"])
        if part is not None and part.checksum_value:
            listed[f"Checksum{part.checksum_algorithm}"] = part.checksum_value


def _of_completed(self: Any, result: dict[str, Any]) -> None:
    if "UploadId" in result or "ETag" not in result:
        return
    key = self.backend.get_object(self.bucket_name, result["Key"])
    if key is not None and key.checksum_value and key.checksum_algorithm:
        result |= {f"Checksum{key.checksum_algorithm}": qualified(key), "ChecksumType": key.checksum_type}


def _of_attributes(self: Any, result: dict[str, Any]) -> None:
    """ObjectParts: of an upload with checksums each part, of others their number only."""
    wanted = [one.strip() for one in self.headers.get("x-amz-object-attributes", "").split(",")]
    key, _ = self._get_key(validate_storage_class=False)
    if "ObjectParts" not in wanted or key.multipart is None:
        return
    parts = key.multipart.parts
    found: dict[str, Any] = {"TotalPartsCount": len(parts)}
    if key.checksum_value and key.checksum_type == "COMPOSITE":
        after = int(self.headers.get("x-amz-part-number-marker") or 0)
        most = min(int(self.headers.get("x-amz-max-parts") or 1000), 1000)
        later = [number for number in sorted(parts) if number > after]
        found |= {
            "PartNumberMarker": str(after),
            "NextPartNumberMarker": str(later[:most][-1] if later[:most] else 0),
            "MaxParts": most,
            "IsTruncated": len(later) > most,
            "Parts": [
                {"PartNumber": number, "Size": parts[number].size}
                | s3_checksums.named([(parts[number].checksum_algorithm, parts[number].checksum_value)])
                for number in later[:most]
            ],
        }
    result["ObjectParts"] = found


def _list_parts(upload: Any, part_number_marker: int, max_parts: int) -> Iterator[Any]:
    """A marker is a part's number, which need not be its place."""
    later = [number for number in upload.partlist if number > part_number_marker]
    yield from (upload.parts[number] for number in later[:max_parts])


def _is_truncated(self: Any, bucket_name: str, multipart_id: str, next_part_number_marker: int) -> bool:
    numbers = self.get_bucket(bucket_name).multiparts[multipart_id].partlist
    return any(number > next_part_number_marker for number in numbers)
