"""Job files that something else than vmie has written or damaged: listed, cancelled and resumed."""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from tests.clocks import ManualClock
from tests.fuzz import harness, mutations
from tests.fuzz.sizes import inputs
from vmie.aws.session import Aws
from vmie.cli import jobs, render
from vmie.errors import VmieError
from vmie.jobs import runner
from vmie.jobs.store import JobStore
from vmie.ops.context import Context
from vmie.settings import Settings

_JOB = "job-20260102-030405-a1b2c3"
_SEEDS = tuple(json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "seeds").glob("*.json")))
_WORDS = (
    *("status", "kind", "source", "request", "steps", "updated", "plan", "result", "fingerprint", "created"),
    *("upload 0", "upload 1", "upload 999", "submit", "submit 1", "attempt", "intent", "finish", "task"),
    *("upload_id", "done", "held", "token", "bucket", "key", "parts", "stem", "identity", "number", "at", "task_id"),
)
_TOKENS = (b"[" * 30_000, b'{"a":' * 30_000, b"1e999", b"NaN", b"9" * 5000, b'"\\ud800"', b"\xed\xa0\x80", b"//", b"'")


def _refuse(request: Any, **_: object) -> AWSResponse:
    """AWS, to whom nothing may be done: no byte leaves the process."""
    code = "AccessDenied" if request.url.startswith("https://s3") else "UnauthorizedOperation"
    body = f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>"
    if code == "AccessDenied":
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
    made = AWSResponse(request.url, 403, {}, io.BytesIO(body.encode()))
    made._content = body.encode()
    return made


@pytest.fixture(scope="module")
def aws() -> Aws:
    """Real clients, which check what they are given and are refused everything."""
    session = boto3.Session(aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1")
    clients = {name: session.client(name) for name in ("ec2", "s3", "iam", "sts", "kms")}
    for client in clients.values():
        client.meta.events.register("before-send.*.*", _refuse)
    return Aws.of(clients, account="123456789012", clock=ManualClock())


def _make(rng: random.Random) -> bytes:
    document = mutations.tree(rng, rng.choice(_SEEDS), words=_WORDS)
    text = mutations.as_json(rng, document)
    return mutations.damaged(rng, text, tokens=_TOKENS) if rng.random() < 0.25 else text


def _reader(state: Path, aws: Aws) -> Callable[[bytes], None]:
    folder = state / "jobs"
    folder.mkdir(parents=True, mode=0o700)
    path = folder / f"{_JOB}.json"
    (state.parent / "disk.raw").write_bytes(b"disk" * 4096)

    def read(data: bytes) -> None:
        data = data.replace(b"/images/", os.fsencode(state.parent) + b"/")
        path.write_bytes(data)
        context = Context(aws, Settings(), clock=ManualClock(), state=state)
        listed = JobStore(state, now=context.clock.now, token_hex=lambda _: "a1b2c3").list()
        assert [one.job for one in listed] == [_JOB], "a job is hidden"
        columns = ["job", "status", "kind", "task", "held in S3", "updated", "source"]
        harness.printed({"jobs": [one.as_json() for one in listed]}, render.table(columns, map(jobs._row, listed)))
        try:
            runner.cancel(context, _JOB)
        except VmieError as error:
            harness.refused(error)
        path.write_bytes(data)
        outcome = runner.resume(context, _JOB)
        harness.printed({"plan": outcome.plan.as_json(), "result": outcome.result and outcome.result.as_json()})

    return read


@pytest.mark.parametrize("count", inputs("jobs"))
def test_jobs(tmp_path: Path, aws: Aws, count: int) -> None:
    read = _reader(tmp_path / "here" / "state", aws)
    harness.expect_no_fault(harness.run("jobs", count, folder=tmp_path / "here", make=_make, read=read))
