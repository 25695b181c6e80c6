"""The sandbox for any AWS client: moto's own HTTP application behind fault injection, on a loopback address only."""

from __future__ import annotations

import io
import ipaddress
import json
import logging
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from vmie.errors import Set, UsageError
from vmie.sandbox import api_errors
from vmie.sandbox.emulator import Emulator
from vmie.sandbox.front import control
from vmie.sandbox.front.identify import identify

_FORM_LIMIT = 1 << 20
_REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 412: "Precondition Failed"}


class FaultMiddleware:
    """WSGI middleware: fault injection, the control endpoint, and a refusal of other hosts."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._app = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """One request."""
        if not _is_loopback(_host_of(environ.get("HTTP_HOST") or "localhost")):
            # A page in a browser could reach a loopback port under a name of its own (DNS rebinding).
            return _send(start_response, 403, {"Content-Type": "text/plain"}, "loopback only\n")
        path = environ.get("PATH_INFO", "")
        with self._emulator.stats.working():
            if path.startswith(control.PREFIX):
                return self._control(environ, start_response, path)
            return self._api(environ, start_response)

    def _control(self, environ: dict[str, Any], start_response: Any, path: str) -> Iterable[bytes]:
        status, answer = control.respond(environ["REQUEST_METHOD"], path, _body(environ), emulator=self._emulator)
        return _send(start_response, status, {"Content-Type": "application/json"}, json.dumps(answer) + "\n")

    def _api(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        headers = {
            name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name[:5] == "HTTP_"
        }
        form = ""
        if "form" in environ.get("CONTENT_TYPE", ""):
            body = _body(environ)
            environ["wsgi.input"] = io.BytesIO(body)
            form = body.decode("utf-8", "replace")
        url = f"http://{environ.get('HTTP_HOST', '')}{environ.get('PATH_INFO', '')}?{environ.get('QUERY_STRING', '')}"
        call = identify(environ["REQUEST_METHOD"], url, headers, form)
        if answer := self._emulator.before(call):
            _drain(environ)
            return _send(start_response, *answer.document(call.service))
        held: list[Any] = []
        chunks = list(self._app(environ, lambda *args: held.append(args)))
        lost = self._emulator.after(call)
        if lost == "reset":
            _reset(environ)
            return []
        if lost:
            return _send(start_response, *api_errors.internal_error().document(call.service))
        start_response(*held[-1])
        return chunks


class Server:
    """The listening socket and its thread; `url` is the endpoint.

    Raises UsageError for an address that is not loopback or cannot be had.
    """

    def __init__(self, emulator: Emulator, *, host: str = "127.0.0.1", port: int = 0) -> None:
        require_loopback(host)
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
                FaultMiddleware(emulator),
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


def require_loopback(host: str) -> None:
    """Raises UsageError for an address that other machines could reach."""
    if not _is_loopback(host):
        raise UsageError(
            f"the sandbox does not listen on {host}",
            cause="it accepts any credentials, so it must be reachable from this machine only",
            cure=Set("host", "127.0.0.1", "or ::1, or localhost"),
        )


def _is_loopback(host: str) -> bool:
    name = host.strip("[]").lower()
    # Virtual-hosted buckets: BUCKET.localhost is loopback by RFC 6761.
    if name == "localhost" or name.endswith((".localhost", ".localhost.localdomain")):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _host_of(header: str) -> str:
    return header.rpartition(":")[0] if header.count(":") == 1 or header.startswith("[") else header


def _body(environ: dict[str, Any]) -> bytes:
    with suppress(ValueError):
        length = min(int(environ.get("CONTENT_LENGTH") or 0), _FORM_LIMIT)
        data: bytes = environ["wsgi.input"].read(length)
        return data
    return b""


def _drain(environ: dict[str, Any]) -> None:
    """Read what the client still sends, or it sees a broken pipe instead of the error."""
    left = int(environ.get("CONTENT_LENGTH") or 0)
    with suppress(OSError):
        while left > 0 and (data := environ["wsgi.input"].read(min(left, _FORM_LIMIT))):
            left -= len(data)


def _reset(environ: dict[str, Any]) -> None:
    """Shut the connection down before the answer."""
    if connection := environ.get("werkzeug.socket"):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _send(start_response: Any, status: int, headers: dict[str, str], body: str) -> Iterable[bytes]:
    data = body.encode()
    sent = [(name, value) for name, value in headers.items() if name != "status"]
    start_response(f"{status} {_REASONS.get(status, 'Error')}", [*sent, ("Content-Length", str(len(data)))])
    return [data]
