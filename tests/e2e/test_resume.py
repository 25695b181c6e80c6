"""`vmie resume` needs only what the steps that remain need, and shows again what a finished job came to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Done
from tests.sandbox.conftest import BUCKET
from tests.sandbox.test_export_flow import INSTANCE
from vmie import cli, sandbox
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
IMPORT = ("import", "--skip-check", "all")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000) as running:
        yield running


def result(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.out
    found: dict[str, Any] = done.json["result"]
    return found


@pytest.mark.parametrize(
    ("route", "made"),
    [
        (("image",), "image_id"),
        (("snapshot",), "snapshot_ids"),
        (("instance", "--instance-type", "m3.medium", "--platform", "Linux"), "instance_id"),
    ],
    ids=["image", "snapshot", "instance"],
)
def test_once_aws_has_the_task_the_local_file_may_go(
    box: Sandbox, vmie: Vmie, disk: Path, route: tuple[str, ...], made: str
) -> None:
    begun = result(vmie(*IMPORT, disk, "--no-wait", "--as", *route))
    disk.unlink()
    ended = result(vmie("resume", begun["job"]))
    assert (ended["status"], ended["task_id"]) == ("completed", begun["task_id"])
    assert ended[made]
    assert result(vmie("resume", begun["job"])) == ended


_CONVERSIONS = {
    "instance": ("instance", "--instance-type", "m3.medium", "--platform", "Linux"),
    "volume": ("volume", "--availability-zone", "us-east-1a"),
}


@pytest.mark.parametrize(
    ("route", "made"),
    [(("image",), "image_id"), (_CONVERSIONS["instance"], "instance_id"), (_CONVERSIONS["volume"], "volume_id")],
    ids=["image", "instance", "volume"],
)
def test_what_was_uploaded_is_tried_again_without_the_file(
    box: Sandbox, vmie: Vmie, disk: Path, route: tuple[str, ...], made: str
) -> None:
    box.faults.fail_task("ClientError: Unknown OS / Missing OS files.", at="converting")
    failed = vmie(*IMPORT, disk, "--as", *route)
    assert failed.code == 1, failed.out
    disk.unlink()
    assert result(vmie("resume", failed.json["result"]["job"]))[made]


@pytest.mark.parametrize(
    "fields",
    [
        "route: image",
        "route: instance, instance_type: m3.medium, platform: Linux",
        "route: volume, availability_zone: us-east-1a",
    ],
    ids=["image", "instance", "volume"],
)
def test_a_failed_item_is_tried_again_without_the_file(box: Sandbox, vmie: Vmie, disk: Path, fields: str) -> None:
    plan = disk.with_name("plan.yaml")
    plan.write_text(f"items: [{{source: {disk.name}, key: vm, skip_check: [all], {fields}}}]")
    box.faults.fail_task("ClientError: Unknown OS / Missing OS files.", at="converting")
    failed = vmie("batch", "run", plan)
    assert failed.code == 3, failed.out
    disk.unlink()
    again = vmie("batch", "resume", failed.json["result"]["batch"], "--retry-failed")
    assert (again.code, [item["status"] for item in again.json["result"]["items"]]) == (0, ["completed"]), again.out


def test_a_finished_export_shows_its_result_again(box: Sandbox, vmie: Vmie, tmp_path: Path) -> None:
    begun = result(
        vmie("export", INSTANCE, "--format", "vmdk", "--bucket", BUCKET, "--download", tmp_path, "--no-wait")
    )
    ended = result(vmie("resume", begun["job"]))
    assert ended["downloaded"]
    assert result(vmie("resume", begun["job"])) == ended


def test_a_finished_upload_shows_its_result_again_also_as_text(
    box: Sandbox, vmie: Vmie, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = result(vmie("upload", disk, f"s3://{BUCKET}/vmie/web.vmdk"))
    disk.unlink()
    assert result(vmie("resume", done["job"])) == done
    assert cli.run(["resume", done["job"]]) == 0
    assert capsys.readouterr().out.startswith(done["object"])


def test_a_job_without_a_kept_result_says_so(box: Sandbox, vmie: Vmie, disk: Path, tmp_path: Path) -> None:
    job = result(vmie("upload", disk, f"s3://{BUCKET}/vmie/web.vmdk"))["job"]
    path = tmp_path / "state" / "jobs" / f"{job}.json"
    data = json.loads(path.read_text())
    del data["result"]
    path.write_text(json.dumps(data))
    done = vmie("resume", job)
    assert (done.code, done.json["error"]["message"]) == (2, f"{job} is done")
    assert "kept no results" in done.json["error"]["cause"]
