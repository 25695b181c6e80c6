"""Buckets for images: made, made safe, and opened to the service's exports, as steps of a plan."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from vmie import policy
from vmie.aws import bucket_acl, s3
from vmie.aws.session import Aws
from vmie.errors import Set, UsageError
from vmie.model import Change
from vmie.ops.change_step import Step

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_NEW_NAME = re.compile(r"(?!xn--|sthree-)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_RESERVED_ENDINGS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


@dataclass(frozen=True, slots=True)
class BucketWish:
    """`create` makes what is absent; `canonical_id` is the service's user that writes instance exports.

    `grant` is how it is let in: "policy", or "acl" as before buckets had their ACLs off.
    """

    create: bool
    canonical_id: str
    grant: str = "policy"


def bucket_steps(aws: Aws, name: str, wish: BucketWish, *, export: bool, warnings: list[str]) -> list[Step]:
    """The steps that make bucket `name` fit for imports, and for exports with `export`.

    Raises AwsRefused for a bucket that is absent (and not to be made), another's or in another Region.
    """
    bucket = s3.find(aws, name) if wish.create else s3.expect_local(aws, name)
    steps: list[Step] = []
    if bucket is None:
        steps = _made(aws, name)
    elif bucket.region != aws.region:
        raise s3.elsewhere(bucket, aws.region)
    elif wish.create:
        steps = _completed(aws, name)
    if export:
        exists = bucket is not None
        if exists and (s3.encryption(aws, name) or "").startswith("aws:kms"):
            warnings.append(
                f"bucket {name} encrypts with a KMS key: VM Import/Export cannot export to it "
                f"(`aws s3api put-bucket-encryption` with AES256, or another bucket)"
            )
        opened = _opened_by_acl if wish.grant == "acl" else _opened
        steps += opened(aws, name, wish.canonical_id, exists=exists)
    return steps


def _made(aws: Aws, name: str) -> list[Step]:
    if not _NEW_NAME.fullmatch(name) or ".." in name or name.endswith(_RESERVED_ENDINGS):
        raise UsageError(
            f"S3 would not take {name!r} as the name of a new bucket",
            cause="3 to 63 small letters, digits, hyphens and dots, some beginnings and endings being S3's own",
            cure=Set("bucket", note="another name"),
        )
    made = Change("create", f"bucket {name}", f"in {aws.region}, ACLs off")
    return [
        Step(made, partial(s3.create, aws, name)),
        Step(_blocked("create", name), partial(s3.block_public_access, aws, name)),
        Step(_encrypted("create", name), partial(s3.encrypt, aws, name)),
        Step(_aborting("create", name), partial(s3.abort_uploads, aws, name)),
    ]


def _completed(aws: Aws, name: str) -> list[Step]:
    """What a run that broke off has left undone. Settings that somebody chose are kept."""
    steps = []
    if s3.public_access(aws, name) is None:
        steps.append(Step(_blocked("update", name), partial(s3.block_public_access, aws, name)))
    if s3.encryption(aws, name) is None:
        steps.append(Step(_encrypted("update", name), partial(s3.encrypt, aws, name)))
    if not s3.aborts_uploads(aws, name):
        steps.append(Step(_aborting("update", name), partial(s3.abort_uploads, aws, name)))
    return steps or [Step(Change("keep", f"bucket {name}", "exists, complete"))]


def _opened(aws: Aws, name: str, canonical_id: str, *, exists: bool) -> list[Step]:
    """The statement with which CreateInstanceExportTask may write (aws-facts 4.4); others' stay."""
    current = s3.bucket_policy(aws, name) if exists else None
    ours = policy.export_bucket(name, canonical_id=canonical_id, partition=aws.partition)
    wanted = policy.merged(current, ours)
    what, before, after = f"policy of bucket {name}", policy.text(current), policy.text(wanted)
    if current == wanted:
        return [Step(Change("keep", what, before=before, after=before))]
    change = Change("update" if current else "create", what, "lets exports write", before, after)
    return [Step(change, partial(s3.set_bucket_policy, aws, name, wanted))]


def _opened_by_acl(aws: Aws, name: str, canonical_id: str, *, exists: bool) -> list[Step]:
    """ACLs on, and the two grants; what else the ACL grants stays (aws-facts 4.4)."""
    ownership = (s3.ownership(aws, name) or "") if exists else ""
    steps = []
    if ownership not in (bucket_acl.OWNERSHIP, "ObjectWriter"):
        switched = Change(
            "update", f"object ownership of bucket {name}", "ACLs on", ownership or "ACLs off", bucket_acl.OWNERSHIP
        )
        steps.append(Step(switched, partial(bucket_acl.switch_on, aws, name)))
    what = f"ACL of bucket {name}"
    have = bucket_acl.held(aws, name, canonical_id) if exists else frozenset()
    lacking = [one for one in bucket_acl.PERMISSIONS if one not in have and "FULL_CONTROL" not in have]
    if not lacking:
        return [*steps, Step(Change("keep", what))]
    change = Change("update", what, f"lets exports write: {', '.join(lacking)} to {canonical_id}")
    return [*steps, Step(change, partial(bucket_acl.grant, aws, name, canonical_id))]


def _blocked(action: str, name: str) -> Change:
    return Change(action, f"public access block of bucket {name}", "all public access blocked")


def _encrypted(action: str, name: str) -> Change:
    return Change(action, f"encryption of bucket {name}", "SSE-S3")


def _aborting(action: str, name: str) -> Change:
    detail = f"parts of unfinished uploads go after {s3.ABORT_DAYS} days"
    return Change(action, f"lifecycle of bucket {name}", detail)
