"""What a command came to, for people: what was made, what was sent, and the command to type next."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from vmie.cli import context, render, wrapping

#: a label, and what it is of; a command is a list of its words
Fact = tuple[str, str | Sequence[str]]

_INDENT = 2
_GONE = "the sandbox ended with this command, and what it made; without --sandbox the same goes to AWS"


def text(title: str, facts: Iterable[Fact]) -> str:
    """The title, and a line for each fact that there is, under each other."""
    told = [(label, said) for label, said in facts if said]
    beside = max((len(label) for label, _ in told), default=0) + 2
    width = wrapping.columns(sys.stdout)
    lines = list(wrapping.wrapped(title, width, indent=_INDENT))
    for label, said in told:
        first, indent = f"{' ' * _INDENT}{label:<{beside}}", _INDENT + beside
        if isinstance(said, str):
            lines += wrapping.wrapped(said, width, first=first, indent=indent)
        else:
            lines += wrapping.command(said, width, first=first, indent=indent)
    return "\n".join(lines)


def following(run: context.Invocation, *argv: str) -> Fact:
    """The command that goes on from here, for the same account and Region; none where a sandbox ends with this one."""
    if run.sandbox:
        return "next", _GONE
    where = [(f"--{name.replace('_', '-')}", value) for name, value in run.options.items() if value]
    return "next", [*argv, *(word for pair in where for word in pair)]


def sent(source: int, total: int, *, over_wire: int | None = None, seconds: float = 0) -> str:
    """What was sent, one wording for all: ``data 513.0 MiB → 21.8 MiB (4%), 10.2 MiB/s, 2.1 s``; no percent over 100.

    `source` bytes of data became `total`, of which `over_wire` crossed the wire this time.
    """
    parts = [f"data {render.size(source)}"]
    if total not in (0, source):
        parts[0] += f" → {render.size(total)}"
    if 0 < total < source:
        parts[0] += f" ({_percent(total / source)})"
    moved = total if over_wire is None else over_wire
    if not moved:
        parts.append("nothing had to be sent")
    elif moved != total:
        parts.append(f"{render.size(moved)} sent this time")
    if seconds > 0 and moved:
        parts.append(f"{render.size(moved / seconds)}/s")
    if seconds > 0:
        parts.append(f"{seconds:.1f} s")
    return ", ".join(parts)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "under 1%"
