"""The library's functions that go on with a job or batch, or give it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from vmie.library.place import Place, connected

if TYPE_CHECKING:
    from vmie.batch.run.api import BatchResult
    from vmie.jobs.runner import JobOutcome
    from vmie.ops.export import ExportResult
    from vmie.ops.import_ import ImportResult
    from vmie.ops.protocols import Result
    from vmie.ops.upload import UploadResult

ResultT = TypeVar("ResultT", bound="Result")


def resume(
    job: str,
    *,
    wait: bool = True,
    retry_failed: bool = False,
    batch_state: str = "",
    **place: Unpack[Place],
) -> ImportResult | ExportResult | UploadResult | BatchResult:
    """Continue a job or batch that was interrupted or failed; nothing is sent or created twice.

    Raises UsageError when there is none of that name, when it is done, or when another process works on it.
    """
    connection = connected(place)
    if job.startswith("batch-"):
        from vmie.batch.run import api  # noqa: PLC0415

        batches = connection.batches(batch_state)
        elsewhere = api.resume_elsewhere(batches, job, retry_failed=retry_failed)
        outcome = elsewhere or api.run(batches, job, retry_failed=retry_failed)
        api.mark_reported(batches, outcome.batch)
        return outcome
    from vmie.jobs import runner  # noqa: PLC0415

    result: ImportResult | ExportResult | UploadResult = finished(runner.resume(connection.context(), job, wait=wait))
    return result


def cancel(job: str, *, reason: str = "", batch_state: str = "", **place: Unpack[Place]) -> None:
    """Cancel a job or batch: its tasks are cancelled, its uploads aborted and its objects removed."""
    connection = connected(place)
    if job.startswith("batch-"):
        from vmie.batch.run import api  # noqa: PLC0415

        api.cancel(connection.batches(batch_state), job)
        return
    from vmie.jobs import runner  # noqa: PLC0415

    runner.cancel(connection.context(), job, reason=reason)


def finished(outcome: JobOutcome[Any, ResultT]) -> ResultT:
    """What a job has made: only a dry run has nothing."""
    assert outcome.result is not None  # noqa: S101 - only a dry run has none
    return outcome.result
