"""A reset leaves nothing of before: asked for in Python, by `POST /_vmie/reset`, and by moto's own path."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET, bootable, code_of
from vmie import __version__, sandbox
from vmie.sandbox import Sandbox
from vmie.sandbox.seed import IMAGE, INSTANCE, SNAPSHOT


@pytest.fixture(scope="class")
def server() -> Iterator[Sandbox]:
    """Each test begins with a world that another one used."""
    with sandbox.serve(seeded=True, speed=0, limits=sandbox.Quotas(imports=7), propagation=3.0) as box:
        yield box


def post(box: Sandbox, path: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(f"{box.url}{path}", data=json.dumps(data or {}).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def get(box: Sandbox, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{box.url}{path}", timeout=10) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def use(box: Sandbox) -> None:
    """Leave something of every kind behind."""
    s3, ec2, iam = (box.client(name) for name in ("s3", "ec2", "iam"))
    s3.create_bucket(Bucket="mine")
    s3.put_object(Bucket=BUCKET, Key="disk.raw", Body=bootable())
    where = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
    ec2.import_snapshot(DiskContainer=where, ClientToken="once")
    ec2.import_image(DiskContainers=[where])
    box.advance(3600)
    ec2.import_image(DiskContainers=[where])
    ec2.delete_snapshot(SnapshotId=ec2.create_snapshot(VolumeId=volume_of(ec2))["SnapshotId"])
    ec2.stop_instances(InstanceIds=[INSTANCE])
    iam.delete_role_policy(RoleName="vmimport", PolicyName="vmimport")
    ebs = box.client("ebs")
    ebs.start_snapshot(VolumeSize=1, ClientToken="once")
    box.client("ec2", region="eu-west-1").create_volume(AvailabilityZone="eu-west-1a", Size=1)
    box.limits.imports, box.limits.regions["eu-west-1"] = 1, {"imports": 2}
    box.durations.median = 5.0
    box.faults.propagation = 60.0
    box.faults.throttle("DescribeKeyPairs", times=9)


def volume_of(ec2: Any) -> str:
    (reservation,) = ec2.describe_instances(InstanceIds=[INSTANCE])["Reservations"]
    return str(reservation["Instances"][0]["BlockDeviceMappings"][0]["Ebs"]["VolumeId"])


def world(box: Sandbox) -> dict[str, Any]:
    """All of it that a client can see, but for what is drawn at random."""
    s3, ec2, iam = (box.client(name) for name in ("s3", "ec2", "iam"))
    return {
        "buckets": [one["Name"] for one in s3.list_buckets()["Buckets"]],
        "objects": s3.list_objects_v2(Bucket=BUCKET).get("Contents", []),
        "images": [one["ImageId"] for one in ec2.describe_images(Owners=["self"])["Images"]],
        "snapshots": [one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]],
        "volumes": len(ec2.describe_volumes()["Volumes"]),
        "elsewhere": box.client("ec2", region="eu-west-1").describe_volumes()["Volumes"],
        "states": [
            instance["State"]["Name"]
            for reservation in ec2.describe_instances()["Reservations"]
            for instance in reservation["Instances"]
        ],
        "imports": ec2.describe_import_image_tasks()["ImportImageTasks"],
        "snapshot imports": ec2.describe_import_snapshot_tasks()["ImportSnapshotTasks"],
        "policies": iam.list_role_policies(RoleName="vmimport")["PolicyNames"],
        "tags": ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["image"]}])["Tags"],
        "limits": (box.limits.imports, dict(box.limits.regions)),
        "median": box.durations.median,
        "propagation": box.faults.propagation,
    }


class TestOverHttp:
    @pytest.mark.parametrize("path", ["/_vmie/reset", "/moto-api/reset"])
    def test_nothing_of_before_is_left(self, server: Sandbox, path: str) -> None:
        server.reset()
        first = world(server)
        assert (first["buckets"], first["images"], first["snapshots"]) == ([BUCKET], [IMAGE], [SNAPSHOT])
        assert (first["limits"], first["propagation"]) == ((7, {}), 3.0)
        use(server)
        assert world(server) != first
        assert post(server, path) == {"status": "ok"}
        assert get(server, "/_vmie/stats")["calls"] == {}
        assert get(server, "/_vmie/clock")["worked"] == 0
        assert world(server) == first
        assert code_of(server.client("ec2").describe_key_pairs) == ""
        # a ClientToken of before finds nothing
        assert server.client("ebs").start_snapshot(VolumeSize=2, ClientToken="once")["VolumeSize"] == 2

    def test_what_imports_made_can_be_made_again(self, server: Sandbox) -> None:
        """The service goes on working after a reset: its handlers are those of the new world."""
        for _ in range(2):
            server.reset()
            s3, ec2 = server.client("s3"), server.client("ec2")
            s3.put_object(Bucket=BUCKET, Key="disk.raw", Body=bootable(mark=b"mark"))
            where = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
            task = ec2.import_image(DiskContainers=[where])["ImportTaskId"]
            server.advance(3600)
            image = ec2.describe_import_image_tasks(ImportTaskIds=[task])["ImportImageTasks"][0]["ImageId"]
            assert ec2.describe_images(ImageIds=[image])["Images"][0]["State"] == "available"

    def test_requests_that_are_under_way_meet_one_world(self, server: Sandbox) -> None:
        """Whatever is asked while the world is reset is answered by the old or by the new one, never by a fault."""
        server.reset()
        stop, failures = threading.Event(), []

        def ask() -> None:
            s3 = server.client("s3")
            while not stop.is_set():
                try:
                    s3.put_object(Bucket=BUCKET, Key="key", Body=b"x" * 4096)
                    s3.list_objects_v2(Bucket=BUCKET)
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            server.reset()
        stop.set()
        for thread in threads:
            thread.join(timeout=30)
        assert failures == []

    def test_a_reset_is_asked_for_by_post_only(self, server: Sandbox) -> None:
        for path, code in (("/_vmie/reset", 404), ("/moto-api/reset", 400)):
            with pytest.raises(urllib.error.HTTPError) as caught:
                get(server, path)
            with caught.value as refused:  # it is an open answer
                assert refused.code == code

    def test_health_names_version_and_services(self, server: Sandbox) -> None:
        health = get(server, "/_vmie/health")
        assert (health["status"], health["version"], health["region"]) == ("ok", __version__, "us-east-1")
        assert health["services"] == ["ebs", "ec2", "iam", "kms", "s3", "servicequotas", "sts"]


def test_in_process_too(box: Sandbox) -> None:
    first = world(box)
    use(box)
    assert world(box) != first
    box.reset()
    assert (world(box), box.clock.worked()) == (first, 0)


def asked(box: Sandbox, host: str, path: str) -> tuple[int, bytes]:
    scope = "made/20260101/us-east-1/s3/aws4_request"
    signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    connection = http.client.HTTPConnection(box.url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host, "Authorization": signed})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="class")
def named() -> Iterator[Sandbox]:
    """A sandbox of several names, with an object."""
    names = ["localhost.localstack.cloud", "aws", "host.docker.internal"]
    with sandbox.serve(speed=0, allow_hosts=names) as box:
        box.client("s3").create_bucket(Bucket="images-of-mine")
        box.client("s3").put_object(Bucket="images-of-mine", Key="key", Body=b"bytes")
        yield box


class TestNames:
    @pytest.mark.parametrize(
        ("host", "path"),
        [
            ("localhost.localstack.cloud:4566", "/images-of-mine/key"),
            ("s3.localhost.localstack.cloud:4566", "/images-of-mine/key"),
            ("s3.us-east-1.localhost.localstack.cloud:4566", "/images-of-mine/key"),
            ("images-of-mine.localhost.localstack.cloud:4566", "/key"),
            ("images-of-mine.s3.localhost.localstack.cloud:4566", "/key"),
            ("images-of-mine.s3.us-east-1.localhost.localstack.cloud:4566", "/key"),
            ("aws:4566", "/images-of-mine/key"),
            ("images-of-mine.aws:4566", "/key"),
            ("host.docker.internal:4566", "/images-of-mine/key"),
            ("images-of-mine.s3.host.docker.internal:4566", "/key"),
            ("images-of-mine.s3.localhost:{port}", "/key"),
            ("s3.localhost:{port}", "/images-of-mine/key"),
        ],
    )
    def test_buckets_are_found_under_names_as_they_are_written_elsewhere(
        self, named: Sandbox, host: str, path: str
    ) -> None:
        port = named.url.rpartition(":")[2]
        assert asked(named, host.format(port=port), path) == (200, b"bytes")


class TestSpeed:
    @pytest.mark.parametrize("speed", ["slow", "", "nan", "inf", "-1", -1.0, "1e999"])
    def test_is_a_number_or_a_name(self, speed: float | str) -> None:
        from vmie.errors import UsageError

        with pytest.raises(UsageError, match="speed"), sandbox.start(speed=speed):
            pass

    def test_human_leaves_time_to_cancel(self) -> None:
        with sandbox.start(seeded=True, speed="human") as box:
            assert 30 <= 30 * 60 / box.clock.speed <= 60, "an import takes so many seconds"
            ec2, s3 = box.client("ec2"), box.client("s3")
            s3.put_object(Bucket=BUCKET, Key="disk.raw", Body=bootable())
            where = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
            task = ec2.import_image(DiskContainers=[where])["ImportTaskId"]
            assert code_of(ec2.cancel_import_task, ImportTaskId=task) == ""


class TestFiltersByTag:
    def test_find_the_tasks_that_have_it(self, ec2: Any, disk: dict[str, Any]) -> None:
        def tagged(**tags: str) -> list[dict[str, Any]]:
            pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
            return [{"ResourceType": "import-image-task", "Tags": pairs}]

        first = ec2.import_image(DiskContainers=[disk], TagSpecifications=tagged(Name="web-1", team="a"))
        second = ec2.import_image(DiskContainers=[disk], TagSpecifications=tagged(Name="web-2"))
        ec2.import_image(DiskContainers=[disk])
        one, two = first["ImportTaskId"], second["ImportTaskId"]

        def found(*filters: tuple[str, list[str]]) -> list[str]:
            given = [{"Name": name, "Values": values} for name, values in filters]
            return [task["ImportTaskId"] for task in ec2.describe_import_image_tasks(Filters=given)["ImportImageTasks"]]

        assert found(("tag:Name", ["web-1"])) == [one]
        assert found(("tag:Name", ["web-*"])) == [one, two]
        assert found(("tag:Name", ["web-1", "web-2"])) == [one, two]
        assert found(("tag:Name", ["Web-1"])) == []
        assert found(("tag:name", ["web-1"])) == []
        assert found(("tag-key", ["team"])) == [one]
        assert found(("tag:Name", ["web-*"]), ("task-state", ["completed"])) == []
        assert found(("tag:Name", ["web-2"]), ("task-state", ["active"])) == [two]

    @pytest.mark.parametrize(
        "call",
        [
            "describe_import_image_tasks",
            "describe_import_snapshot_tasks",
            "describe_export_image_tasks",
            "describe_export_tasks",
        ],
    )
    def test_are_taken_by_every_describe_call(self, ec2: Any, call: str) -> None:
        assert code_of(getattr(ec2, call), Filters=[{"Name": "tag:Name", "Values": ["x"]}]) == ""
        assert code_of(getattr(ec2, call), Filters=[{"Name": "tag:", "Values": ["x"]}]) == "InvalidParameterValue"
