"""Our signature is botocore's, byte for byte: for every form of the calls, credential, day and Region."""

from __future__ import annotations

import datetime as dt

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from vmie.aws.ebs.signing import UNSIGNED, Signer

_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(
    secret=_TEXT,
    token=st.none() | _TEXT,
    seconds=st.integers(0, 4_000_000_000),
    index=st.integers(0, 2**31),
    query=st.sampled_from(["", "blockToken=AA%2B%2F%3D%20c"]),
    progress=st.none() | st.integers(0, 100),
    region=st.sampled_from(["us-east-1", "cn-north-1", "us-gov-west-1"]),
)
def test_it_is_the_one_of_botocore(
    *, secret: str, token: str | None, seconds: int, index: int, query: str, progress: int | None, region: str
) -> None:
    method, path = "GET" if query else "PUT", f"/snapshots/snap-0/blocks/{index}"
    headers = {"host": "ebs.example:8443"}
    if not query:
        headers |= {"x-amz-checksum": "a+/=", "x-amz-checksum-algorithm": "SHA256", "x-amz-data-length": "524288"}
        headers |= {} if progress is None else {"x-amz-progress": str(progress)}
    credentials = Credentials("AKID", secret, token)
    signer = Signer(credentials, region=region, now=lambda: float(seconds))
    mine = [signer.signed(method, path, query, headers, unsigned_body=not query) for _ in range(2)]
    assert mine[0] == mine[1]
    url = f"https://{headers.pop('host')}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, headers)
    if not query:
        request.headers["X-Amz-Content-SHA256"] = UNSIGNED
        request.context["payload_signing_enabled"] = False
    now = dt.datetime.fromtimestamp(seconds, dt.UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "get_current_datetime", lambda *_: now)
        auth.SigV4Auth(credentials, "ebs", region).add_auth(request)
    assert mine[0]["authorization"] == str(request.headers["Authorization"])


def test_a_clock_that_is_off_is_corrected_and_a_new_day_has_a_new_key() -> None:
    seconds = [1_000_000.0]
    signer = Signer(Credentials("AKID", "secret"), region="us-east-1", now=lambda: seconds[0])
    first = signer.signed("GET", "/", "", {"host": "h"}, unsigned_body=False)
    signer.correct(1_000_000.0 + 86_400)
    moved = signer.signed("GET", "/", "", {"host": "h"}, unsigned_body=False)
    assert (first["x-amz-date"], moved["x-amz-date"]) == ("19700112T134640Z", "19700113T134640Z")
    other = Signer(Credentials("AKID", "secret"), region="us-east-1", now=lambda: 1_000_000.0 + 86_400)
    assert moved == other.signed("GET", "/", "", {"host": "h"}, unsigned_body=False)
