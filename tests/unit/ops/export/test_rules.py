"""Every export restriction that can be known beforehand: what trips it, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vmie.aws.exportable import AttachedVolume as Volume
from vmie.aws.exportable import ExportBucket, Image, Instance
from vmie.errors import UsageError
from vmie.limits import export_canonical_id
from vmie.model import Finding, Task, TaskKind, TaskState, Verdict
from vmie.ops.export import ExportRequest
from vmie.ops.export.judges import ExportFacts
from vmie.ops.export.rules import RULES, judge
from vmie.policy import export_bucket

ME, OTHER = "111122223333", "999988887777"
REGION = "eu-central-1"
CANONICAL = export_canonical_id(REGION)

GRANTED = ExportBucket(
    "exports",
    encryption="AES256",
    policy=export_bucket("exports", canonical_id=CANONICAL),
    grants=(),
    ownership="BucketOwnerEnforced",
)
IMAGE = Image(
    "ami-1",
    owner=ME,
    state="available",
    root_device_type="ebs",
    name="import-ami-1",
    usage_operation="RunInstances",
    platform_details="Linux/UNIX",
    volumes=(Volume("/dev/sda1", "snap-1", 8, encrypted=False),),
)
INSTANCE = Instance(
    "i-1",
    owner=ME,
    state="stopped",
    root_device="/dev/sda1",
    root_device_type="ebs",
    image_id="ami-1",
    image=IMAGE,
    usage_operation="RunInstances",
    platform_details="Linux/UNIX",
    volumes=(Volume("/dev/sda1", "vol-1", 8, encrypted=False),),
)


def facts(source: Instance | Image, *, form: str = "vmdk", bucket: ExportBucket = GRANTED) -> ExportFacts:
    request = ExportRequest(source.id, form, bucket=bucket.name)
    return ExportFacts(request, account=ME, region=REGION, source=source, bucket=bucket)


def verdicts(found: list[Finding]) -> dict[str, Verdict]:
    return {finding.rule: finding.verdict for finding in found}


def test_a_plain_instance_and_a_plain_image_pass() -> None:
    assert judge(facts(INSTANCE)) == []
    assert judge(facts(INSTANCE, form="ova")) == []
    assert judge(facts(IMAGE, form="raw")) == []


def image(**changes: object) -> ExportFacts:
    return facts(replace(IMAGE, **changes))  # type: ignore[arg-type]


def instance(**changes: object) -> ExportFacts:
    return facts(replace(INSTANCE, **changes))  # type: ignore[arg-type]


DATA_VOLUME = (*INSTANCE.volumes, Volume("/dev/sdf", "vol-2", 1, encrypted=False))
TASK = Task("export-ami-9", TaskKind.EXPORT_IMAGE, TaskState.ACTIVE, image_id="ami-1")
WINDOWS = {"usage_operation": "RunInstances:0002", "platform_details": "Windows"}
STOCK = replace(IMAGE, owner="137112412989", name="al2023")

TRIPS = {
    "several volumes": ("001", Verdict.FAIL, instance(volumes=DATA_VOLUME)),
    "several interfaces": ("002", Verdict.FAIL, instance(interfaces=2)),
    "instance-store root": ("003", Verdict.FAIL, instance(root_device_type="instance-store")),
    "instance-store image": ("003", Verdict.FAIL, image(root_device_type="instance-store")),
    "instance-store mapping": ("003", Verdict.FAIL, image(ephemeral=("/dev/sdb",))),
    "shared image": ("004", Verdict.FAIL, image(owner=OTHER)),
    "shared instance": ("004", Verdict.FAIL, instance(owner=OTHER)),
    "encrypted volume": (
        "005",
        Verdict.FAIL,
        instance(volumes=(Volume("/dev/sda1", "vol-1", 8, encrypted=True),)),
    ),
    "encrypted snapshot": (
        "005",
        Verdict.FAIL,
        image(volumes=(Volume("/dev/sda1", "snap-1", 8, encrypted=True),)),
    ),
    "unreadable volume": ("005", Verdict.UNKNOWN, instance(volumes=(Volume("/dev/sda1", "vol-1"),))),
    "windows": ("006", Verdict.FAIL, instance(**WINDOWS, image=STOCK)),
    "windows told by words only": (
        "006",
        Verdict.FAIL,
        instance(usage_operation="", platform_details="Windows with SQL Server Web", image=STOCK),
    ),
    "sql on linux": ("006", Verdict.FAIL, instance(usage_operation="RunInstances:0004", image=STOCK)),
    "imported windows": ("006", Verdict.WARN, image(**WINDOWS)),
    "rhel": ("006", Verdict.WARN, instance(usage_operation="RunInstances:0010", image=STOCK)),
    "marketplace": ("007", Verdict.FAIL, image(product_codes=("abc",))),
    "raw of an instance": ("008", Verdict.FAIL, facts(INSTANCE, form="raw")),
    "ova of an image": ("009", Verdict.FAIL, facts(IMAGE, form="ova")),
    "too large": ("010", Verdict.FAIL, image(volumes=(Volume("/dev/sda1", "snap-1", 1025, encrypted=False),))),
    "bucket elsewhere": ("011", Verdict.FAIL, replace(facts(INSTANCE), elsewhere="b is in us-east-1")),
    "kms bucket": ("012", Verdict.FAIL, facts(IMAGE, bucket=replace(GRANTED, encryption="aws:kms"))),
    "kms bucket, double": ("012", Verdict.FAIL, facts(IMAGE, bucket=replace(GRANTED, encryption="aws:kms:dsse"))),
    "unreadable encryption": ("012", Verdict.UNKNOWN, facts(IMAGE, bucket=replace(GRANTED, encryption=None))),
    "no grant": ("013", Verdict.FAIL, facts(INSTANCE, bucket=replace(GRANTED, policy={}))),
    "unreadable policy": ("013", Verdict.UNKNOWN, facts(INSTANCE, bucket=replace(GRANTED, policy=None))),
    "acl switched off": (
        "013",
        Verdict.FAIL,
        facts(
            INSTANCE,
            bucket=replace(GRANTED, policy={}, grants=((CANONICAL, "WRITE"), (CANONICAL, "READ_ACP"))),
        ),
    ),
    "another export": ("014", Verdict.FAIL, replace(facts(IMAGE), active=(TASK,))),
    "the AMI is gone": ("015", Verdict.WARN, instance(image=None)),
    "a snapshot is gone": (
        "016",
        Verdict.FAIL,
        image(volumes=(Volume("/dev/sda1", "snap-1", 8, missing=True),)),
    ),
    "a VHD": ("017", Verdict.PASS, facts(IMAGE, form="vhd")),
    "somebody's AMI": ("018", Verdict.WARN, instance(image=STOCK)),
    "running": ("019", Verdict.WARN, instance(state="running")),
    "terminated": ("019", Verdict.FAIL, instance(state="terminated")),
    "pending AMI": ("020", Verdict.FAIL, image(state="pending")),
    "no right to write": (
        "022",
        Verdict.FAIL,
        replace(facts(IMAGE), role_lacks="the service role vmimport lacks s3:PutObject on arn:aws:s3:::b/*"),
    ),
    "perhaps no right to write": (
        "022",
        Verdict.UNKNOWN,
        replace(facts(IMAGE), role_lacks="the service role vmimport lacks s3:PutObject", role_certain=False),
    ),
    "own licence": ("021", Verdict.WARN, image(usage_operation="RunInstances:0800")),
}


@pytest.mark.parametrize("case", TRIPS)
def test_a_rule_trips(case: str) -> None:
    number, verdict, given = TRIPS[case]
    found = verdicts(judge(given))
    assert found.pop(f"VMIE-EXPORT-{number}") is verdict
    assert Verdict.FAIL not in found.values()


def test_every_rule_has_a_case_an_id_of_its_own_a_source_and_a_cure() -> None:
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids)
    assert {f"VMIE-EXPORT-{number}" for number, _, _ in TRIPS.values()} == set(ids)
    for rule in RULES:
        assert rule.source
        assert rule.title
        assert rule.cure or rule.verdict is Verdict.PASS
    for number, _, given in TRIPS.values():
        for finding in judge(given):
            if finding.rule.endswith(number):
                assert "{" not in finding.cure


def test_the_worst_comes_first() -> None:
    found = judge(replace(facts(replace(INSTANCE, state="running", interfaces=2)), elsewhere="x"))
    assert [finding.verdict for finding in found] == [Verdict.FAIL, Verdict.FAIL, Verdict.WARN]


@pytest.mark.parametrize(
    "bucket",
    [
        replace(GRANTED, policy={}, grants=((CANONICAL, "WRITE"), (CANONICAL, "READ_ACP")), ownership="ObjectWriter"),
        replace(GRANTED, policy={}, grants=((CANONICAL, "FULL_CONTROL"),), ownership=""),
        # S3 shows a canonical user back as the ARN of that account.
        replace(
            GRANTED,
            policy={
                "Statement": {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
                    "Action": ["s3:GetBucketAcl", "s3:PutObject"],
                    "Resource": ["arn:aws:s3:::exports", "arn:aws:s3:::exports/*"],
                }
            },
        ),
    ],
    ids=["acl", "full control", "arn"],
)
def test_other_ways_of_granting_are_taken(bucket: ExportBucket) -> None:
    assert judge(facts(INSTANCE, bucket=bucket)) == []


@pytest.mark.parametrize(
    "policy",
    [
        export_bucket("other", canonical_id=CANONICAL),
        export_bucket("exports", canonical_id=export_canonical_id("ap-east-1")),
        {"Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ME}:root"}, "Action": "s3:*"}]},
        {"Statement": [{"Effect": "Deny", "Principal": {"CanonicalUser": CANONICAL}, "Action": "s3:*"}]},
    ],
    ids=["another bucket", "another Region's user", "ourselves", "a denial"],
)
def test_grants_of_something_else_do_not_count(policy: dict[str, object]) -> None:
    assert "VMIE-EXPORT-013" in verdicts(judge(facts(INSTANCE, bucket=replace(GRANTED, policy=policy))))


def test_a_bucket_of_gov_cloud_is_granted_to_its_own_user() -> None:
    gov = replace(GRANTED, policy=export_bucket("exports", canonical_id=export_canonical_id("us-gov-west-1")))
    given = replace(facts(INSTANCE, bucket=gov), region="us-gov-west-1")
    assert judge(given) == []


@pytest.mark.parametrize(
    ("source", "form", "options"),
    [
        ("vol-1", "vmdk", {}),
        ("i-1", "qcow2", {}),
        ("ami-1", "vmdk", {"target": "vmware"}),
        ("i-1", "vmdk", {"target": "citrix"}),
        ("i-1", "vhd", {"target": "vmware"}),
        ("i-1", "vhd", {"target": "xen"}),
        ("i-1", "vmdk", {"description": "x" * 240}),
        ("i-1", "vmdk", {"tags": {str(n): "" for n in range(50)}}),
    ],
)
def test_options_that_cannot_be_meant_together(source: str, form: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ExportRequest(source, form, **options)


@pytest.mark.parametrize(
    ("form", "target", "environment", "container", "disk"),
    [
        ("vmdk", "", "vmware", "", "vmdk"),
        ("ova", "", "vmware", "ova", "vmdk"),
        ("vhd", "", "microsoft", "", "vhd"),
        ("vhd", "citrix", "citrix", "", "vhd"),
    ],
)
def test_the_environment_follows_the_format(
    form: str, target: str, environment: str, container: str, disk: str
) -> None:
    request = ExportRequest("i-1", form, target=target)
    assert (request.environment, request.container, request.disk_format) == (environment, container, disk)
    assert ExportRequest.from_json(request.as_json()) == request
