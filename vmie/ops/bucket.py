"""Which bucket: the option, the environment, the settings file, or the role's own policy, in that order."""

from __future__ import annotations

from dataclasses import dataclass

from vmie import policy
from vmie.aws import iam, s3
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, Run, Set, UsageError, VmieError, says
from vmie.settings import Settings


@dataclass(frozen=True, slots=True)
class ChosenBucket:
    """A bucket in the session's Region, and where its name came from ("option", "role vmimport's policy")."""

    name: str
    origin: str


def resolve(
    aws: Aws,
    settings: Settings,
    *,
    option: str | None = None,
    purpose: str = "import",
    role_name: str | None = None,
) -> ChosenBucket:
    """Choose the bucket for `purpose` (import or export) and see that it is in the session's Region.

    Raises UsageError when nothing names one; AwsRefused when it is absent, another's or elsewhere, or when the role
    that was named (`role_name`) is not there to name one.
    """
    chosen = named(aws, settings, option=option, purpose=purpose, role_name=role_name)
    export = purpose == "export"
    if chosen is None:
        own = role_name if role_name and role_name != iam.POLICY_NAME else ""
        if own:
            # Who names a role of another name expects it to be there: then it is what is missing.
            iam.expect_role(aws, own, export=export)
        setup = ["vmie", "setup-role", "--export-bucket" if export else "--bucket", "NAME", "--create-bucket"]
        raise UsageError(
            f"no bucket is named for the {purpose}",
            cause=says("neither {bucket}, the environment, the settings file nor the role's own policy names one"),
            cure=(Set("bucket"), Run((*setup, *(("--role-name", own) if own else ())), "makes one")),
            fields=("bucket",),
            code="NoBucket",
        )
    s3.expect_local(aws, chosen.name, export=export)
    return chosen


def named(
    aws: Aws, settings: Settings, *, option: str | None, purpose: str = "import", role_name: str | None = None
) -> ChosenBucket | None:
    """The bucket that `resolve` would look at; None when nothing names one. Raises AwsRefused."""
    return _named(settings, option, purpose) or _from_role(aws, role_name or settings.role_name, purpose)


def _named(settings: Settings, option: str | None, purpose: str) -> ChosenBucket | None:
    if option:
        return ChosenBucket(option, "option")
    if purpose == "export" and settings.export_bucket:
        return ChosenBucket(settings.export_bucket, settings.origin("export_bucket"))
    if settings.bucket:
        return ChosenBucket(settings.bucket, settings.origin("bucket"))
    return None


def _from_role(aws: Aws, role_name: str, purpose: str) -> ChosenBucket | None:
    """The first bucket of this Region that the role's own policy grants."""
    try:
        document = iam.role_policy(aws, role_name)
    except AwsRefused as error:
        error.add_cause(says("no {bucket} is named, so the policy of role {role} was asked for one", role=role_name))
        error.add_cure(Set("bucket", note="then IAM is not asked"))
        raise
    names = policy.buckets_of(document, export=purpose == "export") if document else []
    for name in names:
        try:
            s3.expect_local(aws, name)
        except VmieError:
            continue
        return ChosenBucket(name, f"the policy of role {role_name}")
    return None
