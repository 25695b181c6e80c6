"""The bucket: there, ours, here, and fit for the job."""

from __future__ import annotations

from vmie import limits, policy
from vmie.aws import exportable, objects, s3, service_role
from vmie.errors import AwsRefused, Run, Set
from vmie.model import S3Object, Verdict
from vmie.ops.doctor.report import Case, Fix, Line, passed, refused
from vmie.policy.evaluate import Access, Decision, Principal, decide


def place(case: Case) -> list[Line]:
    """It exists, belongs to this account, and is in the Region."""
    if not case.by_bucket:
        return []
    if not case.bucket:
        return [
            Line(
                "bucket",
                Verdict.UNKNOWN,
                "no bucket is named",
                "neither an option, the environment, the settings file nor the role's own policy names one",
                Set("bucket"),
            )
        ]
    try:
        found = s3.expect_local(case.aws, case.bucket, export=case.exports)
    except AwsRefused as error:
        return [refused("bucket", error)]
    return [passed("bucket", f"{found.name} is this account's, in {found.region}")]


def objects_there(case: Case) -> list[Line]:
    """The objects that are named are there, and not put away in an archive."""
    lines = []
    for key in case.keys:
        url = S3Object(case.bucket, key).url
        found = objects.facts(case.aws, S3Object(case.bucket, key))
        if found is None:
            what, why = f"there is no object {url}", "it was deleted, or never uploaded to the end"
            lines.append(
                Line("object", Verdict.FAIL, what, why, Run(("aws", "s3", "ls", f"s3://{case.bucket}/")), "NoSuchKey")
            )
        elif found.storage in _ARCHIVES:
            what = f"{url} is in the storage class {found.storage}"
            why = "it cannot be read before it is restored"
            restored = ("restore it, then:", Run(("aws", "s3", "cp", url, url, "--storage-class", "STANDARD")))
            lines.append(Line("object", Verdict.FAIL, what, why, restored, "InvalidObjectState"))
        elif not found.size:
            lines.append(Line("object", Verdict.FAIL, f"{url} is empty", "nothing was uploaded", "send it again"))
        else:
            lines.append(passed("object", f"{url} is there, {found.size} bytes"))
    return lines


_AES256 = '{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"}}]}'
_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")


def encryption(case: Case) -> list[Line]:
    """Its default encryption: exports cannot write under a KMS key, imports need the key."""
    used = s3.encryption(case.aws, case.bucket)
    if used is None or not used.startswith("aws:kms"):
        return [passed("encryption", f"{case.bucket} encrypts with {used or 'S3’s own keys'}")]
    if case.exports:
        return [
            Line(
                "encryption",
                Verdict.FAIL,
                f"the bucket {case.bucket} encrypts with a KMS key",
                "VM Import/Export writes to buckets without encryption or with SSE-S3 only",
                (
                    Run(
                        (
                            *("aws", "s3api", "put-bucket-encryption", "--bucket", case.bucket),
                            *("--server-side-encryption-configuration", _AES256),
                        )
                    ),
                    Set("bucket", note="another one"),
                ),
                "ExportBucketKms",
            )
        ]
    return [passed("encryption", f"{case.bucket} encrypts with a KMS key, which the role must be allowed to use")]


def lifecycle(case: Case) -> list[Line]:
    """What broken uploads leave behind goes by itself."""
    if case.exports:
        return []
    days = s3.abort_days(case.aws, case.bucket)
    if days is not None and days * limits.DAY < limits.TASK_SECONDS.value:
        return [
            Line(
                "lifecycle",
                Verdict.WARN,
                f"the bucket {case.bucket} removes the parts of unfinished uploads after {days} days",
                "an upload that takes longer, or is resumed later, begins anew",
                f"let that lifecycle rule wait for {s3.ABORT_DAYS} days",
            )
        ]
    if days is not None:
        return [passed("lifecycle", "parts of unfinished uploads are removed by themselves")]
    return [
        Line(
            "lifecycle",
            Verdict.WARN,
            f"the bucket {case.bucket} keeps the parts of unfinished uploads for ever",
            "they are paid for and not shown by `aws s3 ls`",
            Run(
                ("vmie", "setup-role", "--bucket", case.bucket, "--create-bucket"),
                "adds the rule to the bucket that is there",
            ),
            fix=Fix(aborting=(case.bucket,)),
        )
    ]


def export_grant(case: Case) -> list[Line]:
    """For CreateInstanceExportTask, which does not work as the role: the Region's canonical user may write."""
    if not case.by_grant:
        return []
    who = limits.export_canonical_id(case.aws.region)
    ownership = s3.ownership(case.aws, case.bucket)
    current = s3.bucket_policy(case.aws, case.bucket)
    ours = policy.export_bucket(case.bucket, canonical_id=who, partition=case.aws.partition)
    arn = f"arn:{case.aws.partition}:s3:::{case.bucket}"
    asks = (Access("s3:GetBucketAcl", arn), Access("s3:PutObject", f"{arn}/{case.sample}"))
    decisions = {decide([current or {}], ask, principal=Principal("CanonicalUser", (who,))) for ask in asks}
    if decisions == {Decision.ALLOW} or (current and policy.merged(current, ours) == current):
        return [passed("export grant", f"the policy of {case.bucket} lets instance exports write")]
    if Decision.DENY not in decisions and ownership not in (None, "BucketOwnerEnforced") and _by_acl(case, who):
        return [passed("export grant", f"the ACL of {case.bucket} lets instance exports write")]
    off = ownership in (None, "BucketOwnerEnforced")
    return [
        Line(
            "export grant",
            Verdict.FAIL,
            f"the bucket {case.bucket} does not let VM Import/Export write instance exports"
            + (": its ACLs are off and its policy has no statement for it" if off else ""),
            f"CreateInstanceExportTask writes as canonical user {who}; without the grant it answers InternalError",
            Run(("vmie", "setup-role", "--export-bucket", case.bucket)),
            "ExportBucketGrant",
            case.mendable(Fix(export_buckets=(case.bucket,))),
        )
    ]


def _by_acl(case: Case, who: str) -> bool:
    granted = exportable.bucket(case.aws, case.bucket, grants=True).grants or ()
    return all((who, permission) in granted or (who, "FULL_CONTROL") in granted for permission in ("READ_ACP", "WRITE"))


def caller_denied(case: Case, arn: str) -> list[Line]:
    """The bucket's own policy does not shut the caller out."""
    document = service_role.bucket_policy(case.aws, case.bucket)
    if not document:
        return []
    bucket = f"arn:{case.aws.partition}:s3:::{case.bucket}"
    root = f"arn:{case.aws.partition}:iam::{case.identity.account}:root"
    who = Principal("AWS", (arn, case.identity.arn, root, case.identity.account))
    own = [ask.access for ask in case.asks if ask.needed and ask.access.resource.startswith(bucket)]
    denied = [
        ask.action
        for ask in own
        if decide([document], Access(ask.action, ask.resource, {"aws:PrincipalArn": arn}, True), principal=who)
        is Decision.DENY
    ]
    if not denied:
        return []
    return [
        Line(
            "bucket policy",
            Verdict.FAIL,
            f"the policy of bucket {case.bucket} denies you {', '.join(denied)}",
            "an explicit Deny wins over everything that allows",
            (f"except {arn} from the Deny:", Run(("aws", "s3api", "get-bucket-policy", "--bucket", case.bucket))),
            "AccessDenied",
        )
    ]
