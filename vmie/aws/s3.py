"""Buckets: found, made and configured. (Objects go up in `vmie.aws.upload`.)"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from vmie import policy
from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, Run, Set
from vmie.policy import Document

if TYPE_CHECKING:
    from mypy_boto3_s3.literals import BucketLocationConstraintType
    from mypy_boto3_s3.type_defs import LifecycleRuleOutputTypeDef

#: the ID of our lifecycle rule
ABORT_RULE = "vmie-abort-incomplete-uploads"
#: after these many days the parts of an abandoned upload are removed (no import may last longer: seed)
#: an upload may take as long as a task, seven days, and a pause in between
ABORT_DAYS = 14

_ABSENT = ("NoSuchBucket", "NotFound")
_UNSET = {
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "access": "NoSuchPublicAccessBlockConfiguration",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "policy": "NoSuchBucketPolicy",
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket that this account owns."""

    name: str
    region: str


def find(aws: Aws, name: str) -> Bucket | None:
    """The account's bucket `name`; None when there is none in the world.

    Raises AwsRefused: code BucketNotOwned when it is another account's, AccessDenied when S3 will not
    say (another's, or the caller may not look).
    """
    return aws.cached(("bucket", name), lambda: _find(aws, name))


def _find(aws: Aws, name: str) -> Bucket | None:
    try:
        with refusals("HeadBucket", operand=f"s3://{name}"):
            answer = aws.client("s3").head_bucket(Bucket=name, **aws.owned())
    except AwsRefused as error:
        if error.code in _ABSENT:
            return None
        if error.code == "AccessDenied":
            raise _denied(aws, name, error) from error
        raise
    return Bucket(name, answer.get("BucketRegion") or _location(aws, name))


def expect_local(aws: Aws, name: str, *, export: bool = False) -> Bucket:
    """The account's bucket `name` in the session's Region, where the service wants it (seed).

    Raises AwsRefused with code NoSuchBucket, BucketNotOwned, AccessDenied, BucketElsewhere.
    """
    bucket = expect(aws, name, export=export)
    if bucket.region != aws.region:
        raise elsewhere(bucket, aws.region)
    return bucket


def expect(aws: Aws, name: str, *, export: bool = False) -> Bucket:
    """The account's bucket `name`, wherever it is. Raises AwsRefused: NoSuchBucket, BucketNotOwned, AccessDenied."""
    bucket = find(aws, name)
    if bucket is None:
        use = "export must take its objects" if export else "import must hold the images"
        option = "--export-bucket" if export else "--bucket"
        raise AwsRefused(
            f"there is no bucket {name}",
            cause=f"a bucket in the Region of the {use}",
            cure=Run(("vmie", "setup-role", option, name, "--create-bucket", "--region", aws.region)),
            code="NoSuchBucket",
        )
    return bucket


def region_of(aws: Aws, name: str) -> str:
    """The Region of any bucket, whoever owns it. Raises AwsRefused when there is none, or it may not be seen."""
    try:
        with refusals("HeadBucket", operand=f"s3://{name}"):
            answer = aws.client("s3").head_bucket(Bucket=name)
    except AwsRefused as error:
        if error.code in _ABSENT:
            raise AwsRefused(
                f"there is no bucket {name}",
                cure=Run(("aws", "s3", "ls"), "shows the names of yours"),
                code="NoSuchBucket",
            ) from error
        raise
    return answer.get("BucketRegion") or _location(aws, name)


def elsewhere(bucket: Bucket, region: str) -> AwsRefused:
    """The refusal of a bucket that is not in `region`."""
    return AwsRefused(
        f"the bucket {bucket.name} is in {bucket.region}, not in {region}",
        cause="VM Import/Export only takes a bucket of the Region it works in",
        cure=(Set("region", bucket.region, "to work there"), f"name a bucket of {region}"),
        code="BucketElsewhere",
    )


def create(aws: Aws, name: str) -> None:
    """Make bucket `name` in the session's Region, ACLs off. One that is ours already is taken as made.

    Raises AwsRefused, code BucketAlreadyExists when another account has the name.
    """
    parameters: dict[str, Any] = {"Bucket": name, "ObjectOwnership": "BucketOwnerEnforced"}
    # us-east-1 is refused as a LocationConstraint: there it must be absent.
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
    if aws.region != "us-east-1":
        parameters["CreateBucketConfiguration"] = {
            "LocationConstraint": cast("BucketLocationConstraintType", aws.region)
        }
    try:
        with refusals("CreateBucket", operand=f"s3://{name}"):
            aws.client("s3").create_bucket(**parameters)
    except AwsRefused as error:
        if error.code != "BucketAlreadyOwnedByYou":
            raise


def encryption(aws: Aws, name: str) -> str | None:
    """The default encryption: "AES256", "aws:kms", "aws:kms:dsse"; None where none is configured."""
    found = _read(aws, "encryption", "get_bucket_encryption", name)
    return next((str(one["SSEAlgorithm"]) for one in _defaults(found) if one.get("SSEAlgorithm")), None)


def encryption_key(aws: Aws, name: str) -> str:
    """The KMS key that the bucket encrypts with by default; "" for none, and for the one that S3 keeps itself."""
    return aws.cached(("encryption key", name), lambda: _encryption_key(aws, name))


def _encryption_key(aws: Aws, name: str) -> str:
    found = _read(aws, "encryption", "get_bucket_encryption", name)
    return next((str(one["KMSMasterKeyID"]) for one in _defaults(found) if one.get("KMSMasterKeyID")), "")


def _defaults(found: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The default of each encryption rule; a rule may hold a bucket key's switch alone."""
    rules = found["ServerSideEncryptionConfiguration"]["Rules"] if found else []
    return [rule.get("ApplyServerSideEncryptionByDefault") or {} for rule in rules]


def encrypt(aws: Aws, name: str) -> None:
    """Turn on SSE-S3, which exports can also write to (SSE-KMS they cannot: aws-facts 3.8)."""
    with refusals("PutBucketEncryption", operand=f"s3://{name}"):
        aws.client("s3").put_bucket_encryption(
            Bucket=name,
            ExpectedBucketOwner=aws.account,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        )


def public_access(aws: Aws, name: str) -> dict[str, bool] | None:
    """The public access block's four switches; None where none is configured."""
    found = _read(aws, "access", "get_public_access_block", name)
    return dict(found["PublicAccessBlockConfiguration"]) if found else None


def block_public_access(aws: Aws, name: str) -> None:
    """Turn all four switches on."""
    with refusals("PutPublicAccessBlock", operand=f"s3://{name}"):
        aws.client("s3").put_public_access_block(
            Bucket=name,
            ExpectedBucketOwner=aws.account,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )


def ownership(aws: Aws, name: str) -> str | None:
    """BucketOwnerEnforced (ACLs off), BucketOwnerPreferred or ObjectWriter; None where none is configured."""
    try:
        with refusals("GetBucketOwnershipControls", operand=f"s3://{name}"):
            found = aws.client("s3").get_bucket_ownership_controls(Bucket=name, ExpectedBucketOwner=aws.account)
    except AwsRefused as error:
        if error.code == "OwnershipControlsNotFoundError":
            return None
        raise
    return next((str(rule["ObjectOwnership"]) for rule in found["OwnershipControls"]["Rules"]), None)


def abort_days(aws: Aws, name: str) -> int | None:
    """After how many days a lifecycle rule removes the parts of uploads in the whole bucket; None where none does."""
    rules = [rule for rule in _lifecycle(aws, name).get("Rules", []) if _aborts_everywhere(rule)]
    return min((int(rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]) for rule in rules), default=None)


def aborts_uploads(aws: Aws, name: str) -> bool:
    """Whether some rule removes the parts of abandoned uploads; one of ours that is too hasty counts for none."""
    ours = [rule for rule in _lifecycle(aws, name).get("Rules", []) if rule.get("ID") == ABORT_RULE]
    days = abort_days(aws, name)
    return days is not None and not (ours and days < ABORT_DAYS)


def abort_uploads(aws: Aws, name: str) -> None:
    """Add the rule that removes the parts of abandoned uploads; all other rules are kept."""
    found = _lifecycle(aws, name)
    rules: list[Any] = [rule for rule in found.get("Rules", []) if rule.get("ID") != ABORT_RULE]
    rules.append(
        {
            "ID": ABORT_RULE,
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_DAYS},
        }
    )
    # The call replaces everything, so what was read goes back with it.
    parameters: dict[str, Any] = {"Bucket": name, "LifecycleConfiguration": {"Rules": rules}}
    if size := found.get("TransitionDefaultMinimumObjectSize"):
        parameters["TransitionDefaultMinimumObjectSize"] = size
    with refusals("PutBucketLifecycleConfiguration", operand=f"s3://{name}"):
        aws.client("s3").put_bucket_lifecycle_configuration(**parameters, ExpectedBucketOwner=aws.account)


def bucket_policy(aws: Aws, name: str) -> Document | None:
    """The bucket's policy; None where there is none."""
    found = _read(aws, "policy", "get_bucket_policy", name)
    if found is None:
        return None
    return policy.document(found["Policy"], operand=f"s3://{name}")


def set_bucket_policy(aws: Aws, name: str, document: Document) -> None:
    """Replace the bucket's policy."""
    with refusals("PutBucketPolicy", operand=f"s3://{name}"):
        aws.client("s3").put_bucket_policy(Bucket=name, Policy=json.dumps(document), ExpectedBucketOwner=aws.account)


def _read(aws: Aws, what: str, method: str, name: str) -> dict[str, Any] | None:
    """One part of the configuration; None for S3's own way of saying that it is not set."""
    operation = "".join(word.capitalize() for word in method.split("_"))
    try:
        with refusals(operation, operand=f"s3://{name}"):
            found: dict[str, Any] = getattr(aws.client("s3"), method)(Bucket=name, ExpectedBucketOwner=aws.account)
    except AwsRefused as error:
        if error.code == _UNSET[what]:
            return None
        raise
    return found


def _lifecycle(aws: Aws, name: str) -> dict[str, Any]:
    return _read(aws, "lifecycle", "get_bucket_lifecycle_configuration", name) or {}


def _aborts_everywhere(rule: LifecycleRuleOutputTypeDef) -> bool:
    narrowed = rule.get("Prefix") or any((rule.get("Filter") or {}).values())
    return rule["Status"] == "Enabled" and bool(rule.get("AbortIncompleteMultipartUpload")) and not narrowed


def _location(aws: Aws, name: str) -> str:
    """Stand-ins for S3 leave the Region out of HeadBucket. The two oldest Regions have names of their own."""
    with refusals("GetBucketLocation", operand=f"s3://{name}"):
        found = aws.client("s3").get_bucket_location(Bucket=name)["LocationConstraint"]
    return {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}.get(found, found)


def _denied(aws: Aws, name: str, error: AwsRefused) -> AwsRefused:
    """Tell another account's bucket from one that the caller may not look at."""
    try:
        with refusals("HeadBucket", operand=f"s3://{name}"):
            aws.client("s3").head_bucket(Bucket=name)
    except AwsRefused:
        return AwsRefused(
            f"access to the bucket {name} is denied",
            cause=f"it belongs to another account, or account {aws.bucket_owner or 'yours'} does not allow you "
            "s3:ListBucket on it",
            cure=f"if it is yours, have s3:ListBucket on arn:{aws.partition}:s3:::{name} allowed (and look for a Deny "
            "in its policy); else choose another name",
            code="AccessDenied",
            request_id=error.request_id,
        )
    return AwsRefused(
        f"the bucket {name} belongs to another account, not to {aws.account}",
        cause="the owner of a bucket can read and replace every image in it",
        cure=("name a bucket of your own", Set("profile", note="the owner's credentials")),
        code="BucketNotOwned",
        request_id=error.request_id,
    )
