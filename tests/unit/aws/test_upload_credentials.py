"""Credentials that change while an upload runs, and answers that S3 takes back."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.credentials import RefreshableCredentials
from moto import mock_aws

from tests.unit.aws.test_upload import TARGET, Bytes, Memory, data
from vmie.aws.parts import MIB
from vmie.aws.session import Aws
from vmie.aws.upload import UploadOptions, upload
from vmie.errors import AwsRefused

OPTIONS = UploadOptions(part_size=5 * MIB, workers=2, longest_pause=0.01, patience=1)


class Renewed:
    """Credentials that live for a minute: botocore asks for new ones before every request."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, Any]:
        self.times += 1
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
        return {
            "access_key": f"KEY{self.times}",
            "secret_key": "secret",
            "token": f"token{self.times}",
            "expiry_time": soon.isoformat(),
        }


class Raw:
    """The body of an answer made up by the test."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._content


def error(status: int, code: str) -> AWSResponse:
    body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
    return AWSResponse("https://s3", status, {"content-type": "application/xml"}, Raw(body))


@pytest.fixture
def renewed() -> Renewed:
    return Renewed()


@pytest.fixture
def aws(renewed: Renewed) -> Iterator[Aws]:
    with mock_aws():
        core = botocore.session.get_session()
        core._credentials = RefreshableCredentials.create_from_metadata(renewed(), renewed, "assume-role")
        session = boto3.Session(botocore_session=core, region_name="us-east-1")
        session.client("s3").create_bucket(Bucket="bucket")
        yield Aws(session, region="us-east-1")


def meet(aws: Aws, *answers: AWSResponse, at: str = "UploadPart") -> list[str]:
    """Answer the first calls of an operation with `answers`; the access keys that S3 sees."""
    client = aws.transfer(read_timeout=OPTIONS.stall, connect_timeout=OPTIONS.connect)
    keys: list[str] = []
    left = list(answers)

    def before_send(request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        found = re.search(rb"Credential=(\w+)/", request.headers["Authorization"])
        assert found is not None
        keys.append(found[1].decode())
        return left.pop(0) if left and event_name.endswith(at) else None

    client.meta.events.register_first("before-send.s3", before_send)
    return keys


def test_new_credentials_are_used_in_the_middle(aws: Aws, renewed: Renewed) -> None:
    keys = meet(aws)
    content = data(23 * MIB)
    upload(aws, TARGET, Bytes(content), state=Memory(), options=OPTIONS)
    assert len(set(keys)) > 3
    assert aws.client("s3").get_object(Bucket="bucket", Key="key")["Body"].read() == content


def test_an_expired_token_is_tried_again_when_credentials_renew_themselves(aws: Aws) -> None:
    meet(aws, error(400, "ExpiredToken"), error(400, "ExpiredToken"))
    done = upload(aws, TARGET, Bytes(data(12 * MIB)), state=Memory(), options=OPTIONS)
    assert done.bytes_sent == 12 * MIB


def test_an_expired_token_that_nothing_renews_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        session = boto3.Session(region_name="us-east-1")
        session.client("s3").create_bucket(Bucket="bucket")
        fixed = Aws(session, region="us-east-1")
        keys = meet(fixed, *[error(400, "ExpiredToken")] * 9)
        with pytest.raises(AwsRefused) as caught:
            upload(fixed, TARGET, Bytes(data(12 * MIB)), state=Memory(), options=OPTIONS)
        assert caught.value.code == "ExpiredToken"
        assert len(keys) <= 4


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (503, "SlowDown"),
        (503, "ServiceUnavailable"),
        (500, "InternalError"),
        (400, "RequestTimeout"),
        (400, "BadDigest"),
    ],
)
def test_what_passes_is_tried_again(aws: Aws, status: int, code: str) -> None:
    meet(aws, error(status, code), error(status, code))
    assert upload(aws, TARGET, Bytes(data(12 * MIB)), state=Memory(), options=OPTIONS).bytes_sent == 12 * MIB


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (404, "NoSuchBucket"), (400, "InvalidRequest")])
def test_what_is_refused_is_not(aws: Aws, status: int, code: str) -> None:
    keys = meet(aws, *[error(status, code)] * 20)
    with pytest.raises(AwsRefused) as caught:
        upload(aws, TARGET, Bytes(data(12 * MIB)), state=Memory(), options=OPTIONS)
    assert caught.value.code == code
    assert len(keys) <= 4


def test_damage_on_the_way_is_no_endless_wait(aws: Aws) -> None:
    keys = meet(aws, *[error(400, "BadDigest")] * 100)
    with pytest.raises(AwsRefused, match="BadDigest"):
        upload(aws, TARGET, Bytes(data(6 * MIB)), state=Memory(), options=OPTIONS)
    assert len(keys) < 12


def test_a_completion_whose_answer_was_lost_counts(aws: Aws) -> None:
    """S3 joined the parts, the answer broke off, and the second attempt finds no upload."""
    client = aws.transfer(read_timeout=OPTIONS.stall, connect_timeout=OPTIONS.connect)
    lost: list[int] = []

    def after(http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
        if not lost:
            lost.append(1)
            http_response.status_code = 500
            parsed["ResponseMetadata"]["HTTPStatusCode"] = 500
            parsed["Error"] = {"Code": "InternalError", "Message": "lost"}

    client.meta.events.register("after-call.s3.CompleteMultipartUpload", after)
    content = data(12 * MIB)
    done = upload(aws, TARGET, Bytes(content), state=Memory(), options=OPTIONS)
    assert lost
    assert done.bytes_total == len(content)
    assert aws.client("s3").get_object(Bucket="bucket", Key="key")["Body"].read() == content


def test_a_body_is_hashed_once_and_its_checksum_is_signed(aws: Aws) -> None:
    client = aws.transfer(read_timeout=OPTIONS.stall, connect_timeout=OPTIONS.connect)
    seen: list[tuple[str, str]] = []

    def before_send(request: Any, **_: Any) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        text = {name: value.decode() if isinstance(value, bytes) else value for name, value in headers.items()}
        seen.append((text["x-amz-content-sha256"], text["authorization"]))

    client.meta.events.register_first("before-send.s3.UploadPart", before_send)
    upload(aws, TARGET, Bytes(data(12 * MIB)), state=Memory(), options=OPTIONS)
    assert seen
    assert all(payload == "UNSIGNED-PAYLOAD" and "x-amz-checksum-sha256" in signed for payload, signed in seen)


def test_an_answer_that_breaks_off_is_asked_for_again(aws: Aws) -> None:
    broken = AWSResponse("https://s3", 200, {"content-type": "application/xml"}, Raw(b"<InitiateMultipartUploadRes"))
    meet(aws, broken, at="CreateMultipartUpload")
    assert upload(aws, TARGET, Bytes(data(12 * MIB)), state=Memory(), options=OPTIONS).bytes_sent == 12 * MIB
