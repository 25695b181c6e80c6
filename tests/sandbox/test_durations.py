"""Conversions take the time that is asked for, quotas are each Region's own, and both are told."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET, HOUR, snapshot_task
from vmie.model import TaskKind
from vmie.sandbox import Sandbox
from vmie.sandbox.service.durations import Durations

GIB = 1 << 30


def imported(ec2: Any, key: str, *, bucket: str = BUCKET) -> str:
    where = {"Format": "raw", "UserBucket": {"S3Bucket": bucket, "S3Key": key}}
    return str(ec2.import_snapshot(DiskContainer=where)["ImportTaskId"])


def test_half_of_the_conversions_take_less_than_the_median() -> None:
    durations = Durations(median=1000.0, spread=0.5, seed=3)
    drawn = [durations.draw(1200.0, origin=f"b/{number}", size=0) for number in range(2000)]
    assert median(drawn) == pytest.approx(1000, rel=0.05)
    assert sum(one > 2718 for one in drawn) == pytest.approx(2000 * 0.0228, abs=20), "two sigmas: a factor of e"


def test_a_task_takes_the_same_time_whatever_else_is_imported() -> None:
    alone, among = Durations(spread=0.7), Durations(spread=0.7)
    first = [alone.draw(60.0, origin="b/k", size=0) for _ in range(2)]
    among.draw(60.0, origin="b/other", size=0)
    assert [among.draw(60.0, origin="b/k", size=0) for _ in range(2)] == first
    assert first[0] != first[1], "its second task is a throw of its own"


def test_conversion_grows_with_the_disk(box: Sandbox, ec2: Any) -> None:
    box.durations.median, box.durations.per_gib = 600.0, 60.0
    box.put_disk(BUCKET, "small.raw", size=2 << 20)
    box.put_disk(BUCKET, "large.raw", size=100 * GIB)
    small, large = imported(ec2, "small.raw"), imported(ec2, "large.raw")
    box.advance(601)
    assert snapshot_task(ec2, small)["Status"] == "completed"
    assert snapshot_task(ec2, large)["Status"] == "active"
    box.advance(6000)
    done = snapshot_task(ec2, large)
    assert done["Status"] == "completed"
    assert ec2.describe_snapshots(SnapshotIds=[done["SnapshotId"]])["Snapshots"][0]["VolumeSize"] == 100
    assert box.stats.region("us-east-1").busy["imports"] == pytest.approx(600 + 6600, abs=1)


def test_a_share_of_the_tasks_fails(box: Sandbox, ec2: Any) -> None:
    box.faults.fail_task("ClientError: Unknown OS / Missing OS files.", at="", times=None, probability=0.3)
    box.put_disk(BUCKET, "disk.raw", size=2 << 20)
    for _ in range(5):
        for _ in range(20):
            imported(ec2, "disk.raw")
        box.advance(HOUR)
        ec2.describe_import_snapshot_tasks()
        box.advance(HOUR)
    failed = sum(box.stats.failed.values())
    assert 15 < failed < 45
    tasks = ec2.describe_import_snapshot_tasks()["ImportSnapshotTasks"]
    assert sum(task["SnapshotTaskDetail"]["Status"] == "deleted" for task in tasks) == failed


def test_each_region_has_its_own_quota_and_its_own_counts(box: Sandbox, ec2: Any, ec2_elsewhere: Any, s3: Any) -> None:
    s3.create_bucket(Bucket="there", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    box.client("iam").put_role_policy(
        RoleName="vmimport",
        PolicyName="there",
        PolicyDocument='{"Version": "2012-10-17", "Statement": '
        '[{"Effect": "Allow", "Action": "s3:*", "Resource": ["arn:aws:s3:::there", "arn:aws:s3:::there/*"]}]}',
    )
    box.limits.regions["eu-west-1"] = {"imports": 1}
    box.put_disk(BUCKET, "disk.raw", size=2 << 20)
    box.put_disk("there", "disk.raw", size=2 << 20)
    for _ in range(3):
        imported(ec2, "disk.raw")
    imported(ec2_elsewhere, "disk.raw", bucket="there")
    with pytest.raises(Exception, match="ResourceCountLimitExceeded"):
        imported(ec2_elsewhere, "disk.raw", bucket="there")
    assert box.stats.region("us-east-1").peak["imports"] == 3
    assert box.stats.region("eu-west-1").peak["imports"] == 1
    assert box.stats.region("eu-west-1").calls["ec2:ImportSnapshot"] == 2
    assert box.stats.region("eu-west-1").tasks[TaskKind.IMPORT_SNAPSHOT] == 1
    assert box.stats.as_json()["regions"]["eu-west-1"]["peak"] == {"imports": 1}


def test_a_task_that_is_listed_no_longer_leaves_nothing_behind(box: Sandbox, ec2: Any) -> None:
    box.put_disk(BUCKET, "disk.raw", size=2 << 20)
    where = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
    tags = [{"ResourceType": "import-snapshot-task", "Tags": [{"Key": "vm", "Value": "1"}]}]
    for _ in range(2):
        task = ec2.import_snapshot(DiskContainer=where, ClientToken="t", TagSpecifications=tags)["ImportTaskId"]
        box.advance(HOUR)
        assert snapshot_task(ec2, task)["Status"] == "completed"
        box.advance(8 * 24 * HOUR)
        assert ec2.describe_import_snapshot_tasks()["ImportSnapshotTasks"] == []
        assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [task]}])["Tags"] == []
    assert box.stats.tasks["import-snapshot"] == 2, "a token is good for as long as its task is listed"


@pytest.mark.parametrize("size", [0, 512, (2 << 20) + 1])
def test_no_disk_is_that_small_or_odd(box: Sandbox, size: int) -> None:
    with pytest.raises(ValueError, match="2 MiB"):
        box.put_disk(BUCKET, "disk.raw", size=size)


def test_no_disk_goes_where_there_is_no_bucket(box: Sandbox) -> None:
    with pytest.raises(ValueError, match="no bucket nowhere"):
        box.put_disk("nowhere", "disk.raw", size=2 << 20)
