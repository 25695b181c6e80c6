"""`vmie policy`: the least-privilege documents, for review or for Terraform. Asks nothing of AWS."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from vmie.cli import context, render
from vmie.errors import UsageError

if TYPE_CHECKING:
    from vmie.policy import Document


class PolicyForm(StrEnum):
    """How a document is printed."""

    JSON = "json"
    HCL = "hcl"


class PolicyJob(StrEnum):
    """Whose permissions: the guide's for everything, or exactly what one job calls."""

    ALL = "all"
    IMPORT = "import"
    EXPORT = "export"
    BATCH = "batch"


_Form = Annotated[PolicyForm, typer.Option("--format", help="json, or hcl for Terraform.")]
_Bucket = Annotated[list[str] | None, typer.Option("--bucket", metavar="B", help="May be repeated.")]
_Account = Annotated[str, typer.Option(metavar="ID", help="The account's twelve digits.")]


def build() -> typer.Typer:
    """The group of verbs."""
    app = typer.Typer(help="Print least-privilege policies; nothing is asked of AWS.", no_args_is_help=True)
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

    vmie policy trust --account 123456789012 --format hcl
    """
    from vmie import policy

    _print(ctx, "trust", policy.trust(account=_digits(account), partition=_partition(ctx)), form)


def role(
    ctx: typer.Context,
    bucket: _Bucket = None,
    export_bucket: Annotated[
        list[str] | None, typer.Option("--export-bucket", metavar="B", help="May be repeated.")
    ] = None,
    kms_key: Annotated[list[str] | None, typer.Option("--kms-key", metavar="ARN", help="May be repeated.")] = None,
    license_manager: Annotated[bool, typer.Option("--license-manager", help="License Manager too.")] = False,
    form: _Form = PolicyForm.JSON,
) -> None:
    """What the service role may do.

    vmie policy role --bucket my-images

    vmie policy role --bucket my-images --export-bucket my-exports --kms-key KEY_ARN --format hcl
    """
    from vmie import policy

    grants = policy.Grants(
        tuple(_names(bucket)),
        tuple(_names(export_bucket)),
        tuple(_usage(policy.key_arn, key) for key in kms_key or ()),
        license_manager,
    )
    if not grants.buckets and not grants.export_buckets:
        raise UsageError("no bucket is named", cure="add --bucket NAME or --export-bucket NAME", code="NoBucket")
    _print(ctx, "role", policy.role(grants, partition=_partition(ctx)), form)


def user(
    ctx: typer.Context,
    bucket: _Bucket = None,
    job: Annotated[
        PolicyJob, typer.Option(help="all: the guide's policy. Else what this job calls, and no more.")
    ] = PolicyJob.ALL,
    account: _Account = "",
    role_name: Annotated[str | None, typer.Option(help="The service role (default vmimport).")] = None,
    object_key: Annotated[
        list[str] | None,
        typer.Option("--sse-kms-key", metavar="ARN", help="A KMS key that the bucket encrypts with; may be repeated."),
    ] = None,
    form: _Form = PolicyForm.JSON,
) -> None:
    """What the person or job that calls vmie may do.

    vmie policy user --bucket my-images

    vmie policy user --job import --bucket my-images --account 123456789012 --format hcl
    """
    from vmie import policy

    run = context.of(ctx)
    buckets = _names(bucket) or [name for name in (run.settings.bucket,) if name]
    if not buckets:
        raise UsageError("no bucket is named", cure="add --bucket NAME", code="NoBucket")
    partition = _partition(ctx)
    if job is PolicyJob.ALL:
        _print(ctx, "user", policy.user(buckets, partition=partition), form)
        return
    arn = f"arn:{partition}:iam::{_digits(account) or '*'}:role/{role_name or run.settings.role_name}"
    prefix = run.settings.export_prefix if job is PolicyJob.EXPORT else run.settings.prefix
    keys = [_usage(policy.key_arn, key) for key in object_key or ()]
    documents = [
        policy.job(job.value, name, role_arn=arn, prefix=prefix, keys=keys, partition=partition) for name in buckets
    ]
    _print(ctx, "user", _joined(documents), form)


def export_bucket(
    ctx: typer.Context,
    bucket: Annotated[str, typer.Option(metavar="B", help="The bucket that instance exports go to.")],
    form: _Form = PolicyForm.JSON,
) -> None:
    """The bucket policy that lets instance exports (CreateInstanceExportTask) write.

    vmie policy export-bucket --bucket my-exports --region eu-central-1
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
    document = policy.export_bucket(
        _usage(policy.bucket_name, bucket), canonical_id=limits.export_canonical_id(name), partition=_partition(ctx)
    )
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

    Add it to the statements that are there: a key policy replaces the one before.
    """
    from vmie import policy

    if not role_arn:
        if not account:
            raise UsageError("no role is named", cure="add --role-arn ARN, or --account ID for the role vmimport there")
        name = role_name or context.of(ctx).settings.role_name
        role_arn = f"arn:{_partition(ctx)}:iam::{_digits(account)}:role/{name}"
    _print(ctx, "kms", policy.key_statement(role_arn), form)


def _print(ctx: typer.Context, name: str, document: Document, form: PolicyForm) -> None:
    from vmie import policy

    run = context.of(ctx)
    text = policy.text(document) if form is PolicyForm.JSON else policy.hcl(document, f"vmie_{name.replace('-', '_')}")
    result = {"policy": name, "document": document, "hcl": text if form is PolicyForm.HCL else None}
    render.finish(run, f"policy {name}", result, text=text)


def _joined(documents: list[Document]) -> Document:
    """One document; a statement that several have stands once, resources together."""
    merged: dict[str, Document] = {}
    for document in documents:
        for statement in document["Statement"]:
            held = merged.setdefault(statement["Sid"], {**statement})
            if isinstance(held["Resource"], list):
                held["Resource"] = list(dict.fromkeys([*held["Resource"], *statement["Resource"]]))
    return {"Version": "2012-10-17", "Statement": list(merged.values())}


def _names(buckets: list[str] | None) -> list[str]:
    from vmie import policy

    return [_usage(policy.bucket_name, bucket) for bucket in buckets or ()]


def _usage(read: Callable[[str], str], text: str) -> str:
    try:
        return read(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _digits(account: str) -> str:
    if account and not (account.isascii() and account.isdigit() and len(account) == 12):
        raise UsageError(f"{account!r} is not an account", cure="give its twelve digits")
    return account


def _region(ctx: typer.Context) -> str:
    return context.of(ctx).settings.region or os.environ.get("AWS_DEFAULT_REGION", "")


def _partition(ctx: typer.Context) -> str:
    name = _region(ctx)
    return "aws-cn" if name.startswith("cn-") else "aws-us-gov" if name.startswith("us-gov-") else "aws"
