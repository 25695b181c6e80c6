"""Temporary credentials: a role's, a user's own, a federated user's; and what trust policies ask for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.callers import ACCOUNT, USER, Ann, allow, policy, role, said, user
from tests.sandbox.conftest import BUCKET, HOUR, code_of
from vmie.sandbox import Sandbox

EVERYTHING = allow("*")


class TestSessions:
    def test_a_role_has_its_own_policies(self, box: Sandbox) -> None:
        role(box, allow("s3:*"))
        ops = user(box, EVERYTHING).as_role()
        assert said(ops.client("s3").list_buckets) == ""
        assert said(ops.client("ec2").describe_images) == (
            "UnauthorizedOperation: You are not authorized to perform this operation. User: "
            f"arn:aws:sts::{ACCOUNT}:assumed-role/ops/ann is not authorized to perform: ec2:DescribeImages because no "
            "identity-based policy allows the ec2:DescribeImages action"
        )

    def test_session_policies_take_away(self, box: Sandbox) -> None:
        role(box, EVERYTHING)
        managed = box.client("iam").create_policy(PolicyName="ec2", PolicyDocument=policy(allow("ec2:*")))["Policy"]
        ann = user(box, EVERYTHING)
        narrow = ann.as_role(Policy=policy(allow("s3:*")))
        assert said(narrow.client("s3").list_buckets) == ""
        assert "no session policy allows" in said(narrow.client("ec2").describe_images)
        other = ann.as_role(PolicyArns=[{"arn": managed["Arn"]}])
        assert said(other.client("ec2").describe_images) == ""
        assert "no session policy allows" in said(other.client("s3").list_buckets)

    def test_both_the_role_and_the_user_must_agree(self, box: Sandbox) -> None:
        arn = role(box, EVERYTHING)
        sts = user(box).client("sts")
        ask = {"RoleArn": arn, "RoleSessionName": "ann"}
        assert said(sts.assume_role, **ask) == (
            f"AccessDenied: User: {USER} is not authorized to perform: sts:AssumeRole on resource: {arn} because no "
            "identity-based policy allows the sts:AssumeRole action"
        )
        box.client("iam").update_assume_role_policy(
            RoleName="ops",
            PolicyDocument=policy({"Effect": "Allow", "Principal": {"AWS": USER}, "Action": "sts:AssumeRole"}),
        )
        assert said(sts.assume_role, **ask) == "", "named by itself it needs no permission of its own"
        box.client("iam").update_assume_role_policy(
            RoleName="ops",
            PolicyDocument=policy(
                {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ),
        )
        assert "because no role trust policy allows the sts:AssumeRole action" in said(sts.assume_role, **ask)

    @pytest.mark.parametrize(
        ("condition", "given", "taken"),
        [
            ({"StringEquals": {"sts:ExternalId": "x1"}}, {"ExternalId": "x1"}, True),
            ({"StringEquals": {"sts:ExternalId": "x1"}}, {"ExternalId": "x2"}, False),
            ({"StringEquals": {"sts:ExternalId": "x1"}}, {}, False),
            ({"Bool": {"aws:MultiFactorAuthPresent": "true"}}, {}, False),
            (
                {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
                {"SerialNumber": f"arn:aws:iam::{ACCOUNT}:mfa/ann", "TokenCode": "123456"},
                True,
            ),
            ({"StringLike": {"sts:RoleSessionName": "${aws:username}"}}, {}, True),
            ({"StringEquals": {"aws:PrincipalTag/team": "red"}}, {}, True),
            ({"StringEquals": {"aws:RequestTag/team": "red"}}, {"Tags": [{"Key": "team", "Value": "red"}]}, True),
        ],
    )
    def test_conditions_of_trust(self, condition: Any, given: dict[str, Any], taken: bool, box: Sandbox) -> None:
        arn = role(box, EVERYTHING, trust={"Condition": condition})
        ann = user(box, EVERYTHING, Tags=[{"Key": "team", "Value": "red"}])
        assert (said(ann.client("sts").assume_role, RoleArn=arn, RoleSessionName="ann", **given) == "") is taken

    def test_sessions_end_and_keys_are_taken_back(self, box: Sandbox) -> None:
        role(box, EVERYTHING)
        ann = user(box, EVERYTHING)
        ops = ann.as_role()
        box.advance(2 * HOUR)
        codes = {name: code_of(call) for name, call in calls(ops).items()}
        assert codes == {
            "s3": "ExpiredToken",
            "ec2": "RequestExpired",
            "iam": "ExpiredToken",
            "kms": "ExpiredTokenException",
        }
        gone = {"s3": "InvalidAccessKeyId", "ec2": "AuthFailure", "iam": "InvalidClientTokenId"}
        gone["kms"] = "UnrecognizedClientException"
        iam, key = box.client("iam"), {"UserName": "ann", "AccessKeyId": ann.keys["AccessKeyId"]}
        iam.update_access_key(**key, Status="Inactive")
        assert {name: code_of(call) for name, call in calls(ann).items()} == gone
        iam.delete_access_key(**key)
        assert {name: code_of(call) for name, call in calls(ann).items()} == gone

    def test_a_session_token_is_the_users(self, box: Sandbox) -> None:
        ann = user(box, allow("s3:*"))
        same = Ann(box, ann.client("sts").get_session_token()["Credentials"])
        assert same.client("sts").get_caller_identity()["Arn"] == USER
        assert said(same.client("s3").list_buckets) == ""
        assert said(same.client("ec2").describe_images) != ""

    def test_a_federated_user_has_what_both_allow(self, box: Sandbox) -> None:
        ann = user(box, allow(["s3:*", "sts:*"]))
        fed = ann.client("sts").get_federation_token(Name="fed", Policy=policy(allow(["s3:ListAllMyBuckets", "ec2:*"])))
        guest = Ann(box, fed["Credentials"])
        assert said(guest.client("s3").list_buckets) == ""
        assert said(guest.client("ec2").describe_images) != ""
        assert said(guest.client("s3").list_objects_v2, Bucket=BUCKET) != ""


def calls(who: Ann) -> dict[str, Any]:
    return {
        "s3": who.client("s3").list_buckets,
        "ec2": who.client("ec2").describe_images,
        "iam": who.client("iam").list_users,
        "kms": who.client("kms").list_keys,
    }
