"""`vmie policy`: the least-privilege documents, for review or for Terraform. Asks nothing of AWS."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from vmie import partitions
from vmie.cli import commands, context, render
from vmie.errors import Set, UsageError
from vmie.options.spelling import FLAGS
from vmie.policy.permissions import JobKind

if TYPE_CHECKING:
    from vmie.partitions import AwsPartition
    from vmie.policy import Document


class PolicyForm(StrEnum):
    """How a document is printed."""

    JSON = "json"
    HCL = "hcl"


_Form = Annotated[PolicyForm, typer.Option("--format", help="json, or hcl for Terraform.")]
_Bucket = Annotated[list[str] | None, typer.Option("--bucket", metavar="B", help="May be repeated.")]
_Account = Annotated[str, typer.Option(metavar="ID", help="The account's twelve digits.")]


def build() -> typer.Typer:
    """The group of verbs."""
    app = commands.group("Print least-privilege policies; nothing is asked of AWS.")
    app.command()(trust)
    app.command()(role)
    app.command()(user)
    app.command("export-bucket")(export_bucket)
    app.command("bucket", hidden=True)(export_bucket)
    app.command()(kms)
    return app


def trust(
    ctx: typer.Context,
    account: Annotated[str, typer.Option(metavar="ID", help="Trust only requests of this account.")] = "",
    form: _Form = PolicyForm.JSON,
) -> None:
    """Who may assume the service role.

    vmie policy trust

    vmie policy trust --account 123456789012

    vmie policy trust --account 123456789012 --format hcl
    """
    from vmie import policy

    _print(ctx, "trust", policy.trust(account=_digits(account), partition=_partition(ctx).name), form)


def role(
    ctx: typer.Context,
    bucket: _Bucket = None,
    export_bucket: Annotated[
        list[str] | None, typer.Option("--export-bucket", metavar="B", help="May be repeated.")
    ] = None,
    kms_keys: Annotated[
        list[str] | None,
        typer.Option(*FLAGS["kms_keys"], metavar="ARN", help="A KMS key that it may use; may be repeated."),
    ] = None,
    license_manager: Annotated[bool, typer.Option("--license-manager", help="License Manager too.")] = False,
    form: _Form = PolicyForm.JSON,
) -> None:
    """What the service role may do.

    vmie policy role --bucket my-images

    vmie policy role --bucket my-images --export-bucket my-exports --allow-kms-key KEY_ARN --format hcl

    vmie policy role --bucket my-images --license-manager
    """
    from vmie import policy

    grants = policy.Grants(
        tuple(_names(bucket)),
        tuple(_names(export_bucket)),
        tuple(_usage(policy.key_arn, key) for key in kms_keys or ()),
        license_manager,
    )
    if not grants.buckets and not grants.export_buckets:
        raise UsageError("no bucket is named", cure="add --bucket NAME or --export-bucket NAME", code="NoBucket")
    _print(ctx, "role", policy.role(grants, partition=_partition(ctx).name), form)


_Jobs = Annotated[
    list[JobKind] | None,
    typer.Option("--job", help="What the rights are for; may be repeated. Default: import and export."),
]
_Prefix = Annotated[
    str | None, typer.Option(metavar="P", help="What keys in the bucket begin with (default: the settings').")
]
_Sources = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="s3://B/P", help="Objects in S3 that are imported; may be repeated."),
]
_ObjectKeys = Annotated[
    list[str] | None,
    typer.Option("--sse-kms-key", metavar="ARN", help="A KMS key that the bucket encrypts with; may be repeated."),
]
_ResultKeys = Annotated[
    list[str] | None,
    typer.Option("--kms-key", metavar="ARN", help="A KMS key that results are encrypted with; may be repeated."),
]


def user(
    ctx: typer.Context,
    bucket: _Bucket = None,
    job: _Jobs = None,
    guide: Annotated[bool, typer.Option("--guide", help="The policy of AWS's guide instead.")] = False,
    account: _Account = "",
    role_name: Annotated[str | None, typer.Option(help="The service role (default vmimport).")] = None,
    prefix: _Prefix = None,
    source: _Sources = None,
    object_key: _ObjectKeys = None,
    result_key: _ResultKeys = None,
    form: _Form = PolicyForm.JSON,
) -> None:
    """What the person or job that calls vmie may do: exactly what it calls, and no more.

    vmie policy user --bucket my-images

    vmie policy user --job import-image --job upload --bucket my-images --account 123456789012 --region eu-west-1

    vmie policy user --guide --bucket my-images --format hcl

    Statements whose Sid begins with Look may be left out: vmie goes on without, and sees less beforehand.
    """
    from vmie import policy
    from vmie.policy import permissions

    run, jobs = context.of(ctx), job or [JobKind.IMPORT, JobKind.EXPORT]
    if guide and job:
        raise UsageError("--guide and --job cannot both be given", cure="leave --job out")
    buckets = _names(bucket) or [name for name in (run.settings.bucket,) if name]
    if not buckets and (guide or permissions.wants_bucket(jobs)):
        raise UsageError("no bucket is named", cure=Set("bucket"), fields=("bucket",), code="NoBucket")
    partition = _partition(ctx)
    if guide:
        _print(ctx, "user", policy.user(buckets, partition=partition.name), form)
        return
    scope = permissions.Scope(
        partition=partition.name,
        suffix=partition.suffix,
        region=_region(ctx),
        account=_digits(account),
        buckets=tuple(dict.fromkeys(buckets)),
        prefix=run.settings.prefix if prefix is None else _plain(prefix),
        export_prefix=run.settings.export_prefix if prefix is None else _plain(prefix),
        role=_usage(policy.role_name, role_name or run.settings.role_name),
        object_keys=tuple(_usage(policy.key_arn, key) for key in object_key or ()),
        result_keys=tuple(_usage(policy.key_arn, key) for key in result_key or ()),
        sources=tuple(_source(one) for one in source or ()),
    )
    _print(ctx, "user", permissions.document(jobs, scope), form)


def export_bucket(
    ctx: typer.Context,
    bucket: Annotated[str, typer.Option(metavar="B", help="The bucket that instance exports go to.")],
    form: _Form = PolicyForm.JSON,
) -> None:
    """The bucket policy that lets instance exports (CreateInstanceExportTask) write.

    vmie policy export-bucket --bucket my-exports --region eu-central-1

    vmie policy export-bucket --bucket my-exports --region us-gov-west-1

    vmie policy export-bucket --bucket my-exports --region eu-central-1 --format hcl
    """
    from vmie import limits, policy

    name = _region(ctx)
    if not name:
        raise UsageError(
            "no AWS Region is chosen",
            cause="the service writes as another user in each group of Regions",
            cure="add --region, for example --region eu-central-1",
            code="NoRegion",
        )
    who, partition = limits.export_canonical_id(name), _partition(ctx).name
    document = policy.export_bucket(_usage(policy.bucket_name, bucket), canonical_id=who, partition=partition)
    _print(ctx, "export-bucket", document, form)


def kms(
    ctx: typer.Context,
    role_arn: Annotated[str, typer.Option(metavar="ARN", help="The service role.")] = "",
    account: _Account = "",
    role_name: Annotated[str | None, typer.Option(help="Instead of its ARN (default vmimport).")] = None,
    form: _Form = PolicyForm.JSON,
) -> None:
    """The statement for a KMS key's own policy that lets the service role use the key.

    vmie policy kms --account 123456789012

    vmie policy kms --role-arn arn:aws:iam::123456789012:role/vmimport --format hcl

    vmie policy kms --account 123456789012 --role-name my-vmimport

    Add it to the statements that are there: a key policy replaces the one before.
    """
    from vmie import policy

    if not role_arn:
        if not account:
            raise UsageError("no role is named", cure="add --role-arn ARN, or --account ID for the role vmimport there")
        name = role_name or context.of(ctx).settings.role_name
        role_arn = f"arn:{_partition(ctx).name}:iam::{_digits(account)}:role/{name}"
    _print(ctx, "kms", policy.key_statement(role_arn), form)


def _print(ctx: typer.Context, name: str, document: Document, form: PolicyForm) -> None:
    from vmie import policy

    run = context.of(ctx)
    text = policy.text(document) if form is PolicyForm.JSON else policy.hcl(document, f"vmie_{name.replace('-', '_')}")
    result = {"policy": name, "document": document, "hcl": text if form is PolicyForm.HCL else None}
    render.finish(run, f"policy {name}", result, text=text)


def _names(buckets: list[str] | None) -> list[str]:
    from vmie import policy

    return [_usage(policy.bucket_name, bucket) for bucket in buckets or ()]


def _usage(read: Callable[[str], str], text: str) -> str:
    try:
        return read(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _plain(text: str) -> str:
    """A key's beginning that means itself: a policy would take * and ? for any."""
    if set(text) & set("*?$") or not text.isprintable():
        raise UsageError(f"{text!r} cannot stand in a policy", cause="*, ? and $ mean something else there")
    return text


def _source(text: str) -> str:
    from vmie import policy

    bucket, _, key = text.removeprefix("s3://").partition("/")
    return f"{_usage(policy.bucket_name, bucket)}/{_plain(key)}"


def _digits(account: str) -> str:
    if account and not (account.isascii() and account.isdigit() and len(account) == 12):
        raise UsageError(f"{account!r} is not an account", cure="give its twelve digits")
    return account


def _region(ctx: typer.Context) -> str:
    return context.of(ctx).settings.region or os.environ.get("AWS_DEFAULT_REGION", "")


def _partition(ctx: typer.Context) -> AwsPartition:
    return partitions.of(_region(ctx))
