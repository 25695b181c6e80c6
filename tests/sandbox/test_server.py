"""The sandbox over HTTP: for any client, on loopback only, with its own endpoint for tests in other processes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.sandbox.conftest import BUCKET, HOUR, bootable
from vmie import sandbox
from vmie.errors import UsageError
from vmie.sandbox import Sandbox

WHERE = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    """One server for all: its clock is moved by hand."""
    with sandbox.serve(seeded=True, speed=0) as box:
        box.client("s3").put_object(Bucket=BUCKET, Key="disk.raw", Body=bootable())
        yield box


@pytest.fixture(scope="module")
def ec2(server: Sandbox) -> Any:
    session = boto3.Session(aws_access_key_id="made", aws_secret_access_key="up", region_name="us-east-1")
    return session.client("ec2", endpoint_url=server.url, config=Config(retries={"total_max_attempts": 1}))


def ask(server: Sandbox, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    where = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(where.hostname), int(where.port or 0), timeout=10)
    data = body if isinstance(body, str | None) else json.dumps(body)
    connection.request(method, path, body=data, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, json.loads(text) if text.startswith("{") else text


def test_a_task_runs_to_its_image(server: Sandbox, ec2: Any) -> None:
    task_id = ec2.import_image(DiskContainers=[WHERE])["ImportTaskId"]
    assert ask(server, "POST", "/_vmie/advance", {"seconds": HOUR}) == (200, {"status": "ok"})
    (task,) = ec2.describe_import_image_tasks(ImportTaskIds=[task_id])["ImportImageTasks"]
    assert task["Status"] == "completed"


def test_ranges_and_large_uploads_work(server: Sandbox, tmp_path: Path) -> None:
    s3 = server.client("s3")
    (tmp_path / "in").write_bytes(os.urandom(20 << 20))
    s3.upload_file(str(tmp_path / "in"), BUCKET, "big")
    s3.download_file(BUCKET, "big", str(tmp_path / "out"))
    assert (tmp_path / "in").read_bytes() == (tmp_path / "out").read_bytes()


def test_faults_are_injected_and_counted_over_http(server: Sandbox, ec2: Any) -> None:
    before = ask(server, "GET", "/_vmie/stats")[1]["calls"].get("ec2:DescribeImages", 0)
    assert ask(server, "POST", "/_vmie/faults", {"kind": "throttle", "action": "DescribeImages"})[0] == 200
    with pytest.raises(ClientError, match="RequestLimitExceeded"):
        ec2.describe_images()
    ec2.describe_images()
    assert ask(server, "GET", "/_vmie/stats")[1]["calls"]["ec2:DescribeImages"] == before + 2


def test_a_lost_answer_is_a_closed_connection(server: Sandbox, ec2: Any) -> None:
    made = server.stats.tasks["import-snapshot"]
    ask(server, "POST", "/_vmie/faults", {"kind": "lose", "action": "ImportSnapshot"})
    with pytest.raises(ConnectionClosedError):
        ec2.import_snapshot(DiskContainer=WHERE)
    assert server.stats.tasks["import-snapshot"] == made + 1


def test_an_upload_that_is_refused_ends_with_the_error(server: Sandbox) -> None:
    s3 = boto3.Session(aws_access_key_id="made", aws_secret_access_key="up").client(
        "s3", endpoint_url=server.url, config=Config(retries={"total_max_attempts": 1})
    )
    server.faults.unavailable("PutObject")
    with pytest.raises(ClientError, match="ServiceUnavailable"):
        s3.put_object(Bucket=BUCKET, Key="x", Body=bytes(4 << 20))


def test_settings_change_quotas_and_delays(server: Sandbox) -> None:
    assert ask(server, "POST", "/_vmie/settings", {"imports": 7, "propagation": 2.5})[0] == 200
    assert (server.limits.imports, server.faults.propagation) == (7, 2.5)
    assert ask(server, "DELETE", "/_vmie/faults")[0] == 200
    assert server.faults.propagation == 0


def test_time_quotas_and_disks_are_set_over_http(server: Sandbox) -> None:
    given = {"median": 900, "spread": 0.5, "per_gib": 60, "imports": 7, "regions": {"eu-west-1": {"imports": 3}}}
    assert ask(server, "POST", "/_vmie/settings", given)[0] == 200
    assert (server.durations.median, server.durations.spread, server.durations.per_gib) == (900.0, 0.5, 60.0)
    assert (server.limits.of("imports", "eu-west-1"), server.limits.of("imports", "us-east-1")) == (3, 7)
    assert ask(server, "POST", "/_vmie/settings", {"median": 0, "spread": 0, "per_gib": 0, "regions": {}})[0] == 200
    disk = {"bucket": BUCKET, "key": "planted.raw", "size": 1 << 40}
    assert ask(server, "POST", "/_vmie/disks", disk)[0] == 200
    assert server.client("s3").head_object(Bucket=BUCKET, Key="planted.raw")["ContentLength"] == 1 << 40
    before = ask(server, "GET", "/_vmie/clock")[1]
    assert ask(server, "POST", "/_vmie/advance", {"seconds": 3600})[0] == 200
    after = ask(server, "GET", "/_vmie/clock")[1]
    assert after["elapsed"] - before["elapsed"] >= 3600
    assert ask(server, "GET", "/_vmie/stats")[1]["cpu"] > 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/_vmie/health", None, 200),
        ("POST", "/_vmie/disks", {"bucket": "nowhere", "key": "k", "size": 1 << 21}, 400),
        ("POST", "/_vmie/disks", {"bucket": BUCKET, "key": "k", "size": "large"}, 400),
        ("POST", "/_vmie/settings", {"regions": {"eu-west-1": {"colours": 1}}}, 400),
        ("POST", "/_vmie/settings", {"regions": {"eu-west-1": 5}}, 400),
        ("GET", "/_vmie/nothing", None, 404),
        ("POST", "/_vmie/faults", {"kind": "gremlin"}, 400),
        ("POST", "/_vmie/faults", {"kind": "fail", "unheard": 1}, 400),
        ("POST", "/_vmie/faults", {"kind": "fail", "status": "x"}, 400),
        ("POST", "/_vmie/faults", "{", 400),
        ("POST", "/_vmie/faults", "[]", 400),
        ("POST", "/_vmie/faults", "[" * 20_000, 400),
        ("POST", "/_vmie/advance", {"seconds": -1}, 400),
        ("POST", "/_vmie/advance", {"seconds": []}, 400),
        ("POST", "/_vmie/settings", {"colour": 1}, 400),
        ("POST", "/_vmie/settings", {"imports": "many"}, 400),
    ],
)
def test_the_control_endpoint_says_what_it_does_not_take(
    server: Sandbox, method: str, path: str, body: Any, status: int
) -> None:
    assert ask(server, method, path, body)[0] == status


class TestServe:
    @pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::"])
    def test_listens_on_loopback_only(self, host: str) -> None:
        with pytest.raises(UsageError, match="does not listen"), sandbox.serve(host=host):
            pass

    def test_says_when_the_port_is_taken(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            run = _vmie("sandbox", "serve", "--port", str(port), "--output", "json")
        assert run.returncode == 2
        assert "cannot listen" in json.loads(run.stdout)["error"]["message"]

    def test_ends_tidily_when_it_is_told_to(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "vmie", "sandbox", "serve", "--port", "0", "--empty"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


class TestEnv:
    @pytest.mark.parametrize(
        ("shell", "line"),
        [
            ("sh", "export AWS_ENDPOINT_URL='http://127.0.0.1:5000'"),
            ("fish", "set -gx AWS_ENDPOINT_URL 'http://127.0.0.1:5000'"),
            ("powershell", "$env:AWS_ENDPOINT_URL = 'http://127.0.0.1:5000'"),
        ],
    )
    def test_prints_exports(self, shell: str, line: str) -> None:
        lines = _vmie("sandbox", "env", "--port", "5000", "--shell", shell).stdout.splitlines()
        assert lines[0] == line
        assert len(lines) == 7  # with the pace, for vmie

    def test_cannot_be_made_to_print_commands(self) -> None:
        assert _vmie("sandbox", "env", "--host", "';reboot;'").returncode == 2
        assert _vmie("--region", "';reboot;'", "sandbox", "env").returncode == 2


def _vmie(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "vmie", *arguments], capture_output=True, text=True, timeout=60)
