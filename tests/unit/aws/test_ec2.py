"""Every call's parameters, judged by botocore's own model (the Stubber), and what is made of the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.stub import ANY, Stubber

from tests.clocks import ManualClock
from vmie.aws import ec2
from vmie.aws.ec2_requests import (
    DiskSource,
    Encryption,
    ExportImage,
    ExportInstance,
    ImportImage,
    ImportSnapshot,
    RegisterImage,
)
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, UsageError, VmieError
from vmie.model import S3Object, TaskKind, TaskState

OBJECT = S3Object("images", "disk.vmdk")


@pytest.fixture
def stub() -> Iterator[Stubber]:
    client = boto3.client("ec2", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def aws(stub: Stubber) -> Aws:
    return Aws.of({"ec2": stub.client}, region="eu-central-1")


def test_import_image_sends_only_what_was_asked_for(aws: Aws, stub: Stubber) -> None:
    container = {"Format": "VMDK", "UserBucket": {"S3Bucket": "images", "S3Key": "disk.vmdk"}}
    stub.add_response(
        "import_image",
        {"ImportTaskId": "import-ami-1", "Status": "active", "StatusMessage": "pending", "Progress": "2"},
        {"DiskContainers": [container], "ClientToken": "t"},
    )
    task = ec2.import_image(aws, ImportImage([DiskSource("vmdk", OBJECT)], token="t"))
    assert (task.id, task.stage, task.progress) == ("import-ami-1", "pending", 2)


def test_import_image_with_everything(aws: Aws, stub: Stubber) -> None:
    expected: dict[str, Any] = {
        "DiskContainers": [
            {"Format": "RAW", "UserBucket": ANY, "Description": "boot", "DeviceName": "/dev/sda1"},
            {"SnapshotId": "snap-1"},
        ],
        "ClientToken": "t",
        "Description": "d",
        "Architecture": "x86_64",
        "Platform": "Linux",
        "BootMode": "uefi",
        "LicenseType": "BYOL",
        "LicenseSpecifications": [{"LicenseConfigurationArn": "arn:x"}],
        "Encrypted": True,
        "KmsKeyId": "alias/k",
        "RoleName": "other",
        "TagSpecifications": [{"ResourceType": "import-image-task", "Tags": [{"Key": "k", "Value": "v"}]}],
    }
    stub.add_response("import_image", {"ImportTaskId": "import-ami-1"}, expected)
    request = ImportImage(
        [
            DiskSource("raw", OBJECT, description="boot", device_name="/dev/sda1", url="https://never-with-a-bucket"),
            DiskSource("", snapshot_id="snap-1"),
        ],
        token="t",
        description="d",
        architecture="x86_64",
        platform="Linux",
        boot_mode="uefi",
        license_type="BYOL",
        license_configurations=["arn:x"],
        encryption=Encryption("alias/k"),
        role_name="other",
        tags={"k": "v"},
    )
    ec2.import_image(aws, request)
    assert "never" not in repr(request)


def test_import_snapshot(aws: Aws, stub: Stubber) -> None:
    stub.add_response(
        "import_snapshot",
        {"ImportTaskId": "import-snap-1", "SnapshotTaskDetail": {"Status": "active", "SnapshotId": ""}},
        {
            "DiskContainer": {"Format": "VHD", "UserBucket": {"S3Bucket": "images", "S3Key": "disk.vmdk"}},
            "ClientToken": "t",
            "Encrypted": True,
        },
    )
    request = ImportSnapshot(DiskSource("vhd", OBJECT, device_name="/dev/sda1"), token="t", encryption=Encryption())
    assert ec2.import_snapshot(aws, request).id == "import-snap-1"


def test_export_image(aws: Aws, stub: Stubber) -> None:
    stub.add_response(
        "export_image",
        {"ExportImageTaskId": "export-ami-1", "Status": "active", "StatusMessage": "validating", "Progress": "0"},
        {
            "ImageId": "ami-1",
            "DiskImageFormat": "VHD",
            "S3ExportLocation": {"S3Bucket": "b", "S3Prefix": "p/"},
            "ClientToken": "t",
            "RoleName": "vmimport",
        },
    )
    request = ExportImage("ami-1", format="vhd", bucket="b", prefix="p/", token="t", role_name="vmimport")
    assert ec2.export_image(aws, request).stage == "validating"


def test_export_instance(aws: Aws, stub: Stubber) -> None:
    place = {"DiskImageFormat": "VMDK", "ContainerFormat": "ova", "S3Bucket": "b", "S3Prefix": "p/"}
    stub.add_response(
        "create_instance_export_task",
        {"ExportTask": {"ExportTaskId": "export-i-1", "State": "active"}},
        {"InstanceId": "i-1", "TargetEnvironment": "vmware", "ExportToS3Task": place, "Description": "d"},
    )
    request = ExportInstance(
        "i-1", target="vmware", format="vmdk", container="ova", bucket="b", prefix="p/", description="d"
    )
    assert ec2.export_instance(aws, request).kind is TaskKind.EXPORT_INSTANCE


def test_a_call_without_a_token_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read time-out of CreateInstanceExportTask may hide a task: the SDK must not send it again."""
    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="eu-central-1")
    aws, sent = Aws(session, region="eu-central-1"), list[str]()

    def lost(request: Any, **_: Any) -> None:
        sent.append(request.url)
        raise ReadTimeoutError(endpoint_url="https://ec2.eu-central-1.amazonaws.com")

    aws.once("ec2").meta.events.register("before-send.ec2.CreateInstanceExportTask", lost)
    with pytest.raises(VmieError) as failed:
        ec2.export_instance(aws, ExportInstance("i-1", target="vmware", format="vmdk", bucket="b"))
    assert not isinstance(failed.value, AwsRefused)
    assert len(sent) == 1


def test_describe_takes_all_ids_at_once_and_follows_pages(aws: Aws, stub: Stubber) -> None:
    def page(*ids: str) -> list[dict[str, str]]:
        return [{"ImportTaskId": one, "Status": "active"} for one in ids]

    stub.add_response(
        "describe_import_image_tasks",
        {"ImportImageTasks": page("import-ami-1"), "NextToken": "n"},
        {"ImportTaskIds": ["import-ami-1", "import-ami-2"]},
    )
    stub.add_response(
        "describe_import_image_tasks",
        {"ImportImageTasks": page("import-ami-2")},
        {"ImportTaskIds": ["import-ami-1", "import-ami-2"], "NextToken": "n"},
    )
    tasks = ec2.describe(aws, TaskKind.IMPORT_IMAGE, ["import-ami-1", "import-ami-2", "import-ami-1"])
    assert [task.id for task in tasks] == ["import-ami-1", "import-ami-2"]


@pytest.mark.parametrize("code", ["InvalidConversionTaskId", "InvalidConversionTaskId.Malformed"])
def test_one_unknown_id_does_not_hide_the_others(aws: Aws, stub: Stubber, code: str) -> None:
    stub.add_client_error("describe_import_snapshot_tasks", code, http_status_code=400)
    stub.add_response(
        "describe_import_snapshot_tasks",
        {
            "ImportSnapshotTasks": [
                {"ImportTaskId": "import-snap-1", "SnapshotTaskDetail": {"Status": "active"}},
                {"ImportTaskId": "import-snap-other", "SnapshotTaskDetail": {"Status": "active"}},
            ]
        },
        {},
    )
    tasks = ec2.describe(aws, TaskKind.IMPORT_SNAPSHOT, ["import-snap-1", "import-snap-gone"])
    assert [task.id for task in tasks] == ["import-snap-1"]


def test_active_tasks_are_filtered_by_aws_where_it_can_and_here_where_not(aws: Aws, stub: Stubber) -> None:
    stub.add_response(
        "describe_export_image_tasks",
        {"ExportImageTasks": [{"ExportImageTaskId": "export-ami-1", "Status": "active"}]},
        {"Filters": [{"Name": "task-state", "Values": ["active"]}]},
    )
    stub.add_response(
        "describe_conversion_tasks",
        {
            "ConversionTasks": [
                {"ConversionTaskId": "import-i-1", "State": "active"},
                {"ConversionTaskId": "import-i-2", "State": "completed"},
            ]
        },
        {},
    )
    assert len(ec2.describe(aws, TaskKind.EXPORT_IMAGE, active_only=True)) == 1
    assert [task.id for task in ec2.describe(aws, TaskKind.CONVERSION, active_only=True)] == ["import-i-1"]


@pytest.mark.parametrize(
    ("task_id", "method", "parameters"),
    [
        ("import-ami-1", "cancel_import_task", {"ImportTaskId": "import-ami-1", "CancelReason": "why"}),
        ("import-snap-1", "cancel_import_task", {"ImportTaskId": "import-snap-1", "CancelReason": "why"}),
        ("import-i-1", "cancel_conversion_task", {"ConversionTaskId": "import-i-1", "ReasonMessage": "why"}),
        ("import-vol-1", "cancel_conversion_task", {"ConversionTaskId": "import-vol-1", "ReasonMessage": "why"}),
        ("export-i-1", "cancel_export_task", {"ExportTaskId": "export-i-1"}),
        ("export-ami-1", "cancel_export_task", {"ExportTaskId": "export-ami-1"}),
    ],
)
def test_cancel_by_kind(aws: Aws, stub: Stubber, task_id: str, method: str, parameters: dict[str, str]) -> None:
    stub.add_response(method, {}, parameters)
    ec2.cancel(aws, task_id, "why")


IMAGE = {"ImageId": "ami-1", "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": "snap-1"}}]}


def test_register_image_sets_right_what_aws_would_default_wrongly(aws: Aws, stub: Stubber) -> None:
    stub.add_response("describe_images", {"Images": []}, {"Owners": ["self"], "Filters": ANY})
    stub.add_response(
        "register_image",
        {"ImageId": "ami-1"},
        {
            "Name": "web",
            "Architecture": "x86_64",
            "VirtualizationType": "hvm",
            "RootDeviceName": "/dev/sda1",
            "BlockDeviceMappings": [
                {
                    "DeviceName": "/dev/sda1",
                    "Ebs": {"SnapshotId": "snap-1", "VolumeType": "gp3", "DeleteOnTermination": True},
                }
            ],
            "EnaSupport": True,
            "BootMode": "uefi",
            "ImdsSupport": "v2.0",
            "TpmSupport": "v2.0",
        },
    )
    request = RegisterImage("web", snapshot_id="snap-1", boot_mode="uefi", imds_v2=True, tpm=True)
    assert ec2.register_image(aws, request, clock=ManualClock()) == "ami-1"


def test_registering_again_finds_the_image(aws: Aws, stub: Stubber) -> None:
    stub.add_response("describe_images", {"Images": [IMAGE]}, {"Owners": ["self"], "Filters": ANY})
    assert ec2.register_image(aws, RegisterImage("web", snapshot_id="snap-1"), clock=ManualClock()) == "ami-1"


def test_a_name_that_another_snapshot_has_is_refused(aws: Aws, stub: Stubber) -> None:
    stub.add_response("describe_images", {"Images": [IMAGE]}, {"Owners": ["self"], "Filters": ANY})
    with pytest.raises(AwsRefused, match="taken by ami-1"):
        ec2.register_image(aws, RegisterImage("web", snapshot_id="snap-2"), clock=ManualClock())


def test_a_duplicate_after_a_lost_answer_is_our_own_image(aws: Aws, stub: Stubber) -> None:
    lookup = {"Owners": ["self"], "Filters": ANY}
    stub.add_response("describe_images", {"Images": []}, lookup)
    stub.add_client_error("register_image", "InvalidAMIName.Duplicate", http_status_code=400)
    stub.add_response("describe_images", {"Images": [IMAGE]}, lookup)
    assert ec2.register_image(aws, RegisterImage("web", snapshot_id="snap-1"), clock=ManualClock()) == "ami-1"


def test_registering_waits_for_what_cannot_be_seen_yet(aws: Aws, stub: Stubber) -> None:
    lookup = {"Owners": ["self"], "Filters": ANY}
    stub.add_response("describe_images", {"Images": []}, lookup)
    # the snapshot, which another part of EC2 has seen
    stub.add_client_error("register_image", "InvalidSnapshot.NotFound", http_status_code=400)
    # and the image of an answer that was lost
    stub.add_client_error("register_image", "InvalidAMIName.Duplicate", http_status_code=400)
    stub.add_response("describe_images", {"Images": []}, lookup)
    stub.add_response("describe_images", {"Images": [IMAGE]}, lookup)
    clock = ManualClock()
    assert ec2.register_image(aws, RegisterImage("web", snapshot_id="snap-1"), clock=clock) == "ami-1"
    stub.add_client_error("describe_images", "InvalidAMIID.NotFound", http_status_code=400)
    stub.add_response("describe_images", {"Images": [{"PlatformDetails": "Windows"}]}, {"ImageIds": ["ami-1"]})
    assert ec2.platform_of(aws, "ami-1", clock=clock) == "Windows"


@pytest.mark.parametrize("name", ["ab", "x" * 129, "tab\there", "ümlaut"])
def test_a_name_that_ec2_does_not_take_is_a_usage_error(aws: Aws, name: str) -> None:
    with pytest.raises(UsageError):
        ec2.register_image(aws, RegisterImage(name, snapshot_id="snap-1"), clock=ManualClock())


def test_tagging_waits_out_a_race_and_new_ids(aws: Aws, stub: Stubber) -> None:
    clock = ManualClock()
    stub.add_client_error("create_tags", "InvalidSnapshot.NotFound", http_status_code=400)
    stub.add_client_error("create_tags", "ConcurrentTagAccess", http_status_code=400)
    stub.add_response("create_tags", {}, {"Resources": ["snap-1", "ami-1"], "Tags": [{"Key": "Name", "Value": "web"}]})
    ec2.tag(aws, ["snap-1", "", "ami-1"], {"Name": "web"}, clock=clock)
    assert len(clock.sleeps) == 2
    ec2.tag(aws, [], {"Name": "web"}, clock=clock)
    ec2.tag(aws, ["snap-1"], {}, clock=clock)


def test_unknown_state_words_reach_the_caller(aws: Aws, stub: Stubber) -> None:
    stub.add_response("describe_export_tasks", {"ExportTasks": [{"ExportTaskId": "export-i-1", "State": "odd"}]}, {})
    [task] = ec2.describe(aws, TaskKind.EXPORT_INSTANCE)
    assert task.state is TaskState.UNKNOWN
