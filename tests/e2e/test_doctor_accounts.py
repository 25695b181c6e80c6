"""Thirty accounts, each with one thing wrong: the doctor names exactly that thing, mends what may be mended, and an
import into the same account ends with the same words."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import moto.core.models  # noqa: F401 - puts its stub into clients made from now on
import pytest
from botocore.config import Config

from tests.e2e.conftest import APPEARS_AFTER
from tests.sandbox.conftest import BUCKET, bootable
from vmie import sandbox
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, VmieError
from vmie.jobs import runner
from vmie.model import Verdict
from vmie.ops import doctor
from vmie.ops.context import Context
from vmie.ops.doctor import Report, fixes
from vmie.ops.import_ import ImportRequest, operation
from vmie.poll import SystemClock
from vmie.sandbox import Sandbox
from vmie.sandbox.defaults import ACCESS_KEY
from vmie.settings import Settings

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/vmimport"
ARN = f"arn:aws:s3:::{BUCKET}"
SERVICES = ("sts", "ec2", "s3", "iam", "kms", "service-quotas")
ON_KEY = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]


def allow(actions: Any, resources: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def deny(actions: Any, resources: Any = "*", **more: Any) -> dict[str, Any]:
    return {**allow(actions, resources, **more), "Effect": "Deny"}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


BUCKET_ACTIONS = ["s3:ListBucket", "s3:GetBucketLocation"]
EC2_ACTIONS = ["ec2:ModifySnapshotAttribute", "ec2:CopySnapshot", "ec2:RegisterImage", "ec2:Describe*"]


def role_without(action: str) -> Callable[[Sandbox], None]:
    """The seed's role, by hand, but for one action."""

    def break_(box: Sandbox) -> None:
        role_policy(
            box,
            allow([one for one in BUCKET_ACTIONS if one != action], ARN),
            *([] if action == "s3:GetObject" else [allow("s3:GetObject", f"{ARN}/*")]),
            allow([one for one in EC2_ACTIONS if one != action]),
        )

    return break_


def role_policy(box: Sandbox, *statements: dict[str, Any]) -> None:
    box.client("iam").put_role_policy(RoleName="vmimport", PolicyName="vmimport", PolicyDocument=document(*statements))


def well(box: Sandbox, *more: dict[str, Any]) -> None:
    """The role as setup-role writes it for the bucket, and `more`."""
    role_policy(box, allow(BUCKET_ACTIONS, [ARN]), allow(["s3:GetObject"], [f"{ARN}/*"]), allow(EC2_ACTIONS), *more)


def trust(box: Sandbox, **changes: Any) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "vmie.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "vmimport"}},
        **changes,
    }
    box.client("iam").update_assume_role_policy(RoleName="vmimport", PolicyDocument=document(statement))


def no_role(box: Sandbox) -> None:
    box.client("iam").delete_role_policy(RoleName="vmimport", PolicyName="vmimport")
    box.client("iam").delete_role(RoleName="vmimport")


def bounded(box: Sandbox) -> None:
    iam = box.client("iam")
    arn = iam.create_policy(PolicyName="edge", PolicyDocument=document(allow("ec2:*")))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="vmimport", PermissionsBoundary=arn)


def managed_deny(box: Sandbox) -> None:
    iam = box.client("iam")
    arn = iam.create_policy(PolicyName="no", PolicyDocument=document(deny("s3:GetObject", f"{ARN}/*")))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="vmimport", PolicyArn=arn)


def bucket_denies_role(box: Sandbox) -> None:
    box.client("s3").put_bucket_policy(
        Bucket=BUCKET, Policy=document(deny("s3:*", f"{ARN}/*", Principal={"AWS": ROLE}))
    )


def bucket_denies_caller(box: Sandbox) -> None:
    who = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/sandbox"}
    box.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=document(deny("s3:PutObject", f"{ARN}/*", Principal=who)))


def far_bucket(box: Sandbox) -> None:
    box.client("s3", region="eu-west-1").create_bucket(
        Bucket="far-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    box.advance(APPEARS_AFTER)


def foreign_bucket(box: Sandbox) -> None:
    from moto.s3.models import s3_backends

    s3_backends["210987654321"]["aws"].create_bucket("their-bucket", "us-east-1")
    box.advance(APPEARS_AFTER)


def key(box: Sandbox, policy: str = "") -> str:
    given = {"Policy": policy} if policy else {}
    return str(box.client("kms").create_key(**given)["KeyMetadata"]["Arn"])


def encrypt_bucket(box: Sandbox) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key(box)}}
    box.client("s3").put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
    well(box)


def disabled_key(box: Sandbox) -> str:
    arn = key(box)
    well(box, allow(ON_KEY, [arn]))
    box.client("kms").disable_key(KeyId=arn.rpartition("/")[2])
    return arn


def dying_key(box: Sandbox) -> str:
    arn = key(box)
    well(box, allow(ON_KEY, [arn]))
    box.client("kms").schedule_key_deletion(KeyId=arn.rpartition("/")[2])
    return arn


def ungranted_key(box: Sandbox) -> str:
    well(box)
    return key(box)


def closed_key(box: Sandbox) -> str:
    arn = key(box, document(allow("kms:*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:user/sandbox"})))
    well(box, allow(ON_KEY, [arn]))
    return arn


def default_key(box: Sandbox) -> None:
    well(box)
    box.client("ec2").enable_ebs_encryption_by_default()
    box.client("ec2").modify_ebs_default_kms_key_id(KmsKeyId=key(box))


def no_grant(box: Sandbox) -> None:
    box.client("s3").delete_bucket_policy(Bucket=BUCKET)


def kms_export_bucket(box: Sandbox) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    box.client("s3").put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})


def export_role_without_put(box: Sandbox) -> None:
    well(box)


def full(box: Sandbox) -> None:
    box.client("s3").put_object(Bucket=BUCKET, Key="disk.raw", Body=bootable())
    disk = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
    box.faults.stall_task(times=2)
    for _ in range(2):
        box.client("ec2").import_snapshot(DiskContainer=disk)


def caller_without(*actions: str) -> Callable[[Sandbox], None]:
    def break_(box: Sandbox) -> None:
        box.client("iam").put_user_policy(
            UserName="sandbox", PolicyName="sandbox", PolicyDocument=document(allow("*"), deny(list(actions)))
        )

    return break_


def expired(box: Sandbox) -> None:
    said = "The security token included in the request is expired"
    box.faults.fail("*", code="ExpiredToken", message=said, status=403, times=None)


def skewed(box: Sandbox) -> None:
    said = "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z"
    box.faults.fail("*", code="SignatureDoesNotMatch", message=said, status=403, times=None)


def closed_region(box: Sandbox) -> None:
    for action in ("GetCallerIdentity", "HeadBucket", "ImportImage"):
        said = "The security token included in the request is invalid"
        box.faults.fail(
            action, code="InvalidClientTokenId", message=said, status=403, times=None, region="il-central-1"
        )


@dataclass(frozen=True)
class Broken:
    """One account. `says` are parts of the line; `mended`: --fix puts it right; `same`: an import says the same."""

    breaks: Callable[[Sandbox], Any]
    check: str
    says: tuple[str, ...]
    cure: str = ""
    mended: bool = False
    same: bool = True
    job: str = "import"
    bucket: str = BUCKET
    region: str = "us-east-1"
    settings: dict[str, Any] = field(default_factory=dict)


SETUP = f"vmie setup-role --bucket {BUCKET}"
ACCOUNTS = {
    "no role": Broken(no_role, "role", ("vmimport does not exist",), SETUP, mended=True),
    "another external id": Broken(
        lambda box: trust(box, Condition={"StringEquals": {"sts:ExternalId": "vmexport"}}),
        "role",
        ("another external id (vmexport) than vmimport",),
        SETUP,
        mended=True,
    ),
    "another principal": Broken(
        lambda box: trust(box, Principal={"Service": "ec2.amazonaws.com"}),
        "role",
        ("does not name the service vmie.amazonaws.com",),
        SETUP,
    ),
    "trusts another account": Broken(
        lambda box: trust(
            box,
            Condition={"StringEquals": {"sts:ExternalId": "vmimport", "aws:SourceAccount": "210987654321"}},
        ),
        "role",
        ("narrowed to requests that are not from account 123456789012",),
        SETUP,
        mended=True,
    ),
    **{
        f"no {action}": Broken(role_without(action), "role rights", (f"lacks {action}",), "--force")
        for action in (*BUCKET_ACTIONS, "s3:GetObject", "ec2:ModifySnapshotAttribute", "ec2:CopySnapshot")
    },
    "no ec2:RegisterImage": Broken(role_without("ec2:RegisterImage"), "role rights", ("ec2:RegisterImage",), "--force"),
    "no ec2:Describe*": Broken(role_without("ec2:Describe*"), "role rights", ("ec2:DescribeSnapshots",), "--force"),
    "a role for another bucket": Broken(
        lambda box: role_policy(
            box,
            allow(BUCKET_ACTIONS, ["arn:aws:s3:::other"]),
            allow(["s3:GetObject"], ["arn:aws:s3:::other/*"]),
            allow(EC2_ACTIONS),
        ),
        "role rights",
        ("lacks s3:GetBucketLocation, s3:ListBucket", f"s3:GetObject on {ARN}/"),
        SETUP,
        mended=True,
    ),
    "a boundary": Broken(bounded, "role rights", ("s3:GetObject", "permissions boundary"), "delete-role-permissions"),
    "a managed policy denies": Broken(managed_deny, "role rights", ("s3:GetObject", "denies it"), "list-role-policies"),
    "the bucket denies the role": Broken(
        bucket_denies_role, "role rights", ("lacks s3:GetObject", "resource's own policy denies"), ROLE
    ),
    "the bucket denies the caller": Broken(
        bucket_denies_caller, "bucket policy", ("denies you s3:PutObject",), "user/sandbox", same=False
    ),
    "no bucket": Broken(lambda box: None, "bucket", ("there is no bucket nobodys-b",), "--create", bucket="nobodys-b"),
    "a bucket elsewhere": Broken(far_bucket, "bucket", ("is in eu-west-1",), "region='eu-west-1'", bucket="far-bucket"),
    "another account's bucket": Broken(foreign_bucket, "bucket", ("their-bucket",), "", bucket="their-bucket"),
    "the bucket's key": Broken(encrypt_bucket, "bucket key", ("lacks kms:Decrypt",), "--allow-kms-key", mended=True),
    "a disabled key": Broken(disabled_key, "key", ("its state is Disabled",), "aws kms enable-key"),
    "a key about to go": Broken(dying_key, "key", ("its state is PendingDeletion",), "cancel-key-deletion"),
    "no such key": Broken(lambda box: "alias/nobodys", "key", ("alias/nobodys",), "list-aliases"),
    "a key not granted": Broken(ungranted_key, "key", ("lacks kms:CreateGrant",), "--allow-kms-key", mended=True),
    "a key that is closed": Broken(closed_key, "key", ("names neither the role",), "vmie policy kms"),
    "the default EBS key": Broken(
        default_key, "EBS encryption", ("lacks kms:CreateGrant",), "--allow-kms-key", mended=True, same=False
    ),
    "no grant for instance exports": Broken(
        no_grant, "export grant", ("its ACLs are off",), "--export-bucket", mended=True, same=False, job="export"
    ),
    "an export bucket with a key": Broken(
        kms_export_bucket, "encryption", ("encrypts with a KMS key",), "AES256", same=False, job="export"
    ),
    "a role that may not write": Broken(
        export_role_without_put,
        "role rights",
        ("s3:PutObject",),
        f"--export-bucket {BUCKET}",
        mended=True,
        same=False,
        job="export",
    ),
    "a full quota": Broken(
        full, "quota", ("2 of 2 import tasks",), "vmie tasks list", same=False, settings={"import_limit": 2}
    ),
    "a caller without ImportImage": Broken(
        caller_without("ec2:ImportImage"), "permissions", ("ec2:ImportImage on *",), "vmie policy user"
    ),
    "a caller without PutObject": Broken(
        caller_without("s3:PutObject"), "permissions", ("may not s3:PutObject on",), "vmie policy user", same=False
    ),
    "an expired session": Broken(expired, "credentials", ("is expired",), "aws sso login"),
    "a wrong clock": Broken(skewed, "clock", ("Signature expired",), "timedatectl"),
    "a Region that is closed": Broken(
        closed_region, "region", ("il-central-1 is not enabled",), "enable-region", region="il-central-1"
    ),
}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000) as running:
        yield running


@cache
def _client(service: str, region: str) -> Any:
    """Made once: each costs a third of a second."""
    session = boto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key="sandbox")
    return session.client(service, region_name=region, config=Config(retries={"total_max_attempts": 1}))


class Shared(Aws):
    """An account over clients that are shared by all tests."""

    def __init__(self, region: str) -> None:
        super().__init__(None, region=region)

    def client(self, service: str, *, region: str | None = None) -> Any:  # type: ignore[override]
        return _client(service, region or self.region)


def examine(box: Sandbox, broken: Broken, key: str = "", clock: Any = None) -> Report:
    settings = replace(Settings(poll_seconds=0.02), **broken.settings)
    case = doctor.case_of(
        Shared(broken.region),
        settings=settings,
        clock=clock or SystemClock(),
        job=broken.job,
        bucket=broken.bucket,
        key=key,
    )
    return doctor.examine(case)


def test_a_healthy_account_passes(box: Sandbox) -> None:
    box.client("s3").put_bucket_lifecycle_configuration(
        Bucket=BUCKET,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "abort",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                }
            ]
        },
    )
    for job in ("import", "export", "batch"):
        report = examine(box, Broken(no_role, "", (), job=job))
        assert {line.verdict for line in report.lines} == {Verdict.PASS}, report.lines
        assert report.refusal() is None


@pytest.mark.parametrize("name", ACCOUNTS)
def test_the_one_thing_that_is_wrong_is_named(box: Sandbox, name: str, disk: Path, tmp_path: Path) -> None:
    broken = ACCOUNTS[name]
    key = broken.breaks(box) or ""
    report = examine(box, broken, key)
    assert [line.check for line in report.failed] == [broken.check], report.failed
    (line,) = report.failed
    for part in broken.says:
        assert part in f"{line.what}\n{line.why}", line
    assert broken.cure in line.cure, line
    error = report.refusal()
    assert error is not None
    assert error.exit_code == 5
    if broken.same:
        ended = import_(broken, disk, tmp_path, key)
        for part in broken.says:
            assert part in f"{ended.message}\n{ended.cause}", (ended.message, ended.cause)
        assert line.cure.splitlines()[0] in ended.cure, (line.cure, ended.cure)
        assert ended.exit_code == 5
    if not broken.mended:
        assert line.fix is None
        return
    changes = fixes.apply(report.case, fixes.plan(report.case, [line]))
    assert changes
    assert examine(box, broken, key).failed == ()


def import_(broken: Broken, disk: Path, tmp_path: Path, key: str) -> VmieError:
    """How an import into the account ends."""
    request = ImportRequest(sources=(str(disk),), bucket=broken.bucket, kms_key=key, skip_check=("all",))
    settings = replace(Settings(poll_seconds=0.02), **broken.settings)
    with pytest.raises(VmieError) as caught:
        runner.run(operation(Context(Shared(broken.region), settings, state=tmp_path / "state"), request))
    return caught.value


class Ahead(SystemClock):
    def now(self) -> dt.datetime:
        return super().now() + dt.timedelta(minutes=20)


def test_a_clock_that_is_ahead_is_told_by_how_much(box: Sandbox) -> None:
    (line,) = examine(box, ACCOUNTS["a full quota"], clock=Ahead()).failed
    assert line.check == "clock"
    assert "20 minutes ahead" in line.what


def test_several_things_are_all_named(box: Sandbox) -> None:
    no_role(box)
    far_bucket(box)
    report = examine(box, ACCOUNTS["a bucket elsewhere"])
    assert [line.check for line in report.failed] == ["bucket", "role"]
    error = report.refusal()
    assert isinstance(error, AwsRefused)
    assert "also: the service role vmimport does not exist" in error.cause


def test_who_may_not_look_is_not_told_that_something_is_wrong(box: Sandbox) -> None:
    caller = document(allow(["ec2:*", "s3:ListBucket", "s3:GetBucketLocation", "sts:*"]))
    box.client("iam").put_user_policy(UserName="sandbox", PolicyName="sandbox", PolicyDocument=caller)
    for action in ("GetRole", "SimulatePrincipalPolicy", "ListUserPolicies", "ListGroupsForUser"):
        box.faults.fail(action, code="AccessDenied", message="not authorized to perform", status=403, times=None)
    for action in ("GetBucketPolicy", "GetBucketEncryption", "GetBucketLifecycleConfiguration"):
        box.faults.fail(action, code="AccessDenied", message="Access Denied", status=403, times=None)
    report = examine(box, Broken(no_role, "", ()))
    assert report.failed == ()
    unknown = {line.check for line in report.lines if line.verdict is Verdict.UNKNOWN}
    assert {"role", "permissions", "encryption"} <= unknown


def test_permissions_are_read_where_they_may_not_be_simulated(box: Sandbox) -> None:
    caller_without("ec2:ImportImage")(box)
    box.faults.fail("SimulatePrincipalPolicy", code="AccessDenied", message="no", status=403, times=None)
    (line,) = examine(box, ACCOUNTS["a caller without ImportImage"]).failed
    assert "ec2:ImportImage" in line.what


def caller(box: Sandbox, *statements: dict[str, Any]) -> None:
    box.client("iam").put_user_policy(UserName="sandbox", PolicyName="sandbox", PolicyDocument=document(*statements))


OTHER_REGIONS = {"StringNotEquals": {"aws:RequestedRegion": ["us-east-1", "eu-west-1"]}}
NO_MFA = {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}
NO_TLS = {"Bool": {"aws:SecureTransport": "false"}}
CONDITIONED = {
    "other Regions denied": [allow("*"), deny("*", Condition=OTHER_REGIONS)],
    "this Region allowed": [allow("*", Condition={"StringEquals": {"aws:RequestedRegion": "us-east-1"}})],
    "plain HTTP denied": [allow("*"), deny("*", Condition=NO_TLS)],
    "this principal allowed": [
        allow("*", Condition={"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:user/sand*"}})
    ],
}


@pytest.mark.parametrize("simulated", [True, False])
@pytest.mark.parametrize("case", CONDITIONED)
def test_what_is_known_of_a_call_is_no_reason_to_say_no(case: str, simulated: bool, box: Sandbox) -> None:
    caller(box, *CONDITIONED[case])
    if not simulated:
        box.faults.fail("SimulatePrincipalPolicy", code="AccessDenied", message="no", status=403, times=None)
    lines = [line for line in examine(box, Broken(well, "", ())).lines if line.check == "permissions"]
    assert [line.verdict for line in lines] == [Verdict.PASS], lines


def test_another_region_is_denied(box: Sandbox) -> None:
    caller(box, allow("*"), deny("ec2:*", Condition={"StringNotEquals": {"aws:RequestedRegion": "eu-west-1"}}))
    (line,) = examine(box, Broken(well, "", ())).failed
    assert "ec2:ImportImage" in line.what


def test_what_only_the_real_call_has_is_left_open(box: Sandbox) -> None:
    caller(box, allow("*"), deny("ec2:ImportImage", Condition=NO_MFA))
    report = examine(box, Broken(well, "", ()))
    assert report.failed == ()
    (line,) = [line for line in report.lines if line.check == "permissions"]
    assert line.verdict is Verdict.UNKNOWN
    assert "ec2:ImportImage" in line.what
    assert "aws:MultiFactorAuthPresent" in line.why


def limited(box: Sandbox, service: str) -> str:
    """A key that its policy lends to the account through one service, and lets it read."""
    through = {"StringEquals": {"kms:ViaService": f"{service}.us-east-1.amazonaws.com"}}
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    reading = allow(["kms:DescribeKey", "kms:GetKeyPolicy", "kms:ListGrants"], Principal=root)
    return key(box, document(allow("kms:*", Principal=root, Condition=through), reading))


@pytest.mark.parametrize(("service", "failed"), [("s3", []), ("ec2", ["bucket key", "permissions"])])
def test_a_buckets_key_is_used_through_s3(service: str, failed: list[str], box: Sandbox) -> None:
    arn = limited(box, service)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn}}
    box.client("s3").put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
    well(box, allow(ON_KEY, [arn]))
    assert [line.check for line in examine(box, Broken(well, "", ())).failed] == failed


@pytest.mark.parametrize(("service", "failed"), [("ec2", []), ("s3", ["key"])])
def test_a_snapshots_key_is_used_through_ec2(service: str, failed: list[str], box: Sandbox) -> None:
    arn = limited(box, service)
    well(box, allow(ON_KEY, [arn]))
    assert [line.check for line in examine(box, Broken(well, "", ()), arn).failed] == failed


WITHOUT_KMS = [allow("*"), deny("kms:GenerateDataKey")]


def test_a_caller_who_may_not_use_the_buckets_key(box: Sandbox) -> None:
    """S3 encrypts an upload as the caller: the role's rights do not help."""
    encrypt_bucket(box)
    arn = box.client("s3").get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"][0][
        "ApplyServerSideEncryptionByDefault"
    ]["KMSMasterKeyID"]
    well(box, allow(ON_KEY, [arn]))
    assert examine(box, Broken(well, "", ())).failed == ()
    caller(box, *WITHOUT_KMS)
    (line,) = examine(box, Broken(well, "", ())).failed
    assert line.check == "permissions"
    assert f"you may not kms:GenerateDataKey on {arn}" in line.what
    assert f"--sse-kms-key {arn}" in line.cure


def test_a_refusal_that_names_the_caller_is_the_callers(box: Sandbox, disk: Path, tmp_path: Path) -> None:
    encrypt_bucket(box)
    caller(box, *WITHOUT_KMS)
    arn = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    said = f"User: arn:aws:iam::{ACCOUNT}:user/sandbox is not authorized to perform: kms:GenerateDataKey on {arn}"
    for action in ("CreateMultipartUpload", "PutObject"):
        box.faults.fail(action, code="AccessDenied", message=said, status=403, times=None)
    well(box, allow(ON_KEY, ["*"]))
    ended = import_(Broken(well, "", ()), disk, tmp_path, "")
    assert "you may not kms:GenerateDataKey" in ended.cause
    assert "setup-role" not in ended.cure
