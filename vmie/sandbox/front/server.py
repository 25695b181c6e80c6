"""The sandbox for any AWS client: moto's own HTTP application behind fault injection, on a loopback address only."""

from __future__ import annotations

import io
import json
import logging
import socket
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wsgi import FileWrapper

from vmie.errors import Set, UsageError
from vmie.sandbox import api_errors, appearance
from vmie.sandbox.access.request import BODY_LIMIT, ApiRequest, wants_body
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.emulator import Emulator
from vmie.sandbox.fault_injection import ApiCall
from vmie.sandbox.front import control, worlds
from vmie.sandbox.front.identify import identify
from vmie.sandbox.front.origin import OriginGuard, require_loopback, require_names
from vmie.sandbox.front.signatures import require_signed
from vmie.sandbox.service import services
from vmie.sandbox.service.ebs.http import EbsRequest

_log = logging.getLogger(__name__)
_REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 412: "Precondition Failed"}
#: no page of another origin may embed an answer, or take it for another kind of content
_FOR_BROWSERS = (("Cross-Origin-Resource-Policy", "same-origin"), ("X-Content-Type-Options", "nosniff"))


class FaultMiddleware:
    """WSGI middleware: a refusal of web pages, the control endpoint, signatures of URLs, fault injection."""

    def __init__(self, emulator: Emulator, gate: OriginGuard) -> None:
        self._emulator = emulator
        self._gate = gate
        self._world = -1

    @property
    def _app(self) -> Any:
        """moto's application. It keeps what it finds in moto, so each world has its own."""
        if self._world != self._emulator.world:
            self._moto, self._world = DomainDispatcherApplication(_backend), self._emulator.world
        return self._moto

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """One request."""

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            # moto lets any page read any answer, and S3 whom a bucket's CORS rules name
            kept = [pair for pair in headers if not pair[0].lower().startswith("access-control-")]
            return start_response(status, [*kept, *_FOR_BROWSERS], *rest)

        if reason := self._gate.refusal(environ):
            _drain(environ)
            return _send(start, 403, {"Content-Type": "text/plain"}, f"{reason}\n")
        path = environ.get("PATH_INFO", "")
        if path.startswith(control.PREFIX) or (environ["REQUEST_METHOD"], path) == ("POST", control.MOTO_RESET):
            return self._control(environ, start, path)
        with self._emulator.answering():
            return self._api(environ, start)

    def _control(self, environ: dict[str, Any], start_response: Any, path: str) -> Iterable[bytes]:
        if (environ["REQUEST_METHOD"], path) == ("GET", control.SAVE):
            file = worlds.save(self._emulator)
            size = str(file.seek(0, io.SEEK_END))
            file.seek(0)
            start_response("200 OK", [("Content-Type", "application/x-tar"), ("Content-Length", size)])
            return FileWrapper(file, 1 << 20)
        if (environ["REQUEST_METHOD"], path) == ("POST", control.LOAD):
            return self._load(environ, start_response)
        status, answer = control.respond(environ["REQUEST_METHOD"], path, _body(environ), emulator=self._emulator)
        return _send(start_response, status, {"Content-Type": "application/json"}, json.dumps(answer) + "\n")

    def _load(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        status, answer = 200, {"status": "ok"}
        try:
            worlds.load(self._emulator, environ["wsgi.input"], int(environ.get("CONTENT_LENGTH") or 0))
        except (UsageError, ValueError, OSError) as error:
            status, answer = 400, {"error": str(error)}
        return _send(start_response, status, {"Content-Type": "application/json"}, json.dumps(answer) + "\n")

    def _api(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
            for name, value in environ.items()
            if name.startswith(("HTTP_", "CONTENT_"))
        }
        body, method = b"", environ["REQUEST_METHOD"]
        if wants_body(method, headers, _length(environ)):
            body = _body(environ)
            environ["wsgi.input"] = io.BytesIO(body)
        form = body.decode("utf-8", "replace") if "form-urlencoded" in headers.get("content-type", "") else ""
        host = environ.setdefault("HTTP_HOST", f"localhost:{self._gate.port}")
        asked = environ.get("REQUEST_URI", "/")
        target = asked if asked.startswith("/") else urlsplit(asked)._replace(scheme="", netloc="").geturl()
        url = f"http://{host}{target}"
        call = identify(method, url, headers, form)
        try:
            now, bucket = self._emulator.clock.now(), self._gate.bucket(host)
            require_signed(call, method, url, headers, now=now, bucket=bucket)
            if answer := self._emulator.before(ApiRequest(call, method, url, headers, body, bucket)):
                raise answer
        except ApiError as error:
            _drain(environ)
            return _send(start_response, *error.document(call.service, call.protocol))
        environ["HTTP_HOST"] = self._gate.as_loopback(host)
        try:
            with appearance.asked(call.action):
                ours = call.service == "ebs"
                begun, chunks = self._ebs(environ, call, url, headers) if ours else _answer(self._app, environ, call)
        except ApiError as error:
            return _send(start_response, *error.document(call.service, call.protocol))
        lost = self._emulator.after(call)
        if lost:
            _close(chunks)
        if lost == "reset":
            _reset(environ)
            return []
        if lost:
            return _send(start_response, *api_errors.internal_error().document(call.service, call.protocol))
        start_response(*begun)
        return chunks

    def _ebs(
        self, environ: dict[str, Any], call: ApiCall, url: str, headers: dict[str, str]
    ) -> tuple[Any, list[bytes]]:
        body = _Body(environ)
        try:
            asked = EbsRequest(call, environ["REQUEST_METHOD"], url, headers, body.read)
            status, shown, data = self._emulator.ebs_direct(asked)
        finally:
            body.drain()
        line = f"{status} {_REASONS.get(status, 'OK')}"
        return (line, [*shown.items(), ("Content-Length", str(len(data)))]), [data]


class _Body:
    """A request's body, read once; what is left of it must not be taken for the next request."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._stream = environ["wsgi.input"]
        # chunks end by themselves
        endless = environ.get("wsgi.input_terminated")
        self._left = sys.maxsize if endless else int(environ.get("CONTENT_LENGTH") or 0)

    def read(self, most: int) -> bytes:
        """Up to `most` bytes."""
        data: bytes = self._stream.read(min(most, self._left)) if self._left else b""
        self._left = self._left - len(data) if data else 0
        return data

    def drain(self) -> None:
        """Read the rest."""
        with suppress(OSError, ValueError):
            while self.read(BODY_LIMIT):
                pass


def _backend(service: Any) -> Any:
    """moto's application for a service, where the sandbox has it."""
    if service in services.BACKENDS:
        return create_backend_app(service)

    def refuse(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        _drain(environ)
        raise services.missing(str(service))

    return refuse


def _answer(app: Any, environ: dict[str, Any], call: ApiCall) -> tuple[Any, Iterable[bytes]]:
    """What moto answers, unread; its tracebacks and pages of HTML become ApiError, for clients read none."""
    held: list[Any] = []
    try:
        chunks = app(environ, lambda *args: held.append(args))
    except ApiError:
        raise
    except NotImplementedError as error:
        raise services.missing_action(call) from error
    except Exception as error:
        _log.exception("the sandbox failed to answer %s of %s", call.action, call.service)
        raise ApiError("InternalError", f"The sandbox failed: {type(error).__name__}: {error}", status=500) from error
    if int(held[-1][0].split()[0]) in (404, 405, 500):
        page = list(chunks)
        _close(chunks)
        if page and page[0][:9].lower() == b"<!doctype":
            raise services.missing_action(call)
        return held[-1], page
    return held[-1], chunks


def _close(chunks: Any) -> None:
    """As a WSGI server must, whether it sent them or not."""
    if hasattr(chunks, "close"):
        chunks.close()


class Server:
    """The listening socket and its thread; `url` is the endpoint.

    Raises UsageError for an address that is not loopback or cannot be had.
    """

    def __init__(
        self, emulator: Emulator, *, host: str = "127.0.0.1", port: int = 0, allow_hosts: Iterable[str] = ()
    ) -> None:
        require_loopback(host)
        names = require_names(allow_hosts)
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listening = socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            raise UsageError(
                f"the sandbox cannot listen on {host} port {port}",
                cause=error.strerror or str(error),
                cure=Set("port", note="0 takes a free one"),
            ) from error
        with listening:  # werkzeug takes a copy
            self._server: BaseWSGIServer = make_server(
                host,
                port,
                FaultMiddleware(emulator, OriginGuard(listening.getsockname()[1], names)),
                threaded=True,
                request_handler=MotoRequestHandler,
                fd=listening.fileno(),
            )
        self._thread = threading.Thread(target=self._server.serve_forever, name="vmie-sandbox", daemon=True)

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``."""
        host = self._server.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._server.port}"

    def start(self) -> None:
        """Answer requests in a thread of its own."""
        self._thread.start()

    def join(self) -> None:
        """Wait until `stop` is called or the process is interrupted."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _length(environ: dict[str, Any]) -> int:
    with suppress(ValueError):
        return int(environ.get("CONTENT_LENGTH") or 0)
    return BODY_LIMIT + 1


def _body(environ: dict[str, Any]) -> bytes:
    with suppress(ValueError):
        length = min(int(environ.get("CONTENT_LENGTH") or 0), BODY_LIMIT)
        data: bytes = environ["wsgi.input"].read(length)
        return data
    return b""


def _drain(environ: dict[str, Any]) -> None:
    """Read what the client still sends, or it sees a broken pipe instead of the error."""
    with suppress(OSError, ValueError):
        left = int(environ.get("CONTENT_LENGTH") or 0)
        while left > 0 and (data := environ["wsgi.input"].read(min(left, BODY_LIMIT))):
            left -= len(data)


def _reset(environ: dict[str, Any]) -> None:
    """Shut the connection down before the answer."""
    if connection := environ.get("werkzeug.socket"):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _send(start_response: Any, status: int, headers: dict[str, str], body: str | bytes) -> Iterable[bytes]:
    data = body.encode() if isinstance(body, str) else body
    sent = [(name, value) for name, value in headers.items() if name != "status"]
    start_response(f"{status} {_REASONS.get(status, 'Error')}", [*sent, ("Content-Length", str(len(data)))])
    return [data]
