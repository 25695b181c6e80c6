"""The two calls that carry blocks, without botocore's cost per call: a fixed form, our signature, kept connections.

What botocore settles is taken from the client: endpoint, Region, credentials, proxies, certificates, time-outs, user
agent. Whoever stands in for its sending (a handler of `before-send`, a session that was replaced: the sandbox in this
process) is asked first.
"""

from __future__ import annotations

import http.client
import re
import ssl
import threading
import time
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import urllib3
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import create_parser

from vmie.aws.ebs.connections import Answer, Connections, StaleConnection
from vmie.aws.ebs.signing import Signer
from vmie.errors import UsageError

_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
#: seconds by which a clock may be off: AWS allows five minutes
_OFF = 120.0


class _Request(NamedTuple):
    operation: str
    method: str
    path: str
    query: str
    body: bytes | memoryview | None

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


class Transport:
    """PutSnapshotBlock and GetSnapshotBlock of one client of botocore. Threads share it.

    Raises what botocore raises: ClientError, and its errors of connections. `close` breaks off what is under way.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._url = client.meta.endpoint_url.rstrip("/")
        parts = urlsplit(self._url)
        self._host = parts.netloc.rpartition("@")[2]
        self._root = self._url[: len(self._url) - len(parts.path)]
        self._prefix = parts.path
        self._session = client._endpoint.http_session  # noqa: SLF001 - botocore shows it in no other way
        self._agent = str(client.meta.config.user_agent)
        self._signer = Signer(
            client._request_signer._credentials,  # noqa: SLF001 - see above
            region=client.meta.region_name,
            service=client.meta.service_model.signing_name,
        )
        self._lock = threading.Lock()
        self._stall = float(client.meta.config.read_timeout)
        self._closed = False
        self._made: Connections | None = None

    def close(self) -> None:
        """Break off what is under way, and take no more."""
        with self._lock:
            self._closed = True
            made = self._made
        if made is not None:
            made.close()

    def put(self, snapshot_id: str, index: int, data: bytes | memoryview, checksum: str, progress: int | None) -> None:
        """PutSnapshotBlock; `checksum` is the base64 of the block's SHA-256."""
        headers = {
            "host": self._host,
            "x-amz-checksum": checksum,
            "x-amz-checksum-algorithm": "SHA256",
            "x-amz-data-length": str(len(data)),
        }
        if progress is not None:
            headers["x-amz-progress"] = str(progress)
        self._call(_Request("PutSnapshotBlock", "PUT", self._path(snapshot_id, index), "", data), headers)

    def get(self, snapshot_id: str, index: int, token: str) -> Answer:
        """GetSnapshotBlock."""
        query = f"blockToken={quote(token, safe='-_.~')}"
        request = _Request("GetSnapshotBlock", "GET", self._path(snapshot_id, index), query, None)
        return self._call(request, {"host": self._host})

    def _path(self, snapshot_id: str, index: int) -> str:
        if not _ID.fullmatch(snapshot_id):
            raise UsageError(f"{snapshot_id[:80]!r} is not the id of a snapshot")
        return f"{self._prefix}/snapshots/{snapshot_id}/blocks/{index:d}"

    def _call(self, request: _Request, headers: dict[str, str]) -> Answer:
        path = quote(request.path, safe="/~")
        signed = self._signer.signed(
            request.method, path, request.query, headers, unsigned_body=request.body is not None
        )
        signed["user-agent"] = self._agent
        if request.body is not None:
            signed["content-length"] = str(len(request.body))
        answer = self._offered(request, signed)
        if answer is None:
            answer = self._sent(request, signed)
        if answer.status >= 300:
            raise self._refusal(request.operation, answer)
        return answer

    def _offered(self, request: _Request, headers: dict[str, str]) -> Answer | None:
        """The answer of whoever stands in for botocore's sending, or of botocore's where a proxy forwards."""
        replaced = str(type(self._session).send.__module__) != "botocore.httpsession"
        indirect = replaced or not self._connections.direct
        body: Any = bytes(request.body) if indirect and request.body is not None else request.body
        shown: Any = headers
        prepared = AWSPreparedRequest(request.method, self._root + request.target, shown, body, False)
        given = self._client.meta.events.emit(f"before-send.ebs.{request.operation}", request=prepared)
        answer = next((one for _, one in given if one is not None), None)
        if answer is None and indirect:
            answer = self._session.send(prepared)
        if answer is None:
            return None
        told = {str(name).lower(): str(value) for name, value in answer.headers.items()}
        return Answer(int(answer.status_code), told, answer.content)

    @property
    def _connections(self) -> Connections:
        with self._lock:
            if self._made is None:
                self._made = Connections(self._session, self._url, stall=self._stall)
                if self._closed:
                    self._made.close()
            return self._made

    def _sent(self, request: _Request, headers: dict[str, str]) -> Answer:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"{request.method} {request.target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
        try:
            while True:
                try:
                    return self._connections.exchange(head, request.body or b"")
                except StaleConnection:
                    continue  # each of the idle ones may have been closed meanwhile; then a new one is made
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            raise _of_botocore(error, self._url) from error

    def _refusal(self, operation: str, answer: Answer) -> ClientError:
        model = self._client.meta.service_model.operation_model(operation)
        parser = create_parser(model.service_model.metadata["protocol"])
        given = {"status_code": answer.status, "headers": dict(answer.headers), "body": bytes(answer.body)}
        parsed = parser.parse(given, model.output_shape)
        code = str(parsed.get("Error", {}).get("Code") or "")
        shape = model.service_model.shape_for_error_code(code) if code else None
        if shape is not None:
            parsed.update(parser.parse(given, shape))
        self._correct_clock(answer)
        return ClientError(parsed, operation)

    def _correct_clock(self, answer: Answer) -> None:
        """Take the server's time where ours is far off: it refuses signatures of another time."""
        if answer.status not in (400, 401, 403):
            return
        try:
            server = parsedate_to_datetime(answer.headers["date"]).timestamp()
        except (KeyError, ValueError, TypeError):
            return
        if abs(server - time.time()) > _OFF:
            self._signer.correct(server)


def _of_botocore(error: Exception, url: str) -> Exception:
    """The error of botocore for a connection that was not made, or broke."""
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return SSLError(endpoint_url=url, error=error)
    if isinstance(error, urllib3.exceptions.SSLError):
        return SSLError(endpoint_url=url, error=error)
    if isinstance(error, urllib3.exceptions.ProxyError):
        return ProxyConnectionError(proxy_url="the proxy", error=error)
    if isinstance(error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError):
        return EndpointConnectionError(endpoint_url=url, error=error)
    if isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError):
        return ReadTimeoutError(endpoint_url=url, error=error)
    return ConnectionClosedError(endpoint_url=url, error=error)
