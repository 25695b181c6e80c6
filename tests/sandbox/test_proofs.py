"""AMIs proved in a sandbox: every verdict, what is refused, what is granted, and that no instance is left."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import amis
from tests.sandbox.clock import SandboxClock
from vmie import prove_image, sandbox
from vmie.aws import instances
from vmie.aws.session import connect
from vmie.errors import AwsRefused, Interrupted, PreflightError, UsageError, VmieError
from vmie.jobs import runner
from vmie.ops.context import Context
from vmie.ops.prove import ProofOperation, ProofResult
from vmie.ops.prove.sweep import EXPIRES_TAG, PROOF_TAG
from vmie.options import ProofRequest
from vmie.sandbox import Sandbox, defaults
from vmie.settings import Settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sandbox.start(world=amis.world(tmp_path_factory.mktemp("world")), speed=0) as running:
        yield running


@pytest.fixture(scope="module")
def ec2(world: Sandbox) -> Any:
    return world.client("ec2")


@pytest.fixture
def image(world: Sandbox, ec2: Any) -> Iterator[Callable[..., str]]:
    made: list[str] = []

    def register(name: str, **more: Any) -> str:
        made.append(amis.register(ec2, name, **more))
        return made[-1]

    world.faults.clear()
    yield register
    for one in made:
        ec2.deregister_image(ImageId=one)


@pytest.fixture
def work(world: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    for name, value in defaults.environment("", region="us-east-1").items():
        monkeypatch.setenv(name, value)
    return Context(connect(region="us-east-1"), Settings(), clock=SandboxClock(world), state=tmp_path)


def prove(work: Context, image_id: str, **more: Any) -> ProofResult:
    result = runner.run(ProofOperation(work, ProofRequest(image_id=image_id, **more))).result
    assert result is not None
    return result


def alive(ec2: Any) -> list[str]:
    states = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
    found = ec2.describe_instances(Filters=states)["Reservations"]
    return [one["InstanceId"] for held in found for one in held["Instances"]]


@pytest.mark.parametrize(
    "case",
    [
        ("good", "t3.micro", "boots", "network", ""),
        ("good", "t2.micro", "boots", "network", ""),
        ("no nvme", "t3.micro", "fails", "initramfs", "VMIE-BOOT-008"),
        ("no nvme", "t2.micro", "boots", "network", ""),
        ("dracut", "t3.micro", "fails", "initramfs", "VMIE-BOOT-008"),
        ("no ena", "t3.micro", "boots", "login", "VMIE-BOOT-009"),
        ("bad fstab", "t3.micro", "fails", "services", "VMIE-LNX-004"),
        ("no initramfs", "t3.micro", "fails", "kernel", "VMIE-BOOT-006"),
        ("no loader", "t3.micro", "unknown", "", ""),
    ],
    ids="-".join,
)
def test_every_verdict(work: Context, ec2: Any, image: Callable[..., str], case: tuple[str, ...]) -> None:
    name, kind, verdict, stage, rule = case
    found = prove(work, image(name), instance_types=(kind,))
    result = found.deciding.result
    assert found.verdict == verdict
    assert (result.stage or "") == stage
    assert not rule or rule in result.rules
    assert (result.screenshot != "") == (verdict != "boots")
    assert not result.screenshot or Path(result.screenshot).read_bytes().startswith(b"\xff\xd8")
    assert not alive(ec2)
    assert not ec2.describe_volumes()["Volumes"]


def test_nothing_is_granted(
    work: Context, ec2: Any, image: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    run = instances.LaunchRequest.as_boto
    monkeypatch.setattr(instances.LaunchRequest, "as_boto", lambda self: asked.append(run(self)) or asked[-1])
    began = work.clock.now()
    found = prove(work, image("good"))
    call = asked[0]
    assert call.keys() == {
        *("ImageId", "InstanceType", "MinCount", "MaxCount", "ClientToken", "TagSpecifications", "MetadataOptions"),
        *("InstanceInitiatedShutdownBehavior", "BlockDeviceMappings"),
    }, "no key, no profile, no address, no user data"
    assert call["MetadataOptions"]["HttpTokens"] == "required"
    assert call["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert call["BlockDeviceMappings"] == [{"DeviceName": "/dev/sda1", "Ebs": {"DeleteOnTermination": True}}]
    tags = {one["Key"]: one["Value"] for one in call["TagSpecifications"][0]["Tags"]}
    assert tags[PROOF_TAG] == found.job
    left = dt.datetime.fromisoformat(tags[EXPIRES_TAG]) - began
    assert dt.timedelta(minutes=10) < left < dt.timedelta(minutes=15)
    assert found.as_json().keys() >= {
        "verdict",
        "stage",
        "evidence",
        "explained_by",
        "seconds",
        "screenshot",
        "instance_id",
    }


def test_several_types_and_the_worst_decides(work: Context, ec2: Any, image: Callable[..., str]) -> None:
    found = prove(work, image("no nvme"), instance_types="t2.micro,t3.micro")
    assert [one.result.verdict for one in found.proofs] == ["boots", "fails"]
    assert found.verdict == "fails"
    assert found.as_json()["instance_id"] == found.proofs[1].result.instance_id
    assert not alive(ec2)


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "VcpuLimitExceeded", "InstanceLimitExceeded"])
def test_no_room(world: Sandbox, work: Context, ec2: Any, image: Callable[..., str], code: str) -> None:
    made = image("good")
    world.faults.fail("RunInstances", code=code)
    with pytest.raises(AwsRefused) as refused:
        prove(work, made)
    assert refused.value.code == code
    again = runner.resume(work, refused.value.result["job"]).result
    assert again is not None
    assert again.verdict == "boots", "nothing was launched: it is asked for again"
    world.faults.fail("RunInstances", code=code)
    found = prove(work, made, instance_types="m5.large,t3.micro")
    assert (found.verdict, found.proofs[1].result.verdict) == ("unknown", "boots")
    assert code in found.proofs[0].refused
    assert not alive(ec2)


def test_a_launch_that_is_not_allowed_ends_the_others(
    world: Sandbox, work: Context, ec2: Any, image: Callable[..., str]
) -> None:
    made, count = image("good"), 0
    original = instances.run

    def second(aws: Any, request: instances.LaunchRequest) -> str:
        nonlocal count
        count += 1
        if count == 2:
            world.faults.fail("RunInstances", code="UnauthorizedOperation", status=403)
        return original(aws, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instances, "run", second)
        with pytest.raises(AwsRefused) as refused:
            prove(work, made, instance_types="t3.micro,m5.large")
    assert refused.value.code == "UnauthorizedOperation"
    assert not alive(ec2)


def test_silence_and_instances_that_end(world: Sandbox, work: Context, ec2: Any, image: Callable[..., str]) -> None:
    made = image("good")
    world.faults.no_console()
    silent = prove(work, made)
    assert silent.verdict == "unknown"
    assert any("nothing was printed" in one.meaning for one in silent.deciding.result.evidence)
    world.faults.end_instance(code="Client.InternalError", message="Client.InternalError: Client error on launch")
    ended = prove(work, made)
    assert ended.verdict == "unknown"
    assert "Client error on launch" in ended.deciding.result.evidence[-1].line
    assert not alive(ec2)


def test_what_cannot_be_launched_is_told_before(work: Context, ec2: Any, image: Callable[..., str]) -> None:
    made = image("good", EnaSupport=False, BootMode="legacy-bios")
    assert prove(work, made).deciding.instance_type == "t2.micro", "the type that suits it"
    for more, code in (
        ({"instance_types": "m5.large"}, "TypeUnfit"),
        ({"instance_types": "t4g.micro"}, "TypeUnfit"),
        ({"max_cost": "0.001"}, "TooDear"),
        ({"instance_types": "c5d.large"}, "TypeUnfit"),
    ):
        with pytest.raises(PreflightError) as refused:
            prove(work, made, **more)
        assert refused.value.code == code
    with pytest.raises(PreflightError) as refused:
        prove(work, image("good", Name="two"), instance_types="g5.xlarge")
    assert refused.value.code == "PriceUnknown"
    with pytest.raises(PreflightError):
        prove(work, image("good", Name="three", EnaSupport=False, BootMode="uefi"))
    with pytest.raises(AwsRefused) as unknown:
        prove(work, "ami-0123456789abcdef0")
    assert unknown.value.code == "InvalidAMIID.NotFound"
    with pytest.raises(AwsRefused):
        prove_image("ami-0123456789abcdef0", timeout=60, region="us-east-1")
    with pytest.raises(UsageError):
        ProofRequest(image_id=made, ssm=True)
    assert not alive(ec2)


def test_a_failure_anywhere_leaves_no_instance_and_can_be_resumed(
    world: Sandbox, work: Context, ec2: Any, image: Callable[..., str]
) -> None:
    made = image("good")
    for action in ("GetConsoleOutput", "DescribeInstanceStatus", "DescribeInstances"):
        world.faults.fail(action, code="UnauthorizedOperation", status=403)
        with pytest.raises(VmieError) as failed:
            prove(work, made)
        world.faults.clear()
        assert not alive(ec2), action
        again = runner.resume(work, failed.value.result["job"]).result
        assert again is not None
        assert again.verdict == "boots"
        assert not alive(ec2)


def test_what_passes_is_waited_out(
    work: Context, ec2: Any, image: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("find", "tagged", "console", "status", "terminate"):
        monkeypatch.setattr(instances, name, failing(getattr(instances, name), times=2))
    assert prove(work, image("good")).verdict == "boots"
    assert not alive(ec2)


def failing(original: Callable[..., Any], *, times: int) -> Callable[..., Any]:
    """It fails in passing, so many times, as after all retries of the SDK."""
    left = times

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            raise VmieError("AWS did not answer", passing=True)
        return original(*args, **kwargs)

    return call


def test_an_interrupted_proof_ends_its_instance(work: Context, ec2: Any, image: Callable[..., str]) -> None:
    made = image("good")
    stop = replace(work, clock=Stopping(work.clock))
    with pytest.raises(Interrupted) as stopped:
        prove(stop, made)
    assert not alive(ec2)
    again = runner.resume(work, stopped.value.result["job"]).result
    assert again is not None
    assert again.verdict == "boots"


class Stopping:
    """A clock whose sleeps are broken off by Ctrl-C."""

    def __init__(self, clock: Any) -> None:
        self.now, self.uniform = clock.now, clock.uniform

    def sleep(self, seconds: float) -> None:
        raise KeyboardInterrupt


def test_what_is_left_is_swept(world: Sandbox, work: Context, ec2: Any, image: Callable[..., str]) -> None:
    made = image("good")
    soon, past = (world.clock.now() + dt.timedelta(hours=hours) for hours in (1, -1))

    def left(**tags: str) -> str:
        listed = [{"Key": key.replace("_", ":"), "Value": value} for key, value in tags.items()]
        more = [{"ResourceType": "instance", "Tags": listed}]
        answer = ec2.run_instances(
            ImageId=made, InstanceType="t3.micro", MinCount=1, MaxCount=1, TagSpecifications=more
        )
        return str(answer["Instances"][0]["InstanceId"])

    other = left(vmie_proof="job-20200101-000000-abcdef", vmie_expires=soon.isoformat())
    expired = left(vmie_proof="job-20200101-000000-abcdee", vmie_expires=past.isoformat())
    mine, odd = left(Name="mine"), left(vmie_proof="../../etc", vmie_expires="whenever")
    prove(work, made)
    assert sorted(alive(ec2)) == sorted([other, mine, odd]), "of this machine's dead jobs, and expired ones"
    assert expired not in alive(ec2)
    ec2.terminate_instances(InstanceIds=alive(ec2))
