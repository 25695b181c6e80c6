"""The service assumes its role for real: each hole in the role is refused with AWS's one sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET, HOUR, bootable, code_of, image_task, message_of, policy
from vmie.sandbox import Sandbox

REFUSED = "The service role {} provided does not exist or does not have sufficient permissions"
TRUST = {
    "Effect": "Allow",
    "Principal": {"Service": "vmie.amazonaws.com"},
    "Action": "sts:AssumeRole",
    "Condition": {"StringEquals": {"sts:ExternalId": "vmimport"}},
}
ON_BUCKET = {
    "Effect": "Allow",
    "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
    "Resource": f"arn:aws:s3:::{BUCKET}",
}
ON_OBJECTS = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
ON_EC2 = {
    "Effect": "Allow",
    "Action": ["ec2:ModifySnapshotAttribute", "ec2:CopySnapshot", "ec2:RegisterImage", "ec2:Describe*"],
    "Resource": "*",
}

ON_KEY = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]


def answer(ec2: Any, disk: dict[str, Any], **more: Any) -> str:
    return message_of(ec2.import_image, DiskContainers=[disk], **more)


@pytest.fixture
def grant(iam: Any) -> Any:
    """Replace the role's policy."""

    def put(*statements: dict[str, Any], role: str = "vmimport") -> None:
        iam.put_role_policy(RoleName=role, PolicyName="vmimport", PolicyDocument=policy(*statements))

    return put


def test_a_role_that_is_not_there(ec2: Any, disk: dict[str, Any]) -> None:
    assert answer(ec2, disk, RoleName="nobody") == REFUSED.format("nobody")


@pytest.mark.parametrize(
    "trust",
    [
        {**TRUST, "Principal": {"Service": "ec2.amazonaws.com"}},
        {**TRUST, "Action": "sts:TagSession"},
        {**TRUST, "Effect": "Deny"},
        {**TRUST, "Condition": {"StringEquals": {"sts:ExternalId": "other"}}},
        {**TRUST, "Condition": {"StringEquals": {"aws:SourceAccount": "210987654321"}}},
    ],
)
def test_a_role_that_does_not_trust_the_service(
    ec2: Any, iam: Any, disk: dict[str, Any], trust: dict[str, Any]
) -> None:
    iam.update_assume_role_policy(RoleName="vmimport", PolicyDocument=policy(trust))
    assert answer(ec2, disk) == REFUSED.format("vmimport")


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"sts:Externalid": "vmimport", "aws:SourceAccount": "123456789012"}},
        {
            "StringEquals": {"sts:ExternalId": "vmimport"},
            "ArnLike": {"aws:SourceArn": "arn:aws:vmie:*:123456789012:*"},
        },
    ],
)
def test_a_role_that_guards_against_confused_deputies(
    ec2: Any, iam: Any, disk: dict[str, Any], condition: dict[str, Any]
) -> None:
    iam.update_assume_role_policy(RoleName="vmimport", PolicyDocument=policy({**TRUST, "Condition": condition}))
    assert answer(ec2, disk) == ""


@pytest.mark.parametrize(
    ("statements", "taken"),
    [
        ((ON_BUCKET, ON_OBJECTS, ON_EC2), True),
        ((ON_OBJECTS, ON_EC2), False),
        ((ON_BUCKET, ON_EC2), False),
        ((ON_BUCKET, ON_OBJECTS), False),
        ((ON_BUCKET, {**ON_OBJECTS, "Resource": f"arn:aws:s3:::{BUCKET}/disk.raw"}, ON_EC2), True),
        ((ON_BUCKET, {**ON_OBJECTS, "Resource": f"arn:aws:s3:::{BUCKET}/other.raw"}, ON_EC2), False),
        ((ON_BUCKET, {**ON_OBJECTS, "Resource": "arn:aws-cn:s3:::*"}, ON_EC2), False),
        (({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"},), True),
        (
            (
                ON_BUCKET,
                ON_OBJECTS,
                ON_EC2,
                {**ON_OBJECTS, "Effect": "Deny", "Resource": f"arn:aws:s3:::{BUCKET}/disk*"},
            ),
            False,
        ),
    ],
)
def test_every_right_is_asked_for_on_that_very_object(
    ec2: Any, grant: Any, disk: dict[str, Any], statements: tuple[dict[str, Any], ...], taken: bool
) -> None:
    grant(*statements)
    assert answer(ec2, disk) == ("" if taken else REFUSED.format("vmimport"))


def test_rights_may_come_from_an_attached_policy_and_its_default_version(
    ec2: Any, iam: Any, disk: dict[str, Any]
) -> None:
    iam.create_role(RoleName="other", AssumeRolePolicyDocument=policy(TRUST))
    made = iam.create_policy(PolicyName="p", PolicyDocument=policy(ON_BUCKET, ON_OBJECTS, ON_EC2))["Policy"]["Arn"]
    assert answer(ec2, disk, RoleName="other") == REFUSED.format("other")
    iam.attach_role_policy(RoleName="other", PolicyArn=made)
    assert answer(ec2, disk, RoleName="other") == ""
    iam.create_policy_version(PolicyArn=made, PolicyDocument=policy(ON_EC2), SetAsDefault=True)
    assert answer(ec2, disk, RoleName="other") == REFUSED.format("other")


def test_a_permissions_boundary_takes_rights_away(ec2: Any, iam: Any, disk: dict[str, Any]) -> None:
    narrow = iam.create_policy(PolicyName="b", PolicyDocument=policy(ON_EC2))["Policy"]["Arn"]
    iam.create_role(RoleName="other", AssumeRolePolicyDocument=policy(TRUST), PermissionsBoundary=narrow)
    iam.put_role_policy(RoleName="other", PolicyName="p", PolicyDocument=policy(ON_BUCKET, ON_OBJECTS, ON_EC2))
    assert answer(ec2, disk, RoleName="other") == REFUSED.format("other")


def test_a_bucket_policy_may_deny(ec2: Any, s3: Any, disk: dict[str, Any]) -> None:
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy(denied))
    assert answer(ec2, disk) == REFUSED.format("vmimport")


def test_a_change_is_felt_only_when_it_has_spread(box: Sandbox, ec2: Any, grant: Any, disk: dict[str, Any]) -> None:
    box.faults.propagation = 8
    box.advance(100)
    grant(ON_EC2)
    assert answer(ec2, disk) == "", "what was taken away is there yet"
    box.advance(8)
    assert answer(ec2, disk) == REFUSED.format("vmimport")
    grant(ON_BUCKET, ON_OBJECTS, ON_EC2)
    box.advance(7)
    assert answer(ec2, disk) == REFUSED.format("vmimport")
    box.advance(1)
    assert answer(ec2, disk) == ""


def test_a_new_role_is_felt_only_when_it_has_spread(box: Sandbox, ec2: Any, iam: Any, disk: dict[str, Any]) -> None:
    box.faults.propagation = 8
    box.advance(100)
    iam.create_role(RoleName="new", AssumeRolePolicyDocument=policy(TRUST))
    iam.put_role_policy(RoleName="new", PolicyName="p", PolicyDocument=policy(ON_BUCKET, ON_OBJECTS, ON_EC2))
    assert answer(ec2, disk, RoleName="new") == REFUSED.format("new")
    box.advance(9)
    assert answer(ec2, disk, RoleName="new") == ""


def test_rights_that_are_lost_while_the_task_runs_fail_it(
    box: Sandbox, ec2: Any, grant: Any, disk: dict[str, Any]
) -> None:
    task_id = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
    grant(ON_BUCKET, ON_EC2)
    box.advance(HOUR)
    assert (
        "We do not have access to the given resource. Reason 403 Forbidden" in image_task(ec2, task_id)["StatusMessage"]
    )


class TestBuckets:
    def test_of_another_region_are_refused(self, ec2: Any, s3: Any) -> None:
        s3.create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        where = {"Format": "raw", "UserBucket": {"S3Bucket": "elsewhere", "S3Key": "k"}}
        assert answer(ec2, where) == "The given S3 bucket is not local to the Region"

    @pytest.mark.parametrize("where", [{"S3Bucket": "nowhere", "S3Key": "k"}, {"S3Bucket": BUCKET, "S3Key": "nothing"}])
    def test_and_objects_that_are_not_there_are_refused(self, ec2: Any, where: dict[str, str]) -> None:
        assert answer(ec2, {"Format": "raw", "UserBucket": where}) == "Invalid S3 source location"


class TestKeys:
    def test_encrypt_the_result_when_the_role_may_use_them(
        self, box: Sandbox, ec2: Any, grant: Any, disk: dict[str, Any]
    ) -> None:
        key = box.client("kms").create_key()["KeyMetadata"]["Arn"]
        assert answer(ec2, disk, Encrypted=True, KmsKeyId=key) == REFUSED.format("vmimport")
        grant(ON_BUCKET, ON_OBJECTS, ON_EC2, {"Effect": "Allow", "Action": ON_KEY, "Resource": key})
        task_id = ec2.import_image(DiskContainers=[disk], Encrypted=True, KmsKeyId=key)["ImportTaskId"]
        box.advance(HOUR)
        task = image_task(ec2, task_id)
        assert (task["Encrypted"], task["KmsKeyId"]) == (True, key)
        (snapshot,) = ec2.describe_snapshots(SnapshotIds=[task["SnapshotDetails"][0]["SnapshotId"]])["Snapshots"]
        assert snapshot["Encrypted"]

    def test_must_exist_and_be_enabled(self, box: Sandbox, ec2: Any, disk: dict[str, Any]) -> None:
        kms = box.client("kms")
        assert (
            code_of(ec2.import_image, DiskContainers=[disk], Encrypted=True, KmsKeyId="alias/no") == "InvalidParameter"
        )
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.disable_key(KeyId=key)
        code = code_of(ec2.import_image, DiskContainers=[disk], Encrypted=True, KmsKeyId=key)
        assert code == "CustomerKeyHasBeenRevoked"

    def test_of_the_source_object_need_decrypt(self, box: Sandbox, ec2: Any, s3: Any, grant: Any) -> None:
        key = box.client("kms").create_key()["KeyMetadata"]["Arn"]
        s3.put_object(Bucket=BUCKET, Key="locked", Body=bootable(), ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
        where = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "locked"}}
        assert answer(ec2, where) == REFUSED.format("vmimport")
        grant(ON_BUCKET, ON_OBJECTS, ON_EC2, {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key})
        assert answer(ec2, where) == ""

    def test_policy_of_the_key_may_deny(self, box: Sandbox, ec2: Any, grant: Any, disk: dict[str, Any]) -> None:
        statements = [
            {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:*"},
            {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "kms:CreateGrant"},
        ]
        document = json.dumps({"Statement": [{**one, "Resource": "*"} for one in statements]})
        key = box.client("kms").create_key(Policy=document)["KeyMetadata"]["Arn"]
        grant(ON_BUCKET, ON_OBJECTS, ON_EC2, {"Effect": "Allow", "Action": ON_KEY, "Resource": key})
        assert answer(ec2, disk, Encrypted=True, KmsKeyId=key) == REFUSED.format("vmimport")
