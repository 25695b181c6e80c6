"""Imports whose AMI is proved, and held to the instance types that its guest has drivers for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import amis
from tests.linux_guest import files, linux_disk
from tests.sandbox.clock import SandboxClock
from tests.sandbox.conftest import code_of
from vmie import sandbox
from vmie.aws import instances
from vmie.aws.session import connect
from vmie.errors import AwsRefused, UsageError, VmieError
from vmie.jobs import runner
from vmie.ops.context import Context
from vmie.ops.import_ import operation
from vmie.options import ImportRequest
from vmie.sandbox import Sandbox
from vmie.settings import Settings


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("disks")
    return {
        "good": linux_disk(folder / "good.raw", files(), size=64),
        "no nvme": linux_disk(folder / "nvme.raw", amis.without("nvme"), size=64),
        "no ena": linux_disk(folder / "ena.raw", amis.without("/ena/"), size=64),
    }


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=0) as running:
        yield running


@pytest.fixture
def work(box: Sandbox, tmp_path: Path) -> Context:
    return Context(connect(region="us-east-1"), Settings(), clock=SandboxClock(box), state=tmp_path)


DIRECT: dict[str, Any] = {"via": "ebs", "route": "snapshot", "register": "web", "skip_verify": True}


def imported(work: Context, path: Path, **more: Any) -> Any:
    return runner.run(operation(work, ImportRequest(sources=(str(path),), **{**DIRECT, **more}))).result


def shown(box: Sandbox, image_id: str) -> Any:
    return box.client("ec2").describe_images(ImageIds=[image_id])["Images"][0]


def proved(box: Sandbox, image_id: str) -> str:
    return str({one["Key"]: one["Value"] for one in shown(box, image_id)["Tags"]}.get("vmie:proved", ""))


def alive(box: Sandbox) -> list[Any]:
    return [one for one in instances_of(box) if one["State"]["Name"] == "running"]


def instances_of(box: Sandbox) -> list[Any]:
    found = box.client("ec2").describe_instances(Filters=[{"Name": "tag-key", "Values": ["vmie:proof"]}])
    return [one for held in found["Reservations"] for one in held["Instances"]]


def test_an_import_is_proved(box: Sandbox, work: Context, disks: dict[str, Path]) -> None:
    made = imported(work, disks["good"], prove=True)
    assert made.as_json()["proof"]["verdict"] == "boots"
    assert proved(box, made.image_id) == "boots"
    assert not alive(box)
    assert "proof" not in imported(work, disks["no ena"], register="plain").as_json()
    assert len(instances_of(box)) == 1


def test_one_that_does_not_start_is_kept_and_said(box: Sandbox, work: Context, disks: dict[str, Path]) -> None:
    with pytest.raises(VmieError) as failed:
        imported(work, disks["no nvme"], prove=True)
    error = failed.value
    assert (error.code, error.exit_code) == ("NotProved", 1)
    image_id = error.result["image_id"]
    assert "the import itself is done" in error.cause
    assert "VMIE-BOOT-008" in error.cure
    assert "the check had said it: VMIE-BOOT-008" in error.cause
    assert proved(box, image_id) == "fails"
    assert not alive(box)
    with pytest.raises(VmieError) as again:
        runner.resume(work, error.result["job"])
    assert again.value.result["image_id"] == image_id
    assert len(instances_of(box)) == 1, "its verdict is known: nothing is launched twice"


def test_what_cannot_be_told_is_launched_again(box: Sandbox, work: Context, disks: dict[str, Path]) -> None:
    box.faults.no_console()
    with pytest.raises(VmieError) as failed:
        imported(work, disks["good"], prove=True)
    image_id = failed.value.result["image_id"]
    assert proved(box, image_id) == "unknown"
    made = runner.resume(work, failed.value.result["job"]).result
    assert made is not None
    assert (made.image_id, proved(box, image_id)) == (image_id, "boots")
    box.faults.fail("RunInstances", code="InsufficientInstanceCapacity")
    with pytest.raises(AwsRefused) as full:
        imported(work, disks["good"], prove=True, register="other")
    assert "the import itself is done" in full.value.cause
    made = runner.resume(work, full.value.result["job"]).result
    assert made is not None
    assert proved(box, made.image_id) == "boots"
    assert not alive(box)


def test_a_proof_that_is_broken_off_goes_on(
    box: Sandbox, work: Context, disks: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(instances, "console", broken)
        with pytest.raises(VmieError) as stopped:
            imported(work, disks["good"], prove=True)
    assert stopped.value.exit_code == 130
    assert not alive(box)
    runner.cancel(work, stopped.value.result["job"])
    assert not alive(box)


def test_a_guest_without_drivers_is_kept_from_nitro(box: Sandbox, work: Context, disks: dict[str, Path]) -> None:
    ec2 = box.client("ec2")
    made = imported(work, disks["no nvme"], guard_types=True, prove=True)
    assert made.as_json()["proof"]["instances"][0]["instance_type"] == "t2.micro"
    assert made.as_json()["proof"]["verdict"] == "boots", "as what it may be launched as"
    launch = {"ImageId": made.image_id, "MinCount": 1, "MaxCount": 1}
    assert code_of(ec2.run_instances, InstanceType="m5.large", **launch) == "InvalidParameterCombination"
    good = imported(work, disks["good"], guard_types=True, register="good")
    assert not shown(box, good.image_id).get("InstanceTypeSpecification")


@pytest.mark.parametrize(
    "wrong",
    [
        {"register": "", "prove": True},
        {"register": "", "guard_types": True},
        {"subnet": "subnet-0123456789abcdef0"},
        {"route": "volume", "register": "", "prove": True},
    ],
    ids=str,
)
def test_what_goes_with_no_ami(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ImportRequest(sources=("/disk.raw",), **{**DIRECT, **wrong})


def test_a_check_that_foretold_something_else_is_told(
    box: Sandbox, work: Context, disks: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(*_: object, **__: object) -> str:
        return "[    1.0] Linux version 6.1.0\n[    2.0] Kernel panic - not syncing: VFS: Unable to mount root fs\n"

    with monkeypatch.context() as patch:
        patch.setattr(instances, "console", torn)
        with pytest.raises(VmieError) as failed:
            imported(work, disks["good"], prove=True)
    assert "should have foretold this" in failed.value.cause
    said: list[str] = []
    told = replace(work, reporter=lambda event: said.append(str(event)))
    with monkeypatch.context() as patch:
        patch.setattr(instances, "console", lambda *_, **__: "Debian GNU/Linux 12 vm ttyS0\n\nvm login: ")
        imported(told, disks["no nvme"], prove=True, register="starts")
    assert any("the check says that it does not start (VMIE-BOOT-008), and it does" in one for one in said)


def test_the_plan_tells_of_the_proof_and_its_cost(box: Sandbox, work: Context, disks: dict[str, Path]) -> None:
    request = ImportRequest(sources=(str(disks["good"]),), **DIRECT, prove=True)
    plan = runner.run(operation(work, request), dry_run=True).plan
    assert any("$1.00 at most" in one for one in plan.as_json()["notes"])
