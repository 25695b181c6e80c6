"""What a seeded sandbox holds, so that every command works at once: a bucket, the role, an imported machine."""

from __future__ import annotations

import json

from moto.ec2.models import ec2_backends
from moto.iam.models import IAMBackend, iam_backends
from moto.s3.models import s3_backends
from moto.utilities.utils import get_partition

from vmie import policy
from vmie.limits import export_canonical_id
from vmie.sandbox.defaults import ACCESS_KEY, ACCOUNT, BUCKET, EVERYTHING, ROLE, SECRET_KEY
from vmie.sandbox.moto_fixes.compute import GIB, Device, RegisteredImage, SnapshotContents, make_snapshot
from vmie.sandbox.storage import SparseDisk, boot_sector

USER = "sandbox"
INSTANCE = "i-0123456789abcdef0"
IMAGE = "ami-0123456789abcdef0"
SNAPSHOT = "snap-0123456789abcdef0"
TASK = "import-ami-0123456789abcdef0"


def seed_account(region: str, contents: SnapshotContents) -> None:
    """Create it all in `region`."""
    partition = get_partition(region)
    s3 = s3_backends[ACCOUNT][partition]
    s3.create_bucket(BUCKET, region)
    grant = policy.export_bucket(BUCKET, canonical_id=export_canonical_id(region), partition=partition)
    s3.put_bucket_policy(BUCKET, json.dumps(grant).encode())
    iam = iam_backends[ACCOUNT][partition]
    iam.create_role(
        role_name=ROLE,
        assume_role_policy_document=json.dumps(policy.trust(partition=partition)),
        path="/",
        permissions_boundary=None,
        description="Lets VM Import/Export read and write the sandbox's bucket",
        tags=[],
        max_session_duration="3600",
    )
    rights = policy.role(policy.Grants((BUCKET,), (BUCKET,)), partition=partition)
    iam.put_role_policy(ROLE, ROLE, json.dumps(rights))
    _caller(iam, region)
    _machine(region, contents)


def _caller(iam: IAMBackend, region: str) -> None:
    """The user whose credentials are in `sandbox.environment`."""
    iam.create_user(region_name=region, user_name=USER, path="/", tags=[])
    iam.put_user_policy(USER, USER, json.dumps(EVERYTHING))
    key = iam.create_access_key(USER)
    key.access_key_id, key.secret_access_key = ACCESS_KEY, SECRET_KEY


def seeded_disk() -> SparseDisk:
    """One GiB with an MBR, a boot sector that says what it is, and nothing else."""
    code = b"vmie sandbox".ljust(440, b"\0") + b"vmie"
    return SparseDisk(GIB, head=boot_sector(GIB, code=code), allocated_size=64 << 10)


def _machine(region: str, contents: SnapshotContents) -> None:
    backend = ec2_backends[ACCOUNT][region]
    make_snapshot(
        backend,
        SNAPSHOT,
        size=GIB,
        description=f"Created by AWS-VMImport service for {TASK}",
        encrypted=False,
        kms_key=None,
    )
    contents.remember(SNAPSHOT, seeded_disk)
    image = RegisteredImage(
        backend,
        IMAGE,
        devices=[Device("/dev/sda1", SNAPSHOT, 1)],
        name=TASK,
        description="AWS-VMImport service: Linux - vmie sandbox",
        architecture="x86_64",
        virtualization_type="hvm",
        hypervisor="xen",
        root_device_name="/dev/sda1",
        firmware="legacy-bios",
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
