"""``vmie worker``: options, one call, render."""

from __future__ import annotations

from typing import Annotated

import typer

from vmie.cli import context, render


def worker(
    ctx: typer.Context,
    state: Annotated[
        str, typer.Option(envvar="VMIE_BATCH_STATE", metavar="URL", help="postgresql://USER@HOST/DATABASE.")
    ],
    queue: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="Send items with this `queue`, whose disks are near; repeatable."),
    ] = None,
    uploads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Items checked and uploaded at once here. Default: what each plan says."),
    ] = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when no batch has anything left.")] = False,
) -> None:
    """Work on the batches of a shared state, until Ctrl-C; start as many as there are machines.

    vmie worker --state postgresql://vmie@db/vmie

    vmie worker --state postgresql://vmie@db/vmie --queue rack-2 --uploads 4

    vmie worker --state postgresql://vmie@db/vmie --until-idle

    A worker that dies leaves nothing behind: the others continue its work.
    """
    from vmie.batch.run import api
    from vmie.cli.batch_options import batch_context

    this = context.of(ctx)
    api.work(batch_context(this, state, uploads=uploads), queues=queue or ["default"], until_idle=until_idle)
    render.finish(this, "worker", {"queues": queue or ["default"]}, text="nothing left to do")
