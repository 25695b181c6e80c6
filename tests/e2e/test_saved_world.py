"""A world saved from one sandbox and loaded into another: the same to every client that looks."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET, bootable
from tests.sandbox.test_world import EVERYTHING, seen
from vmie import sandbox
from vmie.errors import UsageError
from vmie.sandbox import Sandbox, remote
from vmie.sandbox.seed import IMAGE, INSTANCE, SNAPSHOT


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    (tmp_path / "disks").mkdir()
    (tmp_path / "disks" / "disk.raw").write_bytes(bootable(mark=b"mark"))
    path = tmp_path / "world.yaml"
    path.write_text(EVERYTHING)
    return path


def exported(box: Sandbox, image: str, bucket: str) -> bytes:
    """What an image holds."""
    ec2 = box.client("ec2")
    where = {"S3Bucket": bucket, "S3Prefix": "out/"}
    task = ec2.export_image(ImageId=image, DiskImageFormat="RAW", S3ExportLocation=where)["ExportImageTaskId"]
    box.advance(7200)
    assert ec2.describe_export_image_tasks(ExportImageTaskIds=[task])["ExportImageTasks"][0]["Status"] == "completed"
    body = box.client("s3").get_object(Bucket=bucket, Key=f"out/{task}.raw", Range="bytes=0-2097151")["Body"]
    return bytes(body.read())


def test_is_the_same_world_elsewhere_and_after_a_reset(seed: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.tar"
    with sandbox.serve(world=seed, speed=0) as box:
        first = seen(box)
        assert remote.save(box.url, saved) == {}
        assert seen(box) == first, "saving changes nothing"
    assert saved.stat().st_size < 3 * len(bootable()) + (1 << 20), "40 GiB of zeros take no place"
    with sandbox.serve(speed=0) as box:
        remote.load(box.url, saved)
        assert seen(box) == first
        box.client("s3").delete_object(Bucket="images-of-mine", Key="readme")
        box.reset()
        assert seen(box) == first
    with sandbox.start(world=saved, speed=0) as box:
        assert seen(box) == first


def test_what_was_made_by_calls_is_kept(tmp_path: Path) -> None:
    saved, content = tmp_path / "saved.tar", bootable(mark=b"imported")
    with sandbox.serve(seeded=True, speed=0) as box:
        ec2, s3 = box.client("ec2"), box.client("s3")
        s3.put_object(Bucket=BUCKET, Key="disk.raw", Body=content)
        where = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
        task = ec2.import_image(DiskContainers=[where])["ImportTaskId"]
        box.advance(7200)
        image = ec2.describe_import_image_tasks(ImportTaskIds=[task])["ImportImageTasks"][0]["ImageId"]
        box.advance(60)  # what is new shows late
        ec2.create_tags(Resources=[image], Tags=[{"Key": "Name", "Value": "imported"}])
        box.client("kms").create_key()
        ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)
        left = remote.save(box.url, saved)
    assert left == {"tasks": 1, "KMS keys": 1, "volumes": 1}
    with sandbox.serve(speed=0, world=saved) as box:
        ec2 = box.client("ec2")
        images = {one["ImageId"]: one for one in ec2.describe_images(Owners=["self"])["Images"]}
        assert set(images) == {IMAGE, image}
        assert images[image]["Tags"] == [{"Key": "Name", "Value": "imported"}]
        assert SNAPSHOT in [one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]]
        (reservation,) = ec2.describe_instances()["Reservations"]
        assert reservation["Instances"][0]["InstanceId"] == INSTANCE
        assert exported(box, image, BUCKET) == content


def test_by_the_command_line(tmp_path: Path, server: Any, vmie: Any) -> None:
    port, saved = server.url.rpartition(":")[2], tmp_path / "world.tar"
    done = vmie("sandbox", "save", saved, "--port", port)
    assert (done.code, done.json["result"]) == (0, {"file": str(saved), "left_out": {}})
    assert vmie("sandbox", "load", saved, "--port", port).code == 0
    assert vmie("sandbox", "load", tmp_path / "none.tar", "--port", port).code == 2
    assert vmie("sandbox", "save", tmp_path / "none" / "x.tar", "--port", port).code == 2
    server.process.terminate()
    server.process.wait(timeout=20)
    done = vmie("sandbox", "save", tmp_path / "other.tar", "--port", port)
    assert (done.code, done.json["error"]["code"]) == (2, "NoSandbox")
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.endswith("tar")) == ["world.tar"]


def packed(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name.replace("__", "/").replace("_json", ".json"))
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def linked() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("world.json")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    return out.getvalue()


OBJECT = {"key": "k", "file": "data/0", "size": 10, "extents": [[0, 10]]}
WORLD = json.dumps({"buckets": [{"name": "abc", "objects": [OBJECT]}]}).encode()
DAMAGED = {
    "nothing": (b"", "no saved world"),
    "no tar": (b"just words" * 1000, "no saved world"),
    "no world": (packed(data__0=b"x"), "no world.json"),
    "another member": (packed(world_json=b"{}", other=b"x"), "no part of a saved world"),
    "a way out": (packed(world_json=b"{}", __etc__passwd=b"x"), "no part of a saved world"),
    "a link": (linked(), "no part of a saved world"),
    "no JSON": (packed(world_json=b"{"), "damaged"),
    "no object": (packed(world_json=b"[]"), "valid dictionary"),
    "deep": (packed(world_json=b"[" * 100_000), "damaged"),
    "missing bytes": (packed(world_json=WORLD), "is missing"),
    "too few bytes": (packed(world_json=WORLD, data__0=b"12345"), "shorter"),
    "cut": (packed(world_json=WORLD, data__0=b"x" * 5000)[:1100], "damaged|is missing|shorter"),
}


@pytest.fixture(scope="class")
def box() -> Iterator[Sandbox]:
    with sandbox.serve(seeded=True, speed=0) as running:
        yield running


class TestDamage:
    @pytest.mark.parametrize("case", DAMAGED)
    def test_is_named_and_the_sandbox_is_as_at_first(self, box: Sandbox, tmp_path: Path, case: str) -> None:
        data, words = DAMAGED[case]
        (tmp_path / "saved.tar").write_bytes(data)
        with pytest.raises(UsageError, match=words):
            remote.load(box.url, tmp_path / "saved.tar")
        assert [one["Name"] for one in box.client("s3").list_buckets()["Buckets"]] == [BUCKET]
