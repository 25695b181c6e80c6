"""The uploads of an import: what `ops.upload` does for one file, for each disk of the plan."""

from __future__ import annotations

from vmie.aws.upload import UploadOptions
from vmie.ops import upload
from vmie.ops.import_.planning import PlannedDisk
from vmie.ops.import_.work import Work


def upload_disk(work: Work, number: int, planned: PlannedDisk) -> None:
    """Send one disk of the plan, or see that it is there already. Raises ImageError when the file changed."""
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
        step=f"upload {number}",
        options=UploadOptions(owner=work.aws.bucket_owner or None),
        reporter=work.reporter,
    )
