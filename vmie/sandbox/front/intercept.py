"""The sandbox in this process: botocore's requests are answered before they become HTTP, and none gets out."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

from botocore import handlers
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError
from botocore.httpsession import URLLib3Session
from botocore.loaders import Loader
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber

from vmie.sandbox import api_errors, appearance
from vmie.sandbox.access.request import ApiRequest, wants_body
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.emulator import Emulator
from vmie.sandbox.fault_injection import ApiCall
from vmie.sandbox.front.identify import identify
from vmie.sandbox.moto_fixes import s3_storage
from vmie.sandbox.patching import Patcher
from vmie.sandbox.service import services
from vmie.sandbox.service.ebs.http import EbsRequest
from vmie.sandbox.storage import BlobReader, LazyBytes

_SEND = URLLib3Session.send
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
#: where instances and containers get credentials
_METADATA = ("169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23")


def install(patcher: Patcher, emulator: Emulator) -> None:
    """Answer in place of botocore's HTTP: for clients that were made before, too, and those made without moto."""

    def answered(session: Any, request: Any) -> Any:
        with emulator.answering():
            answer = _answer(emulator, request)
        if answer is None and urlsplit(request.url).hostname in _LOOPBACK:
            return _SEND(session, request)
        if answer is None:
            raise EndpointConnectionError(endpoint_url=request.url, error="the sandbox lets no request out")
        status, headers, body = answer
        raw = BlobReader(body.stored) if isinstance(body, LazyBytes) else MockRawResponse(body)
        return AWSResponse(request.url, status, cast("HTTPHeaders", headers), raw)

    patcher.attribute(URLLib3Session, "send", answered)
    patcher.attribute(socket, "getaddrinfo", _without_aws(socket.getaddrinfo))
    patcher.attribute(handlers, "BUILTIN_HANDLERS", [*handlers.BUILTIN_HANDLERS, ("before-send", _only_inside)])


def _only_inside(**_: Any) -> None:
    """For clients that were made in a sandbox: with the credentials that they have, AWS is not to be asked later."""
    if URLLib3Session.send is _SEND and not botocore_stubber.enabled:
        raise RuntimeError("the sandbox in which this client was made has ended")


def _answer(emulator: Emulator, request: Any) -> tuple[int, dict[str, Any], Any] | None:
    headers = {str(name).lower(): _text(value) for name, value in request.headers.items()}
    body = _small(request, headers)
    call = identify(request.method, request.url, headers, _form(body, headers))
    secure = not request.url.startswith("http:")
    if refusal := emulator.before(ApiRequest(call, request.method, request.url, headers, body, secure=secure)):
        return refusal.document(call.service, call.protocol)
    try:
        with appearance.asked(call.action):
            ebs = call.service == "ebs"
            answer = _ebs_direct(emulator, call, request, headers) if ebs else _from_moto(request, call)
    except ApiError as error:
        return error.document(call.service, call.protocol)
    if answer is None:
        return None
    lost = emulator.after(call)
    if lost == "reset":
        raise ConnectionClosedError(endpoint_url=request.url)
    return api_errors.internal_error().document(call.service, call.protocol) if lost else answer


def _ebs_direct(emulator: Emulator, call: ApiCall, request: Any, headers: dict[str, str]) -> Any:
    body = request.body
    read = body.read if hasattr(body, "read") else io.BytesIO(body.encode() if isinstance(body, str) else body).read
    return emulator.ebs_direct(EbsRequest(call, request.method, request.url, headers, read))


def _from_moto(request: Any, call: ApiCall) -> Any:
    try:
        with s3_storage.streaming():
            return botocore_stubber.process_request(request)
    except NotImplementedError as error:
        raise services.missing_action(call) from error


def _without_aws(look_up: Callable[..., Any]) -> Callable[..., Any]:
    """Whatever else this process has for HTTP finds no address of AWS."""
    suffixes = tuple(f".{suffix}" for suffix in _suffixes())

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = _text(host).rstrip(".").lower() if isinstance(host, str | bytes) else ""
        if name.endswith(suffixes) or name in _METADATA:
            raise socket.gaierror(socket.EAI_NONAME, f"the sandbox lets no request out: {name}")
        return look_up(host, *args, **kwargs)

    return getaddrinfo


def _suffixes() -> set[str]:
    partitions = Loader().load_data("partitions")["partitions"]
    found = {one["outputs"][name] for one in partitions for name in ("dnsSuffix", "dualStackDnsSuffix")}
    return found - {""}


def _small(request: Any, headers: dict[str, str]) -> bytes:
    """The body, where permissions hang on it; else nothing."""
    body = request.body
    if not isinstance(body, str | bytes) or not wants_body(request.method, headers, len(body)):
        return b""
    return body.encode() if isinstance(body, str) else body


def _form(body: bytes, headers: dict[str, str]) -> str:
    """The body of a query-protocol request, which is small; "" for anything else."""
    return _text(body) if "form" in headers.get("content-type", "") else ""


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
