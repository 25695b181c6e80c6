"""The account as one job meets it: looked at when AWS refuses, to tell which of its reasons it is."""

from __future__ import annotations

from vmie.aws.session import Aws
from vmie.model import S3Object
from vmie.ops import doctor
from vmie.ops.export import ExportRequest
from vmie.ops.import_ import ImportRequest
from vmie.poll import Clock
from vmie.settings import Settings


def of_import(aws: Aws, request: ImportRequest, *, settings: Settings, clock: Clock) -> doctor.Case:
    """As an import meets it."""
    own = stored(request)
    return doctor.case_of(
        aws,
        settings=settings,
        clock=clock,
        bucket=request.bucket or (own[0].bucket if own else ""),
        key=request.kms_key,
        role_name=request.role_name or "",
        keys=[one.key for one in own],
    )


def stored(request: ImportRequest) -> list[S3Object]:
    """The sources that are in S3 already."""
    return [S3Object.parse(source) for source in request.sources if source.startswith("s3://")]


def of_export(aws: Aws, request: ExportRequest, *, settings: Settings, clock: Clock) -> doctor.Case:
    """As an export meets it."""
    bucket, role = request.bucket or "", request.role_name or ""
    return doctor.case_of(aws, settings=settings, clock=clock, job="export", bucket=bucket, role_name=role)
