"""The sandbox as a place: begun, left, and true where moto is not."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.sandbox.conftest import BUCKET, MIB, bootable, code_of
from vmie import sandbox
from vmie.sandbox import Sandbox
from vmie.sandbox.seed import IMAGE, INSTANCE, SNAPSHOT
from vmie.sandbox.storage import Blob, BlobFile, LazyBytes


class TestStart:
    def test_importing_the_package_imports_no_moto(self) -> None:
        code = "import sys, vmie.sandbox; print([m for m in sys.modules if m.split('.')[0] in ('moto', 'boto3')])"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"

    def test_plants_a_world_where_one_command_works(self, ec2: Any, s3: Any, iam: Any) -> None:
        (reservation,) = ec2.describe_instances(InstanceIds=[INSTANCE])["Reservations"]
        (instance,) = reservation["Instances"]
        assert (instance["State"]["Name"], instance["ImageId"]) == ("running", IMAGE)
        (mapping,) = instance["BlockDeviceMappings"]
        (volume,) = ec2.describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])["Volumes"]
        assert volume["SnapshotId"] == SNAPSHOT
        assert [one["ImageId"] for one in ec2.describe_images()["Images"]] == [IMAGE]
        assert iam.get_role(RoleName="vmimport")["Role"]["RoleName"] == "vmimport"
        assert s3.head_bucket(Bucket=BUCKET)

    def test_is_bare_unless_told_otherwise_and_each_time_anew(self, clients: Any) -> None:
        s3 = clients("s3", "us-east-1")
        for _ in range(2):
            with sandbox.start():
                assert s3.list_buckets()["Buckets"] == []
                s3.create_bucket(Bucket="mine")

    @pytest.mark.parametrize("region", ["eu-central-1", "cn-north-1", "us-gov-west-1"])
    def test_plants_in_any_region_and_partition(self, clients: Any, region: str) -> None:
        with sandbox.start(seeded=True, region=region, speed=0):
            clients("s3", region).put_object(Bucket=BUCKET, Key="disk.raw", Body=bootable())
            where = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
            assert code_of(clients("ec2", region).import_image, DiskContainers=[where]) == ""
            export = {"DiskImageFormat": "VMDK", "S3Bucket": BUCKET}
            call = {"InstanceId": INSTANCE, "TargetEnvironment": "vmware", "ExportToS3Task": export}
            assert code_of(clients("ec2", region).create_instance_export_task, **call) == ""

    def test_replaces_the_users_settings_and_puts_them_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "production")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "secret")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "https://elsewhere.example")
        before = dict(os.environ)
        with sandbox.start(region="eu-west-3"):
            assert "AWS_PROFILE" not in os.environ
            assert boto3.client("ec2").meta.region_name == "eu-west-3"
            assert boto3.client("sts").get_caller_identity()["Account"] == "123456789012"
        assert dict(os.environ) == before

    def test_leaves_moto_as_it_was(self) -> None:
        from moto.ec2.responses import EC2Response
        from moto.s3.models import FakeKey

        before = (vars(EC2Response).get("import_image"), FakeKey.value, FakeKey.dispose)
        with sandbox.start():
            assert vars(EC2Response).get("import_image") is not before[0]
        assert (vars(EC2Response).get("import_image"), FakeKey.value, FakeKey.dispose) == before

    def test_twice_at_once_is_refused(self) -> None:
        with sandbox.start(), pytest.raises(RuntimeError, match="already"), sandbox.start():
            pass
        with sandbox.start():
            pass

    def test_lets_no_request_out(self, box: Sandbox) -> None:
        client = boto3.client("s3", endpoint_url="https://storage.example")
        with pytest.raises(EndpointConnectionError):
            client.list_buckets()


def test_work_is_hastened_and_the_calendar_is_not() -> None:
    from vmie.sandbox.clock import SandboxClock

    real = [0.0]
    clock = SandboxClock(speed=100, monotonic=lambda: real[0])
    real[0] = 2.0
    assert (clock.elapsed(), clock.worked()) == (2.0, 200.0)
    clock.advance(10)
    assert (clock.elapsed(), clock.worked()) == (12.0, 210.0)


class TestRegisteredImages:
    def test_keep_their_devices_and_attributes(self, ec2: Any) -> None:
        image_id = ec2.register_image(
            Name="mine",
            Architecture="x86_64",
            VirtualizationType="hvm",
            EnaSupport=True,
            BootMode="uefi",
            ImdsSupport="v2.0",
            RootDeviceName="/dev/xvda",
            BlockDeviceMappings=[
                {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": SNAPSHOT, "VolumeSize": 9, "VolumeType": "gp3"}}
            ],
            TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}],
        )["ImageId"]
        (image,) = ec2.describe_images(ImageIds=[image_id])["Images"]
        assert image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == SNAPSHOT
        assert image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 9
        assert (image["BootMode"], image["ImdsSupport"], image["EnaSupport"]) == ("uefi", "v2.0", True)
        assert image["Tags"] == [{"Key": "a", "Value": "b"}]

    @pytest.mark.parametrize(
        ("ebs", "code"),
        [
            ({"SnapshotId": "snap-00000000000000000"}, "InvalidSnapshot.NotFound"),
        ],
    )
    def test_need_their_snapshots(self, ec2: Any, ebs: dict[str, Any], code: str) -> None:
        call = {"Name": "mine", "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": ebs}]}
        assert code_of(ec2.register_image, **call) == code

    def test_have_names_of_their_own(self, ec2: Any) -> None:
        call = {"Name": "mine", "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": SNAPSHOT}}]}
        assert code_of(ec2.register_image, **call) == ""
        assert code_of(ec2.register_image, **call) == "InvalidAMIName.Duplicate"

    def test_can_be_copied_and_described_anew(self, ec2: Any) -> None:
        copied = ec2.copy_image(SourceImageId=IMAGE, SourceRegion="us-east-1", Name="copy")["ImageId"]
        ec2.modify_image_attribute(ImageId=copied, Description={"Value": "words"})
        (image,) = ec2.describe_images(ImageIds=[copied])["Images"]
        assert (image["Name"], image["Description"]) == ("copy", "words")
        assert image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 1
        assert image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] != SNAPSHOT


class TestLargeObjects:
    def test_parts_come_in_any_order_and_ranges_are_read_alone(self, s3: Any) -> None:
        parts = {number: os.urandom(5 * MIB + number) for number in (1, 2, 3)}
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
        etags = {
            number: s3.upload_part(Bucket=BUCKET, Key="k", UploadId=upload, PartNumber=number, Body=parts[number])[
                "ETag"
            ]
            for number in (3, 1, 2)
        }
        s3.complete_multipart_upload(
            Bucket=BUCKET,
            Key="k",
            UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": number, "ETag": etags[number]} for number in (1, 2, 3)]},
        )
        whole = b"".join(parts.values())
        head = s3.head_object(Bucket=BUCKET, Key="k")
        assert (head["ContentLength"], head["ETag"][-3:]) == (len(whole), '-3"')
        assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == whole
        for first, last in ((0, 0), (5 * MIB - 5, 5 * MIB + 5), (len(whole) - 10, len(whole) - 1), (7, 15 * MIB)):
            got = s3.get_object(Bucket=BUCKET, Key="k", Range=f"bytes={first}-{last}")
            assert got["Body"].read() == whole[first : last + 1]
            assert got["ContentRange"] == f"bytes {first}-{last}/{len(whole)}"
        assert s3.get_object(Bucket=BUCKET, Key="k", Range="bytes=-7")["Body"].read() == whole[-7:]
        assert code_of(s3.get_object, Bucket=BUCKET, Key="k", Range=f"bytes={len(whole)}-") == "InvalidRange"

    def test_a_wrong_part_is_refused(self, s3: Any) -> None:
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
        s3.upload_part(Bucket=BUCKET, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
        wrong = {"Parts": [{"PartNumber": 1, "ETag": '"00"'}]}
        call = {"Bucket": BUCKET, "Key": "k", "UploadId": upload, "MultipartUpload": wrong}
        assert code_of(s3.complete_multipart_upload, **call) == "InvalidPart"

    def test_an_upload_takes_no_memory_and_few_descriptors(self, s3: Any, tmp_path: Path) -> None:
        size = 200 * MIB
        two = TransferConfig(max_concurrency=2)
        big = tmp_path / "big"
        with big.open("wb") as file:
            file.truncate(size)
        before = len(list(Path("/proc/self/fd").iterdir()))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        s3.upload_file(str(big), BUCKET, "big", Config=two)
        s3.download_file(BUCKET, "big", str(tmp_path / "back"), Config=two)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
        assert (tmp_path / "back").stat().st_size == size
        # parts in flight are in memory, the object never is: moto would hold it four times
        assert grown < 150 * 1024, f"{grown} KiB"
        assert len(list(Path("/proc/self/fd").iterdir())) - before < 12

    def test_bytes_live_as_long_as_somebody_reads_them(self) -> None:
        file = BlobFile()
        stored = Blob.joined([Blob.of(b"abc", file=file), Blob.of(b"defg"), Blob.of(b"hi", file=file)])
        del file
        assert stored.pread(0, 100) == b"abcdefghi"
        assert [stored.pread(at, 3) for at in (0, 2, 6, 8, 9)] == [b"abc", b"cde", b"ghi", b"i", b""]
        lazy = LazyBytes.of(stored)
        assert (len(lazy), lazy[2:5].whole(), bool(lazy), lazy.whole()) == (9, b"cde", True, b"abcdefghi")

    def test_parts_may_come_from_many_threads(self, s3: Any) -> None:
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
        etags: dict[int, str] = {}

        def send(number: int) -> None:
            data = bytes([number]) * (5 * MIB)
            answer = s3.upload_part(Bucket=BUCKET, Key="k", UploadId=upload, PartNumber=number, Body=data)
            etags[number] = answer["ETag"]

        threads = [threading.Thread(target=send, args=(number,)) for number in range(1, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        s3.complete_multipart_upload(Bucket=BUCKET, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
        body = s3.get_object(Bucket=BUCKET, Key="k")["Body"].read()
        assert body == b"".join(bytes([number]) * (5 * MIB) for number in range(1, 7))


def test_a_service_that_could_reach_others_is_refused(box: Sandbox) -> None:
    sns = box.client("sns")
    for call, parameters in (("create_topic", {"Name": "t"}), ("list_topics", {})):
        with pytest.raises(ClientError, match="no service 'sns': it has S3, IAM"):
            getattr(sns, call)(**parameters)
    with pytest.raises(ClientError, match="no service 'lambda'"):
        box.client("lambda").list_functions()
