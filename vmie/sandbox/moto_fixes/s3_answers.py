"""S3's answers where moto's differ: encryption, other Regions, missing actions, ranges, lists, conditions."""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, quote

from moto.core.utils import extract_region_from_aws_authorization, get_service_model
from moto.s3 import models, responses
from moto.s3.exceptions import InvalidContinuationToken
from moto.s3.utils import parse_region_from_url

from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.moto_fixes import s3_checksums, s3_uploads
from vmie.sandbox.moto_fixes.s3_storage import stored
from vmie.sandbox.patching import Patcher

#: since January 2023: https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-encryption-faq.html
_DEFAULT: dict[str, Any] = {
    "Rule": {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": "false"}
}
_SSE = "x-amz-server-side-encryption"
#: (is there a key, method) → the sub-resources that moto has an action for
_HANDLED = {
    (False, "GET"): "object-lock uploads location lifecycle versioning policyStatus policy website acl tagging logging"
    " cors notification accelerate publicAccessBlock inventory versions encryption replication ownershipControls",
    (False, "PUT"): "object-lock versioning lifecycle policy acl tagging website cors logging notification accelerate"
    " publicAccessBlock encryption replication ownershipControls inventory",
    (
        False,
        "DELETE",
    ): "policy tagging website cors lifecycle publicAccessBlock encryption replication ownershipControls",
    (False, "POST"): "delete",
    (True, "GET"): "uploadId acl tagging legal-hold attributes",
    (True, "PUT"): "retention legal-hold acl tagging uploadId",
    (True, "DELETE"): "uploadId tagging",
    (True, "POST"): "uploads uploadId restore select",
}
#: a condition is looked at and acted on with nobody in between
_conditions = threading.RLock()


def install(patcher: Patcher) -> None:
    """Patch moto's responses, and what of its model they show."""
    s3_uploads.install(patcher)
    backend, response = models.S3Backend, responses.S3Response
    patcher.attribute(backend, "get_bucket_encryption", _get_bucket_encryption(backend.get_bucket_encryption))
    patcher.attribute(backend, "put_object", _encrypted(backend.put_object))
    patcher.attribute(backend, "copy_object", _copy_object(backend.copy_object))
    patcher.attribute(backend, "create_multipart_upload", _create_upload(backend.create_multipart_upload))
    patcher.attribute(backend, "list_objects_v2", _list_objects_v2(backend.list_objects_v2))
    patcher.attribute(response, "put_object", _put_object(response.put_object))
    patcher.attribute(response, "head_object", _head_object(response.head_object))
    patcher.attribute(response, "_handle_range_header", _range(response._handle_range_header))  # noqa: SLF001
    for name in ("_bucket_response", "_key_response"):
        patcher.attribute(response, name, _checked(getattr(response, name)))
    for name, amend in (("list_objects", _of_list), ("list_objects_v2", _of_list)):
        patcher.attribute(response, name, s3_uploads.amended(getattr(response, name), amend))
    delete = response._bucket_response_delete_keys  # noqa: SLF001
    patcher.attribute(response, "_bucket_response_delete_keys", s3_uploads.amended(delete, _of_deleted))


def _checked(original: Callable[..., Any]) -> Callable[..., Any]:
    def respond(self: Any, request: Any, full_url: str) -> Any:
        bucket, key = self.parse_bucket_name_from_url(request, full_url), self.parse_key_name()
        has_key = bool(key) and original.__name__ != "_bucket_response"
        _require_action(request, has_key=has_key)
        if bucket and (elsewhere := _elsewhere(self, request, full_url, bucket)):
            return elsewhere
        _require_numbers(request.args)
        conditional = request.method in ("PUT", "POST", "DELETE") and (
            "If-Match" in request.headers or "If-None-Match" in request.headers
        )
        if conditional and request.headers.get("If-None-Match", "*") != "*":
            raise ApiError(
                "NotImplemented", "A header you provided implies functionality that is not implemented", status=501
            )
        with _conditions if conditional else nullcontext():
            return original(self, request, full_url)

    respond.__name__ = original.__name__
    return respond


def _require_action(request: Any, *, has_key: bool) -> None:
    """Raise ApiError for an action that moto lacks: it would take some of them for others, and fail on the rest."""
    if request.method in ("HEAD", "OPTIONS"):
        return
    handled = set(_HANDLED.get((has_key, request.method), "").split())
    missing = sorted((_sub_resources() & set(request.args)) - handled)
    if has_key and request.method == "POST" and not handled & set(request.args):
        missing = missing or sorted(request.args) or ["an object"]
    if missing:
        raise ApiError("NotImplemented", f"The sandbox has no {request.method} of {missing[0]} in S3.", status=501)


@cache
def _sub_resources() -> frozenset[str]:
    """The names in query strings that choose an action, as ``/{Bucket}?policy``, of botocore's model."""
    service = get_service_model("s3")
    found = set()
    for name in service.operation_names:
        _, _, query = service.operation_model(name).http["requestUri"].partition("?")
        found |= {key for key, value in parse_qsl(query, keep_blank_values=True) if not value}
    return frozenset(found)


def _elsewhere(self: Any, request: Any, full_url: str, name: str) -> tuple[int, dict[str, str], str] | None:
    """The answer for a bucket of another Region than the one asked, None for the same."""
    creates = request.method == "PUT" and not self.parse_key_name() and not set(request.args) & _sub_resources()
    if creates or "location" in request.args:
        return None
    account = models.s3_backends.bucket_accounts.get(name, ("", ""))[1]
    found = models.s3_backends[account][self.partition].buckets.get(name) if account else None
    asked = (
        parse_region_from_url(full_url, use_default_region=False)
        or extract_region_from_aws_authorization(request.headers.get("Authorization", ""))
        or (request.args.get("X-Amz-Credential", "").split("/") + [""] * 5)[2]
    )
    if found is None or not asked or found.region_name == asked:
        return None
    host = f"{name}.s3.{found.region_name}.amazonaws.com"
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>PermanentRedirect</Code><Message>The bucket you are '
        "attempting to access must be addressed using the specified endpoint. Please send all future requests to this "
        f"endpoint.</Message><Endpoint>{host}</Endpoint><Bucket>{name}</Bucket></Error>"
    )
    return 301, {"x-amz-bucket-region": found.region_name, "content-type": "application/xml"}, body


def _require_numbers(query: Any) -> None:
    for name in ("max-keys", "max-uploads"):
        given = query.get(name)
        if given is not None and (not re.fullmatch(r"-?\d{1,12}", given) or not 0 <= int(given) < 1 << 31):
            raise ApiError("InvalidArgument", f"Provided {name} not an integer or within integer range")


def _get_bucket_encryption(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_bucket_encryption(self: Any, bucket_name: str) -> Any:
        return original(self, bucket_name) or _DEFAULT

    return get_bucket_encryption


def _effective(bucket: Any, method: str | None, key: str | None) -> tuple[str, str | None]:
    """How an object is encrypted that asks for `method`, or for nothing."""
    if method:
        return method, key
    default = ((bucket.encryption or _DEFAULT)["Rule"]).get("ApplyServerSideEncryptionByDefault") or {}
    return default.get("SSEAlgorithm") or "AES256", key or default.get("KMSMasterKeyID")


def _encrypted(original: Callable[..., Any]) -> Callable[..., Any]:
    def put_object(self: Any, bucket_name: str, *args: Any, **kwargs: Any) -> Any:
        bucket = self.get_bucket(bucket_name)
        method, key = _effective(bucket, kwargs.get("encryption"), kwargs.get("kms_key_id"))
        return original(self, bucket_name, *args, **{**kwargs, "encryption": method, "kms_key_id": key})

    return put_object


def _copy_object(original: Callable[..., Any]) -> Callable[..., Any]:
    """A copy is of one piece, however its source was made."""

    def copy_object(
        self: Any, src_key: Any, dest_bucket_name: str, dest_key_name: str, *args: Any, **kwargs: Any
    ) -> Any:
        original(self, src_key, dest_bucket_name, dest_key_name, *args, **kwargs)
        copied = self.get_object(dest_bucket_name, dest_key_name)
        copied.multipart = None
        if copied.checksum_value and src_key.checksum_type == "COMPOSITE":
            copied.checksum_value = s3_checksums.checksum(copied.checksum_algorithm, stored(copied)) or None
        copied.checksum_type = "FULL_OBJECT" if copied.checksum_value else None

    return copy_object


def _create_upload(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    def create_multipart_upload(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        bucket = given["self"].get_bucket(given["bucket_name"])
        method, key = _effective(bucket, given["sse_encryption"], given["kms_key_id"])
        acl = given["acl"] or models.get_canned_acl("private")
        return original(**given | {"acl": acl, "sse_encryption": method, "kms_key_id": key})

    return create_multipart_upload


def _list_objects_v2(original: Callable[..., Any]) -> Callable[..., Any]:
    def list_objects_v2(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = kwargs.get("continuation_token")
        if token and token not in self._pagination_tokens:
            raise InvalidContinuationToken
        return original(self, *args, **kwargs)

    return list_objects_v2


def _put_object(original: Callable[..., Any]) -> Callable[..., Any]:
    def put_object(self: Any) -> Any:
        status, headers, body = original(self)
        received = self.vmie_received
        if received is not None and received.algorithm:
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
            key = self.backend.get_object(self.bucket_name, self.parse_key_name())
            if key is not None:
                key.checksum_type = "FULL_OBJECT"
        return status, headers, body

    return put_object


def _head_object(original: Callable[..., Any]) -> Callable[..., Any]:
    def head_object(self: Any, bucket_name: str, query: dict[str, Any], key_name: str, headers: Any) -> Any:
        version = query.get("versionId", [None])[0]
        status = self.backend.get_bucket(bucket_name).versioning_status
        if version and (status == "Suspended" or (status is None and version == "null")):
            # moto refuses any version there; a GET finds the one called null and those of before
            status, found, _ = self.get_object()
            return status, found, ""
        status, found, body = original(self, bucket_name, query, key_name, headers=headers)
        key = self.backend.get_object(bucket_name, key_name, version_id=version) if status == 200 else None
        if key is not None and key.checksum_algorithm and headers.get("x-amz-checksum-mode") == "ENABLED":
            found[f"x-amz-checksum-{key.checksum_algorithm.lower()}"] = s3_uploads.qualified(key)
            if key.checksum_type:
                found["x-amz-checksum-type"] = key.checksum_type
        return status, found, body

    return head_object


def _range(original: Callable[..., Any]) -> Callable[..., Any]:
    """S3 sends all of an object where it cannot read a range."""

    def handle(self: Any, request: Any, response_headers: dict[str, Any], response_content: Any) -> Any:
        if not re.fullmatch(r"bytes=(\d*-\d*)(,.*)?", request.headers.get("range", "").replace(" ", "")):
            return 200, response_headers, response_content
        return original(self, request, response_headers, response_content)

    return handle


def _of_list(self: Any, result: dict[str, Any]) -> None:
    """Every name is encoded, where the client asks for that, not the keys alone."""
    marker = self.querystring.get("marker", [None])[0]
    if self.data.get("Action") == "ListObjects":
        result["Marker"] = marker or ""
    if result.get("EncodingType") != "url":
        return
    names = ("Delimiter", "StartAfter", "Marker", "NextMarker")
    first = self.data.get("Action") == "ListObjects"
    for name in (*names, "Prefix") if first else names:
        if result.get(name):
            result[name] = quote(result[name])
    if first:
        result["CommonPrefixes"] = [{"Prefix": quote(one["Prefix"])} for one in result.get("CommonPrefixes", ())]


def _of_deleted(self: Any, result: dict[str, Any]) -> None:
    if re.search(rb"<Quiet>\s*true\s*</Quiet>", self.body):
        result["Deleted"] = []
