"""`vmie import --as instance|volume`, from the plan to the tidied bucket, and everything that can go wrong between."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.clock import SandboxClock
from tests.sandbox.conftest import BUCKET, HOUR, MIB, bootable
from tests.sandbox.legacy_imports import conversion, keys, lasting_door, stored
from vmie import sandbox
from vmie.aws import conversions
from vmie.aws.credentials import CredentialFacts
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, DeadlineExceeded, ImageError, Interrupted, PreflightError, TaskFailed, UsageError
from vmie.events import AwsCall, Event, Note, Progress
from vmie.model import Profile, Route
from vmie.ops import import_
from vmie.ops.context import Context
from vmie.ops.import_ import ImportOperation, ImportRequest, ImportResult
from vmie.ops.journal import MemoryJournal
from vmie.ops.operation import carry_out
from vmie.sandbox import Sandbox
from vmie.sandbox.service.validation import any_guest
from vmie.settings import Settings

SECRET = b"#!/bin/sh\necho the-password\n"
INSTANCE = {"instance_type": "m3.medium"}
IN_A = {"availability_zone": "us-east-1a"}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=0, verdict=any_guest) as running:
        yield running


@pytest.fixture(scope="module")
def door() -> Aws:
    return lasting_door()


@pytest.fixture(autouse=True)
def _sdk_does_not_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)


@pytest.fixture
def boot(tmp_path: Path) -> Path:
    path = tmp_path / "boot.raw"
    path.write_bytes(bootable(4 * MIB, mark=b"the boot disk"))
    return path


class Runs:
    """One job, carried out as often as a test likes."""

    def __init__(self, box: Sandbox, aws: Aws) -> None:
        self.box, self.aws, self.pace = box, aws, SandboxClock(box)
        self.settings = Settings()
        self.journal = MemoryJournal("job-20260101-000000-abcdef")
        self.events: list[Event] = []

    def operation(self, *sources: Path | str, route: Route = Route.INSTANCE, **fields: Any) -> ImportOperation[Any]:
        launch = fields.pop("launch", INSTANCE if route is Route.INSTANCE else IN_A)
        defaults: dict[str, Any] = {"skip_check": ("all",), "platform": "Linux", **launch}
        request = ImportRequest(tuple(map(str, sources)), route, **{**defaults, **fields})
        context = Context(self.aws, self.settings, self.events.append, self.pace, self.journal)
        return import_.operation(context, request)

    def plan(self, *sources: Path | str, **fields: Any) -> Any:
        return self.operation(*sources, **fields).plan()

    def __call__(self, *sources: Path | str, wait: bool = True, **fields: Any) -> ImportResult:
        operation = self.operation(*sources, **fields)
        operation.plan()
        return carry_out(operation, wait=wait)

    def undo(self) -> dict[str, Any]:
        return self.operation("any").undo()

    @property
    def tasks(self) -> list[Any]:
        found: list[Any] = self.aws.client("ec2").describe_conversion_tasks()["ConversionTasks"]
        return found

    def notes(self) -> str:
        return "\n".join(event.text for event in self.events if isinstance(event, Note))

    def calls(self, operation: str) -> int:
        return self.box.stats.calls[f"s3:{operation}"]


@pytest.fixture
def runs(box: Sandbox, door: Aws) -> Runs:
    return Runs(box, door)


# --- the sunny day --------------------------------------------------------------------------------


def test_an_instance(runs: Runs, ec2: Any, s3: Any, boot: Path) -> None:
    done = runs(boot, name="web", tags={"team": "red"}, description="a server")
    assert (done.status, done.route) == ("completed", Route.INSTANCE)
    assert done.task_id.startswith("import-i-")
    shown = ec2.describe_instances(InstanceIds=[done.instance_id])["Reservations"][0]["Instances"][0]
    assert shown["State"]["Name"] == "stopped"
    assert shown["InstanceType"] == "m3.medium"
    tags = {tag["Key"]: tag["Value"] for tag in shown["Tags"]}
    assert tags == {"Name": "web", "team": "red", "vmie:job": runs.journal.job}
    volume = ec2.describe_volumes(VolumeIds=list(done.volume_ids))["Volumes"][0]
    assert volume["Attachments"][0]["InstanceId"] == done.instance_id
    assert {"Key": "Name", "Value": "web"} in volume["Tags"]
    assert keys(s3, "vmie/") == []
    assert done.bytes_sent < done.bytes_source == 4 * MIB
    assert runs.tasks[0]["ImportInstance"]["Description"].startswith("a server [vmie ")


def test_a_volume(runs: Runs, ec2: Any, s3: Any, boot: Path) -> None:
    done = runs(boot, route=Route.VOLUME, launch=dict(IN_A, volume_size=3))
    assert done.task_id.startswith("import-vol-")
    assert (done.instance_id, len(done.volume_ids)) == (None, 1)
    volume = ec2.describe_volumes(VolumeIds=list(done.volume_ids))["Volumes"][0]
    assert (volume["Size"], volume["AvailabilityZone"], volume["State"]) == (3, "us-east-1a", "available")
    assert keys(s3, "vmie/") == []


def test_a_machine_with_data_disks(runs: Runs, ec2: Any, tmp_path: Path, boot: Path) -> None:
    data = []
    for number in range(2):
        # Two files of one name, as two folders of an export have.
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "data.raw").write_bytes(bootable(2 * MIB, mark=b"data %d" % number))
        data.append(folder / "data.raw")
    done = runs(boot, *data, launch=dict(INSTANCE, availability_zone="us-east-1c", attach_data_disks=True))
    volumes = ec2.describe_volumes(VolumeIds=list(done.volume_ids))["Volumes"]
    held = {volume["Attachments"][0]["Device"]: volume["AvailabilityZone"] for volume in volumes}
    assert held == {"/dev/sda1": "us-east-1c", "/dev/sdf": "us-east-1c", "/dev/sdg": "us-east-1c"}
    assert [task["ConversionTaskId"][:9] for task in runs.tasks] == ["import-i-", "import-vo", "import-vo"]
    # Once more, as after a crash at the very end: nothing is made or attached twice.
    again = runs(boot, *data, launch=dict(INSTANCE, availability_zone="us-east-1c", attach_data_disks=True))
    assert again.volume_ids == done.volume_ids
    assert len(runs.tasks) == 3
    assert runs.box.stats.calls["ec2:AttachVolume"] == 2


def test_data_volumes_follow_the_instance_into_its_zone(runs: Runs, ec2: Any, boot: Path, tmp_path: Path) -> None:
    subnet = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1d"]}])["Subnets"][0]
    (tmp_path / "data.raw").write_bytes(bootable(2 * MIB))
    done = runs(boot, tmp_path / "data.raw", launch=dict(INSTANCE, subnet=subnet["SubnetId"]))
    volumes = ec2.describe_volumes(VolumeIds=list(done.volume_ids))["Volumes"]
    assert {volume["AvailabilityZone"] for volume in volumes} == {"us-east-1d"}
    assert volumes[1]["Attachments"] == []


def test_not_waiting_and_then_going_on(runs: Runs, boot: Path) -> None:
    begun = runs(boot, wait=False)
    assert (begun.status, begun.volume_ids) == ("active", ())
    assert begun.instance_id
    done = runs(boot)
    assert (done.status, done.task_id, done.instance_id) == ("completed", begun.task_id, begun.instance_id)
    assert len(runs.tasks) == 1


def test_the_object_is_kept_when_asked_but_never_the_manifest(runs: Runs, s3: Any, boot: Path) -> None:
    runs(boot, keep_object=True)
    assert keys(s3, "vmie/") == [f"vmie/{runs.journal.job}/disk1-boot.vmdk.part0"]


@pytest.mark.parametrize("wanted", ["vhd", "raw", "vmdk"])
def test_every_format(runs: Runs, boot: Path, wanted: str) -> None:
    runs(boot, format=wanted)
    assert runs.tasks[0]["ImportInstance"]["Volumes"][0]["Image"]["Format"] == wanted.upper()


def test_bytes_are_bytes_and_sizes_gib(runs: Runs, boot: Path) -> None:
    runs(boot, format="raw")
    shown = runs.tasks[0]["ImportInstance"]["Volumes"][0]
    assert (shown["Image"]["Size"], shown["Volume"]["Size"]) == (4 * MIB, 1)


def test_a_raw_object_of_s3_is_one_part_and_stays(runs: Runs, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="mine/disk.raw", Body=bootable(2 * MIB))
    done = runs(f"s3://{BUCKET}/mine/disk.raw")
    assert (done.status, done.bytes_sent) == ("completed", 0)
    assert keys(s3, "mine/") == ["mine/disk.raw"]
    assert keys(s3, "vmie/") == []


def test_several_parts_arrive_in_order(runs: Runs, box: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "boot.raw"
    data = bytearray(bootable(23 * MIB))
    for at in range(2 * MIB, len(data), MIB):
        data[at : at + 8] = at.to_bytes(8, "big")
    path.write_bytes(data)
    runs(path, format="raw", keep_object=True)
    s3 = box.client("s3")
    listed = keys(s3, "vmie/")
    assert [key.rpartition(".")[2] for key in listed] == ["part0", "part1", "part2"]
    joined = b"".join(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in listed)
    assert joined == bytes(data)


# --- secrets --------------------------------------------------------------------------------------


def test_secrets_are_sent_and_never_kept(runs: Runs, ec2: Any, tmp_path: Path, boot: Path) -> None:
    (tmp_path / "user-data").write_bytes(SECRET)
    launch = dict(INSTANCE, user_data=str(tmp_path / "user-data"))
    done = runs(boot, launch=launch)
    value = ec2.describe_instance_attribute(InstanceId=done.instance_id, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(value) == SECRET
    kept = json.dumps([runs.journal._steps, runs.plan(boot, launch=launch).as_json(), done.as_json()], default=str)
    said = repr([event for event in runs.events if not isinstance(event, AwsCall)])
    for text in (kept, said):
        assert "the-password" not in text
        assert base64.b64encode(SECRET).decode() not in text
        assert "X-Amz" not in text
    assert "Url" not in repr(runs.journal._steps)


def test_user_data_that_is_too_long_or_not_there(runs: Runs, tmp_path: Path, boot: Path) -> None:
    (tmp_path / "long").write_bytes(bytes(16_385))
    for name in ("long", "nothing"):
        with pytest.raises(UsageError, match="user_data"):
            runs.plan(boot, launch=dict(INSTANCE, user_data=str(tmp_path / name)))


class Dying(Aws):
    """A door whose session ends."""

    left = dt.timedelta(hours=12)
    started = dt.datetime.now(dt.UTC)

    def credentials(self) -> CredentialFacts | None:
        return CredentialFacts("assume-role", temporary=True, expires=self.started + self.left)


def test_credentials_that_die_too_soon(box: Sandbox, door: Aws, s3: Any, boot: Path) -> None:
    dying = Dying.of({name: door.client(name) for name in ("s3", "ec2", "sts", "iam")})
    runs = Runs(box, dying)
    with pytest.raises(AwsRefused) as caught:
        runs(boot)
    assert caught.value.code == "CredentialsExpire"
    assert keys(s3, "vmie/") == []
    runs.settings = Settings(deadline_seconds=6 * HOUR)
    assert runs(boot).status == "completed"


# --- one task, whatever happens -------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "500"])
@pytest.mark.parametrize("route", [Route.INSTANCE, Route.VOLUME])
def test_a_lost_answer_makes_no_second_task(box: Sandbox, runs: Runs, boot: Path, how: str, route: Route) -> None:
    box.faults.lose("ImportInstance" if route is Route.INSTANCE else "ImportVolume", how=how)
    done = runs(boot, route=route)
    assert done.status == "completed"
    assert box.stats.tasks["conversion"] == 1
    assert f"{done.task_id} was made by an earlier call" in runs.notes()


def test_a_lost_answer_of_a_task_that_is_not_visible_yet(box: Sandbox, runs: Runs, boot: Path) -> None:
    box.faults.lose("ImportInstance")
    box.faults.visible_after = 10
    assert runs(boot).status == "completed"
    assert box.stats.tasks["conversion"] == 1


def test_killed_between_the_task_and_its_answer(
    box: Sandbox, runs: Runs, boot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = conversions.import_instance

    def and_dies(*args: Any) -> Any:
        real(*args)
        raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr(conversions, "import_instance", and_dies)
        with pytest.raises(SystemExit):
            runs(boot)
    assert runs.journal.get("submit") is None
    assert runs(boot).status == "completed"
    assert box.stats.tasks["conversion"] == 1
    assert runs.calls("PutObject") == 2  # the part and one manifest


def test_killed_between_the_data_disks(
    box: Sandbox, runs: Runs, boot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.raw").write_bytes(bootable(2 * MIB))
    sources = (boot, tmp_path / "data.raw")
    launch = dict(INSTANCE, attach_data_disks=True)
    real = conversions.import_volume

    def and_dies(*args: Any) -> Any:
        real(*args)
        raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr(conversions, "import_volume", and_dies)
        with pytest.raises(SystemExit):
            runs(*sources, launch=launch)
    assert runs(*sources, launch=launch).status == "completed"
    assert box.stats.tasks["conversion"] == 2


def test_throttled_and_refused_calls_make_no_task_twice(box: Sandbox, runs: Runs, boot: Path) -> None:
    box.faults.throttle("ImportInstance", times=3)
    box.faults.unavailable("ImportInstance", times=1)
    assert runs(boot).status == "completed"
    assert box.stats.tasks["conversion"] == 1


# --- failing, resuming, cancelling ----------------------------------------------------------------


def test_a_failed_task_is_tried_again_without_sending_anything(box: Sandbox, runs: Runs, s3: Any, boot: Path) -> None:
    box.faults.fail_task("ClientError: Unknown OS / Missing OS files.", at="Progress")
    with pytest.raises(TaskFailed) as caught:
        runs(boot)
    error = caught.value
    assert "Unknown OS" in error.cause
    assert f"vmie cancel {runs.journal.job}" in error.cure
    assert error.result["task_id"].startswith("import-i-")
    # The parts stay for the next try; the manifest, which opens them to whoever reads it, does not.
    assert [key.rpartition(".")[2] for key in keys(s3, "vmie/")] == ["part0"]
    puts = runs.calls("PutObject")
    done = runs(boot)
    assert done.status == "completed"
    assert done.task_id != error.result["task_id"]
    assert runs.calls("PutObject") == puts + 1
    assert len(runs.tasks) == 2


def test_a_failed_data_disk_leaves_the_instance_for_the_next_try(
    box: Sandbox, runs: Runs, boot: Path, tmp_path: Path
) -> None:
    (tmp_path / "data.raw").write_bytes(bootable(2 * MIB))
    sources = (boot, tmp_path / "data.raw")
    launch = dict(INSTANCE, attach_data_disks=True)
    first = runs(*sources, launch=launch, wait=False)
    box.faults.clear()
    second = runs.tasks[1]["ConversionTaskId"]
    box.client("ec2").cancel_conversion_task(ConversionTaskId=second)
    with pytest.raises(TaskFailed):
        runs(*sources, launch=launch)
    done = runs(*sources, launch=launch)
    assert (done.task_id, done.instance_id) == (first.task_id, first.instance_id)
    assert [task["State"] for task in runs.tasks] == ["completed", "cancelled", "completed"]


class Stopping(list[Event]):
    """Ctrl-C as soon as a part is there."""

    def append(self, event: Event) -> None:
        if isinstance(event, Progress):
            raise KeyboardInterrupt


def test_an_interrupted_upload_goes_on_part_by_part(box: Sandbox, runs: Runs, tmp_path: Path) -> None:
    path = tmp_path / "boot.raw"
    data = bytearray(bootable(25 * MIB))
    data[5 * MIB : 5 * MIB + 3] = b"one"
    path.write_bytes(data)
    runs.events = Stopping()
    with pytest.raises(Interrupted, match="interrupted"):
        runs(path, format="raw")
    there = len(keys(box.client("s3"), "vmie/"))
    assert there > 0
    puts, runs.events = runs.calls("PutObject"), []
    assert runs(path, format="raw").status == "completed"
    assert runs.calls("PutObject") - puts == 3 - there + 1


def test_who_may_not_list_sends_again_and_goes_on(box: Sandbox, runs: Runs, boot: Path) -> None:
    box.faults.fail_task("ClientError: Unknown OS / Missing OS files.", at="Progress")
    with pytest.raises(TaskFailed):
        runs(boot)
    # S3 answers 403 for what is not there when the caller lacks s3:ListBucket.
    box.faults.fail("HeadObject", code="AccessDenied", status=403, times=None)
    assert runs(boot).status == "completed"


def test_ctrl_c_says_how_to_go_on(runs: Runs, boot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runs.pace, "sleep", stop)
        with pytest.raises(Interrupted) as caught:
            runs(boot)
    assert "import-i-" in caught.value.cause
    assert f"vmie resume {runs.journal.job}" in caught.value.cure
    assert runs(boot).status == "completed"
    assert len(runs.tasks) == 1


def test_cancelling_ends_every_task_and_removes_every_part(
    box: Sandbox, runs: Runs, s3: Any, boot: Path, tmp_path: Path
) -> None:
    (tmp_path / "data.raw").write_bytes(bootable(2 * MIB))
    runs(boot, tmp_path / "data.raw", wait=False)
    assert len(keys(s3, "vmie/")) == 4
    undone = runs.undo()
    assert undone["task_id"].startswith("import-i-")
    assert len(undone["removed"]) == 2
    assert [task["State"] for task in runs.tasks] == ["cancelled", "cancelled"]
    assert keys(s3, "vmie/") == []
    assert runs.undo() == undone


def test_cancelling_says_what_is_made_already(box: Sandbox, runs: Runs, boot: Path) -> None:
    begun = runs(boot, wait=False)
    box.advance(2 * HOUR)
    runs.undo()
    assert f"{begun.task_id} was completed: {begun.instance_id}, vol-" in runs.notes()


def test_credentials_that_ran_short_while_it_queued(box: Sandbox, door: Aws, boot: Path) -> None:
    dying = Dying.of({name: door.client(name) for name in ("s3", "ec2", "sts", "iam")})
    runs = Runs(box, dying)
    runs.settings = Settings(deadline_seconds=10 * HOUR)
    operation = runs.operation(boot)
    operation.plan()
    box.advance(5 * HOUR)
    with pytest.raises(AwsRefused) as caught:
        carry_out(operation)
    assert caught.value.code == "CredentialsExpire"
    assert box.stats.tasks["conversion"] == 0


def test_cancelling_finds_a_task_whose_answer_was_never_read(
    box: Sandbox, runs: Runs, boot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = conversions.import_instance

    def and_dies(*args: Any) -> Any:
        real(*args)
        raise SystemExit("killed")

    monkeypatch.setattr(conversions, "import_instance", and_dies)
    with pytest.raises(SystemExit):
        runs(boot)
    assert runs.undo()["task_id"] == runs.tasks[0]["ConversionTaskId"]
    assert runs.tasks[0]["State"] == "cancelled"


def test_a_file_that_changed_is_not_mixed(runs: Runs, box: Sandbox, boot: Path) -> None:
    box.faults.fail("ImportInstance", code="InvalidParameter", message="no")
    with pytest.raises(AwsRefused):
        runs(boot)
    boot.write_bytes(bootable(4 * MIB, mark=b"another"))
    with pytest.raises(ImageError) as caught:
        runs(boot)
    assert caught.value.code == "SourceChanged"


# --- limits and deadlines -------------------------------------------------------------------------


def test_the_sixth_task_waits_for_a_place(box: Sandbox, runs: Runs, boot: Path) -> None:
    ec2 = box.client("ec2")
    for number in range(5):
        image = stored(runs.aws, bootable(2 * MIB), name=str(number))
        ec2.import_volume(AvailabilityZone="us-east-1a", **image.disk())
    done = runs(boot)
    assert done.status == "completed"
    assert "5 of 5 conversion tasks are active" in runs.notes()
    assert box.stats.peak["conversions"] == 5
    assert box.stats.errors["ResourceLimitExceeded"] == 0


def test_a_task_lives_until_its_expiration_time(box: Sandbox, runs: Runs, boot: Path) -> None:
    box.limits.life_seconds = 2 * HOUR
    box.faults.stall_task(at="Progress")
    with pytest.raises(TaskFailed) as caught:
        runs(boot)
    assert "Task expired and automatically canceled" in caught.value.cause
    assert runs.pace.slept < 3 * HOUR


def test_a_shorter_deadline_of_ours_cancels_the_task(box: Sandbox, runs: Runs, boot: Path) -> None:
    runs.settings = Settings(deadline_seconds=HOUR)
    box.faults.stall_task(at="Progress")
    with pytest.raises(DeadlineExceeded):
        runs(boot)
    assert runs.tasks[0]["State"] == "cancelled"


def test_urls_live_as_long_as_the_deadline(box: Sandbox, runs: Runs, boot: Path) -> None:
    runs.settings = Settings(deadline_seconds=5 * HOUR)
    runs(boot, wait=False)
    url = runs.tasks[0]["ImportInstance"]["Volumes"][0]["Image"]["ImportManifestUrl"]
    assert "X-Amz-Expires=18000&" in url


# --- refused early --------------------------------------------------------------------------------


def test_a_closed_region_is_refused_with_the_way_that_is_open(box: Sandbox, boot: Path) -> None:
    from vmie.aws.session import connect

    runs = Runs(box, connect(region="eu-north-1"))
    for route, way in ((Route.INSTANCE, "image"), (Route.VOLUME, "snapshot")):
        with pytest.raises(PreflightError) as caught:
            runs.plan(boot, route=route)
        assert caught.value.code == "RegionClosed"
        assert f"route={way!r}" in caught.value.cure
    assert box.stats.calls == {}


@pytest.mark.parametrize(
    ("launch", "says"),
    [
        (dict(INSTANCE, availability_zone="us-east-1z"), "no Availability Zone"),
        (dict(INSTANCE, subnet="subnet-0123456789abcdef0"), "subnet-0123456789abcdef0"),
        (dict(INSTANCE, security_groups=("sg-0123456789abcdef0",)), "sg-0123456789abcdef0"),
    ],
)
def test_places_that_are_not_there(runs: Runs, s3: Any, boot: Path, launch: dict[str, str], says: str) -> None:
    with pytest.raises((UsageError, AwsRefused), match=says):
        runs(boot, launch=launch)
    assert keys(s3, "vmie/") == []


def test_places_that_do_not_fit_together(runs: Runs, ec2: Any, boot: Path) -> None:
    subnet = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1a"]}])["Subnets"][0]
    in_subnet = dict(INSTANCE, subnet=subnet["SubnetId"])
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="far", Description="far", VpcId=vpc)["GroupId"]
    for launch, says in (
        (dict(in_subnet, availability_zone="us-east-1b"), "is in us-east-1a, not in us-east-1b"),
        (dict(in_subnet, private_ip="8.8.8.8"), "is not in"),
        (dict(in_subnet, security_groups=(group,)), "different VPCs"),
    ):
        with pytest.raises(UsageError, match=says):
            runs.plan(boot, launch=launch)


def test_what_may_not_be_looked_at_is_left_to_aws(box: Sandbox, runs: Runs, boot: Path) -> None:
    for action in ("DescribeAvailabilityZones", "DescribeSubnets", "DescribeSecurityGroups"):
        box.faults.fail(action, code="UnauthorizedOperation", status=403, times=None)
    launch = dict(INSTANCE, availability_zone="us-east-1a", security_groups=("sg-0123456789abcdef0",))
    assert runs.plan(boot, launch=launch).as_json()["availability_zone"] == "us-east-1a"


def test_a_volume_without_a_zone(runs: Runs, boot: Path) -> None:
    with pytest.raises(UsageError) as caught:
        runs.plan(boot, route=Route.VOLUME, launch={})
    assert "us-east-1a, us-east-1b" in caught.value.cure


def test_an_unknown_platform(runs: Runs, boot: Path) -> None:
    with pytest.raises(UsageError, match="Windows or Linux"):
        runs.plan(boot, platform="")


def test_instance_types_of_the_2016_page(runs: Runs, boot: Path) -> None:
    new = dict(INSTANCE, instance_type="c5.large")
    runs.plan(boot, launch=new)
    assert "c5.large is not on the page's list" in runs.notes()
    with pytest.raises(UsageError, match="Linux is not supported on the requested instance"):
        runs.plan(boot, launch=new, rules=Profile.Y2016)
    runs.plan(boot, launch=new, rules=Profile.Y2016, platform="Windows")
    runs.plan(boot, launch=dict(INSTANCE, instance_type="c3.8xlarge"), rules=Profile.Y2016)


def test_the_plan_shows_every_call(runs: Runs, boot: Path, tmp_path: Path) -> None:
    (tmp_path / "data.raw").write_bytes(bootable(2 * MIB))
    shown = runs.plan(boot, tmp_path / "data.raw", launch=dict(INSTANCE, volume_size=9)).as_json()
    assert (shown["call"], shown["then"], shown["role"]) == ("ImportInstance", ["ImportVolume of disk 2"], None)
    assert [planned["volume_gib"] for planned in shown["disks"]] == [9, 1]
    assert shown["launch"]["instance_type"] == "m3.medium"
    with (tmp_path / "big.raw").open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(UsageError, match="needs"):
        runs.plan(tmp_path / "big.raw", launch=dict(INSTANCE, volume_size=2))


def test_poll_tasks_and_conversion_shapes_agree(runs: Runs, ec2: Any, boot: Path) -> None:
    from vmie.ops import tasks

    begun = runs(boot, wait=False)
    seen = tasks.show(runs.aws, begun.task_id)
    assert seen.expires is not None
    assert seen.instance_id == begun.instance_id
    tasks.cancel(Context(runs.aws, runs.settings, clock=runs.pace), begun.task_id, wait=True)
    assert conversion(ec2, begun.task_id)["State"] == "cancelled"
