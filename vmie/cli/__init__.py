"""The command line: one file per verb. `main` is the only place that turns errors into exit codes."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from itertools import pairwise
from types import FrameType
from typing import TYPE_CHECKING, Any

from vmie.cli import help_page, verbs
from vmie.errors import Action, Cancel, Interrupted, Resume, Run, UsageError, VmieError

if TYPE_CHECKING:
    from vmie.cli.context import Invocation

_LINGER_SECONDS = 10.0


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    from vmie.cli import tracebacks

    tracebacks.install()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A locale without a character must not end a command that has done its work.
            stream.reconfigure(errors="backslashreplace")
    code = run(list(sys.argv[1:] if argv is None else argv))
    if threading.active_count() > 1:
        # The output is complete: a thread that hangs on a database or a connection must not hold the process up.
        last = threading.Timer(_LINGER_SECONDS, os._exit, (code,))
        last.daemon = True
        last.start()
    sys.exit(code)


def run(argv: list[str]) -> int:
    """Carry out `argv` and return the exit code."""
    if verbs.is_root_help(argv) and "_VMIE_COMPLETE" not in os.environ:
        return _root_help()
    import typer.main

    from vmie.cli import tracebacks
    from vmie.cli.app import build
    from vmie.cli.context import Invocation

    command: Any = typer.main.get_command(build())
    argv, verb = hoist(command, argv)
    state = Invocation(output="json" if _wants_json(argv) else "text")
    known_errors: tuple[type[BaseException], ...] = (*_usage_errors(), typer.Abort, KeyboardInterrupt, VmieError)
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which is what nohup is for
        signal.signal(signal.SIGHUP, _terminate)
    try:
        try:
            code = command.main(args=argv, prog_name="vmie", standalone_mode=False, obj=state)
            sys.stdout.flush()
        except BaseException:
            state.stack.__exit__(*sys.exc_info())
            raise
        state.stack.close()
    except typer.Exit as stop:
        return stop.exit_code
    except known_errors as error:
        return _fail(state, verb, _without_jobs(_as_vmie(error)) if state.sandbox else _as_vmie(error))
    except (BrokenPipeError, SystemExit) as stop:
        # The reader of our output closed it (`vmie … | head`), which is no failure. Click makes it exit(1).
        if isinstance(stop, SystemExit) and not isinstance(stop.__context__, BrokenPipeError):
            raise
        _discard_output()
        return 0
    except Exception as error:
        if state.verbose:
            tracebacks.show(error)
        return _fail(state, verb, _fault(error))
    return int(code) if isinstance(code, int) else 0


def _root_help() -> int:
    """Print the page of all verbs, without loading what only their work needs."""
    try:
        print(verbs.root_page().text(help_page.columns()), flush=True)  # noqa: T201
    except BrokenPipeError:
        _discard_output()
    return 0


def _fail(state: Invocation, verb: str, error: VmieError) -> int:
    """Print an error, unless its reader closed the stream; its exit code."""
    from vmie.cli import render

    try:
        render.fail(state, verb, error)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
    return error.exit_code


def _discard_output() -> None:
    """Discard what is still buffered: Python would report it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def hoist(command: Any, argv: list[str]) -> tuple[list[str], str]:
    """Move global options that stand after the verb to the front; also return the verb's name.

    An option that the verb itself defines stays with it: `vmie check x --profile 2016` is the rules'
    profile, `vmie --profile work check x` is the AWS profile.
    """
    takes_value = {name: not option.is_flag for option in command.params for name in option.opts}
    front: list[str] = []
    rest = list(argv)
    while rest and rest[0].startswith("-") and rest[0] != "--":
        option = rest.pop(0)
        front.append(option)
        if takes_value.get(option) and rest:
            front.append(rest.pop(0))
    verb: list[str] = []
    node = command
    if rest[:1] == ["help"]:  # `vmie help VERB` is `vmie VERB --help`
        rest = [*rest[1:], "--help"]
    while rest and rest[0] in getattr(node, "commands", {}):
        node = node.commands[rest[0]]
        verb.append(rest.pop(0))
    own = {name for option in node.params for name in option.opts} if verb else set(takes_value)
    tail: list[str] = []
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        if word == "--":
            tail += [word, *rest]
            break
        if name in takes_value and name not in own:
            front.append(word)
            if takes_value[name] and not equals and rest:
                front.append(rest.pop(0))
        else:
            tail.append(word)
    return front + verb + tail, " ".join(verb)


def _wants_json(argv: Sequence[str]) -> bool:
    """Whether the user asked for JSON; read before the options are parsed, for usage errors are JSON too."""
    return "--output=json" in argv or any(pair == ("--output", "json") for pair in pairwise(argv))


def _usage_errors() -> tuple[type[BaseException], ...]:
    """Click's base of usage errors: newer Typers carry a click of their own, older ones use the real one."""
    import typer

    return tuple(kind for kind in typer.BadParameter.__mro__ if hasattr(kind, "format_message"))


def _as_vmie(error: BaseException) -> VmieError:
    if isinstance(error, VmieError):
        return error
    if isinstance(error, _usage_errors()):
        ctx = getattr(error, "ctx", None)
        where = f"`{ctx.command_path} --help`" if ctx else "`vmie --help`"
        message: str = getattr(error, "format_message", error.__str__)()
        return UsageError(message, cure=f"see {where}")
    return Interrupted("interrupted", cure="run the same command again")


def _without_jobs(error: VmieError) -> VmieError:
    """The same error without the actions that need the sandbox's jobs, tasks and objects, which are gone."""
    if isinstance(error, Interrupted):
        error.why = ("the sandbox ended with the command, and with it what was done in it",)
    error.actions = tuple(one for one in error.actions if not _of_a_job(one))
    return error


def _of_a_job(action: Action) -> bool:
    return isinstance(action, Resume | Cancel) or (isinstance(action, Run) and action.argv[:2] == ("vmie", "batch"))


def _fault(error: Exception) -> VmieError:
    return VmieError(
        f"unexpected {type(error).__name__}: {error}",
        cause="this is a fault of vmie",
        cure="run it again with --verbose and report what it prints",
        code="Fault",
    )


def _terminate(signum: int, frame: FrameType | None) -> None:
    """SIGTERM, and SIGHUP when a terminal closes, end a run as Ctrl-C does: cleaned up, resumable."""
    raise KeyboardInterrupt
