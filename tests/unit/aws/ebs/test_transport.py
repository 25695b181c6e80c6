"""Blocks over real connections that break, hang, lie and refuse."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from email.utils import formatdate
from typing import Any

import pytest

from tests.unit.aws.ebs.endpoint import BLOCK, Endpoint, Request, endpoint, good
from vmie.aws.ebs.client import Block, EbsDirect
from vmie.aws.ebs.read import read_blocks
from vmie.aws.ebs.send import send_blocks
from vmie.aws.session import connect
from vmie.errors import AwsRefused, UsageError, VmieError

DATA = os.urandom(BLOCK)
DIGEST = hashlib.sha256(DATA).digest()
SNAPSHOT = "snap-0123456789abcdef0"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ACCESS_KEY_ID", "AKID"), ("SECRET_ACCESS_KEY", "secret"), ("SESSION_TOKEN", "token")):
        monkeypatch.setenv(f"AWS_{name}", value)


def direct(server: Endpoint, *, stall: float = 5.0) -> EbsDirect:
    return EbsDirect(connect(region="us-east-1", endpoint_url=server.url, stall=stall))


def resets_in_the_body(request: Request) -> bool:
    request.sock.recv(1000)
    return False


def says_nothing(request: Request) -> bool:
    request.read()
    return False


def hangs(request: Request) -> bool:
    request.read()
    time.sleep(2)
    return False


def fails(request: Request) -> None:
    request.read()
    request.refuse(500, "InternalServerException")


def throttles_before_the_body(request: Request) -> bool:
    request.refuse(400, "ThrottlingException", "ACCOUNT_THROTTLED", Connection="close")
    return False


def is_not_seen_yet(request: Request) -> None:
    request.read()
    request.refuse(404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND")


def is_cut_off(request: Request) -> bool:
    request.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 524288\r\n\r\nsome")
    return False


def is_damaged(request: Request) -> None:
    request.answer(200, bytes([1]) * BLOCK, x_amz_Checksum=base64.b64encode(hashlib.sha256(b"").digest()).decode())


def is_no_http(request: Request) -> bool:
    request.read()
    request.sock.sendall(b"220 mail.example.org ESMTP\r\n\r\n")
    return False


@pytest.mark.parametrize(
    "first",
    [
        resets_in_the_body,
        says_nothing,
        hangs,
        fails,
        throttles_before_the_body,
        is_not_seen_yet,
        is_no_http,
    ],
)
def test_a_block_arrives_in_spite_of(first: Any) -> None:
    done: list[tuple[int, bytes]] = []
    with endpoint(first) as server:
        count = send_blocks(
            direct(server, stall=0.6), SNAPSHOT, [(7, DATA)], done=lambda index, digest: done.append((index, digest))
        )
    assert (count, done) == (1, [(7, DIGEST)])
    assert len(server.requests) == 2
    assert server.requests[1].body == DATA


@pytest.mark.parametrize("first", [is_cut_off, is_damaged, fails, says_nothing, is_no_http])
def test_a_block_is_read_in_spite_of(first: Any) -> None:
    with endpoint(first) as server:
        found = list(read_blocks(direct(server), SNAPSHOT, [Block(7, "AA+/=")]))
    assert found == [(7, bytes(BLOCK))]
    assert [request.line for request in server.requests] == [
        f"GET /snapshots/{SNAPSHOT}/blocks/7?blockToken=AA%2B%2F%3D HTTP/1.1"
    ] * 2


def test_what_goes_over_the_wire_is_what_botocore_sends() -> None:
    with endpoint() as server:
        ours = direct(server)
        ours.put(SNAPSHOT, 3, DATA, DIGEST, progress=5)
        connect(region="us-east-1", endpoint_url=server.url).once("ebs").put_snapshot_block(
            SnapshotId=SNAPSHOT,
            BlockIndex=3,
            BlockData=DATA,
            DataLength=BLOCK,
            Checksum=base64.b64encode(DIGEST).decode(),
            ChecksumAlgorithm="SHA256",
            Progress=5,
        )
        ours.close()
    mine, theirs = server.requests
    assert (mine.line, mine.body) == (theirs.line, theirs.body)
    own = ("x-amz-date", "authorization", "user-agent", "accept-encoding", "amz-sdk-invocation-id", "amz-sdk-request")
    for headers in (mine.headers, theirs.headers):
        signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        assert signed.startswith("host;x-amz-checksum;")
        assert signed.endswith(";x-amz-progress;x-amz-security-token")
    assert {k: v for k, v in mine.headers.items() if k not in own} == {
        k: v for k, v in theirs.headers.items() if k not in own
    }


def test_a_connection_is_used_again_and_replaced_when_it_was_closed_meanwhile() -> None:
    def then_closes(request: Request) -> bool:
        good(request)
        return False

    with endpoint(good, then_closes) as server:
        ebs = direct(server)
        for index in range(4):
            ebs.put(SNAPSHOT, index, DATA, DIGEST)
            time.sleep(0.05)
        ebs.close()
    assert (len(server.requests), server.connections) == (4, 2)


def test_an_answer_in_chunks_is_read() -> None:
    def in_chunks(request: Request) -> None:
        request.read()
        request.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n")
        request.sock.sendall(b"2\r\n{}\r\n0\r\n\r\n")

    with endpoint(in_chunks) as server:
        ebs = direct(server)
        ebs.put(SNAPSHOT, 0, DATA, DIGEST)
        ebs.put(SNAPSHOT, 1, DATA, DIGEST)
        ebs.close()
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (403, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT"),
        (400, "ValidationException", "WRITE_REQUEST_TIMEOUT"),
        (402, "ServiceQuotaExceededException", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED"),
        (404, "ResourceNotFoundException", "GRANT_NOT_FOUND"),
    ],
)
def test_a_refusal_is_final_and_ends_at_once_what_hangs(status: int, code: str, reason: str) -> None:
    here = threading.Event()

    def waits(request: Request) -> bool:
        request.read()
        here.wait(20)
        return False

    def refuses(request: Request) -> None:
        request.read()
        time.sleep(0.1)
        request.refuse(status, code, reason, x_amzn_RequestId="id-1")

    with endpoint(waits, waits, refuses, *[waits] * 50) as server:
        begun = time.monotonic()
        with pytest.raises(AwsRefused) as refused:
            send_blocks(direct(server, stall=20), SNAPSHOT, ((index, DATA) for index in range(6)))
        here.set()
    assert (refused.value.code, refused.value.reason, refused.value.request_id) == (code, reason, "id-1")
    assert time.monotonic() - begun < 5


def test_what_the_caller_raises_ends_it_at_once_and_leaves_no_thread() -> None:
    def blocks() -> Iterator[tuple[int, bytes]]:
        yield 0, DATA
        time.sleep(0.1)
        raise KeyboardInterrupt

    with endpoint(hangs) as server:
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            send_blocks(direct(server, stall=20), SNAPSHOT, blocks())
        assert time.monotonic() - begun < 1.5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ebs")]


def test_a_clock_that_is_off_is_corrected_by_the_refusal() -> None:
    later = time.time() + 3600

    def skewed(request: Request) -> None:
        request.read()
        request.refuse(403, "InvalidSignatureException", Date=formatdate(later, usegmt=True))

    with endpoint(skewed) as server:
        ebs = direct(server)
        ebs.put(SNAPSHOT, 0, DATA, DIGEST)
        ebs.close()
    first, second = (request.headers["x-amz-date"] for request in server.requests)
    assert second == time.strftime("%Y%m%dT%H%M", time.gmtime(later)) + second[13:]
    assert first[:13] != second[:13]


def test_a_proxy_forwards_unless_the_host_is_excepted(monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint() as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        ebs = EbsDirect(connect(region="us-east-1", endpoint_url="http://ebs.invalid"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        excepted = direct(server)
        for index, client in enumerate((ebs, excepted)):
            with closing(client):
                client.put(SNAPSHOT, index, DATA, DIGEST)
    path = f"/snapshots/{SNAPSHOT}/blocks"
    assert [request.line for request in server.requests] == [
        f"PUT http://ebs.invalid{path}/0 HTTP/1.1",
        f"PUT {path}/1 HTTP/1.1",
    ]
    assert server.requests[0].headers["host"] == "ebs.invalid"


def test_what_is_no_snapshot_goes_into_no_request() -> None:
    with endpoint() as server, pytest.raises(UsageError):
        direct(server).put("snap-0/../../x", 0, DATA, DIGEST)
    assert not server.requests


def test_a_listing_goes_on_where_its_token_ran_out_and_over_empty_pages() -> None:
    def page(first: int, token: str) -> Any:
        def shown(request: Request) -> None:
            blocks = f'[{{"BlockIndex": {first}, "BlockToken": "t{first}"}}]' if first >= 0 else "[]"
            more = f', "NextToken": "{token}"' if token else ""
            request.answer(200, f'{{"Blocks": {blocks}{more}}}'.encode(), Content_Type="application/json")

        return shown

    def ran_out(request: Request) -> None:
        request.refuse(400, "ValidationException", "INVALID_PAGE_TOKEN")

    with endpoint(page(4, "a"), page(-1, "b"), ran_out, page(9, "c"), page(9, "")) as server:
        assert [one.index for one in direct(server).blocks(SNAPSHOT)] == [4, 9]
    assert "startingBlockIndex=5" in server.requests[3].line
    with endpoint(page(-1, "same"), page(-1, "same")) as server, pytest.raises(VmieError, match="no end"):
        list(EbsDirect(connect(region="us-east-1", endpoint_url=server.url), clock=_NoTime()).blocks(SNAPSHOT))


class _NoTime:
    """A clock whose time passes at once."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now(self) -> Any:
        import datetime as dt

        return dt.datetime.fromtimestamp(self._seconds, dt.UTC)

    def sleep(self, seconds: float) -> None:
        self._seconds += seconds

    def uniform(self, low: float, high: float) -> float:
        return high
