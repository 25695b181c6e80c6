"""The policies that AWS's guides show, shortened, each held to what its page says of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from vmie.policy.authorize import Caller, Guard, authorize
from vmie.policy.evaluate import Access

IAM = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_examples_"
S3 = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-bucket-policies.html#example-bucket-policies-"
KMS = "https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-"
ELEMENTS = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_"
EC2 = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html"
ACCOUNT = "111122223333"
JOHN, ROLE = f"arn:aws:iam::{ACCOUNT}:user/JohnDoe", f"arn:aws:iam::{ACCOUNT}:role/JohnDoe"
BUCKET, OBJECT = "arn:aws:s3:::b", "arn:aws:s3:::b/key"
VM, VOLUME = f"arn:aws:ec2:us-east-2:{ACCOUNT}:instance/i-1", f"arn:aws:ec2:us-east-2:{ACCOUNT}:volume/vol-1"
KEY = f"arn:aws:kms:us-west-2:{ACCOUNT}:key/1"


class Page(NamedTuple):
    """Policies of a page: `own` is the caller's, `resource` the bucket's or (`alone`) the key's."""

    url: str
    own: tuple[dict[str, Any], ...] = ()
    resource: tuple[dict[str, Any], ...] = ()
    alone: bool = False


def says(effect: str, actions: Any, resources: Any = "*", /, **condition: Any) -> dict[str, Any]:
    """A statement; keywords are condition operators, ``_`` for the colon of a set operator."""
    tests = {name.replace("_", ":"): keys for name, keys in condition.items()}
    return {"Effect": effect, "Action": actions, "Resource": resources, **({"Condition": tests} if tests else {})}


def to(principal: Any, statement: dict[str, Any]) -> dict[str, Any]:
    return {**statement, "Principal": principal}


def but(statement: dict[str, Any]) -> dict[str, Any]:
    """The statement of everything but its actions, and but its resources where it names some."""
    found = {**statement, "NotAction": statement["Action"]}
    if statement["Resource"] != "*":
        found["NotResource"] = found.pop("Resource")
    return {key: value for key, value in found.items() if key != "Action"}


EVERYTHING = says("Allow", "*")
REGIONS = Page(
    f"{IAM}aws_deny-requested-region.html",
    (EVERYTHING, but(says("Deny", ["cloudfront:*", "iam:*"], StringNotEquals={"aws:RequestedRegion": ["eu-west-1"]}))),
)
DATES = Page(
    f"{IAM}aws-dates.html",
    (
        says(
            "Allow",
            "ec2:StartInstances",
            DateGreaterThan={"aws:CurrentTime": "2020-04-01T00:00:00Z"},
            DateLessThan={"aws:CurrentTime": "2020-06-30T23:59:59Z"},
        ),
    ),
)
ADDRESSES = Page(
    f"{IAM}aws_deny-ip.html",
    (
        EVERYTHING,
        says(
            "Deny",
            "*",
            NotIpAddress={"aws:SourceIp": ["192.0.2.0/24", "203.0.113.0/24"]},
            Bool={"aws:ViaAWSService": "false"},
        ),
    ),
)
MFA = Page(
    f"{IAM}ec2_require-mfa.html",
    (
        says("Allow", "ec2:*"),
        says("Deny", "ec2:StopInstances", BoolIfExists={"aws:MultiFactorAuthPresent": False}),
    ),
)
PASSED = Page(
    f"{IAM}iam-passrole-service.html",
    (says("Allow", "iam:PassRole", StringEquals={"iam:PassedToService": "cloudwatch.amazonaws.com"}),),
)
TAGGED_ROLE = Page(
    f"{IAM}iam-assume-tagged-role.html",
    (says("Allow", "sts:AssumeRole", StringEquals={"iam:ResourceTag/Project": "ExampleCorpABC"}),),
)
HOME = Page(
    f"{IAM}s3_home-directory-console.html",
    (
        says("Allow", "s3:ListBucket", BUCKET, StringLike={"s3:prefix": ["", "home/", "home/${aws:username}/*"]}),
        says("Allow", "s3:*", [f"{BUCKET}/home/${{aws:username}}", f"{BUCKET}/home/${{aws:username}}/*"]),
    ),
)
OWNERS = Page(
    f"{IAM}ec2_tag-owner.html",
    (
        says(
            "Allow",
            "ec2:StopInstances",
            "arn:aws:ec2:*:*:instance/*",
            StringEquals={"aws:ResourceTag/Owner": "${aws:username}"},
        ),
    ),
)
CENTRES = Page(
    f"{IAM}ec2-start-stop-match-tags.html",
    (
        says(
            "Allow",
            "ec2:startInstances",
            StringEquals={"aws:ResourceTag/CostCenter": "${aws:PrincipalTag/CostCenter}"},
        ),
    ),
)
ONLY_BUCKET = Page(
    f"{IAM}s3_deny-except-bucket.html",
    (EVERYTHING, but(says("Deny", "s3:*", [BUCKET, f"{BUCKET}/*"]))),
)
PRODUCTION = Page(
    f"{IAM}s3_full-access-except-production.html",
    (
        says("Allow", "s3:GetObject", "arn:aws:s3:::*/*"),
        says("Deny", "s3:*", f"{BUCKET}/*", NumericGreaterThanIfExists={"aws:MultiFactorAuthAge": "1800"}),
    ),
)
NEW_USERS = Page(
    f"{IAM}iam-new-user-tag.html",
    (
        says(
            "Allow",
            "iam:CreateUser",
            StringEqualsIfExists={"aws:RequestTag/Department": ["Development", "QualityAssurance"]},
            ForAllValues_StringEquals={"aws:TagKeys": ["Department", "JobFunction"]},
        ),
    ),
)
MANAGED = Page(
    f"{IAM}iam_limit-managed.html",
    (says("Allow", "iam:AttachUserPolicy", ArnEquals={"iam:PolicyARN": ["arn:aws:iam::*:policy/policy-name-1"]}),),
)
VOLUMES = Page(
    f"{IAM}ec2_ebs-owner.html",
    (
        says("Allow", "ec2:AttachVolume", "arn:aws:ec2:*:*:instance/*", StringEquals={"aws:ResourceTag/D": "Dev"}),
        says(
            "Allow",
            "ec2:AttachVolume",
            "arn:aws:ec2:*:*:volume/*",
            StringEquals={"aws:ResourceTag/VolumeUser": "${aws:username}"},
        ),
    ),
)
ONE_REGION = Page(f"{IAM}ec2_region.html", (says("Allow", "ec2:*", StringEquals={"ec2:Region": "us-east-2"}),))
IF_EXISTS = Page(
    f"{ELEMENTS}elements_condition_operators.html#Conditions_IfExists",
    (says("Allow", "ec2:RunInstances", StringLikeIfExists={"ec2:InstanceType": ["t1.*", "t2.*"]}),),
)
LONG_TERM = Page(
    f"{ELEMENTS}elements_condition_operators.html#Conditions_Null",
    (says("Allow", "ec2:*", Null={"aws:TokenIssueTime": "true"}),),
)
ATTRIBUTES = Page(
    f"{ELEMENTS}multi-value-conditions.html",
    (says("Allow", "dynamodb:GetItem", ForAllValues_StringEquals={"dynamodb:Attributes": ["ID", "Message", "Tags"]}),),
)
FORBIDDEN = Page(
    f"{ELEMENTS}multi-value-conditions.html",
    (EVERYTHING, says("Deny", "dynamodb:PutItem", ForAnyValue_StringEquals={"dynamodb:Attributes": ["ID", "Time"]})),
)
DEFAULTS = Page(
    f"{ELEMENTS}variables.html#policy-vars-default-values",
    (says("Allow", "s3:GetObject", f"{BUCKET}/${{aws:PrincipalTag/team, 'company-wide'}}/*"),),
)
TAG_ON_CREATION = Page(
    EC2, (says("Allow", "ec2:CreateTags", StringEquals={"ec2:CreateAction": ["RunInstances", "CreateVolume"]}),)
)
OWN = (EVERYTHING,)
TLS = Page(
    f"{S3}use-case-HTTP-HTTPS-1",
    OWN,
    (to("*", says("Deny", "s3:*", [BUCKET, f"{BUCKET}/*"], Bool={"aws:SecureTransport": "false"})),),
)
ENCRYPTED = Page(
    f"{S3}encryption",
    OWN,
    (
        to(
            "*",
            says(
                "Deny", "s3:PutObject", f"{BUCKET}/*", Null={"s3:x-amz-server-side-encryption-aws-kms-key-id": "true"}
            ),
        ),
    ),
)
ONE_KEY = Page(
    f"{S3}encryption",
    OWN,
    (
        to(
            "*",
            says(
                "Deny",
                "s3:PutObject",
                f"{BUCKET}/*",
                ArnNotEqualsIfExists={"s3:x-amz-server-side-encryption-aws-kms-key-id": KEY},
            ),
        ),
    ),
)
ACL = Page(
    f"{S3}acl-2",
    (),
    (to({"AWS": JOHN}, says("Allow", "s3:PutObject", f"{BUCKET}/*", StringEquals={"s3:x-amz-acl": "public-read"})),),
)
OBJECT_TAGS = Page(
    f"{S3}object-tags-1",
    (),
    (
        to(
            {"AWS": JOHN},
            says(
                "Allow", "s3:GetObject", f"{BUCKET}/*", StringEquals={"s3:ExistingObjectTag/environment": "production"}
            ),
        ),
    ),
)
NEW_TAGS = Page(
    f"{S3}object-tags-2",
    (),
    (
        to(
            {"AWS": JOHN},
            says(
                "Allow",
                "s3:PutObjectTagging",
                f"{BUCKET}/*",
                ForAnyValue_StringEquals={"s3:RequestObjectTagKeys": ["Owner", "CreationDate"]},
            ),
        ),
    ),
)
NETWORK = Page(
    f"{S3}IP-1",
    OWN,
    (to("*", says("Deny", "s3:*", [BUCKET, f"{BUCKET}/*"], NotIpAddress={"aws:SourceIp": "192.0.2.0/24"})),),
)
MIXED = Page(
    f"{S3}IP-2",
    (),
    (
        to(
            "*",
            says(
                "Allow",
                "s3:*",
                [BUCKET, f"{BUCKET}/*"],
                IpAddress={"aws:SourceIp": ["192.0.2.0/24", "2001:DB8:1234:5678::/64"]},
                NotIpAddress={"aws:SourceIp": ["203.0.113.0/24", "2001:DB8:1234:5678:ABCD::/80"]},
            ),
        ),
    ),
)
REFERERS = Page(
    f"{S3}HTTP-HTTPS-2",
    (),
    (to("*", says("Allow", "s3:GetObject", f"{BUCKET}/*", StringLike={"aws:Referer": "http://www.example.com/*"})),),
)
ORGANISATION = Page(
    f"{S3}org",
    (),
    (to({"AWS": "*"}, says("Allow", "s3:GetObject", f"{BUCKET}/*", StringEquals={"aws:PrincipalOrgID": ["o-a1"]})),),
)
ENDPOINT = Page(
    "https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-bucket-policies-vpc-endpoint.html",
    OWN,
    (to("*", says("Deny", "s3:*", [BUCKET, f"{BUCKET}/*"], StringNotEquals={"aws:SourceVpce": "vpce-1a2b3c4d"})),),
)
BOB = f"arn:aws:iam::{ACCOUNT}:user/Bob"
ONLY_BOB = Page(
    f"{ELEMENTS}elements_notprincipal.html",
    OWN,
    (
        {
            **says("Deny", "s3:*", [BUCKET, f"{BUCKET}/*"]),
            "NotPrincipal": {"AWS": [BOB, f"arn:aws:iam::{ACCOUNT}:root"]},
        },
    ),
)
VIA = Page(
    f"{KMS}via-service",
    (),
    (
        to(
            {"AWS": JOHN},
            says("Allow", "kms:Encrypt", StringEquals={"kms:ViaService": ["ec2.us-west-2.amazonaws.com"]}),
        ),
    ),
    alone=True,
)
FOR_AWS = Page(
    f"{KMS}grant-is-for-aws-resource",
    (),
    (to({"AWS": JOHN}, says("Allow", "kms:CreateGrant", Bool={"kms:GrantIsForAWSResource": True})),),
    alone=True,
)
CONTEXT = Page(
    f"{KMS}encryption-context",
    (),
    (to({"AWS": JOHN}, says("Allow", "kms:Decrypt", StringEquals={"kms:EncryptionContext:AppName": "ExampleApp"})),),
    alone=True,
)
CALLER_ACCOUNT = Page(
    f"{KMS}caller-account",
    (),
    (
        to(
            {"AWS": "*"},
            says(
                "Allow",
                "kms:Encrypt",
                StringEquals={"kms:CallerAccount": ACCOUNT, "kms:ViaService": "ec2.us-west-2.amazonaws.com"},
            ),
        ),
    ),
    alone=True,
)
NOON = {"aws:CurrentTime": "2020-05-01T12:00:00Z"}
SSE = "s3:x-amz-server-side-encryption-aws-kms-key-id"

CASES: list[tuple[Page, str, str, dict[str, Any], bool]] = [
    (REGIONS, "ec2:RunInstances", "*", {"aws:RequestedRegion": "us-east-1"}, False),
    (REGIONS, "ec2:RunInstances", "*", {"aws:RequestedRegion": "eu-west-1"}, True),
    (REGIONS, "iam:CreateUser", "*", {"aws:RequestedRegion": "us-east-1"}, True),
    (DATES, "ec2:StartInstances", VM, NOON, True),
    (DATES, "ec2:StartInstances", VM, {"aws:CurrentTime": "2020-07-01T00:00:00Z"}, False),
    (ADDRESSES, "ec2:StopInstances", VM, {"aws:SourceIp": "203.0.113.9", "aws:ViaAWSService": "false"}, True),
    (ADDRESSES, "ec2:StopInstances", VM, {"aws:SourceIp": "198.51.100.1", "aws:ViaAWSService": "false"}, False),
    (ADDRESSES, "ec2:StopInstances", VM, {"aws:SourceIp": "198.51.100.1", "aws:ViaAWSService": "true"}, True),
    (MFA, "ec2:StopInstances", VM, {}, False),
    (MFA, "ec2:StopInstances", VM, {"aws:MultiFactorAuthPresent": "false"}, False),
    (MFA, "ec2:StopInstances", VM, {"aws:MultiFactorAuthPresent": "true"}, True),
    (MFA, "ec2:StartInstances", VM, {}, True),
    (PASSED, "iam:PassRole", ROLE, {"iam:PassedToService": "cloudwatch.amazonaws.com"}, True),
    (PASSED, "iam:PassRole", ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}, False),
    (TAGGED_ROLE, "sts:AssumeRole", ROLE, {"iam:ResourceTag/Project": "ExampleCorpABC"}, True),
    (TAGGED_ROLE, "sts:AssumeRole", ROLE, {}, False),
    (HOME, "s3:ListBucket", BUCKET, {"s3:prefix": "home/JohnDoe/x"}, True),
    (HOME, "s3:ListBucket", BUCKET, {"s3:prefix": "home/Ann/x"}, False),
    (HOME, "s3:ListBucket", BUCKET, {"s3:prefix": ""}, True),
    (HOME, "s3:PutObject", f"{BUCKET}/home/JohnDoe/x", {}, True),
    (HOME, "s3:PutObject", f"{BUCKET}/home/Ann/x", {}, False),
    (OWNERS, "ec2:StopInstances", VM, {"aws:ResourceTag/Owner": "JohnDoe"}, True),
    (OWNERS, "ec2:StopInstances", VM, {"aws:ResourceTag/Owner": "johndoe"}, False),
    (CENTRES, "ec2:StartInstances", VM, {"aws:ResourceTag/CostCenter": "1", "aws:PrincipalTag/CostCenter": "1"}, True),
    (CENTRES, "ec2:StartInstances", VM, {"aws:ResourceTag/CostCenter": "1", "aws:PrincipalTag/CostCenter": "2"}, False),
    (CENTRES, "ec2:StartInstances", VM, {"aws:ResourceTag/CostCenter": "1"}, False),
    (ONLY_BUCKET, "s3:GetObject", OBJECT, {}, True),
    (ONLY_BUCKET, "ec2:RunInstances", VM, {}, False),
    (PRODUCTION, "s3:GetObject", "arn:aws:s3:::other/key", {}, True),
    (PRODUCTION, "s3:GetObject", OBJECT, {"aws:MultiFactorAuthAge": "60"}, True),
    (PRODUCTION, "s3:GetObject", OBJECT, {"aws:MultiFactorAuthAge": "1801"}, False),
    (PRODUCTION, "s3:GetObject", OBJECT, {}, False),
    (
        NEW_USERS,
        "iam:CreateUser",
        JOHN,
        {"aws:RequestTag/Department": "Development", "aws:TagKeys": ["Department"]},
        True,
    ),
    (NEW_USERS, "iam:CreateUser", JOHN, {"aws:RequestTag/Department": "Sales", "aws:TagKeys": ["Department"]}, False),
    (NEW_USERS, "iam:CreateUser", JOHN, {"aws:RequestTag/Other": "x", "aws:TagKeys": ["Other"]}, False),
    (NEW_USERS, "iam:CreateUser", JOHN, {}, True),
    (MANAGED, "iam:AttachUserPolicy", JOHN, {"iam:PolicyARN": f"arn:aws:iam::{ACCOUNT}:policy/policy-name-1"}, True),
    (MANAGED, "iam:AttachUserPolicy", JOHN, {"iam:PolicyARN": "arn:aws:iam::aws:policy/AdministratorAccess"}, False),
    (VOLUMES, "ec2:AttachVolume", VOLUME, {"aws:ResourceTag/VolumeUser": "JohnDoe"}, True),
    (VOLUMES, "ec2:AttachVolume", VM, {"aws:ResourceTag/VolumeUser": "JohnDoe"}, False),
    (ONE_REGION, "ec2:RunInstances", VM, {"ec2:Region": "us-east-2"}, True),
    (ONE_REGION, "ec2:RunInstances", VM, {"ec2:Region": "us-east-1"}, False),
    (IF_EXISTS, "ec2:RunInstances", VM, {"ec2:InstanceType": "t2.micro"}, True),
    (IF_EXISTS, "ec2:RunInstances", VM, {"ec2:InstanceType": "m5.large"}, False),
    (IF_EXISTS, "ec2:RunInstances", "arn:aws:ec2:us-east-2::image/ami-1", {}, True),
    (LONG_TERM, "ec2:DescribeImages", "*", {}, True),
    (LONG_TERM, "ec2:DescribeImages", "*", {"aws:TokenIssueTime": "2020-01-01T00:00:00Z"}, False),
    (ATTRIBUTES, "dynamodb:GetItem", "*", {"dynamodb:Attributes": ["ID", "Tags"]}, True),
    (ATTRIBUTES, "dynamodb:GetItem", "*", {"dynamodb:Attributes": ["ID", "UserName"]}, False),
    (FORBIDDEN, "dynamodb:PutItem", "*", {"dynamodb:Attributes": ["Time", "Message"]}, False),
    (FORBIDDEN, "dynamodb:PutItem", "*", {"dynamodb:Attributes": ["UserName"]}, True),
    (DEFAULTS, "s3:GetObject", f"{BUCKET}/red/x", {"aws:PrincipalTag/team": "red"}, True),
    (DEFAULTS, "s3:GetObject", f"{BUCKET}/company-wide/x", {}, True),
    (DEFAULTS, "s3:GetObject", f"{BUCKET}/company-wide/x", {"aws:PrincipalTag/team": "red"}, False),
    (TAG_ON_CREATION, "ec2:CreateTags", VM, {"ec2:CreateAction": "RunInstances"}, True),
    (TAG_ON_CREATION, "ec2:CreateTags", VM, {}, False),
    (TLS, "s3:GetObject", OBJECT, {"aws:SecureTransport": "true"}, True),
    (TLS, "s3:GetObject", OBJECT, {"aws:SecureTransport": "false"}, False),
    (ENCRYPTED, "s3:PutObject", OBJECT, {}, False),
    (ENCRYPTED, "s3:PutObject", OBJECT, {SSE: KEY}, True),
    (ONE_KEY, "s3:PutObject", OBJECT, {SSE: KEY}, True),
    (ONE_KEY, "s3:PutObject", OBJECT, {SSE: KEY.replace("key/1", "key/2")}, False),
    (ACL, "s3:PutObject", OBJECT, {"s3:x-amz-acl": "public-read"}, True),
    (ACL, "s3:PutObject", OBJECT, {}, False),
    (OBJECT_TAGS, "s3:GetObject", OBJECT, {"s3:ExistingObjectTag/environment": "production"}, True),
    (OBJECT_TAGS, "s3:GetObject", OBJECT, {"s3:ExistingObjectTag/environment": "test"}, False),
    (NEW_TAGS, "s3:PutObjectTagging", OBJECT, {"s3:RequestObjectTagKeys": ["Owner", "x"]}, True),
    (NEW_TAGS, "s3:PutObjectTagging", OBJECT, {"s3:RequestObjectTagKeys": ["x"]}, False),
    (NETWORK, "s3:GetObject", OBJECT, {"aws:SourceIp": "192.0.2.9"}, True),
    (NETWORK, "s3:GetObject", OBJECT, {"aws:SourceIp": "192.0.3.9"}, False),
    (MIXED, "s3:GetObject", OBJECT, {"aws:SourceIp": "2001:db8:1234:5678::1"}, True),
    (MIXED, "s3:GetObject", OBJECT, {"aws:SourceIp": "2001:db8:1234:5678:abcd::1"}, False),
    (MIXED, "s3:GetObject", OBJECT, {"aws:SourceIp": "203.0.113.1"}, False),
    (REFERERS, "s3:GetObject", OBJECT, {"aws:Referer": "http://www.example.com/page"}, True),
    (REFERERS, "s3:GetObject", OBJECT, {}, False),
    (ORGANISATION, "s3:GetObject", OBJECT, {"aws:PrincipalOrgID": "o-a1"}, True),
    (ORGANISATION, "s3:GetObject", OBJECT, {"aws:PrincipalOrgID": "o-b2"}, False),
    (ENDPOINT, "s3:GetObject", OBJECT, {"aws:SourceVpce": "vpce-1a2b3c4d"}, True),
    (ENDPOINT, "s3:GetObject", OBJECT, {}, False),
    (ONLY_BOB, "s3:GetObject", OBJECT, {}, False),
    (VIA, "kms:Encrypt", KEY, {"kms:ViaService": "ec2.us-west-2.amazonaws.com"}, True),
    (VIA, "kms:Encrypt", KEY, {"kms:ViaService": "s3.us-west-2.amazonaws.com"}, False),
    (VIA, "kms:Encrypt", KEY, {}, False),
    (FOR_AWS, "kms:CreateGrant", KEY, {"kms:GrantIsForAWSResource": "true"}, True),
    (FOR_AWS, "kms:CreateGrant", KEY, {"kms:GrantIsForAWSResource": "false"}, False),
    (CONTEXT, "kms:Decrypt", KEY, {"kms:EncryptionContext:AppName": "ExampleApp"}, True),
    (CONTEXT, "kms:Decrypt", KEY, {"kms:EncryptionContext:AppName": "exampleapp"}, False),
    (
        CALLER_ACCOUNT,
        "kms:Encrypt",
        KEY,
        {"kms:CallerAccount": ACCOUNT, "kms:ViaService": "ec2.us-west-2.amazonaws.com"},
        True,
    ),
    (CALLER_ACCOUNT, "kms:Encrypt", KEY, {"kms:CallerAccount": ACCOUNT}, False),
]


@pytest.mark.parametrize(("page", "action", "resource", "context", "allowed"), CASES)
def test_as_the_page_says(page: Page, action: str, resource: str, context: dict[str, Any], allowed: bool) -> None:
    john = Caller(JOHN, ACCOUNT, (_document(page.own),))
    guard = Guard(_document(page.resource) if page.resource else "", ACCOUNT, alone=page.alone)
    ask = Access(action, resource, {"aws:username": "JohnDoe", "aws:PrincipalArn": JOHN, **context})
    assert authorize(john, ask, guard).allowed is allowed, page.url


def _document(statements: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}
