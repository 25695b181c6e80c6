"""An endpoint that misbehaves as it is told to: a real server on a socket, one thread for a connection."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

BLOCK = 524288


@dataclass
class Request:
    """What came: the line, headers (lower case), and the socket to answer on."""

    line: str
    headers: dict[str, str]
    sock: socket.socket
    body: bytes = b""

    def read(self) -> bytes:
        """The body."""
        left = int(self.headers.get("content-length", 0)) - len(self.body)
        pieces = [self.body]
        while left > 0 and (piece := self.sock.recv(min(left, 1 << 18))):
            pieces.append(piece)
            left -= len(piece)
        self.body = b"".join(pieces)
        return self.body

    def answer(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        """Answer as AWS does."""
        shown = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.sock.sendall(f"HTTP/1.1 {status} X\r\n{shown}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def refuse(self, status: int, code: str, reason: str = "", **headers: str) -> None:
        """Answer with an error."""
        body = json.dumps({"Message": "words", "Reason": reason}).encode()
        self.answer(status, body, **{"x_amzn_ErrorType": code, "Content_Type": "application/json", **headers})


#: does something with a request; False: the connection is to be closed
Behaviour = Callable[[Request], object]


def good(request: Request) -> None:
    """What AWS does."""
    data = request.read() if request.line.startswith("PUT") else bytes(BLOCK)
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    body = b"{}" if request.line.startswith("PUT") else data
    request.answer(200, body, x_amz_Checksum=digest, x_amz_Checksum_Algorithm="SHA256")


@dataclass
class Endpoint:
    """`script` is used up, a behaviour for each request; then all is good."""

    url: str
    script: list[Behaviour]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, sock: socket.socket) -> None:
        self.connections += 1
        with sock, contextlib.suppress(OSError, ValueError):
            while request := _received(sock):
                with self._lock:
                    self.requests.append(request)
                    behaviour = self.script.pop(0) if self.script else good
                if behaviour(request) is False:
                    return


def _received(sock: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return None
        data += piece
    top, _, rest = data.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return Request(lines[0], headers, sock, rest)


@contextlib.contextmanager
def endpoint(*script: Behaviour) -> Iterator[Endpoint]:
    """One that behaves so, and then well."""
    server = socket.create_server(("127.0.0.1", 0))
    found = Endpoint(f"http://127.0.0.1:{server.getsockname()[1]}", list(script))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = server.accept()
                threading.Thread(target=found.serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield found
    finally:
        server.close()
