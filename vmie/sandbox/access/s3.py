"""What calls of S3 need: the bucket or object, what is copied, tagged or shared, and the key that encrypts it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import defusedxml.ElementTree
from moto.s3.models import s3_backends
from moto.utilities.utils import get_partition

from vmie import partitions
from vmie.policy.authorize import Guard
from vmie.sandbox.access import kms
from vmie.sandbox.access.asks import Ask
from vmie.sandbox.access.request import ApiRequest
from vmie.sandbox.access.s3_actions import HEADERS, LISTING, of_bucket, of_object
from vmie.sandbox.service import account_state
from vmie.sandbox.service.account_state import BucketState

_ENCRYPTION = "x-amz-server-side-encryption"
_KEY = f"{_ENCRYPTION}-aws-kms-key-id"
_WRITING = ("s3:PutObject",)


def asks(request: ApiRequest) -> Iterator[Ask]:
    """Everything that has to be allowed for the call; keys to delete are asked for one by one, by `deletion`."""
    name, key = request.object
    if not name:
        yield Ask("s3:ListAllMyBuckets", f"arn:{request.partition}:s3:::*", _common(request))
        return
    bucket = account_state.bucket(name, partition=request.partition)
    guard = Guard(bucket.policy, bucket.account) if bucket else Guard()
    arn = f"arn:{request.partition}:s3:::{name}"
    context = {**_common(request), **_headers(request), **_owner(bucket)}
    if key:
        yield from _of_object(request, bucket, guard, f"{arn}/{key}", context)
    elif not (request.method == "POST" and "delete" in request.query):
        yield from _of_bucket(request, guard, arn, context)


def deletion(request: ApiRequest, key: str, version: str = "") -> Ask:
    """The right to remove one of the keys that DeleteObjects names."""
    name, _ = request.object
    bucket = account_state.bucket(name, partition=request.partition)
    guard = Guard(bucket.policy, bucket.account) if bucket else Guard()
    context = {**_common(request), **_owner(bucket), **({"s3:VersionId": version} if version else {})}
    action = "s3:DeleteObjectVersion" if version else "s3:DeleteObject"
    return Ask(action, f"arn:{request.partition}:s3:::{name}/{key}", context, guard)


def listing(request: ApiRequest) -> Ask | None:
    """The right without which a missing object looks forbidden; None for an object that is there, or another call.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    name, key = request.object
    bucket = account_state.bucket(name, partition=request.partition)
    if request.method not in ("GET", "HEAD") or not key or bucket is None:
        return None
    stored = s3_backends[bucket.account][request.partition].buckets[name].keys
    if key in stored:
        return None
    return Ask("s3:ListBucket", f"arn:{request.partition}:s3:::{name}", _common(request), _guard(bucket))


def _guard(bucket: BucketState) -> Guard:
    return Guard(bucket.policy, bucket.account)


def _of_bucket(request: ApiRequest, guard: Guard, arn: str, context: dict[str, Any]) -> Iterator[Ask]:
    action = of_bucket(request.method, request.query)
    if action.startswith("List"):
        context |= {f"s3:{one}": request.query[one] for one in LISTING if one in request.query}
    if action == "CreateBucket":
        yield Ask("s3:CreateBucket", arn, {**context, **_place(request)})
        if "x-amz-object-ownership" in request.headers:
            yield Ask("s3:PutBucketOwnershipControls", arn, context)
        return
    yield Ask(f"s3:{action}", arn, context, guard, rescue=action.endswith("BucketPolicy"))


def _of_object(
    request: ApiRequest, bucket: BucketState | None, guard: Guard, arn: str, context: dict[str, Any]
) -> Iterator[Ask]:
    action = f"s3:{of_object(request.method, request.query)}"
    if "versionId" in request.query:
        context["s3:VersionId"] = request.query["versionId"]
    context |= _of_upload(request, bucket)
    context |= {f"s3:ExistingObjectTag/{key}": value for key, value in _tags(bucket, request.object[1]).items()}
    new = _tags_set(request)
    context |= {f"s3:RequestObjectTag/{key}": value for key, value in new.items()}
    if new:
        context["s3:RequestObjectTagKeys"] = tuple(new)
    yield Ask(action, arn, context, guard)
    if action == "s3:GetObjectAttributes":
        yield Ask("s3:GetObject", arn, context, guard)
    first = action in _WRITING and "uploadId" not in request.query
    if first and any(header == "x-amz-acl" or header.startswith("x-amz-grant-") for header in request.headers):
        yield Ask("s3:PutObjectAcl", arn, context, guard)
    if first and new:
        yield Ask("s3:PutObjectTagging", arn, context, guard)
    if source := request.headers.get("x-amz-copy-source", ""):
        yield from _copied(request, source)
    yield from _keys(request, bucket, action, arn, context)


def _copied(request: ApiRequest, source: str) -> Iterator[Ask]:
    path, _, query = source.partition("?")
    name, _, key = unquote(path).lstrip("/").partition("/")
    bucket = account_state.bucket(name, partition=request.partition)
    if bucket is None:
        return
    version = (parse_qs(query).get("versionId") or [""])[0]
    context = {**_common(request), **_owner(bucket), **({"s3:VersionId": version} if version else {})}
    arn = f"arn:{request.partition}:s3:::{name}/{key}"
    yield Ask("s3:GetObjectVersion" if version else "s3:GetObject", arn, context, _guard(bucket))
    yield from _unlocked(request, bucket, key, arn)


def _keys(
    request: ApiRequest, bucket: BucketState | None, action: str, arn: str, context: Mapping[str, Any]
) -> Iterator[Ask]:
    """What S3 does with a KMS key for the caller.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
    """
    if bucket is None:
        return
    if action in ("s3:GetObject", "s3:GetObjectVersion") and not request.query.keys() & {"acl", "tagging"}:
        yield from _unlocked(request, bucket, request.object[1], arn)
    elif action in _WRITING:
        form = str(context.get(f"s3:{_ENCRYPTION}") or "")
        name = str(context.get(f"s3:{_KEY}") or "") if form else bucket.kms_key
        if name and (not form or form.startswith("aws:kms")):
            needed = ("kms:GenerateDataKey", "kms:Decrypt") if "uploadId" in request.query else ("kms:GenerateDataKey",)
            for one in needed:
                yield from kms.on_key(request, one, name, _via(request, bucket, arn))


def _unlocked(request: ApiRequest, bucket: BucketState, key: str, arn: str) -> Iterator[Ask]:
    found = s3_backends[bucket.account][request.partition].buckets[bucket.name].keys.get(key)
    if getattr(found, "kms_key_id", None) and str(found.encryption or "").startswith("aws:kms"):
        yield from kms.on_key(request, "kms:Decrypt", found.kms_key_id, _via(request, bucket, arn))


def _via(request: ApiRequest, bucket: BucketState, arn: str) -> dict[str, str]:
    return {
        "kms:ViaService": f"s3.{bucket.region}.{partitions.named(request.partition).suffix}",
        "kms:EncryptionContext:aws:s3:arn": arn,
        "kms:EncryptionContextKeys": "aws:s3:arn",
    }


def _common(request: ApiRequest) -> dict[str, Any]:
    signed = "X-Amz-Signature" in request.query
    return {
        "s3:authType": "REST-QUERY-STRING" if signed else "REST-HEADER",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
        **({"s3:TlsVersion": "1.3"} if request.secure else {}),
    }


def _headers(request: ApiRequest) -> dict[str, Any]:
    given = {key.lower(): value for key, value in request.query.items()} | dict(request.headers)
    found = {f"s3:{one}": given[one] for one in HEADERS if one in given}
    found |= {f"s3:{one}": given[one] for one in ("if-none-match", "if-match") if one in request.headers}
    for one in ("mode", "legal-hold", "retain-until-date"):
        if value := request.headers.get(f"x-amz-object-lock-{one}"):
            found[f"s3:object-lock-{one}"] = value
    return found


def _owner(bucket: BucketState | None) -> dict[str, str]:
    return {"s3:ResourceAccount": bucket.account, "aws:ResourceAccount": bucket.account} if bucket else {}


def _of_upload(request: ApiRequest, bucket: BucketState | None) -> dict[str, str]:
    """A part has no headers of its own: the upload's encryption, class and ACL are the object's."""
    number = request.query.get("uploadId", "")
    if bucket is None or not number:
        return {}
    backend = s3_backends[bucket.account][request.partition]
    upload: Any = backend.buckets[bucket.name].multiparts.get(number)
    values = {
        _ENCRYPTION: getattr(upload, "sse_encryption", None),
        _KEY: getattr(upload, "kms_key_id", None),
        "x-amz-storage-class": getattr(upload, "storage", None),
    }
    return {f"s3:{key}": str(value) for key, value in values.items() if value}


def _tags_set(request: ApiRequest) -> dict[str, str]:
    header = request.headers.get("x-amz-tagging", "")
    return {key: values[0] for key, values in parse_qs(header, keep_blank_values=True).items()}


def _tags(bucket: BucketState | None, key: str) -> dict[str, str]:
    if bucket is None:
        return {}
    backend = s3_backends[bucket.account][str(get_partition(bucket.region))]
    found: Any = backend.buckets[bucket.name].keys.get(key)
    return dict(backend.tagger.get_tag_dict_for_resource(found.arn)) if getattr(found, "arn", None) else {}


def _place(request: ApiRequest) -> dict[str, str]:
    """The Region that a new bucket is asked for, in its body."""
    if not request.body or len(request.body) > 1 << 16:
        return {}
    try:
        root = defusedxml.ElementTree.fromstring(request.body)
    except (defusedxml.ElementTree.ParseError, defusedxml.DefusedXmlException, ValueError):
        return {}
    found = [one.text or "" for one in root.iter() if re.fullmatch(r"(\{.*\})?LocationConstraint", str(one.tag))]
    return {"s3:LocationConstraint": found[0]} if found else {}
