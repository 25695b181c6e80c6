"""The door to AWS: who, where, how calls are made and reported."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws

from vmie import __version__, events
from vmie.aws.errors import refusals
from vmie.aws.session import Aws, connect
from vmie.errors import AwsRefused, UsageError, VmieError


@pytest.fixture
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


@pytest.fixture
def _aws(_credentials: None) -> Iterator[None]:
    with mock_aws():
        yield


def test_without_credentials_it_is_refused_with_a_cure() -> None:
    with pytest.raises(AwsRefused) as caught:
        connect(region="us-east-1")
    assert caught.value.code == "NoCredentials"
    assert "aws configure" in caught.value.cure


@pytest.mark.usefixtures("_credentials")
def test_without_a_region_it_is_refused_with_a_cure() -> None:
    with pytest.raises(UsageError) as caught:
        connect()
    assert "region" in caught.value.cure


@pytest.mark.usefixtures("_credentials")
def test_a_region_that_cannot_be_is_refused_unless_another_endpoint_is_asked() -> None:
    with pytest.raises(UsageError, match="not an AWS Region"):
        connect(region="moon")
    assert connect(region="moon", endpoint_url="http://127.0.0.1:1").partition == "aws"


@pytest.mark.usefixtures("_credentials")
@pytest.mark.parametrize(
    "url", ["nonsense", "localhost:4566", "http:/x", "http://", "ftp://x/", "http://localhost:99999", "http://u:pw@a b"]
)
@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2"])
def test_an_endpoint_that_is_no_address_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    monkeypatch.setenv(name, url)
    with pytest.raises(UsageError, match="endpoint of ec2 is no address") as caught:
        connect(region="us-east-1").client("ec2")
    assert "AWS_ENDPOINT_URL_EC2" in caught.value.cure
    assert "pw" not in caught.value.cause


def test_a_profile_that_does_not_exist_is_named() -> None:
    with pytest.raises(UsageError, match="nobody"):
        connect(profile="nobody", region="us-east-1")


def test_the_profile_gives_region_and_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("[profile work]\nregion = cn-north-1\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    aws = connect(profile="work")
    assert (aws.region, aws.partition) == ("cn-north-1", "aws-cn")
    facts = aws.credentials()
    assert facts is not None
    assert not facts.temporary


@pytest.mark.usefixtures("_credentials")
@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("cn-northwest-1", "aws-cn"), ("us-gov-east-1", "aws-us-gov")]
)
def test_the_partition_follows_the_region(region: str, partition: str) -> None:
    assert connect(region=region).partition == partition


@pytest.mark.usefixtures("_credentials")
def test_session_credentials_are_known_as_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    facts = connect(region="us-east-1").credentials()
    assert facts is not None
    assert facts.temporary
    assert "token" not in repr(facts)


@pytest.mark.usefixtures("_aws")
def test_the_account_is_asked_once_and_calls_are_reported_without_parameters() -> None:
    seen: list[events.Event] = []
    aws = connect(region="eu-central-1", reporter=seen.append)
    assert aws.account == aws.account == "123456789012"
    with pytest.raises(AwsRefused), refusals("GetRole"):
        aws.client("iam").get_role(RoleName="secret-parameter")
    calls = [event for event in seen if isinstance(event, events.AwsCall)]
    assert [(call.service, call.operation, call.status) for call in calls] == [
        ("sts", "GetCallerIdentity", 200),
        ("iam", "GetRole", 404),
    ]
    assert calls[0].request_id
    assert calls[1].error == "NoSuchEntity"
    assert all(call.seconds >= 0 for call in calls)
    assert "secret-parameter" not in repr(seen)


@pytest.mark.usefixtures("_credentials")
def test_a_call_that_reaches_nobody_is_reported_by_the_errors_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmie.aws.client_config.ATTEMPTS", 1)
    seen: list[Any] = []
    aws = connect(region="us-east-1", endpoint_url="http://127.0.0.1:9", reporter=seen.append)
    with pytest.raises(VmieError) as caught:
        _ = aws.account
    assert caught.value.code == "EndpointConnectionError"
    assert caught.value.exit_code == 1
    assert (seen[-1].status, seen[-1].error) == (0, "EndpointConnectionError")


@pytest.mark.usefixtures("_credentials")
def test_clients_are_made_once_with_our_retries_and_signature() -> None:
    aws = connect(region="us-east-1")
    s3, ec2 = aws.client("s3"), aws.client("ec2")
    assert aws.client("s3") is s3
    assert aws.client("ec2", region="eu-west-1") is not ec2
    assert aws.client("ec2", region="eu-west-1").meta.region_name == "eu-west-1"
    assert ec2.meta.config.retries == {"mode": "standard", "total_max_attempts": 8}
    assert f"vmie/{__version__}" in ec2.meta.config.user_agent
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    assert "X-Amz-Signature=" in url


@pytest.mark.usefixtures("_credentials")
@pytest.mark.parametrize(
    ("region", "endpoint", "start"),
    [
        ("eu-west-1", None, "https://images.s3.eu-west-1.amazonaws.com/k?"),
        ("us-east-1", None, "https://images.s3.us-east-1.amazonaws.com/k?"),
        ("cn-north-1", None, "https://images.s3.cn-north-1.amazonaws.com.cn/k?"),
        ("eu-west-1", "http://localhost:5000", "http://localhost:5000/images/k?"),
    ],
)
def test_presigned_urls_are_regional_and_stand_ins_get_paths(region: str, endpoint: str | None, start: str) -> None:
    s3 = connect(region=region, endpoint_url=endpoint).client("s3")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "images", "Key": "k"})
    assert url.startswith(start)
    assert "X-Amz-Signature=" in url


@pytest.mark.usefixtures("_credentials")
def test_threads_share_one_client() -> None:
    aws = connect(region="us-east-1")
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(aws.client("sts"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({id(client) for client in found}) == 1


def test_ready_clients_can_be_handed_in() -> None:
    sts = SimpleNamespace(get_caller_identity=lambda: {"Account": "210987654321"})
    aws = Aws.of({"sts": sts}, region="eu-west-1")
    assert aws.client("sts") is sts
    assert aws.account == "210987654321"
    assert aws.credentials() is None
    with pytest.raises(KeyError, match="ec2"):
        aws.client("ec2")


class _Flaky(BaseHTTPRequestHandler):
    """STS that is out of order for as many answers as its server still has, then in order."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        failing, status = self.server.failing, self.server.status  # type: ignore[attr-defined]
        self.server.failing = failing - 1  # type: ignore[attr-defined]
        code = status if failing > 0 else 200
        body = _ANSWER if code == 200 else self.server.fault  # type: ignore[attr-defined]
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


_OF_STS = b"<ErrorResponse><Error><Code>ServiceUnavailable</Code></Error></ErrorResponse>"
_OF_S3 = b"<Error><Code>ServiceUnavailable</Code><Resource>/</Resource></Error>"
_ANSWER = (
    b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    b"<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
)


@pytest.fixture
def flaky() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), _Flaky) as server:
        server.failing, server.status, server.fault = 0, 503, _OF_STS  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("_credentials")
@pytest.mark.parametrize("failures", [0, 1, 2])
def test_an_sts_that_fails_for_a_moment_is_no_missing_sts(flaky: HTTPServer, failures: int) -> None:
    flaky.failing = failures  # type: ignore[attr-defined]
    aws = connect(region="us-east-1", endpoint_url=f"http://127.0.0.1:{flaky.server_port}")
    assert aws.bucket_owner == "123456789012"


@pytest.mark.usefixtures("_credentials")
def test_an_sts_that_stays_out_of_order_is_an_error_and_no_empty_account(
    flaky: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmie.aws.client_config.ATTEMPTS", 2)
    flaky.failing = 100  # type: ignore[attr-defined]
    aws = connect(region="us-east-1", endpoint_url=f"http://127.0.0.1:{flaky.server_port}")
    with pytest.raises(VmieError) as caught:
        _ = aws.bucket_owner
    assert caught.value.passing


@pytest.mark.usefixtures("_credentials")
@pytest.mark.parametrize("status", [501, 503, 404, 405, 403])
def test_a_stand_in_without_sts_has_no_account(flaky: HTTPServer, status: int) -> None:
    flaky.failing, flaky.status, flaky.fault = 100, status, _OF_S3  # type: ignore[attr-defined]
    aws = connect(region="us-east-1", endpoint_url=f"http://127.0.0.1:{flaky.server_port}")
    assert aws.bucket_owner == ""
