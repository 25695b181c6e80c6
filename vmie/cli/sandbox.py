"""``vmie sandbox serve|env|save|load``: options, one call, render."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vmie.cli import commands, context, render
from vmie.errors import UsageError
from vmie.escaping import visible

DEFAULT_PORT = 4566
DEFAULT_REGION = "us-east-1"


class Shell(StrEnum):
    """The shell that the exports are for."""

    SH = "sh"
    FISH = "fish"
    POWERSHELL = "powershell"


_EXPORT = {
    Shell.SH: "export {name}='{value}'",
    Shell.FISH: "set -gx {name} '{value}'",
    Shell.POWERSHELL: "$env:{name} = '{value}'",
}


def build() -> typer.Typer:
    """The group of verbs."""
    app = commands.group("AWS offline, with VM Import/Export in it.")
    app.command()(serve)
    app.command()(env)
    app.command()(save)
    app.command()(load)
    return app


_ServedPort = Annotated[int, typer.Option(help="Port that the sandbox listens on.", min=1, max=65535)]
_ServedHost = Annotated[str, typer.Option(help="Address that the sandbox listens on.")]
_Port = Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)]
_Speed = Annotated[
    str | None,
    typer.Option(
        help="Seconds of AWS's work per second: 1 is as slow as AWS, 0 stands still; human (40) leaves time to "
        "look at a task and to cancel it, fast (1200) ends it in a second or two. [default: human]",
        metavar="<human|fast|N>",
    ),
]
_Seeded = Annotated[
    bool, typer.Option("--seeded/--empty", help="Start with a bucket, the role and an imported instance, or bare.")
]
_ImportLimit = Annotated[int | None, typer.Option(help="Active imports per account and Region. [default: 20]", min=0)]
_ExportLimit = Annotated[int | None, typer.Option(help="Active exports per account and Region. [default: 5]", min=0)]
_Judge = Annotated[
    bool, typer.Option("--judge-guests/--any-guest", help="Fail for guests that `vmie check` fails, or accept any.")
]
_Propagation = Annotated[
    float | None, typer.Option(help="Seconds until a change of a role takes effect. [default: 0]", min=0)
]
_Seed = Annotated[Path | None, typer.Option(help="Seed file (YAML): what is there from the beginning.", metavar="FILE")]
_Names = Annotated[
    list[str] | None,
    typer.Option(help="Further name that clients reach it under, such as host.docker.internal. Repeatable."),
]


def serve(
    ctx: typer.Context,
    port: _Port = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="Loopback address to listen on.")] = "127.0.0.1",
    speed: _Speed = None,
    seeded: _Seeded = True,
    import_limit: _ImportLimit = None,
    export_limit: _ExportLimit = None,
    judge_guests: _Judge = True,
    propagation: _Propagation = None,
    seed: _Seed = None,
    allow_host: _Names = None,
) -> None:
    """Serve the sandbox to any AWS client on this machine, until Ctrl-C.

    vmie sandbox serve

    vmie sandbox serve --port 5000 --speed fast --empty

    vmie sandbox serve --empty --seed world.yaml

    eval "$(vmie sandbox env)"; aws ec2 describe-import-image-tasks
    """
    from vmie import sandbox

    run = context.of(ctx)
    region, pace = _region(run), _pace(speed, seed)
    if run.dry_run:
        text = f"would serve the sandbox on {host} port {port}"
        render.finish(run, "sandbox serve", {"host": host, "port": port}, text=text)
        return
    quotas = {"imports": import_limit, "exports": export_limit}
    given: dict[str, Any] = {name: count for name, count in quotas.items() if count is not None}
    with (
        suppress(KeyboardInterrupt),  # a server that is stopped has succeeded, whenever it happens
        _until_terminated(),
        sandbox.serve(
            host=host,
            port=port,
            allow_hosts=allow_host or (),
            seeded=seeded,
            region=region,
            speed=pace,
            limits=sandbox.Quotas(**given) if given else None,
            world=seed,
            propagation=propagation,
            verdict=sandbox.rules_verdict if judge_guests else None,
        ) as box,
    ):
        text = f"listening on {box.url}\n{_exports(box.environment(), Shell.SH)}"
        render.finish(run, "sandbox serve", {"url": box.url, "environment": box.environment()}, text=text)
        sys.stdout.flush()
        box.join()


def env(
    ctx: typer.Context,
    port: _ServedPort = DEFAULT_PORT,
    host: _ServedHost = "127.0.0.1",
    shell: Annotated[Shell, typer.Option(help="Syntax of the exports.")] = Shell.SH,
) -> None:
    """Print the variables that point AWS clients at a serving sandbox.

    eval "$(vmie sandbox env)"

    vmie sandbox env --port 5000 --shell fish | source

    vmie sandbox env --host 127.0.0.2
    """
    from vmie import sandbox

    run = context.of(ctx)
    variables = sandbox.environment(_url(host, port), region=_region(run))
    render.finish(run, "sandbox env", {"environment": variables}, text=_exports(variables, shell))


def save(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="File to write: a tar.", show_default=False)],
    port: _ServedPort = DEFAULT_PORT,
    host: _ServedHost = "127.0.0.1",
) -> None:
    """Save what a serving sandbox holds: buckets, objects, identities, snapshots, images, instances, quotas.

    vmie sandbox save world.tar

    vmie sandbox save world.tar --dry-run

    vmie sandbox save world.tar --port 5000

    vmie sandbox serve --empty --seed world.tar
    """
    from vmie.sandbox import remote

    run = context.of(ctx)
    url = _url(host, port)
    if run.dry_run:
        render.finish(run, "sandbox save", {"url": url}, text=f"would save the sandbox at {url} to {file}")
        return
    left = remote.save(url, file)
    rest = f"; it has no place for {', '.join(f'{count} {what}' for what, count in left.items())}" if left else ""
    render.finish(
        run, "sandbox save", {"file": str(file), "left_out": left}, text=f"saved to {visible(str(file))}{rest}"
    )


def load(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="File that `vmie sandbox save` wrote.", show_default=False)],
    port: _ServedPort = DEFAULT_PORT,
    host: _ServedHost = "127.0.0.1",
) -> None:
    """Let a serving sandbox begin anew with a saved world; a reset leads back to it.

    vmie sandbox load world.tar

    vmie sandbox load world.tar --dry-run

    vmie sandbox load world.tar --port 5000
    """
    from vmie.sandbox import remote

    run = context.of(ctx)
    url = _url(host, port)
    if run.dry_run:
        render.finish(
            run, "sandbox load", {"url": url}, text=f"would load {visible(str(file))} into the sandbox at {url}"
        )
        return
    remote.load(url, file)
    render.finish(run, "sandbox load", {"file": str(file)}, text=f"loaded {visible(str(file))}")


def _url(host: str, port: int) -> str:
    if not all(character.isalnum() or character in ".:-" for character in host):
        raise UsageError(f"{host!r} is no host", cure="name an address such as 127.0.0.1")
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _pace(speed: str | None, seed: Path | None) -> float:
    """The speed: as typed, as the seed file says, or a person's."""
    from vmie.sandbox import speed_of
    from vmie.sandbox.world.archive import read

    said = read(seed).world.speed if seed else None
    return speed_of(next(one for one in (speed, said, "human") if one is not None))


def _region(run: context.Invocation) -> str:
    """The Region asked for; the settings file's is for AWS, not for the sandbox."""
    region = str(run.options.get("region") or DEFAULT_REGION)
    if not all(character.isalnum() or character == "-" for character in region):
        raise UsageError(f"{region!r} is no Region", cure="name one such as us-east-1")
    return region


def _exports(variables: dict[str, str], shell: Shell) -> str:
    return "\n".join(_EXPORT[shell].format(name=name, value=value) for name, value in variables.items())


@contextmanager
def _until_terminated() -> Iterator[None]:
    """Let SIGTERM end the sandbox as Ctrl-C does: cleaned up, and as a success."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
