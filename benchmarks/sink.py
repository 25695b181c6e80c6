"""An S3 that keeps nothing, in a process of its own: parts are received and dropped, so that the server costs next to
nothing and a client is measured as it is in the field, where S3 runs on other machines.

It answers what an upload asks: GetCallerIdentity, HeadBucket, HeadObject, CreateMultipartUpload, UploadPart,
CompleteMultipartUpload, PutObject. No signature is looked at and nothing is checked: whether what arrives is right is
for the tests.
"""

from __future__ import annotations

import os
import re
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path

_NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@contextmanager
def running() -> Iterator[str]:
    """The URL of a sink; it ends with the block."""
    child = subprocess.Popen([sys.executable, str(Path(__file__))], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield child.stdout.readline().strip()
    finally:
        child.kill()
        child.wait()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: object to its size
    stored: dict[str, int] = {}  # noqa: RUF012 - one table for all connections
    lock = threading.Lock()

    def do_HEAD(self) -> None:
        path = self.path.partition("?")[0]
        if path.strip("/").count("/") == 0:
            self._answer(HTTPStatus.OK)
        elif path in self.stored:
            self._answer(HTTPStatus.OK, length=self.stored[path], ETag='"0"')
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def do_GET(self) -> None:
        self._answer(HTTPStatus.OK, f"<LocationConstraint {_NS}/>")

    def do_PUT(self) -> None:
        path = self.path.partition("?")[0]
        length = self._drop()
        with self.lock:
            self.stored[path] = self.stored.get(path, 0) + length
        sent = self.headers.get("x-amz-checksum-sha256", "")
        self._answer(HTTPStatus.OK, ETag='"0"', **({"x-amz-checksum-sha256": sent} if sent else {}))

    def do_POST(self) -> None:
        path, _, query = self.path.partition("?")
        self._drop()
        if path == "/":
            body = (
                "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>"
                "<Arn>arn:aws:iam::123456789012:root</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>"
            )
        elif re.search(r"(^|&)uploads", query):
            self.stored.pop(path, None)
            body = f"<InitiateMultipartUploadResult {_NS}><UploadId>1</UploadId></InitiateMultipartUploadResult>"
        else:
            body = f'<CompleteMultipartUploadResult {_NS}><ETag>"0"</ETag></CompleteMultipartUploadResult>'
        self._answer(HTTPStatus.OK, body)

    def do_DELETE(self) -> None:
        self._answer(HTTPStatus.NO_CONTENT)

    def _drop(self) -> int:
        length = left = int(self.headers.get("Content-Length", 0))
        buffer = memoryview(bytearray(1 << 18))
        while left:
            got = self.rfile.readinto1(buffer[: min(left, len(buffer))])  # type: ignore[attr-defined]
            if not got:
                break
            left -= got
        return length

    def _answer(self, status: HTTPStatus, body: str = "", *, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    with _Server(("127.0.0.1", 0), _Handler) as server:
        os.write(1, f"http://127.0.0.1:{server.server_address[1]}\n".encode())
        server.serve_forever()
