"""What publishers of images ask of an account: dates of deprecation, AWS's own policies."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import BUCKET, code_of, policy
from vmie.sandbox.seed import IMAGE

S3 = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
ROLE_OF_SERVICE = "arn:aws:iam::aws:policy/service-role/AmazonEC2RoleforSSM"


class TestDeprecation:
    def test_is_set_shown_and_taken_back(self, ec2: Any) -> None:
        when = dt.datetime.now(dt.UTC) + dt.timedelta(days=180)
        assert ec2.enable_image_deprecation(ImageId=IMAGE, DeprecateAt=when)["Return"] is True
        (image,) = ec2.describe_images(ImageIds=[IMAGE])["Images"]
        shown = dt.datetime.fromisoformat(image["DeprecationTime"])
        assert abs(shown - when) <= dt.timedelta(seconds=30)
        assert shown.second == 0
        assert ec2.disable_image_deprecation(ImageId=IMAGE)["Return"] is True
        assert "DeprecationTime" not in ec2.describe_images(ImageIds=[IMAGE])["Images"][0]

    @pytest.mark.parametrize(
        ("call", "code"),
        [
            ({"DeprecateAt": dt.datetime(2001, 1, 1, tzinfo=dt.UTC)}, "InvalidParameterValue"),
            ({"DeprecateAt": dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)}, "InvalidParameterValue"),
            ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
            ({"DryRun": True}, "DryRunOperation"),
        ],
    )
    def test_is_refused_as_ec2_does(self, ec2: Any, call: dict[str, Any], code: str) -> None:
        when = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
        assert code_of(ec2.enable_image_deprecation, **{"ImageId": IMAGE, "DeprecateAt": when, **call}) == code


class TestManagedPoliciesOfAws:
    def test_are_attached_and_detached(self, iam: Any) -> None:
        for arn in (S3, ROLE_OF_SERVICE):
            iam.attach_role_policy(RoleName="vmimport", PolicyArn=arn)
        attached = iam.list_attached_role_policies(RoleName="vmimport")["AttachedPolicies"]
        assert {one["PolicyArn"] for one in attached} == {S3, ROLE_OF_SERVICE}
        iam.detach_role_policy(RoleName="vmimport", PolicyArn=S3)
        iam.attach_user_policy(UserName="sandbox", PolicyArn=S3)
        assert iam.get_policy(PolicyArn=S3)["Policy"]["AttachmentCount"] == 1

    def test_are_shown_with_their_documents(self, iam: Any) -> None:
        version = iam.get_policy(PolicyArn=S3)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=S3, VersionId=version)["PolicyVersion"]["Document"]
        assert "s3:*" in str(document)

    def test_are_listed(self, iam: Any) -> None:
        names = {
            one["PolicyName"]
            for page in iam.get_paginator("list_policies").paginate(Scope="AWS")
            for one in page["Policies"]
        }
        assert {"AmazonS3FullAccess", "AmazonEC2RoleforSSM", "AdministratorAccess"} <= names
        assert iam.list_policies(Scope="Local")["Policies"] == []

    def test_bound_a_role(self, iam: Any) -> None:
        trust = policy({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})
        iam.create_role(RoleName="bound", AssumeRolePolicyDocument=trust, PermissionsBoundary=S3)
        assert iam.get_role(RoleName="bound")["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == S3

    @pytest.mark.parametrize("arn", [f"{S3}s", "arn:aws-cn:iam::aws:policy/AmazonS3FullAccess"])
    def test_that_are_not_there_are_not(self, iam: Any, arn: str) -> None:
        with pytest.raises(ClientError, match="NoSuchEntity"):
            iam.attach_role_policy(RoleName="vmimport", PolicyArn=arn)


def test_tags_of_an_object_may_begin_with_aws_but_not_with_its_prefix(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="key", Body=b"")
    where: dict[str, Any] = {"Bucket": BUCKET, "Key": "key"}
    for given in ({"awspub:source": "a"}, {"awsome": "b", "team": "c"}, {"team": "d"}):
        pairs = [{"Key": name, "Value": value} for name, value in given.items()]
        s3.put_object_tagging(**where, Tagging={"TagSet": pairs})
        kept = {one["Key"]: one["Value"] for one in s3.get_object_tagging(**where)["TagSet"]}
        assert kept == given
    refused = {"TagSet": [{"Key": "aws:mine", "Value": "x"}]}
    assert code_of(s3.put_object_tagging, **where, Tagging=refused) == "InvalidTag"
