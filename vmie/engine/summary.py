"""What `vmie jobs` says of everything that was begun: single jobs and batches, in one shape."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

#: of a file that cannot be read
DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class JobSummary:
    """One line of `vmie jobs`. `kind` is import, export, upload or batch.

    `status` is running, interrupted or damaged (unreadable); submitted, done, failed or cancelled of a single job;
    completed, partial, cancelling or cancelled of a batch. `object` is where the (first) upload goes. `bytes_held` is
    what S3 holds of uploads that are not completed, and charges for until `vmie cancel`, about; None when there are
    none. `progress` is how many items of a batch are completed ("37/500"); None for a single job.
    """

    job: str
    status: str
    kind: str
    source: str
    task_id: str | None
    updated: str
    object: str | None = None
    bytes_held: int | None = None
    progress: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The contracted shape."""
        return asdict(self)
