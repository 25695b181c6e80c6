"""In process: no call gets out, and neither moto's own mocks nor another sandbox come to harm."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws
from moto.core.models import MockAWS

from tests.sandbox.conftest import BUCKET
from vmie import sandbox
from vmie.sandbox import Sandbox


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Whatever this process tries to connect to."""
    tried: list[Any] = []

    def connect(_self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise OSError("observed")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


def test_mock_aws_inside_is_refused_and_the_sandbox_goes_on(box: Sandbox, connections: list[Any]) -> None:
    def decorated() -> None:
        raise AssertionError("the body must not run")

    with pytest.raises(RuntimeError, match="mock_aws cannot be used while a sandbox runs"), mock_aws():
        pass
    with pytest.raises(RuntimeError, match="one of them at a time"):
        mock_aws(decorated)()
    mock = mock_aws()
    for act in (mock.start, mock.stop):
        with pytest.raises(RuntimeError):
            act()
    assert [one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]] == [BUCKET]
    assert (connections, MockAWS._nested_count) == ([], 0)


def test_a_mock_works_after_one_was_refused() -> None:
    with sandbox.start(), pytest.raises(RuntimeError), mock_aws():
        pass
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="mine")


def test_a_sandbox_inside_mock_aws_is_refused_and_wipes_nothing() -> None:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="mine")
        before = dict(os.environ)
        for begin in (sandbox.start, sandbox.serve):
            with pytest.raises(RuntimeError, match="while moto's mock_aws is active"), begin(seeded=True):
                pass
        assert [one["Name"] for one in client.list_buckets()["Buckets"]] == ["mine"]
        assert dict(os.environ) == before
    with sandbox.start():
        pass


@mock_aws
def test_so_it_is_in_a_decorated_function() -> None:
    with pytest.raises(RuntimeError, match="while moto's mock_aws is active"), sandbox.start():
        pass


def test_clients_made_before_talk_to_the_sandbox(connections: list[Any]) -> None:
    """Also those made without moto, which its stub of botocore never sees."""
    code = """
import boto3, socket
client = boto3.Session("a", "b", region_name="us-east-1").client("s3")
resource = boto3.Session("a", "b", region_name="us-east-1").resource("ec2")
def connect(self, address): raise SystemExit(f"connects to {address}")
socket.socket.connect = connect
from vmie import sandbox
with sandbox.start(seeded=True):
    print([one["Name"] for one in client.list_buckets()["Buckets"]], len(list(resource.instances.all())))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("['vmie-sandbox'] 1", 0), done.stderr


def test_nothing_in_the_process_finds_an_address_of_aws(box: Sandbox, connections: list[Any]) -> None:
    import urllib.error
    import urllib.request

    import requests

    url = box.client("s3").generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "k"})
    with pytest.raises(urllib.error.URLError, match="lets no request out"):
        urllib.request.urlopen(url)
    with pytest.raises(requests.ConnectionError):
        requests.get("https://ec2.eu-west-1.api.aws", timeout=1)
    for name in ("sts.amazonaws.com", "s3.cn-north-1.amazonaws.com.cn", b"x.api.aws.", "169.254.169.254"):
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo(name, 443)
    with pytest.raises(EndpointConnectionError):
        boto3.client("s3", endpoint_url="https://storage.example").list_buckets()
    assert socket.getaddrinfo("127.0.0.1", 80)
    assert connections == []


def test_a_client_made_inside_asks_nobody_after_the_end(connections: list[Any]) -> None:
    with sandbox.start() as box:
        clients = [box.client("s3"), boto3.client("s3")]
    for client in clients:
        with pytest.raises(RuntimeError, match="has ended"):
            client.list_buckets()
    with sandbox.start():
        assert [client.list_buckets()["Buckets"] for client in clients] == [[], []]
    assert connections == []


def test_an_error_in_the_body_ends_the_sandbox(connections: list[Any]) -> None:
    before, look_up = dict(os.environ), socket.getaddrinfo
    with pytest.raises(ZeroDivisionError), sandbox.start(seeded=True):
        _ = 1 // 0
    with pytest.raises(KeyboardInterrupt), sandbox.start():
        raise KeyboardInterrupt
    assert (dict(os.environ), socket.getaddrinfo) == (before, look_up)
    with sandbox.start():
        pass


def test_what_fails_at_the_end_does_not_poison_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    from vmie.sandbox.moto_fixes import state

    def fails() -> None:
        raise OSError("no")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="no"), sandbox.start(seeded=True):
        patched.setattr(state, "drop", fails)
    with sandbox.start():
        assert boto3.client("s3").list_buckets()["Buckets"] == []


def test_of_two_threads_one_has_the_sandbox() -> None:
    entered, leave, refused = threading.Event(), threading.Event(), []

    def other() -> None:
        with sandbox.start(seeded=True):
            entered.set()
            leave.wait(20)

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(20)
    try:
        with pytest.raises(RuntimeError, match="already"), sandbox.start():
            refused.append("not")
        assert boto3.client("s3", "us-east-1").list_buckets()["Buckets"]
    finally:
        leave.set()
        thread.join()
    assert refused == []
