"""What the verbs of batches share: their options, and the batch that is meant with all that it takes to work on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from vmie.cli import completion, context
from vmie.errors import Cancel, Resume, UsageError

if TYPE_CHECKING:
    from vmie.batch.context import BatchContext
    from vmie.model import JobSummary

Shared = Annotated[
    str,
    typer.Option(
        "--state",
        envvar="VMIE_BATCH_STATE",
        metavar="URL",
        help="postgresql://USER@HOST/DATABASE, to share batches with `vmie worker`. Default: files on this machine.",
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Begin failed items of a batch anew as well.")]
Named = Annotated[
    str,
    typer.Argument(metavar="BATCH", help="As `vmie batch status` shows it.", autocompletion=completion.batches),
]


def batch_context(run: context.Invocation, state: str, *, uploads: int | None = None) -> BatchContext:
    """What batches need of this invocation; `vmie worker` shares it.

    Each item that ends is a line; what happens on its way only goes to logs, and is shown with --verbose.
    """
    from vmie.cli.batch_live import finished_only

    made = run.connection.batches(state, uploads=uploads)
    if run.verbose or run.log_format == "json":
        return made
    return replace(made, reporter=finished_only(run.reporter))


def find(this: context.Invocation, name: str, state: str) -> JobSummary:
    """The batch of that id. Raises UsageError for a name that is none."""
    from vmie.cli import job_index
    from vmie.poll import SystemClock

    known = job_index.find(name, this.state, clock=SystemClock(), shared=state)
    if known.kind != "batch":
        raise UsageError(f"{name} is no batch", cure=(Resume(name), Cancel(name)))
    return known


def context_of(this: context.Invocation, known: JobSummary, state: str) -> BatchContext:
    """What is needed to work on a batch, wherever it is kept."""
    from vmie.cli import job_index

    return batch_context(this, job_index.home(known.job, this.state, shared=state))
