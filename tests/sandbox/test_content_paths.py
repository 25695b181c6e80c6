"""What comes out went in, whatever way it took: volumes, snapshots, images, instances, copies, encryption."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET, HOUR, MIB, bootable, image_task, snapshot_task
from tests.sandbox.ebs_direct import BLOCK, client, content, filled, made
from tests.sandbox.legacy_imports import stored
from vmie import disk as disks
from vmie.aws.session import connect
from vmie.disk.stream import TARGETS
from vmie.sandbox import Sandbox
from vmie.sandbox.moto_fixes.compute import GIB

DATA = bootable(3 * MIB, mark=b"what went in")
ZONE = "us-east-1a"


@pytest.fixture
def volume(box: Sandbox, ec2: Any) -> str:
    """A volume made by ImportVolume."""
    image = stored(connect(region="us-east-1"), DATA)
    task = ec2.import_volume(AvailabilityZone=ZONE, **image.disk())["ConversionTask"]["ConversionTaskId"]
    for _ in range(2):
        box.advance(HOUR)
        found = ec2.describe_conversion_tasks(ConversionTaskIds=[task])["ConversionTasks"][0]
    assert found["State"] == "completed", found
    return str(found["ImportVolume"]["Volume"]["Id"])


@pytest.fixture
def imported(box: Sandbox, ec2: Any, s3: Any) -> str:
    """An image made by ImportImage."""
    s3.put_object(Bucket=BUCKET, Key="disk.raw", Body=DATA)
    disk = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
    task = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
    for _ in range(2):
        box.advance(HOUR)
        found = image_task(ec2, task)
    return str(found["ImageId"])


def exported(box: Sandbox, ec2: Any, s3: Any, image_id: str) -> bytes:
    where = {"S3Bucket": BUCKET, "S3Prefix": "out/"}
    task = ec2.export_image(ImageId=image_id, DiskImageFormat="RAW", S3ExportLocation=where)["ExportImageTaskId"]
    box.advance(HOUR)
    (done,) = ec2.describe_export_image_tasks(ExportImageTaskIds=[task])["ExportImageTasks"]
    assert done["Status"] == "completed", done
    return bytes(s3.get_object(Bucket=BUCKET, Key=f"out/{task}.raw")["Body"].read())


def registered(ec2: Any, snapshot_id: str, name: str = "mine") -> str:
    devices = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot_id}}]
    call = {"Name": name, "Architecture": "x86_64", "VirtualizationType": "hvm", "BlockDeviceMappings": devices}
    return str(ec2.register_image(**call, EnaSupport=True)["ImageId"])


def launched(ec2: Any, image_id: str, **more: Any) -> Any:
    call = {"ImageId": image_id, "MinCount": 1, "MaxCount": 1, "InstanceType": "t3.micro", **more}
    return ec2.run_instances(**call)["Instances"][0]


def root_volume(ec2: Any, instance_id: str, device: str = "/dev/sda1") -> Any:
    filters = [{"Name": "attachment.instance-id", "Values": [instance_id]}]
    found = ec2.describe_volumes(Filters=filters)["Volumes"]
    return next(one for one in found if one["Attachments"][0]["Device"] == device)


def test_an_imported_volume_through_all_that_can_be_made_of_it(box: Sandbox, ec2: Any, s3: Any, volume: str) -> None:
    snapshot_id = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    image_id = registered(ec2, snapshot_id)
    assert exported(box, ec2, s3, image_id) == DATA
    instance = launched(ec2, image_id)["InstanceId"]
    made_of_it = ec2.create_image(InstanceId=instance, Name="again")["ImageId"]
    assert exported(box, ec2, s3, made_of_it) == DATA
    # an instance whose data volume is the imported one
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    with_data = ec2.create_image(InstanceId=instance, Name="with data")["ImageId"]
    (image,) = ec2.describe_images(ImageIds=[with_data])["Images"]
    by_name = {one["DeviceName"]: one["Ebs"]["SnapshotId"] for one in image["BlockDeviceMappings"]}
    assert sorted(by_name) == ["/dev/sda1", "/dev/sdf"]
    assert exported(box, ec2, s3, registered(ec2, by_name["/dev/sdf"], "data")) == DATA


def test_an_imported_image_through_instance_image_and_copies(box: Sandbox, ec2: Any, s3: Any, imported: str) -> None:
    instance = launched(ec2, imported)["InstanceId"]
    image_id = ec2.create_image(InstanceId=instance, Name="again", Description="words")["ImageId"]
    assert exported(box, ec2, s3, image_id) == DATA
    copied = ec2.copy_image(SourceImageId=image_id, SourceRegion="us-east-1", Name="copy")["ImageId"]
    assert exported(box, ec2, s3, copied) == DATA
    (was,) = ec2.describe_images(ImageIds=[imported])["Images"]
    (now,) = ec2.describe_images(ImageIds=[image_id])["Images"]
    for name in ("Architecture", "BootMode", "EnaSupport", "PlatformDetails", "UsageOperation", "RootDeviceName"):
        assert now[name] == was[name], name
    assert (now["Description"], now["SourceInstanceId"]) == ("words", instance)


def test_a_launch_that_changes_the_root_keeps_what_it_holds(box: Sandbox, ec2: Any, s3: Any, imported: str) -> None:
    changes = [
        {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3"}},
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 5}},
    ]
    instance = launched(ec2, imported, BlockDeviceMappings=changes)["InstanceId"]
    root, data = root_volume(ec2, instance), root_volume(ec2, instance, "/dev/sdf")
    assert (root["Size"], root["VolumeType"], data["Size"]) == (20, "gp3", 5)
    image_id = ec2.create_image(
        InstanceId=instance, Name="root", BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "NoDevice": ""}]
    )["ImageId"]
    assert exported(box, ec2, s3, image_id) == DATA


def test_an_instance_of_an_imported_image_can_be_exported_as_it_is(
    box: Sandbox, ec2: Any, s3: Any, imported: str
) -> None:
    where = {"DiskImageFormat": "VMDK", "ContainerFormat": "ova", "S3Bucket": BUCKET, "S3Prefix": "i/"}
    instance = launched(ec2, imported)["InstanceId"]
    task = ec2.create_instance_export_task(
        InstanceId=instance, TargetEnvironment="vmware", ExportToS3Task={**where, "DiskImageFormat": "VMDK"}
    )["ExportTask"]["ExportTaskId"]
    box.advance(HOUR)
    ec2.describe_export_tasks(ExportTaskIds=[task])
    assert s3.get_object(Bucket=BUCKET, Key=f"i/{task}.ova")["Body"].read(5)


def test_a_snapshot_is_what_its_volume_was(box: Sandbox, ec2: Any, volume: str) -> None:
    snapshot_id = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    ec2.modify_volume(VolumeId=volume, Size=50)
    ec2.delete_volume(VolumeId=volume)
    assert ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]["VolumeSize"] == 1
    disk = box.disk(snapshot_id)
    assert disk is not None
    assert disk.read(0, disk.size) == DATA
    assert box.disk(volume) is None


def test_written_blocks_can_be_exported_and_imported(box: Sandbox, ec2: Any, s3: Any) -> None:
    ebs = client()
    blocks = {index: DATA[index * BLOCK : (index + 1) * BLOCK] for index in range(len(DATA) // BLOCK)}
    first = made(box, ebs, {0: blocks[0], 1: filled("old")})
    snapshot_id = made(box, ebs, {index: data for index, data in blocks.items() if index}, ParentSnapshotId=first)
    whole = DATA.ljust(GIB, b"\0")
    assert exported(box, ec2, s3, registered(ec2, snapshot_id)) == whole
    task = ec2.import_image(DiskContainers=[{"SnapshotId": snapshot_id}])["ImportTaskId"]
    for _ in range(2):
        box.advance(HOUR)
        found = image_task(ec2, task)
    assert exported(box, ec2, s3, found["ImageId"]) == whole


class TestEncryption:
    """Blocks that nobody wrote are garbage on an encrypted volume: coldsnap #395, #470."""

    BLOCKS = {0: filled("a"), 2: bytes(BLOCK)}  # noqa: RUF012

    @pytest.fixture
    def snapshot_id(self, box: Sandbox) -> str:
        return made(box, client(), self.BLOCKS)

    def read(self, box: Sandbox, resource_id: str) -> list[bytes]:
        disk = box.disk(resource_id)
        assert disk is not None
        assert sum(extent.length for extent in disk.extents()) == disk.size
        return [disk.read(index * BLOCK, BLOCK) for index in range(4)]

    def assert_garbage(self, box: Sandbox, resource_id: str) -> None:
        read = self.read(box, resource_id)
        assert {index: read[index] for index in self.BLOCKS} == self.BLOCKS
        assert bytes(BLOCK) not in (read[1], read[3])
        assert read[1] != read[3]
        assert self.read(box, resource_id) == read

    def test_unencrypted_they_are_zeros(self, box: Sandbox, ec2: Any, snapshot_id: str) -> None:
        volume = ec2.create_volume(SnapshotId=snapshot_id, AvailabilityZone=ZONE, Size=3)["VolumeId"]
        assert self.read(box, volume) == [filled("a"), bytes(BLOCK), bytes(BLOCK), bytes(BLOCK)]

    def test_of_a_volume(self, box: Sandbox, ec2: Any, snapshot_id: str) -> None:
        volume = ec2.create_volume(SnapshotId=snapshot_id, AvailabilityZone=ZONE, Encrypted=True)["VolumeId"]
        self.assert_garbage(box, volume)
        self.assert_garbage(box, ec2.create_snapshot(VolumeId=volume)["SnapshotId"])

    def test_of_a_copy(self, box: Sandbox, ec2: Any, snapshot_id: str) -> None:
        call = {"SourceSnapshotId": snapshot_id, "SourceRegion": "us-east-1"}
        copied = ec2.copy_snapshot(**call, Encrypted=True)["SnapshotId"]
        assert ec2.describe_snapshots(SnapshotIds=[copied])["Snapshots"][0]["Encrypted"] is True
        self.assert_garbage(box, copied)
        assert content(client(), copied) == self.BLOCKS
        image = registered(ec2, snapshot_id)
        call = {"SourceImageId": image, "SourceRegion": "us-east-1", "Name": "secret"}
        secret = ec2.copy_image(**call, Encrypted=True)["ImageId"]
        (shown,) = ec2.describe_images(ImageIds=[secret])["Images"]
        assert shown["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
        self.assert_garbage(box, shown["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])

    def test_of_a_launch(self, box: Sandbox, ec2: Any, snapshot_id: str) -> None:
        image = registered(ec2, snapshot_id)
        asked = [{"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True}}]
        # moto's parser wants to know the size of what is there already
        asked[0]["Ebs"]["VolumeSize"] = 1  # type: ignore[index]
        instance = launched(ec2, image, BlockDeviceMappings=asked)["InstanceId"]
        self.assert_garbage(box, root_volume(ec2, instance)["VolumeId"])
        ec2.enable_ebs_encryption_by_default()
        instance = launched(ec2, image)["InstanceId"]
        found = root_volume(ec2, instance)
        assert found["Encrypted"] is True
        self.assert_garbage(box, found["VolumeId"])

    def test_of_a_snapshot_that_was_encrypted_from_the_beginning(self, box: Sandbox, ec2: Any) -> None:
        snapshot_id = made(box, client(), self.BLOCKS, Encrypted=True)
        volume = ec2.create_volume(SnapshotId=snapshot_id, AvailabilityZone=ZONE)
        assert volume["Encrypted"] is True
        self.assert_garbage(box, volume["VolumeId"])
        child = made(box, client(), {1: filled("b")}, ParentSnapshotId=snapshot_id)
        assert self.read(box, child)[1] == filled("b")
        assert self.read(box, child)[3] == self.read(box, snapshot_id)[3] != bytes(BLOCK)

    def test_what_was_imported_is_whole(self, box: Sandbox, ec2: Any, volume: str) -> None:
        plain = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
        secret = ec2.create_volume(SnapshotId=plain, AvailabilityZone=ZONE, Encrypted=True)["VolumeId"]
        disk = box.disk(secret)
        assert disk is not None
        assert disk.read(0, disk.size) == DATA

    def test_the_accounts_default_is_that_of_imports_and_volumes_too(
        self, box: Sandbox, ec2: Any, s3: Any, clients: Any
    ) -> None:
        key = clients("kms", "us-east-1").create_key()["KeyMetadata"]["Arn"]
        ec2.enable_ebs_encryption_by_default()
        ec2.modify_ebs_default_kms_key_id(KmsKeyId=key)
        volume = ec2.create_volume(Size=1, AvailabilityZone=ZONE)
        assert (volume["Encrypted"], volume["KmsKeyId"]) == (True, key)
        s3.put_object(Bucket=BUCKET, Key="disk.raw", Body=DATA)
        disk = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
        # the service's role has no right to that key
        refused = pytest.raises(Exception, match="service role")
        with refused:
            ec2.import_snapshot(DiskContainer=disk)
        ec2.modify_ebs_default_kms_key_id(KmsKeyId="alias/aws/ebs")
        task = ec2.import_snapshot(DiskContainer=disk)["ImportTaskId"]
        box.advance(HOUR)
        done = snapshot_task(ec2, task)
        assert done["Encrypted"] is True
        assert ec2.describe_snapshots(SnapshotIds=[done["SnapshotId"]])["Snapshots"][0]["Encrypted"] is True


def test_an_imported_instance_becomes_an_image(box: Sandbox, ec2: Any, s3: Any) -> None:
    image = stored(connect(region="us-east-1"), DATA)
    call = {"Platform": "Linux", "LaunchSpecification": {"InstanceType": "m3.medium", "Architecture": "x86_64"}}
    task = ec2.import_instance(**call, DiskImages=[image.disk()])["ConversionTask"]
    for _ in range(2):
        box.advance(HOUR)
        ec2.describe_conversion_tasks(ConversionTaskIds=[task["ConversionTaskId"]])
    instance = task["ImportInstance"]["InstanceId"]
    image_id = ec2.create_image(InstanceId=instance, Name="of an instance")["ImageId"]
    assert exported(box, ec2, s3, image_id) == DATA
    assert ec2.describe_images(ImageIds=[image_id])["Images"][0]["Architecture"] == "x86_64"


def test_a_launch_by_template_has_the_images_devices(box: Sandbox, ec2: Any, imported: str) -> None:
    data = {
        "ImageId": imported,
        "InstanceType": "t3.micro",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 30}}],
    }
    ec2.create_launch_template(LaunchTemplateName="mine", LaunchTemplateData=data)
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "k", "Value": "v"}]}]
    started = ec2.run_instances(
        MinCount=2, MaxCount=2, LaunchTemplate={"LaunchTemplateName": "mine"}, TagSpecifications=tags
    )
    for instance in started["Instances"]:
        volume = root_volume(ec2, instance["InstanceId"])
        assert (volume["Size"], volume["Tags"]) == (30, [{"Key": "k", "Value": "v"}])
        disk = box.disk(volume["VolumeId"])
        assert disk is not None
        assert disk.read(0, disk.size) == DATA


@pytest.mark.parametrize("target", ["vmdk", "vhd"])
def test_blocks_of_a_packed_disk_are_those_that_it_allocates(box: Sandbox, ec2: Any, s3: Any, target: str) -> None:
    raw = bytearray(64 * MIB)
    raw[: len(DATA)] = DATA
    raw[40 * MIB : 40 * MIB + 5] = b"later"
    packed = b"".join(TARGETS[target].stream(disks.open(io.BytesIO(bytes(raw)))))
    s3.put_object(Bucket=BUCKET, Key="packed", Body=packed)
    where = {"Format": target, "UserBucket": {"S3Bucket": BUCKET, "S3Key": "packed"}}
    task = ec2.import_snapshot(DiskContainer=where)["ImportTaskId"]
    for _ in range(2):
        box.advance(HOUR)
        done = snapshot_task(ec2, task)
    found = content(client(), done["SnapshotId"])
    assert len(found) < 20
    read = bytearray(len(raw))
    for index, data in found.items():
        read[index * BLOCK : (index + 1) * BLOCK] = data
    assert read == raw
