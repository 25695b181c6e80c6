"""Instances that start as their disks deserve: consoles, screens, status checks, and launches that EC2 refuses."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests import amis
from tests.sandbox.conftest import code_of, message_of
from vmie import sandbox
from vmie.sandbox import Sandbox


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    seed = amis.world(tmp_path_factory.mktemp("world"))
    with sandbox.start(world=seed, speed=0) as running:
        yield running


@pytest.fixture(scope="module")
def ec2(world: Sandbox) -> Any:
    return world.client("ec2")


@pytest.fixture
def image(ec2: Any) -> Iterator[Any]:
    """Makes an AMI of a snapshot, and takes it away again."""
    made: list[str] = []

    def register(name: str, **more: Any) -> str:
        made.append(amis.register(ec2, name, **more))
        return made[-1]

    yield register
    for one in made:
        ec2.deregister_image(ImageId=one)


def launch(ec2: Any, image_id: str, kind: str = "t3.micro", **more: Any) -> str:
    answer = ec2.run_instances(ImageId=image_id, InstanceType=kind, MinCount=1, MaxCount=1, **more)
    return str(answer["Instances"][0]["InstanceId"])


def console(ec2: Any, instance: str, *, latest: bool = True) -> str:
    answer = ec2.get_console_output(InstanceId=instance, **({"Latest": True} if latest else {}))
    return str(answer.get("Output", ""))  # the SDK has decoded it


def status(ec2: Any, instance: str) -> str:
    return str(ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"][0]["InstanceStatus"]["Status"])


@pytest.mark.parametrize(
    "case",
    [
        ("good", "t3.micro", "login: ", "ok"),
        ("good", "t2.micro", "login: ", "ok"),
        ("no nvme", "t3.micro", "Gave up waiting for root", "impaired"),
        ("no nvme", "t2.micro", "login: ", "ok"),
        ("dracut", "t3.micro", "dracut-initqueue", "impaired"),
        ("no ena", "t3.micro", "login: ", "impaired"),
        ("no ena", "t2.micro", "login: ", "ok"),
        ("bad fstab", "t3.micro", "You are in emergency mode", "impaired"),
        ("no initramfs", "t3.micro", "Kernel panic", "impaired"),
        ("no loader", "t3.micro", "", "impaired"),
    ],
    ids="-".join,
)
def test_a_machine_shows_what_its_disk_deserves(
    world: Sandbox, ec2: Any, image: Any, case: tuple[str, str, str, str]
) -> None:
    name, kind, words, ends = case
    instance, latest = launch(ec2, image(name), kind), kind == "t3.micro"
    assert (console(ec2, instance, latest=latest), status(ec2, instance)) == ("", "initializing")
    world.advance(300)
    shown = console(ec2, instance, latest=latest)
    assert words in shown if words else shown == ""
    assert status(ec2, instance) == ends
    picture = base64.b64decode(ec2.get_console_screenshot(InstanceId=instance)["ImageData"])
    assert picture.startswith(b"\xff\xd8")
    assert (b"No bootable device" in picture) == (name == "no loader")


def test_the_console_grows_with_the_clock(world: Sandbox, ec2: Any, image: Any) -> None:
    instance = launch(ec2, image("good"))
    world.advance(12)
    early = console(ec2, instance)
    assert "Linux version" in early
    assert "login:" not in early
    world.advance(30)
    assert "login: " in console(ec2, instance)
    assert console(ec2, instance, latest=False) == "", "that is posted minutes later"
    ec2.stop_instances(InstanceIds=[instance])
    ec2.start_instances(InstanceIds=[instance])
    assert console(ec2, instance) == "", "it began again"


def test_firmware_and_disk_must_fit(world: Sandbox, ec2: Any, image: Any) -> None:
    instance = launch(ec2, image("good", BootMode="uefi"))
    preferred = launch(ec2, image("good", BootMode="uefi-preferred", Name="both"), "t2.micro")
    world.advance(300)
    assert "Shell>" in console(ec2, instance), "a disk for BIOS, started by UEFI"
    assert "login:" in console(ec2, preferred, latest=False), "t2 has BIOS only"


def test_what_launches_are_refused(ec2: Any, image: Any) -> None:
    plain, arm = image("good", EnaSupport=False), image("good", Architecture="arm64", Name="arm")
    uefi = image("good", BootMode="uefi", Name="uefi")
    launch_ = {"MinCount": 1, "MaxCount": 1}
    said = message_of(ec2.run_instances, ImageId=plain, InstanceType="m5.large", **launch_)
    assert "(ENA) is required for the 'm5.large' instance type" in said
    assert (
        code_of(ec2.run_instances, ImageId=plain, InstanceType="t3.micro", **launch_) == "InvalidParameterCombination"
    )
    assert code_of(ec2.run_instances, ImageId=arm, InstanceType="t3.micro", **launch_) == "InvalidParameterValue"
    assert "boot mode of UEFI" in message_of(ec2.run_instances, ImageId=uefi, InstanceType="t2.micro", **launch_)
    assert launch(ec2, arm, "t4g.micro")
    assert launch(ec2, plain, "t2.micro")


def test_types_that_an_owner_names_are_held_to(ec2: Any, image: Any) -> None:
    made = image("good")
    specify = ec2.replace_image_instance_type_specification
    only = {"SupportedInstanceTypes": ["t2.*", "m4.*"], "UnsupportedInstanceTypes": ["t2.nano"]}
    assert specify(ImageId=made, InstanceTypeSpecification=only)["ReturnValue"]
    shown = {name: [{"InstanceType": one} for one in listed] for name, listed in only.items()}
    assert ec2.describe_images(ImageIds=[made])["Images"][0]["InstanceTypeSpecification"] == shown
    launch_ = {"ImageId": made, "MinCount": 1, "MaxCount": 1}
    for kind in ("t3.micro", "t2.nano"):
        assert code_of(ec2.run_instances, InstanceType=kind, **launch_) == "InvalidParameterCombination"
    assert launch(ec2, made, "t2.micro")
    for wrong in (["t**"], ["t2.*", "t2.*"], ["x" * 25]):
        bad = {"SupportedInstanceTypes": wrong}
        assert code_of(specify, ImageId=made, InstanceTypeSpecification=bad) == "InvalidParameterValue"
    assert code_of(specify, ImageId="ami-0123456789abcdef0") == "InvalidAMIID.NotFound"
    specify(ImageId=made)
    assert not ec2.describe_images(ImageIds=[made])["Images"][0].get("InstanceTypeSpecification")
    assert launch(ec2, made)


def test_one_token_is_one_instance(ec2: Any, image: Any) -> None:
    made = image("good")
    assert launch(ec2, made, ClientToken="once") == launch(ec2, made, ClientToken="once")
    again = {"ImageId": made, "MinCount": 1, "MaxCount": 1, "InstanceType": "t3.small", "ClientToken": "once"}
    assert code_of(ec2.run_instances, **again) == "IdempotentParameterMismatch"
    assert launch(ec2, made) != launch(ec2, made)


def test_faults_of_instances(world: Sandbox, ec2: Any, image: Any) -> None:
    made = image("good")
    world.faults.no_console()
    silent = launch(ec2, made)
    world.advance(300)
    assert console(ec2, silent) == ""
    assert status(ec2, silent) == "ok"
    world.faults.end_instance(code="Client.VolumeLimitExceeded")
    ended = launch(ec2, made)
    shown = ec2.describe_instances(InstanceIds=[ended])["Reservations"][0]["Instances"][0]
    assert (shown["State"]["Name"], shown["StateReason"]["Code"]) == ("terminated", "Client.VolumeLimitExceeded")
    for code in ("InsufficientInstanceCapacity", "VcpuLimitExceeded", "UnauthorizedOperation"):
        world.faults.fail("RunInstances", code=code)
        assert code_of(ec2.run_instances, ImageId=made, MinCount=1, MaxCount=1, InstanceType="t3.micro") == code


def test_xen_has_no_latest_console(ec2: Any, image: Any) -> None:
    instance = launch(ec2, image("good"), "t2.micro")
    assert code_of(ec2.get_console_output, InstanceId=instance, Latest=True) == "UnsupportedOperation"


def test_an_ami_of_amazon_starts(world: Sandbox, ec2: Any) -> None:
    instance = launch(ec2, "ami-12c6146b")
    world.advance(300)
    assert "login: " in console(ec2, instance)
