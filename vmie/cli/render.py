"""Results and errors, as text and as JSON: the only module that prints them.

The JSON envelope is a contract (docs/reference/json.md): one object on stdout, also after an error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from vmie.cli.terms import TERMS
from vmie.errors import VmieError, text_of
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
    """What, why, cure, and the request id where AWS gave one."""
    lines = [f"error: {text_of(error.what, TERMS)}"]
    if cause := error.cause_text(TERMS):
        lines.append(f"  why:  {_indented(cause)}")
    if cure := error.cure_text(TERMS):
        lines.append(f"  cure: {_indented(cure)}")
    if error.request_id:
        lines.append(f"  request id: {error.request_id}")
    return lines


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


def sent(source: int, total: int, *, over_wire: int | None = None, seconds: float = 0) -> str:
    """What was sent, one wording for all: ``data 513.0 MiB → 21.8 MiB (4%)``, rate and time; no percent over 100.

    `source` bytes of data became an object of `total`, of which `over_wire` crossed the wire this time.
    """
    parts = [f"data {size(source)} → {size(total)}" if total not in (0, source) else f"data {size(source)}"]
    if 0 < total < source:
        parts[0] += f" ({total / source:.0%})"
    moved = total if over_wire is None else over_wire
    if not moved:
        parts.append("nothing had to be sent")
    elif moved != total:
        parts.append(f"{size(moved)} sent this time")
    if seconds > 0 and moved:
        parts.append(f"{size(moved / seconds)}/s")
    if seconds > 0:
        parts.append(f"{seconds:.1f} s")
    return ", ".join(parts)


def left_out(count: int) -> str:
    """What is said of `count` bytes of data that went as zeros."""
    return f"{size(count)} of data in free space (--keep-free sends them too)"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> RenderableType:
    """A plain table without frame that fits the terminal."""
    from vmie.cli.tables import TextTable

    return TextTable(columns, rows)


def _indented(text: str) -> str:
    return text.replace("\n", "\n        ")


def _print_json(data: dict[str, Any]) -> None:
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json_text(data, indent=2, ascii_only=not utf8))  # noqa: T201
