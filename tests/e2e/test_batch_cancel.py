"""A batch interrupted, gone on with and given up, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import boto3
import pytest

from tests.e2e.conftest import Done, Server
from tests.sandbox.conftest import BUCKET, bootable


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    for number in range(5):
        (tmp_path / f"vm-{number}.raw").write_bytes(bootable(mark=b"%d" % number))
    path = tmp_path / "plan.yaml"
    path.write_text("limits: {imports: 2}\ndefaults: {skip_check: all}\nitems:\n  - source: 'vm-*.raw'\n")
    return path


def wait_for_tasks(server: Server, count: int) -> None:
    end = time.monotonic() + 60
    while server.control("stats")["tasks"].get("import-image", 0) < count:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_interrupted_then_resumed(server: Server, plan: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    process = server.start("batch", "run", plan, state=state)
    wait_for_tasks(server, 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=40)
    done = Done(process.returncode, out, err)
    assert done.code == 130, err
    batch = done.json["result"]["batch"]
    assert f"vmie batch resume {batch}" in done.json["error"]["cure"]
    shown = server.run("batch", "status", batch, state=state).json["result"]
    assert shown["status"] == "interrupted"
    (listed,) = server.run("jobs", state=state).json["result"]["jobs"]
    assert (listed["job"], listed["kind"], listed["status"]) == (batch, "batch", "interrupted")
    resumed = server.run("resume", batch, state=state)
    assert resumed.code == 0, resumed.out
    assert resumed.json["result"]["completed"] == 5
    stats = server.control("stats")
    assert stats["tasks"]["import-image"] == 5
    assert stats["peak"]["imports"] <= 2


def test_cancelled_while_it_runs(slow_server: Server, plan: Path, tmp_path: Path) -> None:
    server, state = slow_server, tmp_path / "state"
    process = server.start("batch", "run", plan, state=state)
    wait_for_tasks(server, 1)
    batch = next((state / "batches").glob("batch-*")).name
    second = server.run("batch", "resume", batch, state=state)
    assert second.code == 2
    assert second.json["error"]["code"] == "BatchLocked"
    assert f"process {process.pid}" in second.json["error"]["message"]
    done = server.run("cancel", batch, state=state)
    out, _ = process.communicate(timeout=60)
    assert done.code == 0, done.out
    result = done.json["result"]
    assert result["cancelled"] + result["completed"] == 5
    assert result["cancelled"] >= 1
    assert json.loads(out)["result"]["cancelled"] == result["cancelled"]
    session = boto3.Session(aws_access_key_id="made", aws_secret_access_key="up", region_name="us-east-1")
    found = session.client("ec2", endpoint_url=server.url).describe_import_image_tasks()["ImportImageTasks"]
    assert not [task for task in found if task["Status"] == "active"]
    listed = session.client("s3", endpoint_url=server.url).list_objects_v2(Bucket=BUCKET, Prefix="vmie/")
    assert "Contents" not in listed


def test_cancelled_after_a_crash(server: Server, plan: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    process = server.start("batch", "run", plan, state=state)
    wait_for_tasks(server, 2)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    batch = next((state / "batches").glob("batch-*")).name
    done = server.run("batch", "cancel", batch, state=state)
    assert done.code == 0, done.out
    assert done.json["result"]["cancelled"] + done.json["result"]["completed"] == 5
    assert server.control("stats")["tasks"]["import-image"] == 2


def test_every_event_as_a_line_of_json(server: Server, plan: Path, tmp_path: Path) -> None:
    done = server.run("--log-format", "json", "batch", "run", plan, state=tmp_path / "state")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.err.splitlines()]
    calls = [line for line in lines if line["event"] == "AwsCall"]
    assert {"ImportImage", "CreateTags"} <= {call["operation"] for call in calls}
    assert all(call["request_id"] for call in calls if call["service"] == "ec2" and not call["error"])
    completed = [line["item"] for line in lines if line["event"] == "ItemSeen" and line["state"] == "completed"]
    assert len(completed) == 5
    assert "Signature" not in done.err
    assert "sandbox-secret" not in done.err
