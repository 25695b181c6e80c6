"""moto's S3 made fit for disks, and as particular as AWS: its parts, and how a request passes through them."""

from __future__ import annotations

import io
from typing import Any

from moto.core import botocore_stubber
from moto.core.request import Request
from moto.s3 import models, responses
from moto.s3.exceptions import S3AccessDeniedError

from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.moto_fixes import s3_answers, s3_body, s3_checksums, s3_refusals, s3_storage, s3_versions
from vmie.sandbox.moto_fixes.s3_storage import stored
from vmie.sandbox.patching import Patcher
from vmie.sandbox.storage import IN_MEMORY, LazyBytes

__all__ = ["install", "stored"]

#: what an object's own requests may set, besides its bytes
_SETTINGS = ("acl", "tagging", "retention", "legal-hold")


def install(patcher: Patcher) -> None:
    """Attach them."""
    s3_storage.install(patcher)
    s3_versions.install(patcher)
    s3_refusals.install(patcher)
    s3_answers.install(patcher)
    for module in (models, responses):
        patcher.attribute(module, "compute_checksum", s3_checksums.of_any)
    response = responses.S3Response
    patcher.attribute(response, "setup_class", _setup_class(response.setup_class))
    for name in ("_handle_encoded_body", "_handle_v4_chunk_signatures"):
        patcher.attribute(response, name, _decoded_before)
    for name in ("_bucket_response", "_key_response"):
        patcher.attribute(response, name, _owned(getattr(response, name)))
    for name in ("bucket_response", "key_response"):
        patcher.attribute(response, name, _whole(getattr(response, name)))
    patcher.attribute(botocore_stubber, "normalize_request", _normalize(vars(botocore_stubber)["normalize_request"]))


def _normalize(original: Any) -> Any:
    """A body that botocore would read from a file is read from it here too, and not into memory first."""

    def normalize(request: Any) -> Any:
        body = getattr(request, "body", None)
        if isinstance(request, Request) or not hasattr(body, "read"):
            return original(request)
        made = Request.from_primitives(request.method, request.url, request.headers, b"")
        made.environ |= {"wsgi.input": body, "wsgi.input_terminated": True}
        return made

    return normalize


def _setup_class(original: Any) -> Any:
    def setup_class(self: Any, request: Any, full_url: str | None = None, headers: Any = None) -> None:
        self.vmie_received = None
        # of POST only DeleteObjects says in its headers what its body is; others say what will become of an upload
        received = None
        if request.method == "PUT" or (request.method == "POST" and "delete" in request.args):
            received = self.vmie_received = s3_body.receive(request)
            large = received.content.size > IN_MEMORY
            request._cached_data = b"" if large else received.content.pread(0, IN_MEMORY)  # noqa: SLF001
        original(self, request, full_url, headers)
        # an error that comes before moto knows the action is written as one of this
        self.data.setdefault("Action", "PutObject")
        if received is None:
            return
        if large:
            if not self.parse_key_name() or any(name in request.args for name in _SETTINGS):
                raise ApiError("MaxMessageLengthExceeded", "Your request was too big.")
            self.body = self.raw_body = LazyBytes.of(received.content)
        elif request.method == "PUT":
            self.body = self.raw_body = request._cached_data  # noqa: SLF001

    return setup_class


def _decoded_before(self: Any, body: bytes, *_: Any) -> bytes:
    return body


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


def _forget_body(request: Any) -> None:
    """A request and its environment refer to each other: until the collector runs, every part sent stays in memory."""
    for name in ("data", "_cached_data", "stream"):
        vars(request).pop(name, None)
    request.environ["wsgi.input"] = io.BytesIO()


def _whole(original: Any) -> Any:
    def respond(self: Any, request: Any, full_url: str, headers: dict[str, Any]) -> Any:
        try:
            # POST is SelectObjectContent too, which looks into what it reads
            if request.method == "POST":
                answer = original(self, request, full_url, headers)
            else:
                with s3_storage.unread():
                    answer = original(self, request, full_url, headers)
        except ApiError as error:
            answer = error.document("s3")
        finally:
            _forget_body(request)
        status, answer_headers, body = answer
        if request.method == "HEAD":
            body = b""
        return status, answer_headers, s3_storage.sendable(body, to_server=request.from_wsgi_server)

    return respond
