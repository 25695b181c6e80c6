"""The command line: one file per verb. `main` is the only place that turns errors into exit codes.

Nothing of vmie is loaded before `main` has seen to it that it can be stopped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmie.cli.context import Invocation
    from vmie.errors import Action, VmieError

_LINGER_SECONDS = 10.0


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    from vmie.cli import stopping, streams

    words = list(sys.argv[1:] if argv is None else argv)
    streams.install()
    try:
        stopping.install()
        from vmie.cli import tracebacks

        tracebacks.install()
        code = run(words)
    except KeyboardInterrupt:
        code = _interrupted(words)
    stopping.over(code)
    _end(code)


def _interrupted(words: list[str]) -> int:
    from vmie.cli import stopping, streams

    try:
        return stopping.say(as_json=_wants_json(words))
    except OSError:  # and nobody hears it
        streams.discard(sys.stdout)
        return stopping.EXIT


def _end(code: int) -> None:
    """Leave, with all that is written."""
    import atexit
    import threading

    from vmie.cli import stopping

    if code == stopping.EXIT:
        # CPython would die of SIGINT, whatever the code, where KeyboardInterrupt went through an exec(), as dataclasses
        # do (pymain_run_python and exit_sigint in its Modules/main.c).
        atexit._run_exitfuncs()  # noqa: SLF001 - os._exit runs none
        sys.stdout.flush()
        os._exit(code)
    if threading.active_count() > 1:
        # The output is complete: a thread that hangs on a database or a connection must not hold the process up.
        last = threading.Timer(_LINGER_SECONDS, os._exit, (code,))
        last.daemon = True
        last.start()
    sys.exit(code)


def run(argv: list[str]) -> int:
    """Carry out `argv` and return the exit code."""
    from vmie.cli import streams, verbs

    if verbs.is_root_help(argv) and "_VMIE_COMPLETE" not in os.environ:
        return _root_help()
    import typer.main

    from vmie.cli import tracebacks
    from vmie.cli.app import build
    from vmie.cli.context import Invocation
    from vmie.errors import VmieError

    command: Any = typer.main.get_command(build())
    argv, verb = hoist(command, argv)
    state = Invocation(output="json" if _wants_json(argv) else "text")
    known_errors: tuple[type[BaseException], ...] = (*_usage_errors(), typer.Abort, KeyboardInterrupt, VmieError)
    try:
        try:
            code = _called(command, argv, state)
        except BaseException:
            state.stack.__exit__(*sys.exc_info())
            raise
        state.stack.close()
    except known_errors as error:
        return _fail(state, verb, _without_jobs(_as_vmie(error)) if state.sandbox else _as_vmie(error))
    except streams.OutputLostError as error:
        return _lost(error)
    except (BrokenPipeError, SystemExit) as stop:
        # The reader of our output closed it (`vmie … | head`), which is no failure. Click makes it exit(1).
        if isinstance(stop, SystemExit) and not isinstance(stop.__context__, BrokenPipeError):
            raise
        streams.discard(sys.stdout)
        return 0
    except Exception as error:
        if state.verbose:
            tracebacks.show(error)
        return _fail(state, verb, _fault(error))
    return int(code) if isinstance(code, int) else 0


def _called(command: Any, argv: list[str], state: Invocation) -> Any:
    """What the verb comes to, when all that it printed is written."""
    import typer

    try:
        if "_VMIE_COMPLETE" in os.environ:
            return command.main(args=argv, prog_name="vmie", standalone_mode=False, obj=state)
        # Not `main`, which makes of KeyboardInterrupt the same silent code that a verb may return.
        with command.make_context("vmie", argv, obj=state) as ctx:
            code = command.invoke(ctx)
    except typer.Exit as stop:
        code = stop.exit_code
    sys.stdout.flush()
    return code


def _lost(error: OSError) -> int:
    """Say on stderr that stdout did not take the result."""
    from vmie.cli import render, streams
    from vmie.errors import VmieError

    streams.discard(sys.stdout)
    failure = VmieError(
        f"the output could not be written: {error.strerror}",
        cause="stdout is a file on a full disk, or a device that failed; the command itself has done its work",
        cure="make room, then run the command again",
        code="OutputLost",
    )
    for line in render.error_lines(failure):
        print(line, file=sys.stderr)  # noqa: T201
    return failure.exit_code


def _root_help() -> int:
    """Print the page of all verbs, without loading what only their work needs."""
    from vmie.cli import help_page, streams, verbs

    try:
        print(verbs.root_page().text(help_page.columns()), flush=True)  # noqa: T201
    except BrokenPipeError:
        streams.discard(sys.stdout)
    except streams.OutputLostError as error:
        return _lost(error)
    return 0


def _fail(state: Invocation, verb: str, error: VmieError) -> int:
    """Print an error, unless its reader closed the stream; its exit code."""
    from vmie.cli import render, stopping, streams

    stopping.hold()
    try:
        render.fail(state, verb, error)
        sys.stdout.flush()
    except BrokenPipeError:
        streams.discard(sys.stdout)
    except streams.OutputLostError as lost:
        _lost(lost)
        for line in render.error_lines(error):
            print(line, file=sys.stderr)  # noqa: T201
    return error.exit_code


def hoist(command: Any, argv: list[str]) -> tuple[list[str], str]:
    """Move global options that stand after the verb to the front; also return the verb's name.

    An option that the verb itself defines stays with it: `vmie check x --profile 2016` is what `--rules 2016`
    was called, `vmie --profile work check x` is the AWS profile.
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
    from vmie.errors import Interrupted, VmieError

    if isinstance(error, VmieError):
        return error
    if isinstance(error, _usage_errors()):
        from vmie.cli import usage

        return usage.told(error)
    return Interrupted("interrupted", cure="run the same command again")


def _without_jobs(error: VmieError) -> VmieError:
    """The same error without the actions that need the sandbox's jobs, tasks and objects, which are gone."""
    from vmie.errors import Interrupted

    if isinstance(error, Interrupted):
        error.why = ("the sandbox ended with the command, and with it what was done in it",)
    error.actions = tuple(one for one in error.actions if not _of_a_job(one))
    return error


def _of_a_job(action: Action) -> bool:
    from vmie.errors import Cancel, Resume, Run

    return isinstance(action, Resume | Cancel) or (isinstance(action, Run) and action.argv[:2] == ("vmie", "batch"))


def _fault(error: Exception) -> VmieError:
    from vmie.errors import VmieError

    return VmieError(
        f"unexpected {type(error).__name__}: {error}",
        cause="this is a fault of vmie",
        cure="run it again with --verbose and report what it prints",
        code="Fault",
    )
