"""``vmie import``: options, one call, render."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vmie.cli import context, render
from vmie.cli.transfer_options import Accelerate, MaxRate, Sse, StorageClass, rate
from vmie.errors import UsageError


class Way(StrEnum):
    """The routes that `vmie import` takes."""

    IMAGE = "image"
    SNAPSHOT = "snapshot"
    INSTANCE = "instance"
    VOLUME = "volume"


class Form(StrEnum):
    """The forms an image can be sent in (for an s3:// source: the form it is in)."""

    OVA = "ova"
    VMDK = "vmdk"
    VHD = "vhd"
    VHDX = "vhdx"
    RAW = "raw"


def import_(
    ctx: typer.Context,
    source: Annotated[
        list[str],
        typer.Argument(help="A disk, an OVA, or s3://bucket/key; several are the disks of one VM, boot disk first."),
    ],
    route: Annotated[
        Way,
        typer.Option(
            "--as",
            help="image: an AMI, by ImportImage. snapshot: by ImportSnapshot. instance: a stopped instance, by "
            "ImportInstance. volume: by ImportVolume.",
        ),
    ] = Way.IMAGE,
    bucket: Annotated[
        str | None, typer.Option(help="Default: VMIE_BUCKET, the settings file, the role's policy.")
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="Begin the object's key with this.")] = None,
    name: Annotated[str, typer.Option(help="Name tag of the task, the snapshots and the AMI.")] = "",
    description: Annotated[str, typer.Option(help="Of the task.")] = "",
    tag: Annotated[
        list[str] | None, typer.Option(metavar="K=V", help="On the task and on the results; repeatable.")
    ] = None,
    arch: Annotated[str, typer.Option(help="x86_64 or i386; read from the image by default.")] = "",
    platform: Annotated[str, typer.Option(help="Linux or Windows; read from the image by default.")] = "",
    boot_mode: Annotated[str, typer.Option(help="legacy-bios or uefi; read from the image by default.")] = "",
    license_type: Annotated[str, typer.Option(help="AWS or BYOL.")] = "",
    usage_operation: Annotated[str, typer.Option(help="Such as RunInstances:0800, instead of --license-type.")] = "",
    license_configuration: Annotated[
        list[str] | None, typer.Option(metavar="ARN", help="License Manager; repeatable.")
    ] = None,
    encrypted: Annotated[bool, typer.Option("--encrypted", help="Encrypt with the account's default EBS key.")] = False,
    kms_key: Annotated[str, typer.Option(help="Encrypt with this key.")] = "",
    role_name: Annotated[str | None, typer.Option(help="The service role (default vmimport).")] = None,
    register: Annotated[
        str, typer.Option(metavar="NAME", help="With --as snapshot: register an AMI of this name.")
    ] = "",
    imds_v2: Annotated[bool, typer.Option("--imds-v2", help="With --register: instances demand IMDSv2.")] = False,
    volume_type: Annotated[str, typer.Option(help="With --register.")] = "gp3",
    as_is: Annotated[bool, typer.Option("--as-is", help="Send the file as it is, never re-streamed.")] = False,
    form: Annotated[
        Form | None, typer.Option("--format", help="Send in this form; of an s3:// source: its form.")
    ] = None,
    skip_check: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="Go on against this rule; all for every rule.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings of the check block too.")] = False,
    rules: Annotated[str, typer.Option(help="The check's rules: current or 2016.")] = "current",
    keep_object: Annotated[bool, typer.Option("--keep-object", help="Leave the uploaded object in S3.")] = False,
    client_token: Annotated[str, typer.Option(help="Idempotency token; made from the job by default.")] = "",
    copy: Annotated[
        bool, typer.Option("--copy", help="Have S3 copy s3:// sources into the import bucket first.")
    ] = False,
    sse: Sse = "",
    sse_kms_key: Annotated[str, typer.Option(help="Encrypt the uploaded object with this key.")] = "",
    storage_class: StorageClass = "",
    max_rate: MaxRate = "",
    accelerate: Accelerate = False,
    instance_type: Annotated[str, typer.Option(help="With --as instance: such as m3.medium.")] = "",
    subnet: Annotated[str, typer.Option(metavar="subnet-…", help="With --as instance.")] = "",
    security_group: Annotated[
        list[str] | None, typer.Option(metavar="sg-…|NAME", help="With --as instance; repeatable.")
    ] = None,
    private_ip: Annotated[str, typer.Option(help="With --as instance and --subnet: an address of the subnet.")] = "",
    availability_zone: Annotated[str, typer.Option(help="With --as instance or volume.")] = "",
    user_data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --as instance: given to the instance; never kept or shown."),
    ] = None,
    shutdown_behavior: Annotated[
        str, typer.Option(help="With --as instance: what a shutdown from within does: stop or terminate.")
    ] = "",
    tenancy: Annotated[str, typer.Option(help="With --as instance: default or dedicated.")] = "",
    monitoring: Annotated[bool, typer.Option("--monitoring", help="With --as instance: detailed monitoring.")] = False,
    volume_size: Annotated[
        int | None, typer.Option(metavar="GIB", help="With --as instance or volume: larger than the (first) disk.")
    ] = None,
    attach_data_disks: Annotated[
        bool,
        typer.Option(
            "--attach-data-disks", help="With --as instance: attach the volumes of the other disks when all are there."
        ),
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return once AWS has the task; `vmie resume JOB` finishes it.")
    ] = False,
) -> None:
    """Bring a virtual machine into EC2.

    vmie import disk.ova

    vmie import boot.qcow2 data.vhdx --name web-1 --tag team=web

    vmie import disk.raw --as snapshot --register web-1 --imds-v2

    vmie import boot.vmdk data.vmdk --as instance --instance-type m3.large --attach-data-disks

    The image is checked first; what AWS would refuse stops the import before a byte is sent (exit 4).
    """
    from vmie.jobs import imports
    from vmie.model import Profile, Route
    from vmie.ops.import_ import ImportRequest

    try:
        profile = Profile(rules)
    except ValueError as error:
        raise UsageError(f"--rules {rules!r}: choose current or 2016") from error
    request = ImportRequest(
        sources=tuple(item if item.startswith("s3://") else str(Path(item).absolute()) for item in source),
        route=Route(route.value),
        bucket=bucket,
        prefix=prefix,
        name=name,
        description=description,
        tags=tags(tag or ()),
        architecture=arch,
        platform=platform,
        boot_mode=boot_mode,
        license_type=license_type,
        usage_operation=usage_operation,
        license_configurations=tuple(license_configuration or ()),
        encrypted=encrypted,
        kms_key=kms_key,
        role_name=role_name,
        client_token=client_token,
        keep_object=keep_object,
        register=register,
        imds_v2=imds_v2,
        volume_type=volume_type,
        as_is=as_is,
        format=form.value if form else None,
        skip_check=tuple(skip_check or ()),
        strict=strict,
        rules=profile,
        sse=sse,
        sse_kms_key=sse_kms_key,
        storage_class=storage_class,
        max_rate=rate(max_rate),
        accelerate=accelerate,
        copy=copy,
        instance_type=instance_type,
        subnet=subnet,
        security_groups=tuple(security_group or ()),
        private_ip=private_ip,
        availability_zone=availability_zone,
        user_data=str(user_data.absolute()) if user_data else "",
        shutdown_behavior=shutdown_behavior,
        tenancy=tenancy,
        monitoring=monitoring,
        volume_size=volume_size,
        attach_data_disks=attach_data_disks,
    )
    request.validate()
    run = context.of(ctx)
    show(run, imports.run(run.desk(), request, wait=not no_wait, dry_run=run.dry_run))


def show(run: context.Run, outcome: Any, *, command: str = "import") -> None:
    """Print what an import came to; `vmie resume` shares it."""
    findings = outcome.plan.report.findings if outcome.plan.report else ()
    if outcome.result is None:
        plan = {"plan": outcome.plan.as_json()}
        render.finish(run, command, plan, text=plan_text(outcome.plan), findings=findings)
        return
    render.finish(run, command, outcome.result.as_json(), text=text(outcome.result), findings=findings)


def tags(pairs: Any) -> dict[str, str]:
    """``K=V`` arguments as a dict; raises UsageError."""
    out: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--tag {pair!r} is not KEY=VALUE")
        out[key] = value
    return out


def text(result: Any) -> str:
    """The lines a person reads at the end of an import."""
    from vmie.model import S3Object

    lines = [f"{result.route.value} import {result.status}: {result.task_id}"]
    if result.image_id:
        lines.append(f"  AMI        {result.image_id}")
    if result.snapshot_ids:
        lines.append(f"  snapshots  {', '.join(result.snapshot_ids)}")
    if result.instance_id:
        lines.append(f"  instance   {result.instance_id}" + (" (stopped)" if result.status == "completed" else ""))
    if result.volume_ids:
        lines.append(f"  volumes    {', '.join(result.volume_ids)}")
    if result.bucket_origin:
        lines.append(f"  bucket     {S3Object.parse(result.object).bucket} (from {result.bucket_origin})")
    ratio = f" ({result.bytes_sent / result.bytes_source:.0%})" if result.bytes_source and result.bytes_sent else ""
    lines.append(f"  sent       {render.size(result.bytes_sent)} of {render.size(result.bytes_source)}{ratio}")
    lines.append(f"  took       {result.seconds:.1f} s, job {result.job}")
    if result.status == "active":
        lines.append(f"  next       vmie resume {result.job}")
    return "\n".join(lines)


def plan_text(plan: Any) -> str:
    """What --dry-run prints."""
    shape = plan.as_json()
    lines = [shape["call"] + (f" with role {shape['role']}" if shape["role"] else "")]
    lines += [f"  then {step}" for step in shape.get("then", ())]
    if launch := shape.get("launch"):
        zone = shape["availability_zone"] or "a zone of AWS's choice"
        lines.append(f"  {launch['instance_type']} in {launch['subnet'] or zone}, {shape['platform']}")
    if shape["bucket"]:
        lines.append(f"  bucket {shape['bucket']['name']} (from {shape['bucket']['from']})")
    for planned in shape["disks"]:
        verb = "upload" if planned["upload"] else "copy" if planned.get("copy") else "use"
        lines.append(
            f"  {verb} {planned['source']} → {planned['object']} as {planned['format']}"
            f", {render.size(planned['bytes_source'])}, at most {render.size(planned['bytes_at_most'])} sent"
        )
        lines += [f"    because: {reason}" for reason in planned["reasons"]]
    lines += [f"  {note}" for note in shape["notes"]]
    if shape["register"]:
        lines.append(f"  register the AMI {shape['register']!r}")
    if shape["delete_object_after"]:
        lines.append("  delete the uploaded object after success")
    return "\n".join(lines)
