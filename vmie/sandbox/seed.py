"""A world where one command works: a bucket, the role, a machine that was imported before."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

from moto.ec2.models import ec2_backends
from moto.iam.models import IAMBackend, iam_backends
from moto.s3.models import s3_backends
from moto.utilities.utils import get_partition

from vmie.disk.base import SECTOR, Disk
from vmie.limits import export_canonical_id
from vmie.model import Extent, ExtentKind
from vmie.sandbox import ACCESS_KEY, BUCKET, ROLE
from vmie.sandbox.service.compute import GIB, Contents, Device, MadeImage, make_snapshot
from vmie.sandbox.storage import Stored

ACCOUNT = "123456789012"
USER = "sandbox"
INSTANCE = "i-0123456789abcdef0"
IMAGE = "ami-0123456789abcdef0"
SNAPSHOT = "snap-0123456789abcdef0"
TASK = "import-ami-0123456789abcdef0"


def plant(region: str, contents: Contents) -> None:
    """Make it all in `region`."""
    partition = get_partition(region)
    s3 = s3_backends[ACCOUNT][partition]
    s3.create_bucket(BUCKET, region)
    s3.put_bucket_policy(BUCKET, json.dumps(bucket_policy(partition, region)).encode())
    iam = iam_backends[ACCOUNT][partition]
    iam.create_role(
        role_name=ROLE,
        assume_role_policy_document=json.dumps(TRUST),
        path="/",
        permissions_boundary=None,
        description="Lets VM Import/Export read and write the sandbox's bucket",
        tags=[],
        max_session_duration="3600",
    )
    iam.put_role_policy(ROLE, ROLE, json.dumps(role_policy(partition)))
    _caller(iam, region)
    _machine(region, contents)


TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "vmie.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": "vmimport"}},
        }
    ],
}


def _caller(iam: IAMBackend, region: str) -> None:
    """The user whose credentials `sandbox.environment` hands out."""
    iam.create_user(region_name=region, user_name=USER, path="/", tags=[])
    iam.put_user_policy(USER, USER, json.dumps({"Version": "2012-10-17", "Statement": [EVERYTHING]}))
    iam.create_access_key(USER).access_key_id = ACCESS_KEY


EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def role_policy(partition: str) -> dict[str, object]:
    """The role's rights on the bucket, for imports and exports (aws-facts 4.2)."""
    bucket = f"arn:{partition}:s3:::{BUCKET}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket", "s3:GetBucketLocation", "s3:GetBucketAcl"],
                "Resource": [bucket],
            },
            {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": [f"{bucket}/*"]},
            {
                "Effect": "Allow",
                "Action": ["ec2:ModifySnapshotAttribute", "ec2:CopySnapshot", "ec2:RegisterImage", "ec2:Describe*"],
                "Resource": "*",
            },
        ],
    }


def bucket_policy(partition: str, region: str) -> dict[str, object]:
    """The grant that CreateInstanceExportTask needs (aws-facts 4.4)."""
    bucket = f"arn:{partition}:s3:::{BUCKET}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"CanonicalUser": export_canonical_id(region)},
                "Action": ["s3:GetBucketAcl", "s3:PutObject"],
                "Resource": [bucket, f"{bucket}/*"],
            }
        ],
    }


class SeedDisk(Disk):
    """One GiB with an MBR, a boot sector that says what it is, and nothing else."""

    format, variant = "raw", "seed"

    def __init__(self) -> None:
        super().__init__(Stored([]))
        self.size, self.allocated_size = GIB, 64 << 10
        start, count = 2048, (GIB // SECTOR) - 2048
        entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", start, count)
        self._head = b"vmie sandbox".ljust(440, b"\0") + b"vmie\0\0" + entry + bytes(48) + b"\x55\xaa"

    def read(self, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        length = max(0, min(length, self.size - offset))
        return self._head[offset : offset + length].ljust(length, b"\0")

    def extents(self) -> Iterator[Extent]:
        """See `Disk.extents`."""
        yield Extent(0, self.allocated_size, ExtentKind.ALLOCATED)
        yield Extent(self.allocated_size, self.size - self.allocated_size, ExtentKind.HOLE)


def _machine(region: str, contents: Contents) -> None:
    backend = ec2_backends[ACCOUNT][region]
    make_snapshot(
        backend,
        SNAPSHOT,
        size=GIB,
        description=f"Created by AWS-VMImport service for {TASK}",
        encrypted=False,
        kms_key=None,
    )
    contents.remember(SNAPSHOT, SeedDisk)
    image = MadeImage(
        backend,
        IMAGE,
        devices=[Device("/dev/sda1", SNAPSHOT, 1)],
        name=TASK,
        description="AWS-VMImport service: Linux - vmie sandbox",
        architecture="x86_64",
        virtualization_type="hvm",
        hypervisor="xen",
        root_device_name="/dev/sda1",
        boot_mode="legacy-bios",
    )
    backend.amis[IMAGE] = image
    subnet = next(iter(next(iter(backend.subnets.values())).values()))
    reservation = backend.run_instances(
        IMAGE,
        1,
        None,
        [],
        region_name=region,
        instance_type="t3.micro",
        is_instance_type_default=False,
        subnet_id=subnet.id,
        tags={"instance": {"Name": "vmie-sandbox"}},
    )
    # moto draws ids at random; examples and documentation need one they can name
    reservation.instances[0].id = INSTANCE
