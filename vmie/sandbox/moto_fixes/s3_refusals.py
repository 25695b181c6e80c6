"""What S3 refuses and moto takes: names, sizes, policies of other buckets, keys of KMS that are not there.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
"""

from __future__ import annotations

import fnmatch
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from moto.s3 import models, responses
from moto.s3.exceptions import InvalidBucketName
from moto.utilities.utils import get_partition

from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.moto_fixes import kms, s3_checksums
from vmie.sandbox.patching import Patcher

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")
_RESERVED_BEGINS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_KEY_BYTES = 1024
_METADATA_BYTES = 2 << 10
_POLICY_BYTES = 20 << 10
_OBJECT_BYTES = 5 << 30
_TAGS = {"bucket": 50, "object": 10}
_METHODS = ("AES256", "aws:kms", "aws:kms:dsse")


_LARGE_COPY = "The specified copy source is larger than the maximum allowable size for a copy source: {}"


def install(patcher: Patcher) -> None:
    """Put the checks before moto's actions."""
    backend, response = models.S3Backend, responses.S3Response
    patcher.attribute(backend, "create_bucket", _create_bucket(backend.create_bucket))
    patcher.attribute(backend, "put_bucket_policy", _put_bucket_policy(backend.put_bucket_policy))
    patcher.attribute(backend, "put_bucket_tagging", _put_bucket_tagging(backend.put_bucket_tagging))
    patcher.attribute(backend, "put_object_tagging", _put_object_tagging(backend.put_object_tagging))
    patcher.attribute(backend, "copy_object", _copy_object(backend.copy_object))
    patcher.attribute(response, "_key_response", _key_response(response._key_response))  # noqa: SLF001


def _create_bucket(original: Callable[..., Any]) -> Callable[..., Any]:
    def create_bucket(self: Any, bucket_name: str, *args: Any, **kwargs: Any) -> Any:
        if not is_bucket_name(bucket_name):
            raise InvalidBucketName
        return original(self, bucket_name, *args, **kwargs)

    return create_bucket


def is_bucket_name(name: str) -> bool:
    """May a general purpose bucket be called so?"""
    if not _NAME.fullmatch(name) or name.startswith(_RESERVED_BEGINS) or name.endswith(_RESERVED_ENDS):
        return False
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return True
    return False


def _put_bucket_policy(original: Callable[..., Any]) -> Callable[..., Any]:
    def put_bucket_policy(self: Any, bucket_name: str, policy: bytes) -> Any:
        require_policy(policy, bucket=self.get_bucket(bucket_name))
        return original(self, bucket_name, policy)

    return put_bucket_policy


def require_policy(policy: bytes, *, bucket: Any) -> None:
    """Raise ApiError for a policy that S3 would not attach to `bucket`."""
    if len(policy) > _POLICY_BYTES:
        raise ApiError("PolicyTooLarge", "Policy exceeds the maximum allowed document size.")
    try:
        document = json.loads(policy)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'")
    statements = document.get("Statement")
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        raise _malformed("Missing required field Statement")
    for statement in statements:
        if not isinstance(statement, dict):
            raise _malformed("This policy contains invalid Json")
        if statement.get("Effect") not in ("Allow", "Deny"):
            raise _malformed("Missing required field Effect")
        if "Principal" not in statement and "NotPrincipal" not in statement:
            raise _malformed("Missing required field Principal")
        if "Action" not in statement and "NotAction" not in statement:
            raise _malformed("Missing required field Action")
        _require_resources(statement, bucket.arn)


def _require_resources(statement: Mapping[str, Any], arn: str) -> None:
    named = next((statement[name] for name in ("Resource", "NotResource") if name in statement), None)
    if named is None:
        raise _malformed("Missing required field Resource")
    named = [named] if isinstance(named, str) else named
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise _malformed("Policy has invalid resource")
    for resource in named:
        pattern = resource.partition("/")[0]
        # a wildcard may stand for this bucket, alone or in the ARN
        if pattern != "*" and not fnmatch.fnmatchcase(arn, pattern.replace("[", "[[]")):
            raise _malformed("Policy has invalid resource")


def _malformed(message: str) -> ApiError:
    return ApiError("MalformedPolicy", message)


def _put_bucket_tagging(original: Callable[..., Any]) -> Callable[..., Any]:
    def put_bucket_tagging(self: Any, bucket_name: str, tags: dict[str, str]) -> Any:
        _require_tags(tags, "bucket")
        return original(self, bucket_name, tags)

    return put_bucket_tagging


def _put_object_tagging(original: Callable[..., Any]) -> Callable[..., Any]:
    def put_object_tagging(self: Any, key: Any, tags: dict[str, str] | None) -> Any:
        given = tags or {}
        _require_tags(given, "object")
        # moto takes every key that begins with aws for one of AWS's own, which begin with aws:
        mistaken = {name: value for name, value in given.items() if re.match("aws(?!:)", name)}
        answer = original(self, key, {name: value for name, value in given.items() if name not in mistaken})
        if mistaken:
            self.tagger.tag_resource(key.arn, self.tagger.convert_dict_to_tags_input(mistaken))
        return answer

    return put_object_tagging


def _require_tags(tags: Mapping[str, str], on: str) -> None:
    if len(tags) > _TAGS[on]:
        raise ApiError("BadRequest", f"{on.title()} tags cannot be greater than {_TAGS[on]}")
    for name, value in tags.items():
        if not 1 <= len(name) <= 128:
            raise ApiError("InvalidTag", "The TagKey you have provided is invalid")
        if len(value or "") > 256:
            raise ApiError("InvalidTag", "The TagValue you have provided is invalid")


def _copy_object(original: Callable[..., Any]) -> Callable[..., Any]:
    def copy_object(self: Any, src_key: Any, *args: Any, **kwargs: Any) -> Any:
        if src_key.size > _OBJECT_BYTES:
            raise ApiError("InvalidRequest", _LARGE_COPY.format(_OBJECT_BYTES))
        return original(self, src_key, *args, **kwargs)

    return copy_object


def _key_response(original: Callable[..., Any]) -> Callable[..., Any]:
    def respond(self: Any, request: Any, full_url: str) -> Any:
        if len(self.parse_key_name().encode("utf-8", "surrogateescape")) > _KEY_BYTES:
            raise ApiError("KeyTooLongError", "Your key is too long")
        adds = request.method == "PUT" and not any(name in request.args for name in ("acl", "tagging", "retention"))
        if adds or (request.method == "POST" and "uploads" in request.args):
            _require_metadata(request.headers)
            _require_size(self, request)
            if "uploadId" not in request.args:
                # before the bytes are kept: an object whose tags are refused is not there afterwards
                _require_tags(self._tagging_from_headers(request.headers) or {}, "object")
                _require_encryption(self, request.headers)
                if "uploads" in request.args:
                    s3_checksums.kind_of({name.lower(): value for name, value in request.headers.items()})
        return original(self, request, full_url)

    return respond


def _require_metadata(headers: Any) -> None:
    """Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html#UserMetadata."""
    prefix = "x-amz-meta-"
    total = sum(
        len(name[len(prefix) :].encode()) + len(value.encode("utf-8", "surrogateescape"))
        for name, value in headers.items()
        if name.lower().startswith(prefix)
    )
    if total > _METADATA_BYTES:
        raise ApiError("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")


def _require_size(self: Any, request: Any) -> None:
    received = self.vmie_received
    if received is not None and received.content.size > _OBJECT_BYTES:
        raise ApiError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")


def _require_encryption(self: Any, headers: Any) -> None:
    method = headers.get("x-amz-server-side-encryption")
    key = headers.get("x-amz-server-side-encryption-aws-kms-key-id")
    if method is not None and method not in _METHODS:
        supported = json.dumps(_METHODS, separators=(",", ":"))
        raise ApiError(
            "InvalidEncryptionAlgorithmError",
            f"The encryption request you specified is not valid. Supported values: {supported}",
        )
    if key and not (method or "").startswith("aws:kms"):
        raise ApiError(
            "InvalidArgument",
            "Server Side Encryption with AWS KMS managed key requires HTTP header "
            "x-amz-server-side-encryption : aws:kms",
        )
    bucket = self.backend.get_bucket(self.bucket_name)
    rule = ((bucket.encryption or {}).get("Rule") or {}).get("ApplyServerSideEncryptionByDefault") or {}
    if method is None and str(rule.get("SSEAlgorithm", "")).startswith("aws:kms"):
        key = rule.get("KMSMasterKeyID")
    if key:
        require_key(key, account=self.current_account, region=bucket.region_name)


def require_key(name: str, *, account: str, region: str) -> None:
    """Raise ApiError for a key of KMS that cannot encrypt an object in `region`."""
    if name.startswith("arn:"):
        if len(parts := name.split(":", 5)) < 6 or parts[3] != region:
            raise ApiError("KMS.NotFoundException", f"Invalid arn {parts[3] if len(parts) > 3 else name}")
        account, arn = parts[4], name
    else:
        arn = f"arn:{get_partition(region)}:kms:{region}:{account}:{name if '/' in name else f'key/{name}'}"
    found = kms.find(name, account=account, region=region)
    if found is None and "alias/aws/" in arn:
        return  # AWS makes its own keys when they are first asked for
    if found is None:
        kind = "Alias" if ":alias/" in arn else "Key"
        raise ApiError(
            "KMS.NotFoundException", f"{kind} {arn} is not found." if kind == "Alias" else f"Key '{arn}' does not exist"
        )
    if found.key_state == "PendingDeletion":
        raise ApiError("KMS.KMSInvalidStateException", f"{found.arn} is pending deletion.")
    if not found.enabled:
        raise ApiError("KMS.DisabledException", f"{found.arn} is disabled.")
