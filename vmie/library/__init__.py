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
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from vmie import event_log
from vmie.cures import says
from vmie.errors import UsageError
from vmie.library.boot import boot_image
from vmie.library.compare import diff, verify
from vmie.library.jobs import cancel, finished, resume
from vmie.library.place import OnEvent, Place, StrPath, connected, placed
from vmie.library.repair import repair_image
from vmie.model import Profile, Route
from vmie.typed_keywords import keywords, one_and_keywords, two_and_keywords

if TYPE_CHECKING:
    from vmie.batch.run.api import BatchResult
    from vmie.ops.check import CheckReport
    from vmie.ops.convert import Converted
    from vmie.ops.export import ExportResult
    from vmie.ops.import_ import ImportResult
    from vmie.ops.prove import ProofResult
    from vmie.ops.role_plan import RoleResult
    from vmie.ops.upload import UploadResult
    from vmie.options import ExportRequest, ImportRequest, Options, ProofRequest, RoleRequest, UploadRequest

StrPaths = StrPath | Sequence[StrPath]
ChoiceT = TypeVar("ChoiceT", bound=StrEnum)

__all__ = [
    "boot_image",
    "cancel",
    "check",
    "convert",
    "diff",
    "export",
    "import_image",
    "prove_image",
    "repair_image",
    "resume",
    "run_batch",
    "setup_role",
    "upload",
    "verify",
]


if TYPE_CHECKING:
    # For type checkers: the keywords of a function are the fields of its request, and these.

    class _Placed(Options):
        profile: str | None = None
        region: str | None = None
        endpoint_url: str | None = None
        state: StrPath | None = None
        on_event: OnEvent | None = None
        wait: bool = True

    class _Import(ImportRequest, _Placed):
        route: Route | str = Route.IMAGE  # type: ignore[assignment]

    class _Export(ExportRequest, _Placed):
        download: StrPath = ""  # type: ignore[assignment]

    class _Upload(UploadRequest, _Placed): ...

    class _Role(RoleRequest, _Placed): ...

    class _Proof(ProofRequest, _Placed): ...

else:
    _Import = _Export = _Upload = _Role = _Proof = None


def check(
    files: StrPaths,
    *,
    route: Route | str | None = None,
    rules: Profile | str = Profile.CURRENT,
    strict: bool = False,
    together: bool = False,
    machine: str = "",
    empty_disks: bool = False,
    as_is: bool = False,
    verify: bool = False,
    **place: Unpack[Place],
) -> CheckReport:
    """Whether AWS will accept disks, appliances, or folders of them: ``report.images[0].verdict["image"]``.

    Every file is a machine of its own; `together` makes one machine of all. `machine` is the id or name of
    one of an appliance's machines; with `empty_disks` its disks without a file are among its disks. `route` narrows
    the findings; with `verify` all of every file is read. Nothing is asked of AWS, but the blocks that are needed of a
    snapshot (``snap-…``). A file that cannot be read is an image with an `error`; an empty folder raises UsageError.
    """
    from vmie.ops import check as op  # noqa: PLC0415
    from vmie.poll import SystemClock  # noqa: PLC0415

    return op.check(
        [Path(one) for one in _listed(files)],
        clock=SystemClock(),
        profile=_choice("rules", Profile, rules),
        routes=(_choice("route", Route, route),) if route else tuple(Route),
        strict=strict,
        as_is=as_is,
        together=together,
        machine=machine,
        empty_disks=empty_disks,
        verify=verify,
        snapshots=lambda name: connected(place).snapshot(name),
        reporter=event_log.reporter(place.get("on_event")),
    )


def convert(
    source: StrPath,
    target: StrPath,
    *,
    disk: int | None = None,
    machine: str = "",
    empty_disks: bool = False,
    workers: int | None = None,
    force: bool = False,
    **place: Unpack[Place],
) -> Converted:
    """Write a disk, or that of a snapshot (``snap-…``), as the suffix of `target` says (see `vmie.ops.convert`).

    `disk` picks one of an appliance's disks, from 0, boot disk first; `machine` and `empty_disks` as `check` has them.
    Raises UsageError and ImageError (see `vmie.ops.convert`).
    """
    from vmie.ops import convert as op  # noqa: PLC0415

    reporter = event_log.reporter(place.get("on_event"))
    plan = op.plan(
        Path(source),
        Path(target),
        index=disk,
        machine=machine,
        empty_disks=empty_disks,
        force=force,
        workers=workers,
        snapshots=lambda name: connected(place).snapshot(name),
        reporter=reporter,
    )
    return op.apply(plan, reporter=reporter)


@one_and_keywords(_Import)
def import_image(source: StrPaths, /, *, wait: bool = True, **options: Any) -> ImportResult:
    """Import a disk, an appliance or ``s3://bucket/key``; several are the disks of one machine, boot disk first.

    `route` is "image" (default), "snapshot", "instance" or "volume". Without `wait` it returns when AWS has the task.
    Raises UsageError and ImageError for what cannot be sent, PreflightError for what AWS would refuse (nothing is sent
    then), AwsRefused, TaskFailed, DeadlineExceeded.
    """
    connection, rest = placed(options)
    from vmie import options as requests  # noqa: PLC0415
    from vmie.jobs import runner  # noqa: PLC0415
    from vmie.ops.import_ import operation  # noqa: PLC0415

    request = requests.ImportRequest(**{"sources": source, **rest})
    return finished(runner.run(operation(connection.context(), request), wait=wait))


@one_and_keywords(_Export)
def export(source: str, /, *, wait: bool = True, **options: Any) -> ExportResult:
    """Export an instance (``i-…``) or an AMI (``ami-…``) to S3, and with `download` on to a folder.

    `format` is vmdk, vhd, raw (AMIs only) or ova (instances only). With ``via="ebs"`` also a snapshot or a volume, in
    each of them, qcow2 or vhdx, into the local `file`. Raises what `import_image` raises.
    """
    connection, rest = placed(options)
    from vmie import options as requests  # noqa: PLC0415
    from vmie.jobs import runner  # noqa: PLC0415
    from vmie.ops.export import operation  # noqa: PLC0415

    request = requests.ExportRequest(**{"source": source, **rest})
    return finished(runner.run(operation(connection.context(), request), wait=wait))


@one_and_keywords(_Proof)
def prove_image(image_id: str, /, **options: Any) -> ProofResult:
    """Whether an AMI starts in EC2: ``result.verdict``; it is launched, judged, and ended in every case.

    Raises PreflightError for what does not go together or costs too much, AwsRefused for what cannot be launched.
    """
    connection, rest = placed(options)
    from vmie import options as requests  # noqa: PLC0415
    from vmie.jobs import runner  # noqa: PLC0415
    from vmie.ops.prove import ProofOperation  # noqa: PLC0415

    request = requests.ProofRequest(**{"image_id": image_id, **rest})
    return finished(runner.run(ProofOperation(connection.context(), request)))


@two_and_keywords(_Upload)
def upload(source: StrPath, target: str, /, **options: Any) -> UploadResult:
    """Send a disk to ``s3://bucket/key`` in the form that EC2 takes; a key that ends in / gets the file's name."""
    connection, rest = placed(options)
    from vmie import options as requests  # noqa: PLC0415
    from vmie.jobs import runner  # noqa: PLC0415
    from vmie.ops.upload import UploadOperation  # noqa: PLC0415

    request = requests.UploadRequest(**{"path": source, "url": target, **rest})
    return finished(runner.run(UploadOperation(connection.context(), request)))


@keywords(_Role)
def setup_role(**options: Any) -> RoleResult:
    """Make the role that VM Import/Export works as, or bring it up to date; what is right stays.

    Raises PreflightError where a document that somebody else edited would have to be replaced (`force` does that).
    """
    connection, rest = placed(options)
    from vmie import options as requests  # noqa: PLC0415
    from vmie.ops import setup_role as op  # noqa: PLC0415

    plan = op.plan(connection.aws, requests.RoleRequest(**rest))
    return op.apply(connection.aws, plan, reporter=connection.reporter)


def run_batch(
    plan: StrPath,
    *,
    variables: Mapping[str, str] | None = None,
    retry_failed: bool = False,
    batch_state: str = "",
    **place: Unpack[Place],
) -> BatchResult:
    """Carry out a plan file (YAML or CSV) to its end, or go on with its unfinished batch.

    Failed items are no exception: see the result's `failed` and `items`. `variables` replace ``${NAME}`` in the plan;
    `batch_state` is the database that keeps batches, "" for the folder of jobs. Raises UsageError for a plan that
    cannot be carried out, Interrupted, AwsRefused when the credentials are refused.
    """
    connection = connected(place)
    from vmie.batch.plan import validate  # noqa: PLC0415
    from vmie.batch.run import api  # noqa: PLC0415

    loaded = validate.load(Path(plan), settings=connection.settings, variables=variables)
    batches = connection.batches(batch_state)
    outcome = api.run(batches, api.begin(batches, loaded), retry_failed=retry_failed)
    api.mark_reported(batches, outcome.batch)
    return outcome


def _choice(name: str, kind: type[ChoiceT], value: str) -> ChoiceT:
    try:
        return kind(value)
    except ValueError:
        listed = ", ".join(kind)
        raise UsageError(says(f"{{{name}}}: {{_why}}", _why=f"{value!r} is none of {listed}")) from None


def _listed(given: StrPaths) -> Sequence[StrPath]:
    return [given] if isinstance(given, str | os.PathLike) else list(given)
