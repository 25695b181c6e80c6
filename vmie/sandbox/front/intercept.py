"""The sandbox in this process: botocore's requests are answered before they become HTTP, and none gets out."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError
from moto.core.models import botocore_stubber

from vmie.sandbox import api_errors
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.appearance import asked
from vmie.sandbox.emulator import Emulator
from vmie.sandbox.fault_injection import ApiCall
from vmie.sandbox.front.identify import identify
from vmie.sandbox.patching import Patcher
from vmie.sandbox.service import services
from vmie.sandbox.service.ebs.http import EbsRequest

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def install(patcher: Patcher, emulator: Emulator) -> None:
    """Put fault injection in front of moto's stub of botocore."""
    process = botocore_stubber.process_request

    def process_request(request: Any) -> Any:
        with emulator.answering():
            return answered(request)

    def answered(request: Any) -> Any:
        headers = {str(name).lower(): _text(value) for name, value in request.headers.items()}
        call = identify(request.method, request.url, headers, _form(request.body, headers))
        if answer := emulator.before(call):
            return answer.document(call.service, call.protocol)
        with asked(call.action):
            response = ebs_direct(call, request, headers) if call.service == "ebs" else moto_answers(call, request)
        if response is None and urlsplit(request.url).hostname not in _LOOPBACK:
            raise EndpointConnectionError(endpoint_url=request.url, error="the sandbox lets no request out")
        lost = emulator.after(call)
        if lost == "reset":
            raise ConnectionClosedError(endpoint_url=request.url)
        if lost:
            return api_errors.internal_error().document(call.service, call.protocol)
        return response

    def moto_answers(call: ApiCall, request: Any) -> Any:
        try:
            return process(request)
        except NotImplementedError:
            return services.missing_action(call).document(call.service, call.protocol)

    def ebs_direct(call: ApiCall, request: Any, headers: dict[str, str]) -> Any:
        body = request.body
        read = body.read if hasattr(body, "read") else io.BytesIO(body.encode() if isinstance(body, str) else body).read
        try:
            return emulator.ebs_direct(EbsRequest(call, request.method, request.url, headers, read))
        except ApiError as error:
            return error.document(call.service)

    patcher.attribute(botocore_stubber, "process_request", process_request)
    # moto's own mock_aws would also patch `requests` for every service it knows, which takes a third of a second
    patcher.attribute(botocore_stubber, "enabled", True)


def _form(body: Any, headers: dict[str, str]) -> str:
    """The body of a query-protocol request, which is small; "" for anything else."""
    if "form" not in headers.get("content-type", "") or not isinstance(body, str | bytes):
        return ""
    return _text(body)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
