"""What one run of the command line shares: global options, settings, reporter, the connection to AWS."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vmie import events
from vmie.escaping import visible

if TYPE_CHECKING:
    from vmie.aws.session import Aws
    from vmie.connection import Connection
    from vmie.disk import Disk
    from vmie.ops.context import Context
    from vmie.settings import Settings


@dataclass
class Invocation:
    """One invocation. Everything that costs an import is made when first asked for."""

    options: dict[str, Any] = field(default_factory=dict)
    output: str = "text"
    quiet: bool = False
    verbose: bool = False
    progress: bool = True
    log_format: str = "text"
    dry_run: bool = False
    sandbox: bool = False
    #: closed by `main` at the end, also after a failure: progress displays, the sandbox
    stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def settings(self) -> Settings:
        """Flags over environment over file over default."""
        from vmie import settings

        options = dict(self.options)
        if self.sandbox:
            # No import in the sandbox takes longer than a second or two: look often.
            options.setdefault("poll_seconds", 0.05)
        loaded = settings.load(options)
        return _seeded(loaded) if self.sandbox else loaded

    @cached_property
    def state(self) -> Path:
        """The folder of jobs; a sandbox's is deleted when it ends."""
        if self.sandbox:
            import tempfile

            return Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="vmie-sandbox-")))
        from vmie.settings import state_path

        return state_path()

    @cached_property
    def reporter(self) -> events.Reporter:
        """Progress on stderr: a live display on a terminal, plain lines elsewhere, nothing with --quiet."""
        from vmie.cli.reporter import make

        return self.stack.enter_context(
            make(log_format=self.log_format, quiet=self.quiet, verbose=self.verbose, progress=self.progress)
        )

    @cached_property
    def connection(self) -> Connection:
        """AWS, or the sandbox with --sandbox, which starts here."""
        from vmie.connection import Connection

        if not self.sandbox:
            return Connection(self.settings, self.state, self.reporter)
        from vmie import sandbox

        running = sandbox.start(seeded=True, region=self._sandbox_region, verdict=sandbox.rules_verdict)
        self.stack.enter_context(running)
        there = replace(self.settings, region=self._sandbox_region)
        return Connection(there, self.state, self.reporter, one_account=True)

    def aws(self) -> Aws:
        """The account, in the Region asked for."""
        return self.connection.aws

    def snapshot(self, snapshot_id: str) -> Disk:
        """The disk of a snapshot, read by blocks: AWS is connected to here."""
        return self.connection.snapshot(snapshot_id)

    def work(self) -> Context:
        """What an operation works with."""
        return self.connection.context()

    def door(self, region: str, profile: str = "", /) -> Aws:
        """Another Region, or the account of another profile; "" for the run's own."""
        return self.connection.to(region, profile)

    @property
    def _sandbox_region(self) -> str:
        """The Region asked for; the user's own settings are for AWS, not for the sandbox."""
        return str(self.options.get("region") or "us-east-1")

    def confirm(self, question: str) -> bool:
        """Ask on a terminal; elsewhere the answer is no."""
        import sys

        if self.output != "text" or self.quiet or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        return typer.confirm(visible(question), err=True)


def _seeded(loaded: Settings) -> Settings:
    """The settings that apply to the sandbox too, which has none of the account's buckets and roles."""
    from vmie import sandbox
    from vmie.settings import Settings

    there: dict[str, Any] = {"bucket": sandbox.BUCKET, "export_bucket": sandbox.BUCKET, "role_name": sandbox.ROLE}
    defaults = Settings()
    elsewhere = {name: getattr(defaults, name) for name, value in there.items() if getattr(loaded, name) != value}
    return replace(loaded, endpoint_url=None, profile=None, **elsewhere)


def of(ctx: typer.Context) -> Invocation:
    """The run that `ctx` belongs to."""
    found = ctx.find_object(Invocation)
    return found if found is not None else Invocation()
