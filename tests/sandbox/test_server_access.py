"""Who the sandbox's server answers: no page of a website, no forged URL, no service that could reach others."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.sandbox.conftest import BUCKET, policy
from vmie import sandbox
from vmie.errors import UsageError
from vmie.sandbox import Sandbox

SECRET = b"bytes of an object"
PATHS = ("/", f"/{BUCKET}", f"/{BUCKET}/key", "/_vmie/stats", "/_vmie/faults", "/moto-api/reset", "/moto-api/data.json")
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=made/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
}


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with sandbox.serve(seeded=True, speed=0, allow_hosts=["host.docker.internal"]) as box:
        box.client("s3").put_object(Bucket=BUCKET, Key="key", Body=SECRET)
        yield box


def ask(
    server: Sandbox, method: str, path: str, *, body: str = "", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    where = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(where.hostname), int(where.port or 0), timeout=10)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body=body or None, headers=given)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def port(server: Sandbox) -> int:
    return int(urlsplit(server.url).port or 0)


class TestPagesAreRefused:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize(
        "header",
        [
            {"Origin": "https://attacker.example"},
            {"Origin": "http://127.0.0.1:1"},
            {"Origin": "null"},
            {"Host": "attacker.example"},
        ],
        ids=str,
    )
    def test_on_every_path_and_method(self, server: Sandbox, method: str, path: str, header: dict[str, str]) -> None:
        before = server.stats.as_json()["calls"]
        status, headers, body = ask(server, method, path, **header, **SIGNED)
        assert status == 403
        assert not [name for name in headers if name.startswith("access-control-")]
        assert SECRET not in body
        assert server.stats.as_json()["calls"] == before, "it did not get as far as a service"

    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},  # another port of this machine
            {"Referer": "https://attacker.example/page"},
            {"Origin": "http://localhost"},
            {"Origin": "file://"},
            {"Origin": ""},
            {"Origin": "http://[::1"},
        ],
        ids=str,
    )
    def test_whatever_shows_the_page(self, server: Sandbox, headers: dict[str, str]) -> None:
        assert ask(server, "GET", "/_vmie/stats", **headers)[0] == 403

    def test_but_not_the_servers_own(self, server: Sandbox) -> None:
        own = {"Origin": server.url, "Referer": f"{server.url}/moto-api/", "Sec_Fetch_Site": "same-origin"}
        assert ask(server, "GET", "/_vmie/stats", **own)[0] == 200
        assert ask(server, "GET", "/_vmie/stats", Origin=f"http://localhost:{port(server)}")[0] == 200
        assert ask(server, "GET", "/moto-api/", Sec_Fetch_Site="none")[0] == 200

    def test_rules_of_a_bucket_let_no_page_in(self, server: Sandbox) -> None:
        s3 = server.client("s3")
        rule = {"AllowedOrigins": ["*", server.url], "AllowedMethods": ["GET"], "AllowedHeaders": ["*"]}
        s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": [rule]})
        for origin in ("https://attacker.example", server.url):
            _, headers, _ = ask(server, "GET", f"/{BUCKET}/key", Origin=origin, **SIGNED)
            assert not [name for name in headers if name.startswith("access-control-")]
            assert headers["cross-origin-resource-policy"] == "same-origin"


class TestNames:
    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1:{}", "localhost:{}", "[::1]:{}", "bucket.localhost:{}", "a.b.s3.localhost:{}", "127.9.9.9:{}"],
    )
    def test_of_loopback_are_answered_at_the_port(self, server: Sandbox, host: str) -> None:
        assert ask(server, "GET", "/_vmie/stats", Host=host.format(port(server)))[0] == 200
        assert ask(server, "GET", "/_vmie/stats", Host=host.format(1))[0] == 403

    @pytest.mark.parametrize(
        "host",
        [
            *("attacker.example:{}", "localhost.attacker.example:{}", "attackerlocalhost:{}", "127.0.0.1.nip.io:{}"),
            *("0.0.0.0:{}", "localhost", "", "localhost:{}@attacker.example", "user@localhost:{}", "localhost:x"),
            *("evilhost.docker.internal", "docker.internal"),
        ],
    )
    def test_of_others_are_not(self, server: Sandbox, host: str) -> None:
        assert ask(server, "GET", "/_vmie/stats", Host=host.format(port(server)))[0] == 403

    def test_that_are_allowed_are_answered_on_any_port(self, server: Sandbox) -> None:
        assert ask(server, "GET", "/_vmie/stats", Host="host.docker.internal:8000")[0] == 200
        status, _, body = ask(server, "GET", f"/{BUCKET}/key", Host="host.docker.internal:8000", **SIGNED)
        assert (status, body) == (200, SECRET)
        status, _, body = ask(server, "GET", "/key", Host=f"{BUCKET}.host.docker.internal", **SIGNED)
        assert (status, body) == (200, SECRET)
        status, _, body = ask(server, "GET", "/key", Host=f"{BUCKET}.localhost:{port(server)}", **SIGNED)
        assert (status, body) == (200, SECRET)

    @pytest.mark.parametrize("name", ["", "*", "a b", "host:80", "http://host", "a..b", "-a", "a/b"])
    def test_must_be_names(self, name: str) -> None:
        with pytest.raises(UsageError, match="no host name"), sandbox.serve(allow_hosts=[name]):
            pass


def presigning(server: Sandbox, version: str, *, key: str = "", secret: str = "", style: str = "path") -> Any:
    known = server.environment()
    session = boto3.Session(
        aws_access_key_id=key or known["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or known["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    url = server.url if style == "path" else f"http://localhost:{port(server)}"
    return session.client(
        "s3", endpoint_url=url, config=Config(signature_version=version, s3={"addressing_style": style})
    )


def fetch(server: Sandbox, url: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    status, _, body = ask(server, method, f"{parts.path}?{parts.query}", Host=parts.netloc, **headers)
    return status, body


@pytest.mark.parametrize("version", ["s3v4", "s3"])
class TestPresignedUrls:
    @pytest.mark.parametrize("style", ["path", "virtual"])
    @pytest.mark.parametrize("name", ["key", "a folder/ü+%20=&?.raw"])
    def test_that_are_right_give_the_object(self, server: Sandbox, version: str, style: str, name: str) -> None:
        server.client("s3").put_object(Bucket=BUCKET, Key=name, Body=SECRET)
        where = {"Bucket": BUCKET, "Key": name, "ResponseContentType": "text/plain; charset=x"}
        s3 = presigning(server, version, style=style)
        assert fetch(server, s3.generate_presigned_url("get_object", Params=where)) == (200, SECRET)

    def test_write_too(self, server: Sandbox, version: str) -> None:
        url = presigning(server, version).generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "put"})
        parts = urlsplit(url)
        assert ask(server, "PUT", f"{parts.path}?{parts.query}", body="in", Host=parts.netloc)[0] == 200
        assert server.client("s3").get_object(Bucket=BUCKET, Key="put")["Body"].read() == b"in"

    @pytest.mark.parametrize("what", ["signature", "key", "method", "secret", "unknown key", "expired", "no signature"])
    def test_that_are_not_give_nothing(self, server: Sandbox, version: str, what: str) -> None:
        given = {"secret": {"secret": "guess"}, "unknown key": {"key": "AKIAMADEUP", "secret": "sandbox"}}.get(what, {})
        s3 = presigning(server, version, **given)
        lasts = -7200 if what == "expired" and version == "s3" else 3600
        good = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "other"}, ExpiresIn=lasts)
        server.client("s3").put_object(Bucket=BUCKET, Key="other", Body=SECRET)
        url = {
            "signature": good.replace("Signature=", "Signature=0"),
            "key": good.replace("/other", "/key"),
            "expired": good.replace("Expires=3600", "Expires=1"),
            "no signature": good.replace("Signature=", "Signatures="),
        }.get(what, good)
        status, body = fetch(server, url, "DELETE" if what == "method" else "GET")
        assert status == 403
        assert SECRET not in body
        assert server.client("s3").get_object(Bucket=BUCKET, Key="other")["Body"].read() == SECRET

    def test_are_taken_from_keys_made_here(self, server: Sandbox, version: str) -> None:
        iam, where = server.client("iam"), {"Bucket": BUCKET, "Key": "key"}
        iam.create_user(UserName=f"user-{version}")
        key = iam.create_access_key(UserName=f"user-{version}")["AccessKey"]
        s3 = presigning(server, version, key=key["AccessKeyId"], secret=key["SecretAccessKey"])
        url = s3.generate_presigned_url("get_object", Params=where)
        assert fetch(server, url)[0] == 403, "a key that may do nothing"
        reads = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
        iam.put_user_policy(UserName=f"user-{version}", PolicyName="reads", PolicyDocument=policy(reads))
        assert fetch(server, url) == (200, SECRET)
        iam.delete_access_key(UserName=f"user-{version}", AccessKeyId=key["AccessKeyId"])
        assert fetch(server, url)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        f"/{BUCKET}/key",
        f"/{BUCKET}/key?Signature=x",
        f"/{BUCKET}/key?x-amz-signature=x",
        f"/{BUCKET}/key?a=Signature=x",
        f"/{BUCKET}?list-type=2",
        "/",
        "/?Action=DescribeInstances&Version=2016-11-15",
        "/?Action=DeleteRole&RoleName=vmimport&Version=2010-05-08",
        "/latest/meta-data/iam/security-credentials/",
    ],
)
def test_what_is_not_signed_is_refused(server: Sandbox, path: str) -> None:
    status, _, body = ask(server, "GET", path)
    assert status in (400, 403)
    assert SECRET not in body


def test_an_expired_url_is_one_by_the_sandboxs_own_date(server: Sandbox) -> None:
    where = {"Bucket": BUCKET, "Key": "key"}
    url = presigning(server, "s3v4").generate_presigned_url("get_object", Params=where, ExpiresIn=60)
    assert fetch(server, url) == (200, SECRET)
    server.advance(120)
    assert fetch(server, url)[0] == 403


OTHERS = [
    ("sns", "create_topic", {"Name": "t"}),  # query
    ("sqs", "create_queue", {"QueueName": "q"}),  # JSON
    ("lambda", "list_functions", {}),  # REST with JSON
    ("cloudfront", "list_distributions", {}),  # REST with XML
    ("cloudwatch", "list_metrics", {}),  # CBOR
    ("dynamodb", "list_tables", {}),
]


class TestServices:
    @pytest.mark.parametrize(("service", "call", "parameters"), OTHERS)
    def test_that_are_not_here_are_named(
        self, server: Sandbox, service: str, call: str, parameters: dict[str, Any]
    ) -> None:
        named_as_missing(_client(service, server.url), call, parameters)

    def test_that_are_here_name_the_action_that_is_not(self, server: Sandbox) -> None:
        with pytest.raises(ClientError) as caught:
            _client("ec2", server.url).describe_trunk_interface_associations()
        assert caught.value.response["Error"]["Code"] == "NotImplemented"
        assert "no action DescribeTrunkInterfaceAssociations of EC2" in caught.value.response["Error"]["Message"]
        status, headers, _ = ask(server, "PATCH", "/nowhere/at/all", **SIGNED)
        assert status >= 400
        assert "html" not in headers["content-type"]

    def test_none_connects_to_another_machine(self, server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[Any] = []
        connect, resolve = socket.socket.connect, socket.getaddrinfo

        def watched(self: socket.socket, address: Any) -> None:
            asked.append(address[0])
            connect(self, address)

        def looked_up(host: Any, *rest: Any, **options: Any) -> Any:
            asked.append(host)
            return resolve(host, *rest, **options)

        monkeypatch.setattr(socket.socket, "connect", watched)
        monkeypatch.setattr(socket, "getaddrinfo", looked_up)
        sns = _client("sns", server.url)
        with pytest.raises(ClientError):
            sns.subscribe(TopicArn="arn:aws:sns:us-east-1:1:t", Protocol="http", Endpoint="http://203.0.113.1/")
        for path in ("recorder/start-recording", "recorder/replay-recording", "/recorder/replay-recording"):
            status, _, _ = ask(server, "POST", f"/moto-api/{path}", body=json.dumps({"target_host": "203.0.113.1"}))
            assert status == 501
        assert set(asked) <= {"127.0.0.1"}


def _client(service: str, url: str | None) -> Any:
    session = boto3.Session(aws_access_key_id="made", aws_secret_access_key="up", region_name="us-east-1")
    return session.client(service, endpoint_url=url, config=Config(retries={"total_max_attempts": 1}))


def named_as_missing(client: Any, call: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(client, call)(**parameters)
    answer = caught.value.response
    assert answer["Error"]["Code"] == "NotImplemented"
    assert f"no service '{client.meta.service_model.signing_name}': it has S3, IAM" in answer["Error"]["Message"]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 501
