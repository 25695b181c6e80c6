"""The live page's server: on loopback, a token in every address, no page of another origin, POST for any change."""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vmie.batch.web.board import Board
from vmie.errors import Set, UsageError
from vmie.loopback import from_elsewhere, is_loopback, own_origin, split_host

_HOST = "127.0.0.1"
#: no browser of a person has more pages open; each holds a thread
_MOST_WATCHERS = 32
#: a form of ours has a dozen bytes
_MOST_BODY = 4096
#: seconds between two signs of life to a browser that nothing is new for
_SIGN_OF_LIFE = 15.0
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not no-referrer: with that a browser sends `Origin: null` with a form
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class WatchServer(ThreadingHTTPServer):
    """Serves `page(still)` with the news of `board`; a POST to NAME calls `actions[NAME]`."""

    daemon_threads = True

    def __init__(
        self, port: int, board: Board, page: Callable[[bool], str], actions: Mapping[str, Callable[[], None]]
    ) -> None:
        try:
            super().__init__((_HOST, port), _Handler)
        except OSError as error:
            raise UsageError(
                f"cannot listen on port {port}: {error.strerror}", cure=Set("port", "0", "takes a free one")
            ) from error
        self.board, self.page, self.actions = board, page, actions
        self.token = secrets.token_urlsafe(24)
        #: good for one request: the command line of a browser that is started can be read by others
        self.ticket = ""
        self.room = threading.BoundedSemaphore(_MOST_WATCHERS)

    @property
    def url(self) -> str:
        """The address of the page."""
        return self._address(self.token)

    def one_time_url(self) -> str:
        """An address that leads to the page once."""
        self.ticket = secrets.token_urlsafe(24)
        return self._address(self.ticket)

    def _address(self, token: str) -> str:
        return f"http://{_HOST}:{self.server_port}/{token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: WatchServer
    server_version, sys_version = "vmie", ""
    #: seconds that a request may take to arrive
    timeout = 30

    def do_GET(self) -> None:
        """The page, its script, its news."""
        address = urlsplit(self.path)
        token, _, name = address.path.lstrip("/").partition("/")
        if self._refused(token):
            return
        query = parse_qs(address.query, keep_blank_values=True)
        if name == "":
            self._send(HTTPStatus.OK, self.server.page("still" in query), "text/html; charset=utf-8")
        elif name == "live.js":
            script = resources.files(__package__).joinpath("live.js").read_text(encoding="utf-8")
            self._send(HTTPStatus.OK, script, "text/javascript; charset=utf-8")
        elif name == "events":
            self._events(self.headers.get("Last-Event-ID") or query.get("since", ["0"])[0])
        else:
            self._send(HTTPStatus.NOT_FOUND, "not found\n")

    def do_POST(self) -> None:
        """Steer; the answer leads back to the page."""
        token, _, name = urlsplit(self.path).path.lstrip("/").partition("/")
        # A browser names the origin of every POST; a program must, too.
        if self._refused(token) or self._refused_unless(
            own_origin(self.headers.get("Origin", ""), self.server.server_port), "a POST names the page's own origin"
        ):
            return
        form = self._form()
        if form is None:
            self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a form of this page is smaller\n")
        elif name not in self.server.actions:
            self._send(HTTPStatus.NOT_FOUND, "not found\n")
        elif name == "cancel" and form.get("sure") != ["yes"]:
            self._send(HTTPStatus.BAD_REQUEST, "to cancel is to be confirmed\n")
        else:
            self.server.actions[name]()
            self._send(HTTPStatus.SEE_OTHER, "", Location="./")

    def _refused(self, token: str) -> bool:
        """Answer 403 where the request is not from the page, or does not know its token; whether that was so."""
        name, port = split_host(self.headers.get("Host", ""))
        if self._refused_unless(is_loopback(name) and port == self.server.server_port, "not a name of this server"):
            return True
        elsewhere = from_elsewhere(self.headers.get, self.server.server_port)
        if self._refused_unless(not elsewhere, "no answer for pages of another origin"):
            return True
        ticket, self_ticket = token.encode(), self.server.ticket.encode()
        if self_ticket and self.command == "GET" and hmac.compare_digest(ticket, self_ticket):
            self.server.ticket = ""
            self._send(HTTPStatus.SEE_OTHER, "", Location=f"/{self.server.token}/")
            return True
        return self._refused_unless(
            hmac.compare_digest(token.encode(), self.server.token.encode()),
            "the address lacks its token",
        )

    def _refused_unless(self, good: bool, why: str) -> bool:
        if not good:
            self._send(HTTPStatus.FORBIDDEN, f"{why}\n")
        return not good

    def _form(self) -> dict[str, list[str]] | None:
        """The fields of a form; None for what is too long to be one of ours."""
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdecimal() or int(length[:9]) > _MOST_BODY:
            return None
        return parse_qs(self.rfile.read(int(length)).decode("latin-1"))

    def _events(self, since: str) -> None:
        """What changes after version `since`, for as long as the browser listens."""
        if not self.server.room.acquire(blocking=False):
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are open\n")
            return
        try:
            seen = int(since) if since.isascii() and since.isdecimal() and len(since) < 10 else 0
            self._begin(HTTPStatus.OK, "text/event-stream; charset=utf-8")
            self._write(": here\n\n")
            while (news := self.server.board.newer(seen, wait=_SIGN_OF_LIFE)) is not None:
                seen, pieces = news
                self._write(f"id: {seen}\ndata: {json.dumps(pieces)}\n\n" if pieces else ": still here\n\n")
        except OSError:
            pass  # the browser has gone
        finally:
            self.server.room.release()

    def _write(self, text: str) -> None:
        self.wfile.write(text.encode())
        self.wfile.flush()

    def _send(self, status: HTTPStatus, text: str, kind: str = "text/plain; charset=utf-8", **headers: str) -> None:
        body = text.encode()
        self._begin(status, kind, **{"Content-Length": str(len(body)), **headers})
        self.wfile.write(body)

    def _begin(self, status: HTTPStatus, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers, **_HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
        """The address holds the token: it goes to no log."""
