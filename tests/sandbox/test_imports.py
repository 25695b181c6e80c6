"""ImportImage: what a client of AWS sees from the request to the AMI."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET, HOUR, bootable, code_of, image_task
from vmie.sandbox import Sandbox


def test_the_stages_come_in_the_order_seen_in_the_field(box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
    answer = ec2.import_image(DiskContainers=[disk], Description="a machine")
    task_id = answer["ImportTaskId"]
    assert (answer["Status"], answer["StatusMessage"], answer["Progress"]) == ("active", "pending", "2")
    seen = []
    for _ in range(31):
        task = image_task(ec2, task_id)
        stage = (task.get("StatusMessage"), task.get("Progress"))
        if not seen or seen[-1] != stage:
            seen.append(stage)
        box.advance(60)
    assert [message for message, _ in seen] == [
        "pending", "validating", "validated", "converting", "updating", "booting", "booted", "preparing ami", None,
    ]  # fmt: skip
    assert seen[-1] == (None, None), "StatusMessage and Progress are absent at completion"


def test_an_id_has_the_prefix_and_seventeen_hexadecimal_digits(ec2: Any, disk: dict[str, Any]) -> None:
    assert len(ec2.import_image(DiskContainers=[disk])["ImportTaskId"]) == len("import-ami-") + 17


def test_the_result_is_an_image_of_the_disks_size(box: Sandbox, ec2: Any, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="big.raw", Body=bootable(9 << 20))
    container = {"Format": "RAW", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "big.raw"}}
    task_id = ec2.import_image(DiskContainers=[container], BootMode="uefi", Architecture="x86_64")["ImportTaskId"]
    box.advance(HOUR)
    task = image_task(ec2, task_id)
    assert task["Status"] == "completed"
    detail = task["SnapshotDetails"][0]
    assert detail["DiskImageSize"] == 9 << 20, "bytes, whatever the model says"
    assert detail["DeviceName"] == "/dev/sda1"
    (image,) = ec2.describe_images(ImageIds=[task["ImageId"]])["Images"]
    assert image["Name"] == task_id
    assert (image["BootMode"], image["Architecture"], image["VirtualizationType"]) == ("uefi", "x86_64", "hvm")
    assert image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == detail["SnapshotId"]
    (snapshot,) = ec2.describe_snapshots(SnapshotIds=[detail["SnapshotId"]])["Snapshots"]
    assert snapshot["VolumeSize"] == 1, "whole GiB, rounded up"
    assert task_id in snapshot["Description"]


def test_several_containers_make_several_snapshots_and_devices(box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
    task_id = ec2.import_image(DiskContainers=[disk, disk])["ImportTaskId"]
    box.advance(HOUR)
    task = image_task(ec2, task_id)
    assert [detail["DeviceName"] for detail in task["SnapshotDetails"]] == ["/dev/sda1", "/dev/sdb"]
    (image,) = ec2.describe_images(ImageIds=[task["ImageId"]])["Images"]
    assert len(image["BlockDeviceMappings"]) == 2


def test_the_disks_of_a_task_show_while_it_works(box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
    task_id = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
    assert image_task(ec2, task_id)["SnapshotDetails"][0]["DiskImageSize"] == 0.0
    box.advance(4 * 60)
    detail = image_task(ec2, task_id)["SnapshotDetails"][0]
    assert detail["DiskImageSize"] > 0
    assert "SnapshotId" not in detail
    box.advance(22 * 60)
    assert image_task(ec2, task_id)["SnapshotDetails"][0]["SnapshotId"].startswith("snap-")


def test_a_task_is_listed_for_seven_days_after_it_ended(box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
    task_id = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
    box.advance(HOUR)
    image_task(ec2, task_id)
    box.advance(6.9 * 24 * HOUR)
    assert image_task(ec2, task_id)["Status"] == "completed"
    box.advance(0.2 * 24 * HOUR)
    assert code_of(ec2.describe_import_image_tasks, ImportTaskIds=[task_id]) == "InvalidConversionTaskId"
    assert ec2.describe_import_image_tasks()["ImportImageTasks"] == []


def test_a_task_that_never_ends_is_given_up_after_seven_days(box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
    box.faults.stall_task(at="booting")
    task_id = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
    box.advance(24 * HOUR)
    assert image_task(ec2, task_id)["StatusMessage"] == "booting"
    box.advance(6.1 * 24 * HOUR)
    assert image_task(ec2, task_id)["StatusMessage"] == "Task expired and automatically canceled"


class TestCancel:
    def test_goes_through_deleting_to_deleted_and_leaves_nothing(
        self, box: Sandbox, ec2: Any, disk: dict[str, Any]
    ) -> None:
        task_id = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
        box.advance(26 * 60)  # its snapshots have their ids
        made = image_task(ec2, task_id)["SnapshotDetails"][0]["SnapshotId"]
        answer = ec2.cancel_import_task(ImportTaskId=task_id, CancelReason="changed my mind")
        assert (answer["PreviousState"], answer["State"]) == ("active", "deleting")
        assert image_task(ec2, task_id)["Status"] == "deleting"
        box.advance(5 * 60)
        task = image_task(ec2, task_id)
        assert (task["Status"], task["StatusMessage"]) == ("deleted", "changed my mind")
        assert made not in [snapshot["SnapshotId"] for snapshot in ec2.describe_snapshots()["Snapshots"]]

    def test_of_a_finished_task_is_refused(self, box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
        task_id = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
        box.advance(HOUR)
        assert code_of(ec2.cancel_import_task, ImportTaskId=task_id) == "DeleteConversionTaskError"

    @pytest.mark.parametrize(
        ("task_id", "code"),
        [
            ("import-ami-0123456789abcdef0", "InvalidConversionTaskId"),
            ("nonsense", "InvalidConversionTaskId.Malformed"),
            ("export-i-0123456789abcdef0", "InvalidConversionTaskId.Malformed"),
        ],
    )
    def test_of_no_task_is_refused(self, ec2: Any, task_id: str, code: str) -> None:
        assert code_of(ec2.cancel_import_task, ImportTaskId=task_id) == code


class TestClientToken:
    def test_the_same_request_twice_is_one_task(self, box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
        first = ec2.import_image(DiskContainers=[disk], ClientToken="once")
        again = ec2.import_image(DiskContainers=[disk], ClientToken="once")
        assert first["ImportTaskId"] == again["ImportTaskId"]
        assert box.stats.tasks["import-image"] == 1

    def test_another_request_with_it_is_refused(self, ec2: Any, disk: dict[str, Any]) -> None:
        ec2.import_image(DiskContainers=[disk], ClientToken="once")
        code = code_of(ec2.import_image, DiskContainers=[disk], ClientToken="once", Description="another")
        assert code == "IdempotentParameterMismatch"

    def test_belongs_to_one_action_and_region(self, ec2: Any, ec2_elsewhere: Any, disk: dict[str, Any]) -> None:
        ec2.import_image(DiskContainers=[disk], ClientToken="once")
        ec2.import_snapshot(DiskContainer=disk, ClientToken="once")
        assert code_of(ec2_elsewhere.import_image, DiskContainers=[disk], ClientToken="once") == "InvalidParameter"

    def test_works_even_when_the_quota_is_full(self, box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
        box.limits.imports = 1
        first = ec2.import_image(DiskContainers=[disk], ClientToken="once")
        assert ec2.import_image(DiskContainers=[disk], ClientToken="once")["ImportTaskId"] == first["ImportTaskId"]


class TestQuota:
    def test_images_and_snapshots_share_twenty(self, box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
        for _ in range(10):
            ec2.import_image(DiskContainers=[disk])
            ec2.import_snapshot(DiskContainer=disk)
        assert code_of(ec2.import_image, DiskContainers=[disk]) == "ResourceCountLimitExceeded"
        assert code_of(ec2.import_snapshot, DiskContainer=disk) == "ResourceCountLimitExceeded"
        assert box.stats.peak["imports"] == 20
        box.advance(HOUR)
        assert code_of(ec2.import_image, DiskContainers=[disk]) == ""

    def test_is_the_regions_own(self, box: Sandbox, ec2: Any, ec2_elsewhere: Any, disk: dict[str, Any]) -> None:
        box.limits.imports = 1
        ec2.import_image(DiskContainers=[disk])
        # refused for the bucket, not for the quota
        assert code_of(ec2_elsewhere.import_image, DiskContainers=[disk]) == "InvalidParameter"


class TestDescribe:
    def test_filters_by_state(self, box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
        done = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
        box.advance(HOUR)
        running = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]

        def ids(*states: str) -> list[str]:
            filters = [{"Name": "task-state", "Values": list(states)}]
            return [t["ImportTaskId"] for t in ec2.describe_import_image_tasks(Filters=filters)["ImportImageTasks"]]

        assert ids("active") == [running]
        assert ids("completed") == [done]
        assert ids("active", "completed") == [done, running]
        assert ids("deleted") == []

    def test_refuses_filters_that_do_not_exist(self, ec2: Any) -> None:
        code = code_of(ec2.describe_import_image_tasks, Filters=[{"Name": "status", "Values": ["active"]}])
        assert code == "InvalidParameterValue"

    def test_pages(self, box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
        made = [ec2.import_image(DiskContainers=[disk])["ImportTaskId"] for _ in range(7)]
        pages = ec2.get_paginator("describe_import_image_tasks").paginate(PaginationConfig={"PageSize": 3})
        found = [[task["ImportTaskId"] for task in page["ImportImageTasks"]] for page in pages]
        assert found == [made[:3], made[3:6], made[6:]]
        assert box.stats.calls["ec2:DescribeImportImageTasks"] == 3

    @pytest.mark.parametrize(
        ("parameters", "code"),
        [
            ({"NextToken": "made up"}, "InvalidNextToken"),
            ({"MaxResults": 0}, "InvalidMaxResults"),
            ({"MaxResults": 5, "ImportTaskIds": ["import-ami-0"]}, "InvalidParameterCombination"),
            ({"ImportTaskIds": ["import-ami-0123456789abcdef0"]}, "InvalidConversionTaskId"),
            ({"ImportTaskIds": ["ami-0123456789abcdef0"]}, "InvalidConversionTaskId.Malformed"),
            ({"DryRun": True}, "DryRunOperation"),
        ],
    )
    def test_refuses(self, ec2: Any, parameters: dict[str, Any], code: str) -> None:
        assert code_of(ec2.describe_import_image_tasks, **parameters) == code

    def test_does_not_know_a_task_before_it_is_visible(self, box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
        box.faults.visible_after = 5
        task_id = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
        assert code_of(ec2.describe_import_image_tasks, ImportTaskIds=[task_id]) == "InvalidConversionTaskId"
        assert ec2.describe_import_image_tasks()["ImportImageTasks"] == []
        box.advance(6)
        assert image_task(ec2, task_id)["Status"] == "active"


class TestTags:
    def test_stay_on_the_task_and_do_not_reach_the_image(self, box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
        tags = [{"Key": "wave", "Value": "7"}]
        specification = [{"ResourceType": "import-image-task", "Tags": tags}]
        answer = ec2.import_image(DiskContainers=[disk], TagSpecifications=specification)
        assert answer["Tags"] == tags
        box.advance(HOUR)
        task = image_task(ec2, answer["ImportTaskId"])
        assert task["Tags"] == tags
        assert ec2.describe_images(ImageIds=[task["ImageId"]])["Images"][0]["Tags"] == []

    def test_can_be_put_on_later(self, ec2: Any, disk: dict[str, Any]) -> None:
        task_id = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
        ec2.create_tags(Resources=[task_id], Tags=[{"Key": "owner", "Value": "me"}])
        assert image_task(ec2, task_id)["Tags"] == [{"Key": "owner", "Value": "me"}]
        filters = [{"Name": "resource-type", "Values": ["import-image-task"]}]
        assert [tag["ResourceId"] for tag in ec2.describe_tags(Filters=filters)["Tags"]] == [task_id]
