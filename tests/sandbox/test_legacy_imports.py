"""ImportInstance and ImportVolume as the service does them: fetched by URL, refused with a reason, nothing left."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET, HOUR, bootable, code_of, message_of
from tests.sandbox.legacy_imports import Image, conversion, keys, lasting_door, stored
from tests.tools import need, run
from vmie import disk as disks
from vmie import sandbox
from vmie.aws.presign import Presigner
from vmie.aws.session import Aws
from vmie.disk import stream
from vmie.model import S3Object
from vmie.sandbox import Sandbox
from vmie.sandbox.service.validation import any_guest

MIB = 1 << 20
LAUNCH = {"InstanceType": "m3.medium", "Placement": {"AvailabilityZone": "us-east-1b"}}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=0, verdict=any_guest) as running:
        yield running


@pytest.fixture(scope="module")
def door() -> Aws:
    return lasting_door()


@pytest.fixture
def aws(box: Sandbox, door: Aws) -> Aws:
    return door


@pytest.fixture
def image(aws: Aws) -> Image:
    return stored(aws, bootable(3 * MIB, mark=b"what is in it"))


def instance(ec2: Any, image: Image, **more: Any) -> Any:
    asked = {"Platform": "Linux", "LaunchSpecification": LAUNCH, "DiskImages": [image.disk()], **more}
    return ec2.import_instance(**asked)["ConversionTask"]


def volume(ec2: Any, image: Image, **more: Any) -> Any:
    return ec2.import_volume(**{"AvailabilityZone": "us-east-1a", **image.disk(), **more})["ConversionTask"]


def ended(box: Sandbox, ec2: Any, task: Any) -> Any:
    box.advance(HOUR)
    conversion(ec2, task["ConversionTaskId"])
    box.advance(HOUR)
    return conversion(ec2, task["ConversionTaskId"])


def described(ec2: Any, instance_id: str) -> Any:
    return ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]


# --- what is made ---------------------------------------------------------------------------------


def test_an_instance_stopped_with_its_disk(box: Sandbox, ec2: Any, s3: Any, image: Image) -> None:
    secret = base64.b64encode(b"#!/bin/sh").decode()
    launch = {**LAUNCH, "UserData": {"Data": secret}, "InstanceInitiatedShutdownBehavior": "terminate"}
    task = instance(ec2, image, LaunchSpecification=launch, Description="web [vmie 0]")
    assert task["ConversionTaskId"].startswith("import-i-")
    assert (task["State"], task["StatusMessage"]) == ("active", "Pending")
    instance_id = task["ImportInstance"]["InstanceId"]
    assert "no volume" not in str(task)
    refused = message_of(ec2.start_instances, InstanceIds=[instance_id])
    assert "does not have a volume attached at root (/dev/sda1)" in refused

    done = ended(box, ec2, task)
    assert done["State"] == "completed"
    assert done["ImportInstance"]["Description"] == "web [vmie 0]"
    shown = done["ImportInstance"]["Volumes"][0]
    assert shown["BytesConverted"] == shown["Image"]["Size"] == 3 * MIB
    assert shown["AvailabilityZone"] == "us-east-1b"
    made = described(ec2, instance_id)
    assert made["State"]["Name"] == "stopped"
    assert made["VirtualizationType"] == "hvm"
    assert made["Placement"]["AvailabilityZone"] == "us-east-1b"
    assert made["InstanceType"] == "m3.medium"
    assert made["BlockDeviceMappings"][0]["DeviceName"] == "/dev/sda1"
    assert made["BlockDeviceMappings"][0]["Ebs"]["VolumeId"] == shown["Volume"]["Id"]
    attribute = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    assert attribute["UserData"]["Value"] == secret
    ec2.start_instances(InstanceIds=[instance_id])
    # The service called the URLs: parts and manifest are gone.
    assert keys(s3) == []


def test_a_volume_that_is_available(box: Sandbox, ec2: Any, s3: Any, image: Image) -> None:
    task = volume(ec2, image, Description="data")
    assert task["ConversionTaskId"].startswith("import-vol-")
    done = ended(box, ec2, task)
    assert (done["State"], done["ImportVolume"]["Description"]) == ("completed", "data")
    made = ec2.describe_volumes(VolumeIds=[done["ImportVolume"]["Volume"]["Id"]])["Volumes"][0]
    assert (made["State"], made["Size"], made["AvailabilityZone"]) == ("available", 1, "us-east-1a")
    assert keys(s3) == []


def test_parts_without_delete_urls_stay(box: Sandbox, ec2: Any, s3: Any, image: Image) -> None:
    for index in range(len(image.manifest.parts)):
        image.part(index, delete_url="")
    assert ended(box, ec2, volume(ec2, image))["State"] == "completed"
    assert len(keys(s3)) == 6


@pytest.mark.parametrize("target", ["vmdk", "vhd"])
def test_formats_that_are_opened(box: Sandbox, ec2: Any, aws: Aws, tmp_path: Path, target: str) -> None:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(bootable(3 * MIB, mark=b"in another form"))
    with disks.open(raw) as opened:
        data = b"".join(stream.write(opened, target))
    image = stored(aws, data, format_=target.upper())
    assert ended(box, ec2, instance(ec2, image))["State"] == "completed"


def test_a_last_end_that_is_the_size_is_taken(box: Sandbox, ec2: Any, image: Image) -> None:
    url = image.write()
    text = box.client("s3").get_object(Bucket=BUCKET, Key=image.key)["Body"].read()
    last = 3 * MIB - 1
    box.client("s3").put_object(Bucket=BUCKET, Key=image.key, Body=text.replace(b'"%d"' % last, b'"%d"' % (last + 1)))
    task = ec2.import_volume(AvailabilityZone="us-east-1a", **image.disk(url=url))["ConversionTask"]
    assert ended(box, ec2, task)["State"] == "completed"


def test_parts_may_come_after_the_task(box: Sandbox, ec2: Any, aws: Aws) -> None:
    data = bootable(2 * MIB)
    image = stored(aws, data, upload=False)
    task = volume(ec2, image)
    box.advance(HOUR)
    assert conversion(ec2, task["ConversionTaskId"])["State"] == "active"
    stored(aws, data)
    assert ended(box, ec2, task)["State"] == "completed"


# --- what fails -----------------------------------------------------------------------------------


def failed(box: Sandbox, ec2: Any, task: Any, *, says: str) -> None:
    """The task ends as cancelled with the reason, and nothing of it is left."""
    before = {one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]}
    done = ended(box, ec2, task)
    assert done["State"] == "cancelled"
    assert says in done["StatusMessage"], done["StatusMessage"]
    if "ImportInstance" in done:
        assert described(ec2, done["ImportInstance"]["InstanceId"])["State"]["Name"] == "terminated"
    assert {one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]} <= before
    assert "X-Amz" not in done["StatusMessage"]


def test_an_expired_url(box: Sandbox, ec2: Any, image: Image) -> None:
    url = Presigner(image.aws, seconds=60).get(S3Object(BUCKET, image.key))
    image.write()
    box.advance(120)
    task = instance(ec2, image, DiskImages=[image.disk(url=url)])
    failed(box, ec2, task, says="We do not have access to the given resource. Reason 403 Forbidden: the manifest")


def test_an_expired_part(box: Sandbox, ec2: Any, image: Image) -> None:
    item = S3Object(BUCKET, image.manifest.parts[2].key)
    image.part(2, get_url=Presigner(image.aws, seconds=1).get(item))
    box.advance(5)
    failed(box, ec2, instance(ec2, image), says="Reason 403 Forbidden: part 2")


def test_a_url_of_another_method(box: Sandbox, ec2: Any, image: Image) -> None:
    image.part(1, get_url=image.manifest.parts[1].head_url)
    failed(box, ec2, instance(ec2, image), says="Reason 403 Forbidden: part 1")


def test_a_url_that_was_tampered_with(box: Sandbox, ec2: Any, image: Image) -> None:
    url = image.write().replace("X-Amz-Expires=86400", "X-Amz-Expires=86401")
    failed(box, ec2, instance(ec2, image, DiskImages=[image.disk(url=url)]), says="403 Forbidden")


def test_a_url_without_a_signature(box: Sandbox, ec2: Any, image: Image) -> None:
    url = image.write().partition("?")[0]
    failed(box, ec2, volume(ec2, image, **image.disk(url=url)), says="403 Forbidden")


def test_a_missing_part(box: Sandbox, ec2: Any, s3: Any, image: Image) -> None:
    s3.delete_object(Bucket=BUCKET, Key=image.manifest.parts[4].key)
    task = instance(ec2, image)
    box.advance(HOUR)
    # It may still come: the service waits until the task expires.
    assert conversion(ec2, task["ConversionTaskId"])["State"] == "active"
    box.advance(7 * 24 * HOUR)
    failed(box, ec2, task, says="Task expired and automatically canceled; part 4: 404 Not Found")


def test_a_wrong_byte_range(box: Sandbox, ec2: Any, image: Image) -> None:
    first, second = image.manifest.parts[:2]
    image.part(0, end=first.end - 512).part(1, start=second.start - 512)
    failed(box, ec2, instance(ec2, image), says="Invalid manifest [part 0 has 524288 bytes, its byte range 523776]")


def test_a_gap_between_parts(box: Sandbox, ec2: Any, image: Image) -> None:
    image.part(1, start=image.manifest.parts[1].start + 1)
    failed(box, ec2, instance(ec2, image), says="Invalid manifest [part 1 begins at byte")


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"size": 3 * MIB + 512}, "bytes and the image has"), ({"format": "VHD"}, "its format is VHD, the request's RAW")],
)
def test_a_manifest_that_says_something_else(
    box: Sandbox, ec2: Any, image: Image, fields: dict[str, Any], says: str
) -> None:
    asked = image.disk()
    image.change(lambda made: replace(made, **fields)).write()
    failed(box, ec2, instance(ec2, image, DiskImages=[asked]), says=says)


def test_the_disk_itself_instead_of_its_manifest(box: Sandbox, ec2: Any, image: Image) -> None:
    url = image.manifest.parts[0].get_url
    failed(box, ec2, instance(ec2, image, DiskImages=[image.disk(url=url)]), says="Invalid manifest [it is no XML")


def test_a_manifest_behind_a_redirect(box: Sandbox, ec2: Any, image: Image) -> None:
    with web(301, {"Location": image.write()}) as url:
        failed(box, ec2, instance(ec2, image, DiskImages=[image.disk(url=url)]), says="Reason 301")


def test_a_manifest_in_another_region(box: Sandbox, ec2: Any, image: Image) -> None:
    there = box.client("s3", region="eu-west-1")
    there.create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    url = Presigner(image.aws, seconds=600).get(S3Object("far", "manifest.xml"))
    failed(box, ec2, volume(ec2, image, **image.disk(url=url)), says="Reason 301 Moved Permanently")


def test_a_manifest_from_a_plain_web_server(box: Sandbox, ec2: Any, s3: Any, image: Image) -> None:
    image.write()
    body = s3.get_object(Bucket=BUCKET, Key=image.key)["Body"].read()
    with web(200, {}, body) as url:
        assert ended(box, ec2, volume(ec2, image, **image.disk(url=url)))["State"] == "completed"


def test_nothing_goes_out(box: Sandbox, ec2: Any, image: Image) -> None:
    asked = image.disk(url="https://example.com/manifest.xml")
    failed(box, ec2, volume(ec2, image, **asked), says="the sandbox lets no request out")


def test_a_disk_with_a_gpt(box: Sandbox, ec2: Any, aws: Aws) -> None:
    data = bytearray(bootable(2 * MIB))
    data[446 + 4] = 0xEE
    failed(box, ec2, instance(ec2, stored(aws, bytes(data))), says="No bootable partition found")


def test_a_disk_without_partitions(box: Sandbox, ec2: Any, aws: Aws) -> None:
    failed(box, ec2, instance(ec2, stored(aws, bytes(2 * MIB))), says="No valid partitions")


def test_a_fixed_vhd(box: Sandbox, ec2: Any, aws: Aws, tmp_path: Path) -> None:
    need("qemu-img")
    (tmp_path / "a.raw").write_bytes(bootable(4 * MIB))
    run(["qemu-img", "convert", "-O", "vpc", "-o", "subformat=fixed", tmp_path / "a.raw", tmp_path / "a.vhd"])
    image = stored(aws, (tmp_path / "a.vhd").read_bytes(), format_="VHD")
    failed(box, ec2, instance(ec2, image), says="Unsupported specified file format")


def test_a_vmdk_that_is_not_stream_optimised(box: Sandbox, ec2: Any, aws: Aws, tmp_path: Path) -> None:
    need("qemu-img")
    (tmp_path / "a.raw").write_bytes(bootable(4 * MIB))
    run(["qemu-img", "convert", "-O", "vmdk", tmp_path / "a.raw", tmp_path / "a.vmdk"])
    image = stored(aws, (tmp_path / "a.vmdk").read_bytes(), format_="VMDK")
    failed(box, ec2, volume(ec2, image), says="Unsupported VMDK File Format")


def test_a_volume_too_small_for_its_disk(box: Sandbox, ec2: Any, aws: Aws, tmp_path: Path) -> None:
    need("qemu-img")
    run(["qemu-img", "create", "-f", "vmdk", "-o", "subformat=streamOptimized", tmp_path / "a.vmdk", "3G"])
    image = stored(aws, (tmp_path / "a.vmdk").read_bytes(), format_="VMDK")
    failed(box, ec2, volume(ec2, image, **image.disk(gib=2)), says="exceeds the volume size of 2 GiB")


# --- cancelling, limits, refusals -----------------------------------------------------------------


def test_cancelling_releases_everything(box: Sandbox, ec2: Any, s3: Any, image: Image) -> None:
    task = instance(ec2, image)
    box.advance(600)
    ec2.cancel_conversion_task(ConversionTaskId=task["ConversionTaskId"], ReasonMessage="wrong disk")
    shown = conversion(ec2, task["ConversionTaskId"])
    assert (shown["State"], shown["StatusMessage"]) == ("cancelling", "wrong disk")
    failed(box, ec2, task, says="wrong disk")
    assert keys(s3)  # the parts are the caller's


def test_a_finished_task_is_not_cancelled(box: Sandbox, ec2: Any, image: Image) -> None:
    task = ended(box, ec2, volume(ec2, image))
    refused = code_of(ec2.cancel_conversion_task, ConversionTaskId=task["ConversionTaskId"])
    assert refused == "DeleteConversionTaskError"


def test_five_at_a_time(box: Sandbox, ec2: Any, image: Image) -> None:
    for _ in range(4):
        volume(ec2, image)
    instance(ec2, image)
    said = message_of(ec2.import_volume, AvailabilityZone="us-east-1a", **image.disk())
    assert said == "Task failed to initialize - conversion task limit (5) exceeded."
    assert code_of(ec2.import_volume, AvailabilityZone="us-east-1a", **image.disk()) == "ResourceLimitExceeded"
    assert box.stats.peak["conversions"] == 5
    assert code_of(ec2.import_snapshot, DiskContainer={"Format": "raw", "Url": "s3://no/thing"}) == "InvalidParameter"


def test_expiration_is_seven_days_ahead(box: Sandbox, ec2: Any, image: Image) -> None:
    box.faults.stall_task(at="Progress")
    task = volume(ec2, image)
    assert task["ExpirationTime"].endswith("Z")
    box.advance(7 * 24 * HOUR + 60)
    failed(box, ec2, task, says="Task expired and automatically canceled")


def test_tasks_can_be_tagged(ec2: Any, image: Image) -> None:
    task = volume(ec2, image)
    ec2.create_tags(Resources=[task["ConversionTaskId"]], Tags=[{"Key": "team", "Value": "red"}])
    assert conversion(ec2, task["ConversionTaskId"])["Tags"] == [{"Key": "team", "Value": "red"}]


def test_unknown_tasks(ec2: Any) -> None:
    assert code_of(ec2.describe_conversion_tasks, ConversionTaskIds=["import-i-0"]) == "InvalidConversionTaskId"
    assert code_of(ec2.cancel_conversion_task, ConversionTaskId="import-vol-0") == "InvalidConversionTaskId"
    assert ec2.describe_conversion_tasks()["ConversionTasks"] == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Platform": "BeOS"}, "InvalidParameterValue"),
        ({"DiskImages": []}, "MissingParameter"),
        ({"LaunchSpecification": {"Placement": {"Tenancy": "host"}}}, "InvalidParameter"),
        ({"LaunchSpecification": {"InstanceType": "large"}}, "InvalidParameterValue"),
        ({"LaunchSpecification": {"UserData": {"Data": "%%%"}}}, "InvalidParameterValue"),
        ({"LaunchSpecification": {"SubnetId": "subnet-0123456789abcdef0"}}, "InvalidSubnetID.NotFound"),
        ({"LaunchSpecification": {"GroupIds": ["sg-0123456789abcdef0"]}}, "InvalidGroup.NotFound"),
        ({"LaunchSpecification": {"Placement": {"AvailabilityZone": "eu-west-1a"}}}, "InvalidParameterValue"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_requests_that_are_refused(box: Sandbox, ec2: Any, image: Image, change: dict[str, Any], code: str) -> None:
    asked = {"Platform": "Linux", "LaunchSpecification": LAUNCH, "DiskImages": [image.disk()], **change}
    assert code_of(ec2.import_instance, **asked) == code
    assert ec2.describe_conversion_tasks()["ConversionTasks"] == []


def test_disks_that_are_refused(ec2: Any, image: Image) -> None:
    good = image.disk()
    for change, code in (
        ({"Format": "VHDX"}, "InvalidFormat"),
        ({"ImportManifestUrl": "s3://bucket/key"}, "InaccessibleStorageLocation"),
        ({"Bytes": 1 << 50}, "DiskImageSizeTooLarge"),
    ):
        altered = {**good, "Image": {**good["Image"], **change}}
        assert code_of(ec2.import_volume, AvailabilityZone="us-east-1a", **altered) == code
    assert code_of(ec2.import_volume, **good) == "MissingParameter"


def test_a_region_without_the_older_calls(box: Sandbox, image: Image) -> None:
    there = box.client("ec2", region="eu-north-1")
    assert code_of(there.import_volume, AvailabilityZone="eu-north-1a", **image.disk()) == "UnsupportedOperation"


@contextmanager
def web(status: int, headers: dict[str, str], body: bytes = b"") -> Iterator[str]:
    """A web server on this machine that always answers so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/manifest.xml"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
