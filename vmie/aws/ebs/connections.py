"""Connections kept open to one endpoint, and one exchange of HTTP over one of them.

botocore's session makes the connections: its proxies, certificates, time-outs and socket options hold. What goes over
them is written and read here, because urllib3's and http.client's share of a call costs as much as hashing the block.
An answer that is not of the simplest form is left to http.client.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

#: the most of an answer's body that is read: a block, or some words about a refusal
_MOST_BODY = 1 << 20
_MOST_HEAD = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (lower case) and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray


class StaleConnection(Exception):  # noqa: N818
    """A connection that lay idle was closed by the other side: the call was not answered, and can be made anew."""


class Connections:
    """Open connections to the endpoint `url`. Threads share it; `stall` in seconds of silence.

    `session` is botocore's URLLib3Session. Raises what urllib3 raises where none can be made.
    """

    def __init__(self, session: Any, url: str, *, stall: float) -> None:
        self._session = session
        self._url = url
        self._stall = stall
        self._secure = urlsplit(url).scheme == "https"
        self._lock = threading.Lock()
        self._idle: list[Any] = []
        self._open: set[Any] = set()
        self._closed = False
        self._proxy = session._proxy_config.proxy_url_for(url)  # noqa: SLF001 - botocore shows its session in no other way
        self._pool = self._pool_of()

    @property
    def direct(self) -> bool:
        """Whether requests reach the endpoint as they are: not where a proxy forwards them, as it does plain HTTP."""
        return self._proxy is None or (self._secure and not self._forwards())

    def _forwards(self) -> bool:
        settings = self._session._proxies_kwargs()  # noqa: SLF001 - see above
        return bool(settings.get("use_forwarding_for_https")) and str(self._proxy).startswith("https")

    def _pool_of(self) -> Any:
        session = self._session
        manager = session._get_connection_manager(self._url, self._proxy)  # noqa: SLF001 - see above
        pool = manager.connection_from_url(self._url)
        session._setup_ssl_cert(pool, self._url, session._verify)  # noqa: SLF001 - see above
        context = manager.connection_pool_kw.get("ssl_context")
        if self._secure and context is not None and pool.ca_certs:
            # urllib3 would read the bundle again for each connection: 20 ms of processor time
            context.load_verify_locations(pool.ca_certs)
            pool.ca_certs = None
        return pool

    def exchange(self, head: bytes, body: bytes | memoryview) -> Answer:
        """Send a request and read its answer. Raises OSError, http.client.HTTPException, urllib3's HTTPError."""
        reused, sock = self._borrow()
        try:
            answer, kept = _exchange(sock, head, body, deadline=time.monotonic() + 4 * self._stall)
        except BaseException as error:
            self._discard(sock)
            if reused and isinstance(error, ConnectionError | http.client.RemoteDisconnected | ssl.SSLEOFError):
                raise StaleConnection from error
            raise
        with self._lock:
            kept = kept and not self._closed
            if kept:
                self._idle.append(sock)
        if not kept:
            self._discard(sock)
        return answer

    def close(self) -> None:
        """Break off what is under way and open no more."""
        with self._lock:
            self._closed = True
            all_, self._open = self._open, set()
            self._idle.clear()
        for sock in all_:
            _end(sock)

    def _borrow(self) -> tuple[bool, Any]:
        with self._lock:
            if self._idle:
                return True, self._idle.pop()
        sock = self._connected()
        with self._lock:
            self._open.add(sock)
            late = self._closed
        if late:
            self._discard(sock)
            raise ConnectionAbortedError("the connections were closed")
        return False, sock

    def _connected(self) -> Any:
        connection = self._pool._new_conn()  # noqa: SLF001 - see above
        connection.timeout = self._pool.timeout.connect_timeout
        if self._proxy is not None and self._secure:
            self._pool._prepare_proxy(connection)  # noqa: SLF001 - see above
        if connection.sock is None:
            connection.connect()
        sock = connection.sock
        sock.settimeout(self._stall)
        return sock

    def _discard(self, sock: Any) -> None:
        with self._lock:
            self._open.discard(sock)
        _end(sock)


def _end(sock: Any) -> None:
    """Wake who reads or writes there, and close it."""
    with contextlib.suppress(OSError, TypeError):
        # not SSLSocket's own: it would make a writer in another thread go on without TLS
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        sock.close()


def _exchange(sock: Any, head: bytes, body: bytes | memoryview, *, deadline: float) -> tuple[Answer, bool]:
    """An answer, and whether the connection can take another request."""
    cut_off: ConnectionError | None = None
    try:
        sock.sendall(head)
        left = memoryview(body)
        while left:
            left = left[sock.send(left) :]
            _expect_time(deadline)
    except (BrokenPipeError, ConnectionResetError) as error:
        cut_off = error  # who refuses a request may not read it to its end
    try:
        began = sock.recv(_MOST_HEAD)
    except ConnectionError as error:
        raise cut_off or error from None
    if cut_off and not began:
        raise cut_off
    if not began:
        raise http.client.RemoteDisconnected("the connection was closed without an answer")
    if (found := _simple(began)) is None:
        return _any_answer(sock, began, deadline)
    status, headers, length, rest = found
    return Answer(status, headers, _body(sock, rest, length, deadline)), not cut_off and _kept(headers)


def _kept(headers: Mapping[str, str]) -> bool:
    return headers.get("connection", "").lower() != "close"


def _simple(began: bytes) -> tuple[int, dict[str, str], int, bytes] | None:
    """Status, headers, length and beginning of the body of an answer whose head is whole and tells the length."""
    top, found, rest = began.partition(b"\r\n\r\n")
    if not found or not top.startswith(b"HTTP/1.1 ") or not top[9:12].isdigit():
        return None
    lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    length = headers.get("content-length", "")
    status = int(top[9:12])
    simple = length.isascii() and length.isdigit() and len(length) < 10 and "transfer-encoding" not in headers
    if not simple or status < 200 or status in (204, 304) or len(rest) > int(length) or int(length) > _MOST_BODY:
        return None
    return status, headers, int(length), rest


def _body(sock: Any, rest: bytes, length: int, deadline: float) -> bytes | bytearray:
    if len(rest) == length:
        return rest
    whole = bytearray(length)
    whole[: len(rest)] = rest
    view, filled = memoryview(whole), len(rest)
    while filled < length:
        got = sock.recv_into(view[filled:])
        if not got:
            raise http.client.IncompleteRead(b"", length - filled)
        filled += got
        _expect_time(deadline)
    return whole


def _expect_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError("the connection is too slow")


class _Replay(io.RawIOBase):
    """What was read of a connection already, and then the rest."""

    def __init__(self, began: bytes, sock: Any, deadline: float) -> None:
        self._began = memoryview(began)
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        _expect_time(self._deadline)
        if self._began:
            size = min(len(into), len(self._began))
            into[:size] = self._began[:size]
            self._began = self._began[size:]
            return size
        got: int = self._sock.recv_into(into)
        return got

    def makefile(self, *_args: Any, **_kwargs: Any) -> io.BufferedReader:
        """What http.client asks of a socket."""
        return io.BufferedReader(self)


def _any_answer(sock: Any, began: bytes, deadline: float) -> tuple[Answer, bool]:
    response = http.client.HTTPResponse(_Replay(began, sock, deadline))  # type: ignore[arg-type]
    response.begin()
    data = response.read(_MOST_BODY + 1)
    if len(data) > _MOST_BODY:
        raise http.client.HTTPException(f"an answer of more than {_MOST_BODY} bytes")
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, data), not response.will_close and response.isclosed()
