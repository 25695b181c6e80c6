"""An EBS direct endpoint that keeps nothing, in a process of its own: blocks are received and dropped.

    python benchmarks/ebs_endpoint.py [--latency MS] [--rate PER_SECOND] [--certificate PEM]

It answers StartSnapshot, PutSnapshotBlock, GetSnapshotBlock and CompleteSnapshot of any number of snapshots, each block
`--latency` milliseconds after its request came. With `--rate` there is a token bucket of one second's worth, as the
sandbox's service has; what it does not take is refused after 10 ms with ThrottlingException. `GET /stat` tells blocks
taken, blocks refused and bytes dropped. No signature is looked at and no checksum computed: whether what arrives is
right is for the tests. One thread of asyncio, which reads into one buffer, so that it costs next to nothing beside the
client that is measured: neither a compiler nor a toolchain is needed to run the benchmark.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = 524288
SNAPSHOT = "snap-0123456789abcdef0"
_BUFFER = memoryview(bytearray(1 << 18))
_ZEROS = bytes(BLOCK)
_ZEROS_SUM = base64.b64encode(hashlib.sha256(_ZEROS).digest()).decode()


@dataclass
class Service:
    """What all connections share."""

    latency: float
    rate: float
    taken: int = 0
    refused: int = 0
    dropped: int = 0
    tokens: float = 0.0
    since: float = 0.0

    def takes(self, now: float) -> bool:
        """Whether the bucket has a token."""
        if not self.rate:
            return True
        self.tokens = min(self.rate, self.tokens + (now - self.since) * self.rate)
        self.since = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Connection(asyncio.BufferedProtocol):
    """One connection, its requests one after another."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._head = b""
        self._left = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        if self._left >= 0:
            self._body(nbytes)
            return
        self._head += _BUFFER[:nbytes]
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = self._head[:end].decode("latin-1").split("\r\n")
        rest = len(self._head) - end - 4
        self._head = b""
        self._came = self._loop.time()
        self._line = lines[0]
        self._headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self._left = int(self._headers.get("content-length", 0))
        if "expect" in self._headers:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._body(rest)

    def _body(self, nbytes: int) -> None:
        self._left -= nbytes
        self._service.dropped += nbytes
        if self._left <= 0:
            self._left = -1
            self._request()

    def _request(self) -> None:
        method, path, _ = self._line.split(" ")
        service = self._service
        if "/blocks/" in path:
            self._block(method)
        elif path == "/stat":
            self._answer(200, {"taken": service.taken, "refused": service.refused, "dropped": service.dropped})
        elif path.startswith("/snapshots/completion"):
            self._answer(202, {"Status": "completed"})
        elif path == "/snapshots":
            answer = {"SnapshotId": SNAPSHOT, "OwnerId": "123456789012", "Status": "pending", "BlockSize": BLOCK}
            self._answer(201, {**answer, "VolumeSize": 64})
        else:
            self._answer(404, {"message": path})

    def _block(self, method: str) -> None:
        service, now = self._service, self._loop.time()
        if not service.takes(now):
            service.refused += 1
            self._loop.call_later(0.01, self._refuse)
            return
        checksum = self._headers.get("x-amz-checksum", _ZEROS_SUM)
        shown = f"x-amz-Checksum: {checksum}\r\nx-amz-Checksum-Algorithm: SHA256\r\n"
        shown += f"x-amz-Data-Length: {BLOCK}\r\n" if method == "GET" else ""
        status, body = (200, _ZEROS) if method == "GET" else (201, b"{}")
        after = max(0.0, service.latency - (now - self._came))
        self._loop.call_later(after, self._done, status, shown, body)

    def _done(self, status: int, shown: str, body: bytes) -> None:
        self._service.taken += 1
        self._write(status, shown, body)

    def _refuse(self) -> None:
        body = {"Message": "Rate exceeded", "Reason": "ACCOUNT_THROTTLED"}
        self._answer(400, body, "x-amzn-ErrorType: ThrottlingException\r\n")

    def _answer(self, status: int, body: dict[str, Any], shown: str = "") -> None:
        self._write(status, f"Content-Type: application/json\r\n{shown}", json.dumps(body).encode())

    def _write(self, status: int, shown: str, body: bytes) -> None:
        head = f"HTTP/1.1 {status} X\r\n{shown}x-amzn-RequestId: 0\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


async def serve(service: Service, certificate: str) -> None:
    """Serve on a free port and tell its URL on standard output."""
    loop = asyncio.get_running_loop()
    service.since, service.tokens = loop.time(), service.rate
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", 0, ssl=context, backlog=512)
    port = server.sockets[0].getsockname()[1]
    os.write(1, f"{'https' if certificate else 'http'}://127.0.0.1:{port}\n".encode())
    await server.serve_forever()


@contextlib.contextmanager
def running(*, latency: float = 0.1, rate: float = 0, certificate: Path | None = None) -> Iterator[tuple[str, int]]:
    """The URL of an endpoint, and its process; it ends with the block. `latency` in seconds."""
    argv = [sys.executable, __file__, "--latency", str(latency * 1000), "--rate", str(rate)]
    argv += ["--certificate", str(certificate)] if certificate else []
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield child.stdout.readline().strip(), child.pid
    finally:
        child.kill()
        child.wait()


def stat(url: str, certificate: Path | None = None) -> dict[str, int]:
    """What the endpoint has counted."""
    context = ssl.create_default_context(cafile=str(certificate)) if certificate else None
    with urllib.request.urlopen(f"{url}/stat", context=context) as answer:
        counted: dict[str, int] = json.load(answer)
    return counted


def make_certificate(folder: Path) -> Path:
    """A key and a certificate of itself for 127.0.0.1, in one file."""
    path = folder / "endpoint.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    argv += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(argv, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=100.0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--certificate", default="")
    asked = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Service(asked.latency / 1000, asked.rate), asked.certificate))


if __name__ == "__main__":
    main()
