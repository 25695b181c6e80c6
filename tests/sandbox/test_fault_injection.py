"""Things go wrong on demand, and the sandbox counts what happened."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.sandbox.conftest import BUCKET, HOUR, code_of, image_task
from vmie.sandbox import Sandbox
from vmie.sandbox.fault_injection import Fault, FaultInjector
from vmie.sandbox.front.identify import identify


def test_the_next_calls_are_throttled_with_http_503(box: Sandbox, ec2: Any) -> None:
    box.faults.throttle("DescribeImportImageTasks", times=2)
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            ec2.describe_import_image_tasks()
        assert caught.value.response["Error"]["Code"] == "RequestLimitExceeded"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert ec2.describe_images(Owners=["self"])["Images"]
    assert ec2.describe_import_image_tasks()["ImportImageTasks"] == []
    assert box.stats.calls["ec2:DescribeImportImageTasks"] == 3


def test_botocores_own_retries_get_through(box: Sandbox) -> None:
    client = box.client("ec2")
    box.faults.throttle("DescribeImportImageTasks", times=1)
    assert client.describe_import_image_tasks()["ImportImageTasks"] == []


def test_a_share_of_the_calls_may_be_throttled(box: Sandbox, ec2: Any) -> None:
    box.faults.throttle(times=None, probability=0.5)
    codes = [code_of(ec2.describe_import_image_tasks) for _ in range(60)]
    assert 15 < codes.count("RequestLimitExceeded") < 45


@pytest.mark.parametrize(
    ("service", "operation", "codes"),
    [
        ("ec2", "describe_images", ("RequestLimitExceeded", "Unavailable")),
        ("s3", "list_buckets", ("SlowDown", "ServiceUnavailable")),
        ("iam", "list_roles", ("Throttling", "ServiceUnavailable")),
        ("sts", "get_caller_identity", ("Throttling", "ServiceUnavailable")),
        ("ebs", "start_snapshot", ("RequestThrottledException", "InternalServerException")),
    ],
)
def test_each_service_says_it_in_its_own_words(
    box: Sandbox, clients: Any, service: str, operation: str, codes: tuple[str, str]
) -> None:
    call = getattr(clients(service, "us-east-1"), operation)
    parameters = {"VolumeSize": 1} if service == "ebs" else {}
    box.faults.throttle()
    box.faults.unavailable()
    assert (code_of(call, **parameters), code_of(call, **parameters)) == codes
    assert code_of(call, **parameters) == ""


def test_any_error_can_be_answered(box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
    box.faults.fail("ImportImage", code="UnauthorizedOperation", message="no <right>", status=403)
    with pytest.raises(ClientError) as caught:
        ec2.import_image(DiskContainers=[disk])
    assert caught.value.response["Error"] == {"Code": "UnauthorizedOperation", "Message": "no <right>"}
    assert box.stats.errors["UnauthorizedOperation"] == 1
    assert box.stats.tasks["import-image"] == 0


class TestLostAnswers:
    def test_the_task_is_there_though_the_client_never_heard(
        self, box: Sandbox, ec2: Any, disk: dict[str, Any]
    ) -> None:
        box.faults.lose("ImportImage")
        with pytest.raises(ConnectionClosedError):
            ec2.import_image(DiskContainers=[disk], ClientToken="once")
        (task,) = ec2.describe_import_image_tasks()["ImportImageTasks"]
        assert ec2.import_image(DiskContainers=[disk], ClientToken="once")["ImportTaskId"] == task["ImportTaskId"]

    def test_a_retry_with_the_token_finds_the_task(self, box: Sandbox, disk: dict[str, Any]) -> None:
        box.faults.lose("ImportImage", how="500")
        client = box.client("ec2")
        client.import_image(DiskContainers=[disk], ClientToken="once")
        assert box.stats.calls["ec2:ImportImage"] == 2
        assert box.stats.tasks["import-image"] == 1

    def test_a_retry_without_a_token_makes_a_second_task(self, box: Sandbox, disk: dict[str, Any]) -> None:
        box.faults.lose("ImportImage")
        box.client("ec2").import_image(DiskContainers=[disk])
        assert box.stats.tasks["import-image"] == 2


class TestFailingTasks:
    def test_fail_where_they_are_told_to(self, box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
        box.faults.fail_task("ClientError: Unknown OS / Missing OS files.", at="updating")
        doomed = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
        spared = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
        box.advance(17 * 60)
        assert image_task(ec2, doomed)["StatusMessage"] == "updating"
        box.advance(60)
        task = image_task(ec2, doomed)
        assert (task["Status"], task["StatusMessage"]) == ("deleting", "ClientError: Unknown OS / Missing OS files.")
        box.advance(HOUR)
        assert image_task(ec2, doomed)["Status"] == "deleted"
        assert image_task(ec2, spared)["Status"] == "completed"

    def test_fail_at_the_end_when_the_step_never_comes(self, box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
        box.faults.fail_task("FirstBootFailure: no", at="no such step", kind="import-image")
        snapshot = ec2.import_snapshot(DiskContainer=disk)["ImportTaskId"]
        image = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
        box.advance(HOUR)
        assert image_task(ec2, image)["StatusMessage"] == "FirstBootFailure: no"
        detail = ec2.describe_import_snapshot_tasks(ImportTaskIds=[snapshot])["ImportSnapshotTasks"][0]
        assert detail["SnapshotTaskDetail"]["Status"] == "completed"


def test_clear_ends_all_trouble(box: Sandbox, ec2: Any) -> None:
    box.faults.throttle(times=None)
    box.faults.propagation = box.faults.visible_after = 60
    box.faults.clear()
    assert code_of(ec2.describe_import_image_tasks) == ""
    assert box.faults.propagation == box.faults.visible_after == 0


def test_a_fault_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no fault"):
        FaultInjector().add(Fault("gremlin"))


@pytest.mark.parametrize(
    ("operation", "parameters", "name"),
    [
        ("list_buckets", {}, "ListBuckets"),
        ("head_bucket", {"Bucket": BUCKET}, "HeadBucket"),
        ("get_bucket_location", {"Bucket": BUCKET}, "GetBucketLocation"),
        ("get_bucket_policy", {"Bucket": BUCKET}, "GetBucketPolicy"),
        ("list_objects_v2", {"Bucket": BUCKET}, "ListObjectsV2"),
        ("put_object", {"Bucket": BUCKET, "Key": "a/b", "Body": b"x"}, "PutObject"),
        ("create_multipart_upload", {"Bucket": BUCKET, "Key": "a/b"}, "CreateMultipartUpload"),
        ("list_multipart_uploads", {"Bucket": BUCKET}, "ListMultipartUploads"),
        ("delete_object", {"Bucket": BUCKET, "Key": "a/b"}, "DeleteObject"),
        ("delete_objects", {"Bucket": BUCKET, "Delete": {"Objects": [{"Key": "a"}]}}, "DeleteObjects"),
    ],
)
def test_calls_of_s3_are_counted_by_name(
    box: Sandbox, s3: Any, operation: str, parameters: dict[str, Any], name: str
) -> None:
    getattr(s3, operation)(**parameters)
    assert box.stats.calls == {f"s3:{name}": 1}


@pytest.mark.parametrize(
    ("method", "url", "name"),
    [
        ("PUT", "http://127.0.0.1:1/b/k?partNumber=1&uploadId=u", "UploadPart"),
        ("POST", "http://127.0.0.1:1/b/k?uploadId=u", "CompleteMultipartUpload"),
        ("DELETE", "http://127.0.0.1:1/b/k?uploadId=u", "AbortMultipartUpload"),
        ("GET", "http://127.0.0.1:1/b/k", "GetObject"),
        ("PUT", "http://127.0.0.1:1/b", "CreateBucket"),
        ("OPTIONS", "http://127.0.0.1:1/b/k", "OPTIONS"),
        ("GET", "http://127.0.0.1:1/%ff?%ff", "ListObjects"),
    ],
)
def test_and_by_path_too(method: str, url: str, name: str) -> None:
    assert identify(method, url, {}, "").action == name
