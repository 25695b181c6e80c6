"""Which action of which service a request is: enough to count it and to inject faults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from vmie.sandbox.fault_injection import ApiCall

_SCOPE = re.compile(r"(?:Credential=|^)([^/\s]+)/\d+/([^/]+)/([^/]+)/aws4_request")
_S3_OBJECT = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
_S3_BUCKET = {"GET": "ListObjects", "HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
#: a query key that names a sub-resource → the noun in the action's name
_S3_NOUNS = {
    "location": "BucketLocation",
    "policy": "BucketPolicy",
    "acl": "Acl",
    "lifecycle": "BucketLifecycleConfiguration",
    "encryption": "BucketEncryption",
    "publicAccessBlock": "PublicAccessBlock",
    "ownershipControls": "BucketOwnershipControls",
    "tagging": "Tagging",
    "versioning": "BucketVersioning",
}
#: (method, whether the upload has an id already)
_UPLOADS = {
    ("POST", False): "CreateMultipartUpload",
    ("GET", False): "ListMultipartUploads",
    ("PUT", True): "UploadPart",
    ("POST", True): "CompleteMultipartUpload",
    ("DELETE", True): "AbortMultipartUpload",
    ("GET", True): "ListParts",
}
#: services whose requests without a body do not show it
_REST_XML = ("route53", "cloudfront", "s3-outposts")
_EBS = (
    (r"^/snapshots$", "StartSnapshot"),
    (r"^/snapshots/completion/", "CompleteSnapshot"),
    (r"^/snapshots/[^/]+/blocks$", "ListSnapshotBlocks"),
    (r"^/snapshots/[^/]+/changedblocks$", "ListChangedBlocks"),
)


def identify(method: str, url: str, headers: Mapping[str, str], body: str) -> ApiCall:
    """The call; `body` is that of a form, "" otherwise. Header names are in lower case."""
    parts = urlsplit(url)
    query = parse_qs(parts.query, keep_blank_values=True)
    signed = _SCOPE.search(headers.get("authorization", "")) or _SCOPE.search(
        (query.get("X-Amz-Credential") or [""])[0]
    )
    service = signed[3] if signed else _service(parts.hostname or "", headers, body)
    action = _action(method, service, parts, query, headers=headers, body=body)
    region, key = (signed[2], signed[1]) if signed else ("", "")
    return ApiCall(service, action, region, key, _protocol(service, headers))


def _protocol(service: str, headers: Mapping[str, str]) -> str:
    """How a service that the sandbox does not have would answer this."""
    form = headers.get("content-type", "")
    if "cbor" in headers.get("smithy-protocol", form):
        return "cbor"
    if service in _REST_XML or "xml" in form:
        return "xml"
    return "" if "form" in form else "json"


def _action(
    method: str,
    service: str,
    parts: SplitResult,
    query: Mapping[str, list[str]],
    *,
    headers: Mapping[str, str],
    body: str,
) -> str:
    if target := headers.get("x-amz-target", ""):
        return target.rpartition(".")[2]
    if action := (parse_qs(body).get("Action") or query.get("Action") or [""])[0]:
        return action
    if service == "ebs":
        named = (name for pattern, name in _EBS if re.search(pattern, parts.path))
        return next(named, "PutSnapshotBlock" if method == "PUT" else "GetSnapshotBlock")
    return _s3(method, parts.hostname or "", unquote(parts.path), query)


def _service(host: str, headers: Mapping[str, str], body: str) -> str:
    if target := headers.get("x-amz-target", ""):
        return target.partition(".")[0]
    if ".s3" in f".{host}" or not body:
        return "s3"
    return host.partition(".")[0]


def _s3(method: str, host: str, path: str, query: Mapping[str, list[str]]) -> str:
    virtual = re.match(r".+\.s3[.-]", host) is not None
    bucket, _, key = path.lstrip("/").partition("/")
    has_key = bool(path.strip("/")) if virtual else bool(key)
    if not virtual and not bucket:
        return "ListBuckets"
    verb = {"GET": "Get", "PUT": "Put", "DELETE": "Delete"}.get(method, method.title())
    for sub, noun in _S3_NOUNS.items():
        if sub in query:
            return verb + (f"Object{noun}" if has_key and noun in ("Acl", "Tagging") else noun)
    if "uploadId" in query or "uploads" in query:
        return _UPLOADS.get((method, "uploadId" in query), method)
    if method == "POST" and "delete" in query:
        return "DeleteObjects"
    if method == "GET" and not has_key and "list-type" in query:
        return "ListObjectsV2"
    return (_S3_OBJECT if has_key else _S3_BUCKET).get(method, method)
