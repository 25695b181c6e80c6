"""What every kind of work shares: plans that another process takes up, one task per attempt, and undoing it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.clock import SandboxClock
from tests.sandbox.conftest import BUCKET, bootable
from vmie.aws import ec2 as api
from vmie.aws.session import connect
from vmie.model import Route, TaskKind
from vmie.ops import idempotency, operations
from vmie.ops.context import Context
from vmie.ops.journal import MemoryJournal
from vmie.ops.operation import Operation, carry_out
from vmie.sandbox import Sandbox
from vmie.sandbox.seed import IMAGE, INSTANCE


@pytest.fixture
def context(box: Sandbox) -> Context:
    return Context(connect(region="us-east-1"), clock=SandboxClock(box), journal=MemoryJournal("job-1"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "boot.raw"
    path.write_bytes(bootable(mark=b"boot"))
    return path


def import_of(context: Context, *sources: Path | str, **options: Any) -> Operation[Any, Any, Any]:
    request = {"sources": [str(one) for one in sources], "skip_check": ["all"], **options}
    return operations.read(context, "import", request)


@pytest.mark.parametrize(
    ("verb", "request_"),
    [
        ("import", {"route": "image", "architecture": "x86_64"}),
        ("import", {"route": "snapshot", "register": "web"}),
        ("import", {"route": "volume", "availability_zone": "us-east-1a"}),
        ("import", {"route": "instance", "instance_type": "m3.medium", "platform": "Linux"}),
        ("export", {"source": IMAGE, "format": "vmdk"}),
        ("export", {"source": INSTANCE, "format": "vhd"}),
    ],
)
def test_a_plan_is_taken_up_by_another_process(
    context: Context, image: Path, verb: str, request_: dict[str, Any]
) -> None:
    asked = {"sources": [str(image)], "skip_check": ["all"], **request_} if verb == "import" else request_
    planned = operations.read(context, verb, asked)
    planned.plan()
    kept = json.loads(json.dumps(planned.dump()))
    other = operations.read(context, verb, asked).load(kept)
    assert other.planned.as_json() == planned.planned.as_json()
    done = carry_out(other)
    assert done.as_json()["status"] == "completed"


def test_what_is_left_of_a_machine_whose_first_disk_was_in_s3_is_removed(
    context: Context, box: Sandbox, image: Path
) -> None:
    box.client("s3").put_object(Bucket=BUCKET, Key="first.raw", Body=image.read_bytes())
    operation = import_of(context, f"s3://{BUCKET}/first.raw", image)
    operation.plan()
    operation.send()
    target = operation.planned.disks[1].object
    assert operation.undo()["removed"] == [target.url]
    left = box.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    assert target.key not in [entry["Key"] for entry in left]


@pytest.mark.parametrize("route", [Route.IMAGE, Route.SNAPSHOT])
def test_cancelling_finds_an_import_whose_answer_was_never_read(
    context: Context, box: Sandbox, image: Path, route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"import_{route.value}"
    real = getattr(api, name)

    def and_dies(*given: Any) -> Any:
        real(*given)
        raise SystemExit("killed")

    monkeypatch.setattr(api, name, and_dies)
    operation = import_of(context, image, route=route.value)
    operation.plan()
    with pytest.raises(SystemExit):
        carry_out(operation)
    assert operation.submitted() is None
    undone = operation.undo()
    assert undone["task_id"].startswith("import-")
    [task] = api.describe(context.aws, TaskKind.of(undone["task_id"]), [undone["task_id"]])
    assert task.state.failed


def test_an_attempt_that_failed_is_followed_by_one_with_another_token(context: Context) -> None:
    journal = context.journal
    first = idempotency.token_of(journal)
    journal.put("submit", {"task_id": "import-ami-1", "attempt": 1})
    assert idempotency.submitted(journal) is not None
    idempotency.start_over(journal)
    assert idempotency.submitted(journal) is None
    assert idempotency.token_of(journal) != first
    other = replace(context, journal=MemoryJournal("job-1"))
    assert idempotency.token_of(other.journal) == first


def test_the_export_of_an_earlier_version_is_known(context: Context) -> None:
    """It kept no attempt of the task, and forgot the task when that had failed."""
    context.journal.put("submit", {"task_id": "export-ami-1", "bucket": BUCKET, "prefix": "", "bucket_from": "option"})
    assert idempotency.submitted(context.journal) is not None
    context.journal.put("submit", {})
    assert idempotency.submitted(context.journal) is None
