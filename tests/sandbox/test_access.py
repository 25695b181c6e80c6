"""Every service asks the caller's policies, and says no in its own words (IAM guide, "Troubleshoot access denied")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from tests.sandbox.callers import ACCOUNT, USER, Ann, allow, deny, owner, policy, said, user
from tests.sandbox.conftest import BUCKET, code_of
from vmie.sandbox import Sandbox
from vmie.sandbox.seed import IMAGE, INSTANCE, SNAPSHOT

ARN, EC2 = f"arn:aws:s3:::{BUCKET}", "arn:aws:ec2:us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/vmimport"
EVERYTHING = allow("*")

CALLS: dict[str, tuple[Callable[[Ann], str], str, str]] = {
    "s3 list": (lambda a: said(a.client("s3").list_objects_v2, Bucket=BUCKET), "s3:ListBucket", f'"{ARN}"'),
    "s3 get": (lambda a: said(a.client("s3").get_object, Bucket=BUCKET, Key="k"), "s3:GetObject", f'"{ARN}/k"'),
    "s3 put": (lambda a: said(a.client("s3").put_object, Bucket=BUCKET, Key="k"), "s3:PutObject", f'"{ARN}/k"'),
    "s3 buckets": (lambda a: said(a.client("s3").list_buckets), "s3:ListAllMyBuckets", ""),
    "s3 encryption": (
        lambda a: said(a.client("s3").get_bucket_encryption, Bucket=BUCKET),
        "s3:GetEncryptionConfiguration",
        f'"{ARN}"',
    ),
    "ec2 images": (lambda a: said(a.client("ec2").describe_images), "ec2:DescribeImages", ""),
    "ec2 delete": (
        lambda a: said(a.client("ec2").delete_snapshot, SnapshotId=SNAPSHOT),
        "ec2:DeleteSnapshot",
        f"{EC2}::snapshot/{SNAPSHOT}",
    ),
    "ec2 export": (
        lambda a: said(
            a.client("ec2").export_image,
            ImageId=IMAGE,
            DiskImageFormat="RAW",
            S3ExportLocation={"S3Bucket": BUCKET},
        ),
        "ec2:ExportImage",
        f"{EC2}:{ACCOUNT}:export-image-task/*",
    ),
    "ec2 stop": (
        lambda a: said(a.client("ec2").stop_instances, InstanceIds=[INSTANCE]),
        "ec2:StopInstances",
        f"{EC2}:{ACCOUNT}:instance/{INSTANCE}",
    ),
    "iam role": (lambda a: said(a.client("iam").get_role, RoleName="vmimport"), "iam:GetRole", ROLE),
    "iam self": (lambda a: said(a.client("iam").get_user), "iam:GetUser", USER),
    "kms list": (lambda a: said(a.client("kms").list_keys), "kms:ListKeys", "*"),
    "ebs start": (
        lambda a: said(a.client("ebs").start_snapshot, VolumeSize=1),
        "ebs:StartSnapshot",
        f"{EC2}::snapshot/*",
    ),
}
CODES = {"s3": "AccessDenied", "ec2": "UnauthorizedOperation", "iam": "AccessDenied"}


@pytest.mark.parametrize("name", CALLS)
def test_who_has_no_policy_may_do_nothing(name: str, box: Sandbox) -> None:
    call, action, resource = CALLS[name]
    ann = user(box)
    where = f" on resource: {resource}" if resource else ""
    begin = "You are not authorized to perform this operation. " if name.startswith("ec2") else ""
    code = CODES.get(name.partition(" ")[0], "AccessDeniedException")
    assert call(ann) == (
        f"{code}: {begin}User: {USER} is not authorized to perform: {action}{where} because no identity-based policy "
        f"allows the {action} action"
    )
    ann.may(EVERYTHING)
    assert call(ann) == ""
    ann.may(EVERYTHING, deny(action))
    assert call(ann).endswith(f"{action}{where} with an explicit deny in an identity-based policy")


@pytest.mark.parametrize("name", CALLS)
def test_the_action_on_that_resource_is_enough(name: str, box: Sandbox) -> None:
    call, action, resource = CALLS[name]
    more = [allow("ec2:ExportImage", f"{EC2}::image/*"), allow("s3:ListBucket", ARN)]
    assert call(user(box, allow(action, resource.strip('"') or "*"), *more)) == ""


def test_who_the_caller_is_needs_no_permission(box: Sandbox) -> None:
    assert said(user(box, deny("*")).client("sts").get_caller_identity) == ""


def test_a_boundary_and_a_group_count(box: Sandbox) -> None:
    iam = box.client("iam")
    only_s3 = iam.create_policy(PolicyName="b", PolicyDocument=policy(allow("s3:*")))["Policy"]["Arn"]
    ann = user(box, EVERYTHING, PermissionsBoundary=only_s3)
    assert iam.get_user(UserName="ann")["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == only_s3
    assert said(ann.client("ec2").describe_images).endswith(
        "no permissions boundary allows the ec2:DescribeImages action"
    )
    assert said(ann.client("s3").list_buckets) == ""
    iam.delete_user_permissions_boundary(UserName="ann")
    assert said(ann.client("ec2").describe_images) == ""
    iam.create_group(GroupName="g")
    iam.put_group_policy(GroupName="g", PolicyName="p", PolicyDocument=policy(deny("ec2:*")))
    iam.add_user_to_group(GroupName="g", UserName="ann")
    assert "explicit deny in an identity-based policy" in said(ann.client("ec2").describe_images)


class TestOrganisations:
    """Service control policies: denials of Regions and without MFA are the usual ones."""

    REGIONS = deny("*", Condition={"StringNotEquals": {"aws:RequestedRegion": ["eu-west-1"]}})
    NO_MFA = deny("ec2:*", Condition={"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}})

    def test_regions(self, box: Sandbox) -> None:
        ann = user(box, EVERYTHING)
        rule = {key: value for key, value in self.REGIONS.items() if key != "Action"}
        box.organization.attach({"Version": "2012-10-17", "Statement": {**rule, "NotAction": ["iam:*", "sts:*"]}})
        denied = "with an explicit deny in a service control policy"
        assert said(ann.client("ec2").describe_images).endswith(denied)
        assert said(ann.client("s3").list_buckets).endswith(denied)
        assert said(ann.client("ec2", "eu-west-1").describe_images) == said(ann.client("iam").list_users) == ""
        assert said(box.client("ec2").describe_images).endswith(denied), "administrators as well"
        box.organization.clear()
        assert said(ann.client("ec2").describe_images) == ""

    def test_mfa(self, box: Sandbox) -> None:
        ann = user(box, EVERYTHING)
        box.organization.attach(policy(self.NO_MFA))
        assert "service control policy" in said(ann.client("ec2").describe_images), "what is absent is no MFA"
        plain = Ann(box, ann.client("sts").get_session_token()["Credentials"])
        assert "service control policy" in said(plain.client("ec2").describe_images)
        serial = f"arn:aws:iam::{ACCOUNT}:mfa/ann"
        token = ann.client("sts").get_session_token(SerialNumber=serial, TokenCode="123456")
        assert said(Ann(box, token["Credentials"]).client("ec2").describe_images) == ""

    def test_what_is_not_allowed_by_any(self, box: Sandbox) -> None:
        ann = user(box, EVERYTHING)
        box.organization.attach(policy(allow("s3:*")))
        assert "because no service control policy allows" in said(ann.client("ec2").describe_images)
        assert said(ann.client("s3").list_buckets) == ""

    def test_one_account(self, box: Sandbox) -> None:
        ann = user(box, EVERYTHING)
        box.organization.attach(policy(deny("*")), account="210987654321")
        assert said(ann.client("ec2").describe_images) == ""
        for wrong in ("[]", "nonsense", policy(*[deny("*")] * 400)):
            with pytest.raises(ValueError, match=r"policy|JSON|Expecting"):
                box.organization.attach(wrong)


class TestBucketPolicies:
    """Denials that hold for everybody, also for the account itself."""

    @pytest.fixture
    def put(self, box: Sandbox) -> Callable[..., None]:
        def put(*statements: dict[str, Any]) -> None:
            box.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=policy(*statements))

        return put

    def test_transport(self, box: Sandbox, put: Any) -> None:
        put(deny("s3:*", [ARN, f"{ARN}/*"], Principal="*", Condition={"Bool": {"aws:SecureTransport": "false"}}))
        ann = user(box, EVERYTHING)
        assert said(ann.client("s3").list_objects_v2, Bucket=BUCKET) == ""
        plain = said(ann.client("s3", use_ssl=False).list_objects_v2, Bucket=BUCKET)
        assert plain.endswith(f'"{ARN}" with an explicit deny in a resource-based policy')

    def test_endpoint(self, box: Sandbox, put: Any) -> None:
        put(deny("s3:*", f"{ARN}/*", Principal="*", Condition={"StringNotEquals": {"aws:SourceVpce": "vpce-1a2b3c4d"}}))
        assert "resource-based policy" in said(user(box, EVERYTHING).client("s3").put_object, Bucket=BUCKET, Key="k")
        assert "resource-based policy" in said(box.client("s3").put_object, Bucket=BUCKET, Key="k")
        box.client("s3").delete_bucket_policy(Bucket=BUCKET)
        assert said(box.client("s3").put_object, Bucket=BUCKET, Key="k") == ""

    def test_encryption(self, box: Sandbox, put: Any) -> None:
        wanted = {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}
        put(deny("s3:PutObject", f"{ARN}/*", Principal="*", Condition=wanted))
        s3 = user(box, EVERYTHING).client("s3")
        assert "explicit deny in a resource-based policy" in said(s3.put_object, Bucket=BUCKET, Key="k")
        assert said(s3.put_object, Bucket=BUCKET, Key="k", ServerSideEncryption="aws:kms") == ""
        assert said(s3.create_multipart_upload, Bucket=BUCKET, Key="k") != ""
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k", ServerSideEncryption="aws:kms")["UploadId"]
        where = {"Bucket": BUCKET, "Key": "k", "UploadId": upload}
        part = s3.upload_part(**where, PartNumber=1, Body=b"x")
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        s3.complete_multipart_upload(**where, MultipartUpload=parts)

    def test_a_bucket_may_let_in_who_has_no_policy(self, box: Sandbox, put: Any) -> None:
        put(allow("s3:PutObject", f"{ARN}/in/*", Principal={"AWS": USER}))
        s3 = user(box).client("s3")
        assert said(s3.put_object, Bucket=BUCKET, Key="in/k") == ""
        assert "no identity-based policy" in said(s3.put_object, Bucket=BUCKET, Key="k")

    def test_another_account_needs_both(self, box: Sandbox, put: Any) -> None:
        root = "arn:aws:iam::210987654321:root"
        arn = "arn:aws:iam::210987654321:role/none-yet"
        other = owner(box).client("sts").assume_role(RoleArn=arn, RoleSessionName="admin")
        abroad = Ann(box, other["Credentials"])
        assert said(abroad.client("s3").put_object, Bucket=BUCKET, Key="k") == "AccessDenied: Access Denied"
        put(allow("s3:PutObject", f"{ARN}/*", Principal={"AWS": root}))
        assert said(abroad.client("s3").put_object, Bucket=BUCKET, Key="k") == ""

    def test_anonymous_requests_are_nobodys(self, box: Sandbox, put: Any) -> None:
        box.client("s3").put_object(Bucket=BUCKET, Key="k", Body=b"x")
        s3 = boto3.client("s3", region_name="us-east-1", config=Config(signature_version=UNSIGNED))
        assert code_of(s3.get_object, Bucket=BUCKET, Key="k") in ("403", "AccessDenied")
        put(allow("s3:GetObject", f"{ARN}/*", Principal="*"))
        assert code_of(s3.get_object, Bucket=BUCKET, Key="k") == ""
