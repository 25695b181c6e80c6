"""Objects, keys, tags, roles that are passed on; and the simulator, which says what the services do."""

from __future__ import annotations

import itertools
import json
from typing import Any, ClassVar

import pytest

from tests.sandbox.callers import ACCOUNT, ROOT, USER, Ann, allow, deny, owner, policy, role, said, user
from tests.sandbox.conftest import BUCKET, code_of
from vmie.sandbox import Sandbox
from vmie.sandbox.seed import IMAGE, INSTANCE, SNAPSHOT

ARN, EC2 = f"arn:aws:s3:::{BUCKET}", "arn:aws:ec2:us-east-1"
EVERYTHING = allow("*")


class TestObjects:
    def test_a_missing_object_is_forbidden_to_who_may_not_list(self, box: Sandbox) -> None:
        ann = user(box, allow("s3:GetObject"))
        s3 = ann.client("s3")
        assert f's3:ListBucket on resource: "{ARN}"' in said(s3.get_object, Bucket=BUCKET, Key="missing")
        assert code_of(s3.head_object, Bucket=BUCKET, Key="missing") == "403"
        ann.may(allow(["s3:GetObject", "s3:ListBucket"]))
        assert code_of(s3.get_object, Bucket=BUCKET, Key="missing") == "NoSuchKey"
        assert code_of(s3.head_object, Bucket=BUCKET, Key="missing") == "404"

    def test_home_folders(self, box: Sandbox) -> None:
        s3 = user(
            box,
            allow("s3:ListBucket", ARN, Condition={"StringLike": {"s3:prefix": ["", "home/${aws:username}/*"]}}),
            allow("s3:*Object", f"{ARN}/home/${{aws:username}}/*"),
        ).client("s3")
        assert said(s3.list_objects_v2, Bucket=BUCKET, Prefix="home/ann/x") == ""
        assert said(s3.list_objects_v2, Bucket=BUCKET, Prefix="home/bob/") != ""
        assert said(s3.put_object, Bucket=BUCKET, Key="home/ann/x") == ""
        assert said(s3.put_object, Bucket=BUCKET, Key="home/bob/x") != ""

    def test_keys_are_deleted_one_by_one(self, box: Sandbox) -> None:
        s3 = user(box, EVERYTHING, deny("s3:DeleteObject", f"{ARN}/keep/*")).client("s3")
        for key in ("a", "keep/b"):
            s3.put_object(Bucket=BUCKET, Key=key)
        answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "a"}, {"Key": "keep/b"}]})
        assert [one["Key"] for one in answer["Deleted"]] == ["a"]
        assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("keep/b", "AccessDenied")]
        assert s3.head_object(Bucket=BUCKET, Key="keep/b")

    def test_what_a_copy_and_its_extras_need(self, box: Sandbox) -> None:
        ann = user(box, allow("s3:PutObject", f"{ARN}/to"))
        s3, admin = ann.client("s3"), box.client("s3")
        admin.put_object(Bucket=BUCKET, Key="from")
        copy = {"Bucket": BUCKET, "Key": "to", "CopySource": f"{BUCKET}/from"}
        assert f's3:GetObject on resource: "{ARN}/from"' in said(s3.copy_object, **copy)
        assert "s3:PutObjectAcl" in said(s3.put_object, Bucket=BUCKET, Key="to", ACL="bucket-owner-full-control")
        assert "s3:PutObjectTagging" in said(s3.put_object, Bucket=BUCKET, Key="to", Tagging="a=b")
        assert said(s3.put_object, Bucket=BUCKET, Key="to") == ""


class TestKeys:
    def key(self, box: Sandbox, *statements: dict[str, Any]) -> str:
        more = {"Policy": policy(*statements)} if statements else {}
        return str(box.client("kms").create_key(**more)["KeyMetadata"]["Arn"])

    def test_the_keys_policy_leaves_it_to_the_account_or_decides(self, box: Sandbox) -> None:
        ann, usual = user(box), self.key(box)
        kms = ann.client("kms")
        assert f"on resource: {usual} because no identity-based policy" in said(kms.describe_key, KeyId=usual)
        ann.may(allow("kms:*", usual))
        assert said(kms.encrypt, KeyId=usual, Plaintext=b"x") == ""
        named = self.key(box, allow("kms:*", Principal={"AWS": USER}))
        assert said(kms.encrypt, KeyId=named, Plaintext=b"x") == ""
        closed = self.key(box, allow("kms:*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/vmimport"}))
        assert said(kms.encrypt, KeyId=closed, Plaintext=b"x").startswith(
            f"AccessDeniedException: User: {USER} is not authorized to perform: kms:Encrypt on this resource because "
        )
        owner(box).client("kms").create_grant(KeyId=closed, GranteePrincipal=USER, Operations=["Encrypt"])
        assert said(kms.encrypt, KeyId=closed, Plaintext=b"x") == ""
        assert said(kms.describe_key, KeyId=closed) != ""

    def test_a_key_for_one_service_only(self, box: Sandbox) -> None:
        through = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
        key = self.key(box, allow("kms:*", Principal={"AWS": ROOT}, Condition=through))
        ann = user(box, allow("s3:*"), allow("kms:*"))
        s3, sealed = ann.client("s3"), {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
        assert "kms:GenerateDataKey" in said(ann.client("kms").generate_data_key, KeyId=key, KeySpec="AES_256")
        assert said(s3.put_object, Bucket=BUCKET, Key="k", **sealed) == ""
        assert said(s3.get_object, Bucket=BUCKET, Key="k") == ""
        ann.may(allow("s3:*"), allow("kms:GenerateDataKey"))
        assert "kms:Decrypt on resource" in said(s3.get_object, Bucket=BUCKET, Key="k")
        ann.may(allow("s3:*"))
        refused = said(s3.put_object, Bucket=BUCKET, Key="k", **sealed)
        assert f"{USER} is not authorized to perform: kms:GenerateDataKey on resource: {key} because no id" in refused

    def test_a_buckets_default_key_is_the_callers_need_too(self, box: Sandbox) -> None:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.key(box)}}
        box.client("s3").put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
        ann = user(box, allow("s3:*"), allow("kms:GenerateDataKey"))
        s3 = ann.client("s3")
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
        part = {"Bucket": BUCKET, "Key": "k", "UploadId": upload, "PartNumber": 1, "Body": b"x"}
        assert "kms:Decrypt" in said(s3.upload_part, **part), "S3 asks for it of uploads in parts"
        ann.may(allow("s3:*"), allow(["kms:GenerateDataKey", "kms:Decrypt"]))
        assert said(s3.upload_part, **part) == ""

    def test_encryption_contexts(self, box: Sandbox) -> None:
        wanted = {"StringEquals": {"kms:EncryptionContext:app": "vmie"}}
        kms, key = user(box, allow("kms:Encrypt", Condition=wanted)).client("kms"), self.key(box)
        assert said(kms.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"app": "vmie"}) == ""
        assert said(kms.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"app": "other"}) != ""
        assert said(kms.encrypt, KeyId=key, Plaintext=b"x") != ""


class TestTagsAndRoles:
    TAGS: ClassVar = [{"ResourceType": "import-image-task", "Tags": [{"Key": "team", "Value": "red"}]}]

    def imported(self, ann: Ann, **more: Any) -> str:
        disk = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "k"}}
        return said(ann.client("ec2").import_image, DiskContainers=[disk], **more)

    def test_tags_on_creation(self, box: Sandbox) -> None:
        ann = user(box, allow("ec2:ImportImage"))
        assert self.imported(ann) == ""
        refused = self.imported(ann, TagSpecifications=self.TAGS)
        assert f"ec2:CreateTags on resource: {EC2}:{ACCOUNT}:import-image-task/*" in refused
        on_creation = {"StringEquals": {"ec2:CreateAction": "ImportImage"}}
        ann.may(allow("ec2:ImportImage"), allow("ec2:CreateTags", Condition=on_creation))
        assert self.imported(ann, TagSpecifications=self.TAGS) == ""
        tag = {"Resources": [IMAGE], "Tags": [{"Key": "team", "Value": "red"}]}
        assert "ec2:CreateTags" in said(ann.client("ec2").create_tags, **tag)

    @pytest.mark.parametrize(
        ("condition", "value", "taken"),
        [
            ({"StringEquals": {"aws:RequestTag/team": ["red", "blue"]}}, "red", True),
            ({"StringEquals": {"aws:RequestTag/team": ["red", "blue"]}}, "green", False),
            ({"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}, "red", True),
            ({"ForAllValues:StringEquals": {"aws:TagKeys": ["cost"]}}, "red", False),
            ({"Null": {"aws:RequestTag/owner": "false"}}, "red", False),
        ],
    )
    def test_which_tags(self, condition: Any, value: str, taken: bool, box: Sandbox) -> None:
        tags = [{"ResourceType": "import-image-task", "Tags": [{"Key": "team", "Value": value}]}]
        ann = user(box, allow("ec2:ImportImage"), allow("ec2:CreateTags", Condition=condition))
        assert (self.imported(ann, TagSpecifications=tags) == "") is taken

    def test_tags_of_what_is_there(self, box: Sandbox) -> None:
        mine = {"StringEquals": {"ec2:ResourceTag/owner": "${aws:username}"}}
        ec2 = user(box, allow("ec2:StopInstances", Condition=mine)).client("ec2")
        assert said(ec2.stop_instances, InstanceIds=[INSTANCE]) != ""
        box.client("ec2").create_tags(Resources=[INSTANCE], Tags=[{"Key": "owner", "Value": "ann"}])
        assert said(ec2.stop_instances, InstanceIds=[INSTANCE]) == ""

    def test_each_resource_is_asked_for(self, box: Sandbox) -> None:
        ann = user(box, allow("ec2:ImportImage", f"{EC2}:{ACCOUNT}:import-image-task/*"))
        assert f"ec2:ImportImage on resource: {EC2}::image/*" in self.imported(ann)
        ann.may(allow("ec2:ImportImage", [f"{EC2}:{ACCOUNT}:import-image-task/*", f"{EC2}::image/*"]))
        assert self.imported(ann) == ""
        ann.may(allow("ec2:DeleteSnapshot", f"{EC2}::snapshot/snap-1*"))
        assert said(ann.client("ec2").delete_snapshot, SnapshotId=SNAPSHOT) != ""

    def test_a_role_is_passed_on(self, box: Sandbox) -> None:
        own = role(box, name="importer")
        ann = user(box, allow("ec2:*"))
        assert self.imported(ann) == self.imported(ann, RoleName="vmimport") == "", "the service's own"
        assert f"iam:PassRole on resource: {own}" in self.imported(ann, RoleName="importer")
        to_it = {"StringEquals": {"iam:PassedToService": "vmie.amazonaws.com"}}
        ann.may(allow("ec2:*"), allow("iam:PassRole", own, Condition=to_it))
        assert self.imported(ann, RoleName="importer") == ""
        to_it = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
        ann.may(allow("ec2:*"), allow("iam:PassRole", own, Condition=to_it))
        assert self.imported(ann, RoleName="importer") != ""

    def test_boundaries_may_be_demanded(self, box: Sandbox) -> None:
        arn = f"arn:aws:iam::{ACCOUNT}:policy/limit"
        box.client("iam").create_policy(PolicyName="limit", PolicyDocument=policy(allow("ec2:*")))
        wanted = {"StringEquals": {"iam:PermissionsBoundary": arn}}
        iam = user(box, allow(["iam:CreateRole", "iam:PutRolePolicy"], Condition=wanted)).client("iam")
        new = {
            "RoleName": "r",
            "AssumeRolePolicyDocument": policy({**allow("sts:AssumeRole"), "Principal": {"AWS": ROOT}}),
        }
        new["AssumeRolePolicyDocument"] = new["AssumeRolePolicyDocument"].replace(', "Resource": "*"', "")
        assert said(iam.create_role, **new) != ""
        assert said(iam.create_role, **new, PermissionsBoundary=arn) == ""
        rights = {"PolicyName": "p", "PolicyDocument": policy(allow("ec2:*"))}
        assert said(iam.put_role_policy, RoleName="r", **rights) == ""
        assert said(iam.put_role_policy, RoleName="vmimport", **rights) != ""


def test_snapshots_by_ebs_direct(box: Sandbox) -> None:
    ann = user(box, allow("ebs:*", Condition={"NumericLessThanEqualsIfExists": {"ebs:VolumeSize": "10"}}))
    ebs, tags = ann.client("ebs"), [{"Key": "a", "Value": "b"}]
    assert said(ebs.start_snapshot, VolumeSize=10) == ""
    assert said(ebs.start_snapshot, VolumeSize=11) != ""
    assert "ec2:CreateTags" in said(ebs.start_snapshot, VolumeSize=1, Tags=tags)


def test_the_limits_of_documents(box: Sandbox) -> None:
    iam, long = box.client("iam"), policy(*[allow("s3:GetObject", f"{ARN}/{number:060}") for number in range(80)])
    user(box)
    role(box)
    put = {"PolicyName": "q", "PolicyDocument": long}
    assert code_of(iam.put_user_policy, UserName="ann", **put) == "LimitExceeded"
    assert code_of(iam.put_role_policy, RoleName="ops", **put) == "LimitExceeded"
    assert code_of(iam.create_policy, **put) == "LimitExceeded"
    short = json.dumps(json.loads(policy(allow("s3:GetObject", f"{ARN}/x"))), indent=2000)
    iam.put_user_policy(UserName="ann", PolicyName="spaced", PolicyDocument=short)


def test_the_simulator_says_what_the_services_do(box: Sandbox) -> None:
    """Each statement with each other, as identity policy and as boundary."""
    statements = {
        "list": allow("s3:ListBucket", ARN),
        "here": allow("s3:*", Condition={"StringEquals": {"aws:RequestedRegion": "us-east-1"}}),
        "there": allow("s3:*", Condition={"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}),
        "not": {"Effect": "Allow", "NotAction": "s3:List*", "Resource": "*"},
        "deny": deny("*", Condition={"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}),
        "late": deny("s3:*", Condition={"DateGreaterThan": {"aws:CurrentTime": "2100-01-01T00:00:00Z"}}),
    }
    iam, ann = box.client("iam"), user(box)
    s3 = ann.client("s3")
    now = {"aws:RequestedRegion": "us-east-1", "aws:CurrentTime": box.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")}
    entries = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"} for key, value in now.items()
    ]
    asked = {"ActionNames": ["s3:ListBucket"], "ResourceArns": [ARN], "ContextEntries": entries}
    for one, other in itertools.product(statements.values(), repeat=2):
        ann.may(one, other)
        ours = said(s3.list_objects_v2, Bucket=BUCKET)
        found = iam.simulate_principal_policy(PolicySourceArn=USER, **asked)["EvaluationResults"][0]
        same = iam.simulate_custom_policy(PolicyInputList=[policy(one, other)], **asked)["EvaluationResults"][0]
        words = "allowed" if not ours else "explicitDeny" if "explicit deny" in ours else "implicitDeny"
        assert found["EvalDecision"] == same["EvalDecision"] == words, (one, other)
    keys = iam.get_context_keys_for_custom_policy(PolicyInputList=[policy(*statements.values())])["ContextKeyNames"]
    assert keys == ["aws:CurrentTime", "aws:MultiFactorAuthPresent", "aws:RequestedRegion"]
