"""Results and errors, as text and as JSON: the only module that prints them.

The JSON envelope is a contract (docs/reference/json.md): one object on stdout, also after an error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from vmie.cli import wrapping
from vmie.cli.terms import TERMS
from vmie.errors import Action, Run, VmieError, text_of
from vmie.escaping import json_text, visible
from vmie.model import Finding

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


ENVELOPE_VERSION = 1


class Printer(Protocol):
    """What a command's output depends on."""

    #: text or json
    output: str
    #: closed before a result is printed: progress displays
    stack: ExitStack


def finish(
    run: Printer,
    command: str,
    result: dict[str, Any],
    *,
    text: RenderableType = "",
    findings: Iterable[Finding] = (),
    status: str = "success",
) -> None:
    """Print a command's result: `result` as JSON, or `text` (a string or a rich renderable)."""
    run.stack.close()  # progress displays end before the result begins
    if run.output == "json":
        _print_json(envelope(command, status=status, result=result, findings=findings))
    elif isinstance(text, str):
        if text:
            print(visible(text))  # noqa: T201 - data goes to stdout
    else:
        console(stderr=False).print(text)


def fail(run: Printer, command: str, error: VmieError) -> None:
    """Print an error: three lines (what, why, cure) on stderr, or the envelope on stdout."""
    from vmie.catalogue import redacted

    if run.output == "json":
        _print_json(
            envelope(
                command,
                status="error",
                result=redacted(error.result),
                findings=error.findings,
                error=redacted(error.as_json(TERMS)),
            )
        )
        return
    for line in error_lines(error):
        print(visible(redacted(line)), file=sys.stderr)  # noqa: T201


def error_lines(error: VmieError) -> list[str]:
    """What, why, cure, and the request id where AWS gave one; as wide as the terminal that stderr is."""
    width = wrapping.columns(sys.stderr)
    lines = list(wrapping.wrapped(text_of(error.what, TERMS), width, first="error: ", indent=7))
    label = "  why:  "
    for cause in filter(None, error.cause_text(TERMS).split("\n")):
        lines += wrapping.wrapped(cause, width, first=label, indent=8)
        label = " " * 8
    label = "  cure: "
    for action in error.actions:
        lines += (told := list(_cure(action, width, label)))
        label = " " * 8 if told else label
    if error.request_id:
        lines.append(f"  request id: {error.request_id}")
    return lines


def _cure(action: Action, width: int | None, label: str) -> Iterator[str]:
    """The lines of one cure; a command can be copied, what it does stands behind or below it."""
    whole = action.text(TERMS)
    if isinstance(action, Run) and width is not None and len(label) + len(whole) > width:
        yield from wrapping.command(action.argv, width, first=label, indent=10)
        note = text_of(action.note, TERMS)
        yield from wrapping.wrapped(f"({note})", width, first=" " * 10, indent=10) if note else ()
        return
    for line in filter(None, whole.split("\n")):
        yield from wrapping.wrapped(line, width, first=label, indent=8)
        label = " " * 8


def envelope(
    command: str,
    *,
    status: str,
    result: dict[str, Any],
    findings: Iterable[Finding] = (),
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The contracted JSON object."""
    return {
        "vmie": ENVELOPE_VERSION,
        "command": command,
        "status": status,
        "result": result,
        "findings": [finding.as_json(TERMS) for finding in findings],
        "error": error,
    }


def console(*, stderr: bool) -> Console:
    """A rich console; plain and unwrapped when the stream is not a terminal."""
    from vmie.cli.terminal import SafeConsole

    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return SafeConsole(stream)
    return SafeConsole(stream, no_color=True, width=200, soft_wrap=True)


def size(amount: float) -> str:
    """Bytes for people: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def moment(text: str) -> str:
    """A time of a job for people: ``2026-01-02 03:04``, in UTC as it is kept."""
    return text[:16].replace("T", " ")


def left_out(count: int) -> str:
    """What is said of `count` bytes of data that went as zeros."""
    return f"{size(count)} of data in free space (--keep-free sends them too)"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> RenderableType:
    """A plain table without frame that fits the terminal."""
    from vmie.cli.tables import TextTable

    return TextTable(columns, rows)


def _print_json(data: dict[str, Any]) -> None:
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json_text(data, indent=2, ascii_only=not utf8))  # noqa: T201
