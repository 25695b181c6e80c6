"""The uploads of an import: what `ops.upload` does for one file, for each disk of the plan."""

from __future__ import annotations

from vmie.ops import copying, transfer_options, upload
from vmie.ops.import_.context import Work
from vmie.ops.import_.planning import PlannedDisk


def upload_disk(work: Work, number: int, planned: PlannedDisk) -> None:
    """Send one disk of the plan, or have S3 copy it, or see that it is there. Raises ImageError (SourceChanged)."""
    options = transfer_options.upload_options(work.plan.request, work.aws, work.settings)
    step = f"upload {number}"
    if planned.copied is not None:
        copying.send(work.aws, planned.copied, journal=work.journal, step=step, options=options, reporter=work.reporter)
    if planned.path is None or planned.identity is None:
        return
    plan = upload.UploadPlan(
        path=planned.path,
        target=planned.object,
        choice=planned.choice,
        identity=planned.identity,
        source_size=planned.source_size,
        bound=planned.bound,
        index=planned.index,
    )
    upload.send(
        work.aws,
        plan,
        journal=work.journal,
        step=step,
        options=options,
        reporter=work.reporter,
    )
