"""The library: one function per verb of the command line.

    import vmie

    made = vmie.import_image("server.qcow2", bucket="my-images", tags={"team": "web"})
    made.image_id, made.as_json()

Options are keywords, named as in a plan file. Functions that call AWS also take `profile`, `region`, `endpoint_url`
(defaults: environment, settings file) and `state`, the folder of jobs. Every function takes `on_event`, which is called
with each `vmie.events` value, from any thread; events also go to the logger "vmie". Nothing is printed. Failures are
`vmie.errors`. What was interrupted is continued by the same call, or by `resume`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vmie import event_log, events, settings
from vmie.connection import Connection
from vmie.model import Profile, Route

if TYPE_CHECKING:
    from vmie.batch.run.api import BatchResult
    from vmie.jobs.runner import Outcome
    from vmie.ops.check import CheckReport
    from vmie.ops.convert import Converted
    from vmie.ops.export import ExportResult
    from vmie.ops.import_ import ImportResult
    from vmie.ops.setup_role import RoleResult
    from vmie.ops.upload import UploadResult

StrPath = str | os.PathLike[str]
OnEvent = Callable[[events.Event], None]
ResultT = TypeVar("ResultT")

__all__ = ["cancel", "check", "convert", "export", "import_image", "resume", "run_batch", "setup_role", "upload"]

_CONNECTION = ("profile", "region", "endpoint_url")


def check(
    files: StrPath | Sequence[StrPath],
    *,
    route: Route | str | None = None,
    rules: Profile | str = Profile.CURRENT,
    strict: bool = False,
    together: bool = False,
    as_is: bool = False,
    on_event: OnEvent | None = None,
) -> CheckReport:
    """Whether AWS will accept disks, appliances, or folders of them: ``report.images[0].verdict["image"]``.

    Every file is a machine of its own; `together` makes one machine of all. `route` narrows the findings. Nothing is
    asked of AWS. A file that cannot be read is an image with an `error`; UsageError is raised for an empty folder.
    """
    from vmie.ops import check as op  # noqa: PLC0415
    from vmie.poll import SystemClock  # noqa: PLC0415

    return op.check(
        [Path(one) for one in _listed(files)],
        clock=SystemClock(),
        profile=Profile(rules),
        routes=(Route(route),) if route else tuple(Route),
        strict=strict,
        as_is=as_is,
        together=together,
        reporter=event_log.reporter(on_event),
    )


def convert(
    source: StrPath,
    target: StrPath,
    *,
    disk: int | None = None,
    workers: int | None = None,
    force: bool = False,
    on_event: OnEvent | None = None,
) -> Converted:
    """Write a disk as stream-optimised VMDK, dynamic VHD or raw, as the suffix of `target` says.

    `disk` picks one of an appliance's disks, from 0. Raises UsageError and ImageError (see `vmie.ops.convert`).
    """
    from vmie.ops import convert as op  # noqa: PLC0415

    reporter = event_log.reporter(on_event)
    plan = op.plan(Path(source), Path(target), index=disk, force=force, workers=workers, reporter=reporter)
    return op.apply(plan, reporter=reporter)


def import_image(
    source: StrPath | Sequence[StrPath], *, wait: bool = True, on_event: OnEvent | None = None, **options: Any
) -> ImportResult:
    """Import a disk, an appliance or ``s3://bucket/key``; several are the disks of one machine, boot disk first.

    `route` is "image" (default), "snapshot", "instance" or "volume". Without `wait` it returns when AWS has the task.
    Raises UsageError and ImageError for what cannot be sent, PreflightError for what AWS would refuse (nothing is sent
    then), AwsRefused, TaskFailed, DeadlineExceeded.
    """
    connection, rest = _connection(on_event, options)
    from vmie.jobs import imports  # noqa: PLC0415
    from vmie.options import ImportRequest  # noqa: PLC0415

    request = ImportRequest(**{"sources": source, **rest})
    return _result(imports.run(connection.desk(), request, wait=wait))


def export(source: str, *, wait: bool = True, on_event: OnEvent | None = None, **options: Any) -> ExportResult:
    """Export an instance (``i-…``) or an AMI (``ami-…``) to S3, and with `download` on to a folder.

    `format` is vmdk, vhd, raw (AMIs only) or ova (instances only). Raises what `import_image` raises.
    """
    connection, rest = _connection(on_event, options)
    from vmie.jobs import exports  # noqa: PLC0415
    from vmie.options import ExportRequest  # noqa: PLC0415

    request = ExportRequest(**{"source": source, **rest})
    return _result(exports.run(connection.desk(), request, wait=wait))


def upload(source: StrPath, target: str, *, on_event: OnEvent | None = None, **options: Any) -> UploadResult:
    """Send a disk to ``s3://bucket/key`` in the form that EC2 takes; a key that ends in / gets the file's name."""
    connection, rest = _connection(on_event, options)
    from vmie.jobs import uploads  # noqa: PLC0415
    from vmie.options import UploadRequest  # noqa: PLC0415

    request = UploadRequest(**{"path": source, "url": target, **rest})
    return _result(uploads.run(connection.desk(), request))


def setup_role(*, on_event: OnEvent | None = None, **options: Any) -> RoleResult:
    """Make the role that VM Import/Export works as, or bring it up to date; what is right stays.

    Raises PreflightError where a document that somebody else edited would have to be replaced (`force` does that).
    """
    connection, rest = _connection(on_event, options)
    from vmie.ops import setup_role as op  # noqa: PLC0415
    from vmie.options import RoleRequest  # noqa: PLC0415

    plan = op.plan(connection.aws, RoleRequest(**rest))
    return op.apply(connection.aws, plan, reporter=connection.reporter)


def run_batch(
    plan: StrPath,
    *,
    variables: Mapping[str, str] | None = None,
    retry_failed: bool = False,
    batch_state: str = "",
    on_event: OnEvent | None = None,
    **options: Any,
) -> BatchResult:
    """Carry out a plan file (YAML or CSV) to its end, or go on with its unfinished batch.

    Failed items are no exception: see the result's `failed` and `items`. `variables` replace ``${NAME}`` in the plan;
    `batch_state` is the database that keeps batches, "" for the folder of jobs. Raises UsageError for a plan that
    cannot be carried out, Interrupted, AwsRefused when the credentials are refused.
    """
    connection, rest = _connection(on_event, options)
    _no_more(rest)
    from vmie.batch.plan import validate  # noqa: PLC0415
    from vmie.batch.run import api  # noqa: PLC0415

    loaded = validate.load(Path(plan), settings=connection.settings, variables=variables)
    batches = connection.batches(batch_state)
    outcome = api.run(batches, api.begin(batches, loaded), retry_failed=retry_failed)
    api.mark_reported(batches, outcome.batch)
    return outcome


def resume(
    job: str,
    *,
    wait: bool = True,
    retry_failed: bool = False,
    batch_state: str = "",
    on_event: OnEvent | None = None,
    **options: Any,
) -> ImportResult | ExportResult | UploadResult | BatchResult:
    """Continue a job or batch that was interrupted or failed; nothing is sent or created twice.

    Raises UsageError when there is none of that name, when it is done, or when another process works on it.
    """
    connection, rest = _connection(on_event, options)
    _no_more(rest)
    if job.startswith("batch-"):
        from vmie.batch.run import api  # noqa: PLC0415

        batches = connection.batches(batch_state)
        outcome = api.run(batches, job, retry_failed=retry_failed)
        api.mark_reported(batches, outcome.batch)
        return outcome
    from vmie.jobs import exports, imports, uploads  # noqa: PLC0415

    desk = connection.desk()
    match _kind(connection, job):
        case "upload":
            return _result(uploads.resume(desk, job))
        case "export":
            return _result(exports.resume(desk, job, wait=wait))
        case _:
            return _result(imports.resume(desk, job, wait=wait))


def cancel(
    job: str, *, reason: str = "", batch_state: str = "", on_event: OnEvent | None = None, **options: Any
) -> None:
    """Cancel a job or batch: its tasks are cancelled, its uploads aborted and its objects removed."""
    connection, rest = _connection(on_event, options)
    _no_more(rest)
    if job.startswith("batch-"):
        from vmie.batch.run import api  # noqa: PLC0415

        api.cancel(connection.batches(batch_state), job)
        return
    from vmie.jobs import exports, imports, uploads  # noqa: PLC0415

    desk = connection.desk()
    match _kind(connection, job):
        case "upload":
            uploads.cancel(desk, job)
        case "export":
            exports.cancel(desk, job, reason=reason)
        case _:
            imports.cancel(desk, job, reason=reason)


# --- from keywords to requests ------------------------------------------------------------------------------


def _connection(on_event: OnEvent | None, options: dict[str, Any]) -> tuple[Connection, dict[str, Any]]:
    """The connection that the options name, and the other options."""
    rest = dict(options)
    named = {name: rest.pop(name, None) for name in _CONNECTION}
    state = rest.pop("state", None)
    loaded = settings.load(named)
    folder = Path(state) if state is not None else settings.state_path()
    return Connection(loaded, folder, event_log.reporter(on_event)), rest


def _no_more(options: dict[str, Any]) -> None:
    for name in options:
        raise TypeError(f"there is no option {name!r}")


def _listed(given: StrPath | Sequence[StrPath]) -> Sequence[StrPath]:
    return [given] if isinstance(given, str | os.PathLike) else list(given)


def _result(outcome: Outcome[Any, ResultT]) -> ResultT:
    assert outcome.result is not None  # noqa: S101 - only a dry run has none
    return outcome.result


def _kind(connection: Connection, job: str) -> str:
    from vmie.jobs.runner import store  # noqa: PLC0415
    from vmie.poll import SystemClock  # noqa: PLC0415

    return next((one.kind for one in store(connection.state, SystemClock()).list() if one.job == job), "")
