"""A sandbox that begins as a seed file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.sandbox.conftest import bootable, code_of
from tests.tools import ROOT
from vmie import sandbox
from vmie.errors import UsageError
from vmie.sandbox import Sandbox
from vmie.sandbox.world.reading import parse
from vmie.sandbox.world.schema import World

EVERYTHING = """
version: 1
speed: 0
propagation: 2.5
quotas:
  imports: 3
  regions: {eu-west-1: {exports: 1}}
buckets:
  - name: images-of-mine
    versioning: true
    encryption: AES256
    tags: {team: a}
    policy:
      Version: 2012-10-17   # a date, for YAML
      Statement: [{Effect: Deny, Principal: "*", Action: "s3:DeleteBucket", Resource: "arn:aws:s3:::images-of-mine"}]
    objects:
      - {key: disk.raw, file: disks/disk.raw}
      - {key: readme, text: "bytes of an object"}
      - {key: big.raw, disk: 40 GiB}
  - {name: exports-of-mine, region: eu-west-1}
policies:
  - name: reader
    document: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:Get*", Resource: "*"}]}
roles:
  - {name: vmimport, buckets: [images-of-mine], export_buckets: [exports-of-mine]}
  - name: other
    trust:
      Version: "2012-10-17"
      Statement: [{Effect: Allow, Principal: {Service: ec2.amazonaws.com}, Action: "sts:AssumeRole"}]
    managed: ["arn:aws:iam::123456789012:policy/reader"]
users:
  - name: alice
    access_key_id: AKIAALICEALICEALICE0
    secret_access_key: hers
    policies:
      ec2: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "ec2:Describe*", Resource: "*"}]}
snapshots:
  - {id: snap-00000000000000001, file: disks/disk.raw, description: mine, tags: {a: b}}
  - {id: snap-00000000000000002, disk: 3 GiB}
images:
  - id: ami-00000000000000001
    name: web
    devices:
      - {snapshot: snap-00000000000000001}
      - {device: /dev/sdb, snapshot: snap-00000000000000002, volume_type: gp3}
    firmware: uefi
    tags: {Name: web}
instances:
  - {id: i-00000000000000001, image: ami-00000000000000001, state: stopped, tags: {Name: web-1}}
"""


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    (tmp_path / "disks").mkdir()
    (tmp_path / "disks" / "disk.raw").write_bytes(bootable(mark=b"mark"))
    path = tmp_path / "world.yaml"
    path.write_text(EVERYTHING)
    return path


def seen(box: Sandbox) -> dict[str, Any]:
    s3, ec2, iam = (box.client(name) for name in ("s3", "ec2", "iam"))
    (image,) = ec2.describe_images(Owners=["self"])["Images"]
    (reservation,) = ec2.describe_instances()["Reservations"]
    return {
        "buckets": [one["Name"] for one in s3.list_buckets()["Buckets"]],
        "objects": {one["Key"]: one["Size"] for one in s3.list_objects_v2(Bucket="images-of-mine")["Contents"]},
        "text": s3.get_object(Bucket="images-of-mine", Key="readme")["Body"].read(),
        "disk": s3.get_object(Bucket="images-of-mine", Key="disk.raw")["Body"].read(),
        "versioning": s3.get_bucket_versioning(Bucket="images-of-mine")["Status"],
        "policy": json.loads(s3.get_bucket_policy(Bucket="images-of-mine")["Policy"])["Version"],
        "elsewhere": s3.get_bucket_location(Bucket="exports-of-mine")["LocationConstraint"],
        "roles": sorted(one["RoleName"] for one in iam.list_roles()["Roles"]),
        "attached": [
            one["PolicyName"] for one in iam.list_attached_role_policies(RoleName="other")["AttachedPolicies"]
        ],
        "users": [one["UserName"] for one in iam.list_users()["Users"]],
        "snapshots": {
            one["SnapshotId"]: one["VolumeSize"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        },
        "image": (image["Name"], image["BootMode"], image["Tags"]),
        "devices": [
            (one["DeviceName"], one["Ebs"]["SnapshotId"], one["Ebs"]["VolumeSize"])
            for one in image["BlockDeviceMappings"]
        ],
        "instance": [(one["InstanceId"], one["State"]["Name"], one["Tags"]) for one in reservation["Instances"]],
        "quotas": (box.limits.imports, box.limits.exports, box.limits.of("exports", "eu-west-1")),
        "propagation": box.faults.propagation,
        "speed": box.clock.speed,
    }


WANTED = {
    "buckets": ["exports-of-mine", "images-of-mine"],
    "objects": {"big.raw": 40 << 30, "disk.raw": 2 << 20, "readme": 18},
    "text": b"bytes of an object",
    "disk": bootable(mark=b"mark"),
    "versioning": "Enabled",
    "policy": "2012-10-17",
    "elsewhere": "eu-west-1",
    "roles": ["other", "vmimport"],
    "attached": ["reader"],
    "users": ["alice"],
    "snapshots": {"snap-00000000000000001": 1, "snap-00000000000000002": 3},
    "image": ("web", "uefi", [{"Key": "Name", "Value": "web"}]),
    "devices": [("/dev/sda1", "snap-00000000000000001", 1), ("/dev/sdb", "snap-00000000000000002", 3)],
    "instance": [("i-00000000000000001", "stopped", [{"Key": "Name", "Value": "web-1"}])],
    "quotas": (3, 5, 1),
    "propagation": 2.5,
    "speed": 0,
}


def test_all_of_it_is_there_and_there_again_after_a_reset(seed: Path) -> None:
    with sandbox.start(world=seed) as box:
        first = seen(box)
        assert {**first, "buckets": sorted(first["buckets"])} == WANTED
        box.client("s3").delete_object(Bucket="images-of-mine", Key="readme")
        box.client("iam").delete_user_policy(UserName="alice", PolicyName="ec2")
        box.client("ec2").start_instances(InstanceIds=["i-00000000000000001"])
        box.limits.imports = 9
        box.reset()
        assert seen(box) == first


def test_over_http_too(seed: Path) -> None:
    with sandbox.serve(world=str(seed)) as box:
        assert {**seen(box), "buckets": WANTED["buckets"]} == WANTED


def test_what_is_given_wins_over_the_file(seed: Path) -> None:
    with sandbox.start(world=seed, speed=7, propagation=0.0, limits=sandbox.Quotas(imports=8)) as box:
        assert (box.clock.speed, box.faults.propagation, box.limits.imports) == (7, 0, 8)


def test_it_works_like_what_was_made_by_calls(seed: Path) -> None:
    """The role is assumed, the disks are read: an import of an object, an export of an image."""
    with sandbox.start(world=seed, propagation=0.0) as box:
        ec2 = box.client("ec2")
        where = {"Format": "raw", "UserBucket": {"S3Bucket": "images-of-mine", "S3Key": "disk.raw"}}
        ec2.import_image(DiskContainers=[where])
        there = {"S3Bucket": "images-of-mine", "S3Prefix": "out/"}
        exports = box.client("s3")
        exports.delete_bucket_policy(Bucket="images-of-mine")
        box.client("iam").put_role_policy(RoleName="vmimport", PolicyName="all", PolicyDocument=ALL)
        ec2.export_image(ImageId="ami-00000000000000001", DiskImageFormat="RAW", S3ExportLocation=there)
        box.advance(7200)
        (task,) = ec2.describe_import_image_tasks()["ImportImageTasks"]
        assert task["Status"] == "completed"
        (export,) = ec2.describe_export_image_tasks()["ExportImageTasks"]
        assert export["Status"] == "completed"
        key = f"out/{export['ExportImageTaskId']}.raw"
        assert exports.get_object(Bucket="images-of-mine", Key=key, Range="bytes=0-2097151")["Body"].read() == bootable(
            mark=b"mark"
        )


ALL = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


def test_a_user_has_her_own_rights(seed: Path) -> None:
    with sandbox.serve(world=seed) as box:
        alice = boto3.Session(
            aws_access_key_id="AKIAALICEALICEALICE0", aws_secret_access_key="hers", region_name="us-east-1"
        )
        ec2 = alice.client("ec2", endpoint_url=box.url)
        assert code_of(ec2.describe_images) == ""
        assert code_of(ec2.stop_instances, InstanceIds=["i-00000000000000001"]) == "UnauthorizedOperation"


WRONG = {
    "no field": ("bucket: []", "bucket: there is no such field"),
    "place": ("buckets: [{name: abc, objects: [{key: k, text: t, disks: 1}]}]", r"buckets\[0\].objects\[0\].disks"),
    "missing": ("buckets: [{}]", r"buckets\[0\].name: Field required"),
    "list": ("[1, 2]", "valid dictionary"),
    "text": ("just words", "valid dictionary"),
    "number for text": ("buckets: [{name: 1234}]", "valid string"),
    "name": ("buckets: [{name: A_B}]", r"buckets\[0\].name"),
    "two contents": ("buckets: [{name: abc, objects: [{key: k, text: t, disk: 4 MiB}]}]", "one of file, text and disk"),
    "no content": ("buckets: [{name: abc, objects: [{key: k}]}]", "one of file, text and disk"),
    "size": ("snapshots: [{id: snap-00000000000000001, disk: 3 lots}]", "3 lots|such as 8 GiB"),
    "huge": ("snapshots: [{id: snap-00000000000000001, disk: 99999999 TiB}]", "less than or equal"),
    "twice": ("buckets: [{name: abc}, {name: abc}]", "the bucket abc is given twice"),
    "no snapshot": (
        "images: [{id: ami-00000000000000001, name: web, devices: [{snapshot: snap-00000000}]}]",
        "no snapshot",
    ),
    "no image": ("instances: [{id: i-00000000000000001, image: ami-00000000000000001}]", "no image"),
    "role": ("roles: [{name: r}]", "trust policy"),
    "half a key": ("users: [{name: a, access_key_id: AKIAALICEALICEALICE0}]", "go together"),
    "speed": ("speed: slow", "speed"),
    "version": ("version: 2", "version"),
    "no yaml": ("a: [", "in line"),
    "tab": ("a:\n\t- b", "in line 2"),
    "alias": ("a: &x [1]\nb: *x", "aliases"),
    "tag": ("a: !!python/object/apply:os.system [ls]", "constructor|tag"),
    "deep": ("[" * 5000, "seed file"),
    "control characters": ('"\\x1b[31m": 1', r"\\x1b"),
    "extents": ("snapshots: [{id: snap-00000000000000001, file: f, size: 10, extents: [[5, 9]]}]", "extents"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_named(case: str) -> None:
    text, words = WRONG[case]
    with pytest.raises(UsageError, match=words) as caught:
        parse(text.encode(), name="world.yaml")
    assert "world.yaml" in caught.value.message
    assert "\x1b" not in caught.value.message
    assert caught.value.code == "SeedRefused"


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        parse(b"buckets: [{name: A}, {}]\nspeed: slow\nnothing: 1", name="w")
    for words in ("buckets[0].name", "buckets[1].name", "speed", "nothing"):
        assert words in caught.value.message


def test_a_file_is_bounded() -> None:
    with pytest.raises(UsageError, match="larger than"):
        parse(b"#" * (9 << 20), name="w")
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    with pytest.raises(UsageError, match="aliases"):
        parse(bomb.encode(), name="w")


@pytest.mark.parametrize("content", [b"", b"---\n", b"{}", b"\xef\xbb\xbfversion: 1"])
def test_nothing_is_a_world_too(content: bytes) -> None:
    assert parse(content, name="w") == World()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../outside.raw", "outside"),
        ("/etc/hostname", "outside"),
        ("missing.raw", "No such file"),
        ("folder", "no file"),
    ],
)
def test_files_are_those_beside_it(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "outside.raw").write_bytes(b"x")
    here = tmp_path / "here"
    (here / "folder").mkdir(parents=True)
    (here / "link").symlink_to(tmp_path / "outside.raw")
    for one in (name, "link") if name.startswith("..") else (name,):
        world = {"buckets": [{"name": "abc", "objects": [{"key": "k", "file": one}]}]}
        (here / "world.yaml").write_text(json.dumps(world))
        with pytest.raises(UsageError, match=words), sandbox.start(world=here / "world.yaml"):
            pass
    with sandbox.start():
        pass


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("buckets: [{name: abc, objects: [{key: k, disk: 5}]}]", "bucket abc cannot be made"),
        ("roles: [{name: r, trust: {}, managed: ['arn:aws:iam::123456789012:policy/none']}]", "role r cannot be made"),
    ],
)
def test_what_cannot_be_made_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "world.yaml").write_text(text)
    with pytest.raises(UsageError, match=words), sandbox.start(world=tmp_path / "world.yaml"):
        pass


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="No such file"), sandbox.start(world="/nowhere/world.yaml"):
        pass


def test_the_guides_example_is_one() -> None:
    page = (ROOT / "docs" / "how-to" / "use-the-sandbox.md").read_text()
    example = page.partition("```yaml\n")[2].partition("```")[0]
    assert {name for name in World.model_fields if name != "version"} <= parse(
        example.encode(), name="w"
    ).model_fields_set


def test_what_it_names_replaces_what_is_usually_there(tmp_path: Path) -> None:
    (tmp_path / "world.yaml").write_text(
        "buckets: [{name: vmie-sandbox, versioning: true}, {name: mine}]\n"
        "roles: [{name: vmimport, buckets: [mine]}]\n"
        "users: [{name: sandbox}]\n"
    )
    with sandbox.start(seeded=True, world=tmp_path / "world.yaml") as box:
        s3, iam = box.client("s3"), box.client("iam")
        assert sorted(one["Name"] for one in s3.list_buckets()["Buckets"]) == ["mine", "vmie-sandbox"]
        assert s3.get_bucket_versioning(Bucket="vmie-sandbox")["Status"] == "Enabled"
        rights = iam.get_role_policy(RoleName="vmimport", PolicyName="vmimport")["PolicyDocument"]
        assert "arn:aws:s3:::mine" in json.dumps(rights)
        assert "arn:aws:s3:::vmie-sandbox" not in json.dumps(rights)
        assert iam.list_user_policies(UserName="sandbox")["PolicyNames"] == []
