"""GET, HEAD and DELETE by URL, as the service makes them: this sandbox's S3 by presigned URL, else HTTP on loopback.

A presigned URL is verified as S3 does: see `vmie.sandbox.service.presigned`. Redirects are not followed, as a signature
does not survive them.
"""

from __future__ import annotations

import datetime as dt
import http.client
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.service import account_state, presigned
from vmie.sandbox.storage import Blob, BlobFile

_LOOPBACK = re.compile(r"(.+\.)?localhost|127\.\d+\.\d+\.\d+|::1")
_VIRTUAL = re.compile(r"(?P<bucket>.+)\.s3[.-](?:dualstack\.)?(?P<region>[a-z0-9-]+\.)?amazonaws\.com(\.cn)?")
_PATH = re.compile(r"s3[.-](?:dualstack\.)?(?P<region>[a-z0-9-]+\.)?amazonaws\.com(\.cn)?")
_TIMEOUT = 5.0
_MOST = 1 << 30


class HttpError(Exception):
    """Any answer but 2xx; `status` 0 when there was no answer."""

    def __init__(self, status: int, reason: str = "") -> None:
        phrase = reason or (HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "")
        super().__init__(f"{status} {phrase}".strip() if status else phrase)
        self.status = status


@dataclass(frozen=True, slots=True)
class UrlClient:
    """`now` is the sandbox's clock; `own` are the ``host:port`` at which the sandbox itself listens."""

    partition: str
    now: Callable[[], dt.datetime]
    own: frozenset[str] = frozenset()

    def get(self, url: str) -> Blob:
        """The bytes behind `url`; raises HttpError."""
        found = self._request("GET", url)
        assert found is not None  # noqa: S101 - a GET answers with bytes or raises
        return found

    def head(self, url: str) -> int:
        """How many bytes are behind `url`; raises HttpError."""
        found = self._request("HEAD", url)
        return found.size if found is not None else 0

    def delete(self, url: str) -> None:
        """Delete what is behind `url`; raises HttpError."""
        self._request("DELETE", url)

    def _request(self, method: str, url: str) -> Blob | None:
        try:
            parts = urlsplit(url)
            host, netloc = parts.hostname or "", parts.netloc
            port = parts.port
        except ValueError as error:
            raise HttpError(0, "malformed URL") from error
        if parts.scheme not in ("http", "https"):
            raise HttpError(0, "malformed URL")
        path = unquote(parts.path).lstrip("/")
        if match := _VIRTUAL.fullmatch(host):
            return self._s3(method, parts, match["bucket"], path, region=match["region"] or "us-east-1.")
        bucket, _, key = path.partition("/")
        if match := _PATH.fullmatch(host):
            return self._s3(method, parts, bucket, key, region=match["region"] or "us-east-1.")
        if netloc in self.own:
            return self._s3(method, parts, bucket, key, region="")
        if _LOOPBACK.fullmatch(host):
            return _plain_http(method, parts, host, port)
        raise HttpError(0, "the sandbox lets no request out")

    def _s3(self, method: str, parts: SplitResult, bucket: str, key: str, *, region: str) -> Blob | None:
        found = account_state.bucket(bucket, partition=self.partition)
        if found is None:
            raise HttpError(404)
        if region and region.rstrip(".") != found.region:
            raise HttpError(301)
        self._expect_signed(
            method, parts, found.region, bucket="" if unquote(parts.path) == f"/{bucket}/{key}" else bucket
        )
        if method == "DELETE":
            account_state.remove(found, key)
            return None
        item = account_state.fetch(found, key)
        if item is None:
            raise HttpError(404)
        return item.content

    def _expect_signed(self, method: str, parts: SplitResult, region: str, *, bucket: str) -> None:
        scope = dict(parse_qsl(parts.query)).get("X-Amz-Credential", "").split("/")
        if len(scope) > 2 and scope[2] != region:
            raise HttpError(403)
        try:
            presigned.verify(method, parts.geturl(), {"host": parts.netloc}, now=self.now(), bucket=bucket)
        except ApiError as error:
            raise HttpError(error.status) from error


def _plain_http(method: str, parts: SplitResult, host: str, port: int | None) -> Blob | None:
    # not looked up, as a resolver could lead NAME.localhost elsewhere
    address = "localhost" if host.endswith("localhost") else host
    connection = http.client.HTTPConnection(address, port or 80, timeout=_TIMEOUT)
    try:
        connection.request(
            method, parts.path + (f"?{parts.query}" if parts.query else ""), headers={"Host": parts.netloc}
        )
        answer = connection.getresponse()
        if not 200 <= answer.status < 300:
            raise HttpError(answer.status, answer.reason)
        if method == "HEAD":
            return Blob([(b"", 0, int(answer.headers.get("Content-Length") or 0))])
        file, total = BlobFile(), 0
        while data := answer.read(1 << 20):
            total += len(data)
            if total > _MOST:
                raise HttpError(413)
            file.append(data)
        return Blob.of_file(file)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HttpError(0, str(error) or type(error).__name__) from error
    finally:
        connection.close()
