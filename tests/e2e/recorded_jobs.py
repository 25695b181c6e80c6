"""What each job is made to do so that it makes every call that it can make: whole, broken off, resumed and given up."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Done
from tests.recording import ACCOUNT, REGION, Keys, Recorder
from tests.sandbox.conftest import BUCKET, MIB, bootable
from tests.sandbox.ebs_direct import put
from vmie import catalogue
from vmie.ops import idempotency
from vmie.ops.doctor import JOBS
from vmie.ops.upload_state import Sent
from vmie.policy.permissions import JobKind
from vmie.poll import wait
from vmie.sandbox import Sandbox
from vmie.sandbox.defaults import ACCESS_KEY, SECRET_KEY

Vmie = Callable[..., Done]
ROLE, CALLER = "recorded", "caller"
INSTANCE, IMAGE = "i-0123456789abcdef0", "ami-0123456789abcdef0"
OTHERS = "others-images"
INTO = ("--skip-check", "all", "--bucket", BUCKET)
WITH_KEYS = ("--skip-check", "all", "--bucket", "encrypted")
EVERYTHING = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
DAY = 86_400.0
#: in parts, as the sizes of parts are here
LARGE = 12 * MIB
BUCKETS = {
    JobKind.SETUP_ROLE: ("recorded-in", "recorded-out", "recorded-acl"),
    JobKind.DOCTOR: (BUCKET, "encrypted", "with-acl"),
}
AS_INSTANCE = ("--as", "instance", "--instance-type", "m3.medium", "--platform", "Linux")


@dataclass
class World:
    """A sandbox, the command line, and what the two said to each other."""

    box: Sandbox
    vmie: Vmie
    recorder: Recorder
    folder: Path
    keys: Keys
    _disks: int = 0

    def does(self, *argv: object, code: int = 0) -> dict[str, Any]:
        """Run a command that ends with `code`; its result."""
        done = self.vmie(*map(str, argv))
        assert done.code == code, done.out + done.err
        found: dict[str, Any] = done.json["result"]
        return found

    def disk(self, size: int = 2 * MIB) -> Path:
        """A disk of its own content, so that every import is a job of its own."""
        self._disks += 1
        path = self.folder / f"disk-{self._disks}.raw"
        data = bytearray(bootable(size))
        data[MIB // 2 :] = os.urandom(size - MIB // 2)
        path.write_bytes(bytes(data))
        return path

    def broken(self, action: str, *argv: object) -> str:
        """The job of a command that S3 refuses to carry out at `action`, for no reason that is looked into."""
        self.box.faults.fail(action, code="InvalidRequest", times=None)
        job = self.does(*argv, code=5)["job"]
        self.box.faults.clear()
        return str(job)

    def policy(self, job: JobKind) -> dict[str, Any]:
        """What `vmie policy user` prints for the job."""
        where = [option for name in BUCKETS.get(job, (BUCKET, "encrypted")) for option in ("--bucket", name)]
        # an export cannot go into a bucket with a key
        held = ("--sse-kms-key", self.keys.object, "--kms-key", self.keys.result, "--source", f"s3://{OTHERS}/")
        keys = () if job in (JobKind.EXPORT_IMAGE, JobKind.EXPORT_INSTANCE) else held
        name = ("--role-name", ROLE) if job is JobKind.SETUP_ROLE else ()
        whole = ("--account", ACCOUNT, "--region", REGION, *name)
        document: dict[str, Any] = self.does("policy", "user", "--job", job, *where, *keys, *whole)["document"]
        return document

    def allow(self, document: Mapping[str, Any]) -> None:
        """Let this be all that the caller may do."""
        iam = self.box.client("iam")
        made = iam.create_policy(PolicyName="rights", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
        iam.attach_user_policy(UserName=CALLER, PolicyArn=made)

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Get things ready as somebody who may do everything, unrecorded."""
        with self.recorder.paused(), pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            yield

    def cancelled(self, *argv: object) -> None:
        """A command that is given up while AWS works at its task."""
        self.box.faults.stall_task()
        self.does("cancel", self.does(*argv, "--no-wait")["job"])
        self.box.faults.clear()


# ------------------------------------------------------------------ what each job is made to do


def transfers(world: World, *verb: object, target: Callable[[], Iterable[object]] = tuple) -> None:
    """In one piece and in parts, broken off and resumed, broken off and given up, with a lost answer."""
    world.does(*verb, world.disk(), *target())
    for ending in ("resume", "cancel"):
        job = world.broken("UploadPart", *verb, world.disk(LARGE), *target())
        world.does(ending, job)
    world.box.faults.lose("CreateMultipartUpload")
    world.does(*verb, world.disk(LARGE), *target())


def upload(world: World) -> None:
    numbers = itertools.count()
    transfers(world, "upload", "--as-is", target=lambda: [f"s3://{BUCKET}/vmie/{next(numbers)}.raw"])
    for number, size in enumerate((2 * MIB, LARGE)):
        world.does("upload", "--as-is", world.disk(size), f"s3://{world.keys.bucket}/vmie/{number}.raw")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sent, "done", interrupted)  # the object stands, and nobody could note it
        job = world.does("upload", "--as-is", world.disk(), f"s3://{BUCKET}/vmie/last.raw", code=130)["job"]
    world.does("cancel", job)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def by_object(world: World, *route: str) -> None:
    transfers(world, "import", *INTO, "--format", "raw", *route)
    world.does("import", *route, world.disk(), *WITH_KEYS, "--kms-key", world.keys.result)
    for name, size in (("small.raw", 2 * MIB), ("large.raw", LARGE)):
        world.box.put_disk(OTHERS, name, size=size)
        world.does("import", *route, f"s3://{OTHERS}/{name}", *INTO, "--copy")
    world.box.put_disk(BUCKET, "vmie/theirs.raw", size=2 * MIB)
    world.does("import", *route, f"s3://{BUCKET}/vmie/theirs.raw", *INTO)
    world.cancelled("import", *route, world.disk(), *INTO)
    forgotten(world, "import", *route, world.disk(), *INTO)


def forgotten(world: World, *argv: object) -> None:
    """An import that nobody waits for until AWS has forgotten its task."""
    begun = world.does(*argv, "--no-wait")
    world.box.advance(DAY)
    with world.prepared():
        assert world.does("tasks", "show", begun["task_id"])["tasks"][0]["status"] == "completed"
    world.box.advance(8 * DAY)  # AWS forgets the task, and what it made is looked for
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wait, "SHOWN_FOR", dt.timedelta())  # only the sandbox's days went by: to us the task is young
        world.does("resume", begun["job"])


def import_image(world: World) -> None:
    by_object(world)


def import_snapshot(world: World) -> None:
    by_object(world, "--as", "snapshot")
    world.does("import", "--as", "snapshot", world.disk(), *INTO, "--register", "recorded")


def by_parts(world: World, *route: str) -> None:
    world.does("import", world.disk(), *WITH_KEYS, *route)
    job = world.broken("PutObject", "import", world.disk(LARGE), *INTO, *route)
    world.does("resume", job)
    world.cancelled("import", world.disk(), *INTO, *route)
    world.box.put_disk(OTHERS, "disk.raw", size=2 * MIB)
    world.does("import", f"s3://{OTHERS}/disk.raw", *INTO, *route)


def import_instance(world: World) -> None:
    by_parts(world, *AS_INSTANCE)
    ec2 = world.box.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    group = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [subnet["VpcId"]]}])["SecurityGroups"][0]
    network = ("--subnet", subnet["SubnetId"], "--security-group", group["GroupId"])
    world.does("import", world.disk(), world.disk(), *INTO, *AS_INSTANCE, *network, "--attach-data-disks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idempotency, "zone_of", lambda _: "")  # the task does not say where it works
        world.does("import", world.disk(), world.disk(), *INTO, *AS_INSTANCE)


def import_volume(world: World) -> None:
    by_parts(world, "--as", "volume", "--availability-zone", "us-east-1a")


def direct(world: World, *made_of_it: str) -> None:
    """Block by block: whole, encrypted, broken off and resumed, broken off and given up."""
    verb = ("import", "--via", "ebs", "--skip-check", "all", *made_of_it)
    world.does(*verb, world.disk(), "--kms-key", world.keys.result)
    for ending in ("resume", "cancel"):
        world.does(ending, world.broken("CompleteSnapshot", *verb, world.disk()))
    # a parent of which nothing is known here
    world.does(*verb, world.disk(), "--parent", elsewhere(world))


def elsewhere(world: World) -> str:
    """A completed snapshot that somebody else made, encrypted with the key of results."""
    with world.prepared():
        ebs, block = world.box.client("ebs"), os.urandom(512 << 10)
        made = ebs.start_snapshot(VolumeSize=1, Encrypted=True, KmsKeyArn=world.keys.result)["SnapshotId"]
        put(ebs, made, 0, block)
        ebs.complete_snapshot(SnapshotId=made, ChangedBlocksCount=1)
        world.box.advance(60)
    return str(made)


def import_snapshot_ebs(world: World) -> None:
    direct(world, "--as", "snapshot")
    world.does(
        "import", "--via", "ebs", "--skip-check", "all", "--as", "snapshot", world.disk(), "--register", "recorded"
    )


def import_volume_ebs(world: World) -> None:
    direct(world, "--as", "volume", "--availability-zone", "us-east-1a")


def import_image_ebs(world: World) -> None:
    direct(world, "--platform", "Linux")
    world.cancelled("import", "--via", "ebs", "--skip-check", "all", world.disk())
    forgotten(world, "import", "--via", "ebs", "--skip-check", "all", world.disk())


def encrypted_snapshot(world: World) -> str:
    """One that is completed."""
    made = ("import", "--via", "ebs", "--skip-check", "all", "--as", "snapshot", "--kms-key", world.keys.result)
    with world.prepared():
        return str(world.does(*made, world.disk())["snapshot_ids"][0])


def read_snapshot(world: World) -> None:
    world.does("convert", encrypted_snapshot(world), world.folder / "read.raw")


def export_ebs(world: World) -> None:
    snapshot, out = encrypted_snapshot(world), ("export", "--via", "ebs", "--format", "raw")
    with world.prepared():
        direct, ec2 = world.box.client("ebs"), world.box.client("ec2")
        later = direct.start_snapshot(VolumeSize=1, ParentSnapshotId=snapshot)["SnapshotId"]
        direct.complete_snapshot(SnapshotId=later, ChangedBlocksCount=0)
        volume = ec2.create_volume(SnapshotId=snapshot, AvailabilityZone="us-east-1a")["VolumeId"]
    world.does(*out, snapshot, world.folder / "base.raw")
    since = ("--since", snapshot, "--base", world.folder / "base.raw")
    world.does(*out, later, world.folder / "later.raw", *since)
    for number, source in enumerate((volume, IMAGE, INSTANCE)):
        world.does(*out, source, world.folder / f"{number}.raw")


def boot(world: World) -> None:
    world.does("boot", IMAGE, "--timeout", "1", code=1)  # it has no loader, and says nothing
    for ending in ("resume", "cancel"):
        world.box.faults.fail("GetConsoleOutput", code="InvalidRequest")
        job = world.does("boot", IMAGE, "--timeout", "1", "--instance-types", "t3.small", code=5)["job"]
        world.does(ending, job, code=int(ending == "resume"))


def export(world: World, source: str) -> None:
    out = ("export", source, "--format", "vmdk", "--bucket", BUCKET, "--skip-check", "all")
    world.does(*out, "--download", world.folder / "exported")
    world.cancelled(*out, "--tag", "again=yes")


def export_image(world: World) -> None:
    export(world, IMAGE)


def export_instance(world: World) -> None:
    world.box.client("ec2").stop_instances(InstanceIds=[INSTANCE])
    export(world, INSTANCE)


def batch(world: World) -> None:
    """Items of every way that a plan may have."""
    ways = ("name: web", "as: snapshot, register: made", "via: ebs, platform: Linux, name: direct")
    ways += ("via: ebs, as: snapshot", "via: ebs, as: volume, availability_zone: us-east-1a")
    items = "".join(f"  - {{source: {world.disk()}, {way}}}\n" for way in ways)
    plan = world.folder / "plan.yaml"
    plan.write_text(f"defaults: {{skip_check: all, bucket: {BUCKET}}}\nitems:\n{items}", encoding="utf-8")
    assert world.does("batch", "run", plan)["completed"] == len(ways)


def setup_role(world: World) -> None:
    made = ("setup-role", "--create-bucket", "--role-name", ROLE, "--bucket", "recorded-in")
    world.does(*made, "--export-bucket", "recorded-out")
    alias = ("--kms-key", "alias/recorded")
    world.box.client("kms").create_alias(AliasName="alias/recorded", TargetKeyId=world.keys.result)
    world.does(*made, "--export-bucket", "recorded-out", "--restrict-source", "--tag", "team=red", *alias)
    world.does(*made, "--export-bucket", "recorded-acl", "--grant", "acl")
    world.does(*made, "--export-bucket", "recorded-out", "--grant", "acl")


def tasks(world: World) -> None:
    world.box.faults.stall_task(times=None)
    with world.prepared():
        world.does("import", world.disk(), *INTO, "--no-wait")
        world.does("import", world.disk(), *INTO, "--as", "snapshot", "--no-wait")
        world.does("import", world.disk(), *INTO, *AS_INSTANCE, "--no-wait")
        world.box.client("ec2").stop_instances(InstanceIds=[INSTANCE])
        for source in (IMAGE, INSTANCE):
            world.does("export", source, "--format", "vmdk", "--bucket", BUCKET, "--skip-check", "all", "--no-wait")
    for task in world.does("tasks", "list", "--state", "active")["tasks"]:
        world.does("tasks", "cancel", task["task_id"])


def limits(world: World) -> None:
    world.does("limits")


def doctor(world: World) -> None:
    for job in JOBS:
        world.vmie("doctor", "--for", job, "--bucket", BUCKET)
    _in_a_group(world)
    _with_acl(world)
    world.box.client("ec2").enable_ebs_encryption_by_default()
    world.box.client("ec2").modify_ebs_default_kms_key_id(KmsKeyId=world.keys.result)
    world.box.faults.fail("SimulatePrincipalPolicy", code="AccessDenied", status=403, times=None)
    world.vmie("doctor", "--bucket", "encrypted")
    world.vmie("doctor", "--bucket", "with-acl", "--for", "export")
    world.box.faults.fail_task(catalogue.words("object-forbidden"))
    with world.prepared():
        failed = world.does("import", world.disk(), *WITH_KEYS, code=1)["task_id"]
    world.does("explain", failed)


def _in_a_group(world: World) -> None:
    """The caller has policies of every kind, and must be judged by them."""
    iam = world.box.client("iam")
    iam.create_group(GroupName="movers")
    iam.put_group_policy(GroupName="movers", PolicyName="own", PolicyDocument=EVERYTHING)
    iam.put_user_policy(UserName=CALLER, PolicyName="own", PolicyDocument=EVERYTHING)
    iam.add_user_to_group(GroupName="movers", UserName=CALLER)


def _with_acl(world: World) -> None:
    s3 = world.box.client("s3")
    s3.create_bucket(Bucket="with-acl", ObjectOwnership="ObjectWriter")


RECORDED: Mapping[JobKind, Callable[[World], None]] = {
    JobKind.UPLOAD: upload,
    JobKind.IMPORT_IMAGE: import_image,
    JobKind.IMPORT_SNAPSHOT: import_snapshot,
    JobKind.IMPORT_INSTANCE: import_instance,
    JobKind.IMPORT_VOLUME: import_volume,
    JobKind.IMPORT_IMAGE_EBS: import_image_ebs,
    JobKind.IMPORT_SNAPSHOT_EBS: import_snapshot_ebs,
    JobKind.IMPORT_VOLUME_EBS: import_volume_ebs,
    JobKind.EXPORT_IMAGE: export_image,
    JobKind.EXPORT_INSTANCE: export_instance,
    JobKind.EXPORT_EBS: export_ebs,
    JobKind.READ_SNAPSHOT: read_snapshot,
    JobKind.BOOT: boot,
    JobKind.SETUP_ROLE: setup_role,
    JobKind.TASKS: tasks,
    JobKind.LIMITS: limits,
    JobKind.DOCTOR: doctor,
}
