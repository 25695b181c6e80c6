"""A batch as text: its result, its status, the list of all."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmie.cli import render, wrapping

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from vmie.batch.report.failures import Failure
    from vmie.batch.report.status import Status
    from vmie.batch.report.workers import LiveWorker
    from vmie.batch.run.api import BatchResult
    from vmie.poll import Clock

#: causes of failure, and results, that are shown in full; the report has all
_SHOWN = 10
#: items of a worker that are named
_IN_HAND = 3
#: items named with a cause that several share
_NAMED = 3


def result(done: BatchResult, *, kept: bool = True, report_to: Path | None = None) -> str:
    """The lines at the end of a run; `kept`: whether another command can find it; `report_to`: what was written."""
    shown = done.as_json()
    width = wrapping.columns(sys.stdout)
    counts = (
        f"{shown['completed']} of {shown['total']} completed, {shown['failed']} failed, {shown['cancelled']} cancelled"
    )
    lines = list(wrapping.wrapped(f"{done.batch}: {counts}", width, indent=2))
    completed = [item for item in shown["items"] if item["status"] == "completed"]
    if len(completed) <= _SHOWN:
        for item in completed:
            lines += wrapping.wrapped(f"{item['key']}: {_made(item)}", width, first="  ", indent=4)
    lines += _failures([item for item in shown["items"] if item["status"] == "failed"], width)
    if report_to is not None:
        lines.append(f"  report: {report_to} written")
    if not kept:
        gone = "the sandbox of this command is gone, and the batch with it; `vmie sandbox serve` keeps one"
        lines += wrapping.wrapped(gone, width, first="  ", indent=2)
        return "\n".join(lines)
    if shown["failed"]:
        again = ("vmie", "batch", "resume", done.batch, "--retry-failed")
        lines += wrapping.command(again, width, first="  again:  ", indent=10)
    if report_to is None:
        lines.append(f"  report: vmie batch report {done.batch}")
    return "\n".join(lines)


def _made(item: dict[str, Any]) -> str:
    """What an item came to: its AMI, snapshots or files."""
    made = [item["image_id"] or "", *item["snapshot_ids"], *item["objects"]]
    return ", ".join(filter(None, made)) or item["task_id"] or "done"


def _failures(items: Sequence[dict[str, Any]], width: int | None, room: int | None = None) -> list[str]:
    """One entry per cause, what affects most items first; no more than fit into `room` lines."""
    from vmie.batch.report.failures import grouped

    lines: list[str] = []
    found = grouped(items)
    shown = 0
    for one in found[:_SHOWN]:
        entry = _failure(one, width)
        if room is not None and shown and len(lines) + len(entry) + 1 > room:
            break
        lines += entry
        shown += 1
    if left := sum(len(one.keys) for one in found[shown:]):
        lines.append(f"  … and {left} more failed, for other reasons")
    return lines


def _failure(one: Failure, width: int | None) -> list[str]:
    lines = list(wrapping.wrapped(f"{one.named(_NAMED)}: {one.error['message']}", width, first="  ", indent=4))
    for label in ("cause", "cure"):
        if said := one.error[label].partition("\n")[0]:
            first = f"    {'why:  ' if label == 'cause' else 'cure: '}"
            lines += wrapping.wrapped(said, width, first=first, indent=len(first))
    return lines


def batches(found: Sequence[dict[str, Any]]) -> RenderableType:
    """All batches, a line each."""
    if not found:
        return "no batches"
    rows = [
        [
            one["batch"],
            one["status"],
            f"{one['completed']}/{one['total']}",
            str(one["failed"]),
            render.moment(one["created"]),
            one["name"],
        ]
        for one in found
    ]
    return render.table(["batch", "status", "completed", "failed", "created (UTC)", "name"], rows)


def status(shown: Status, *, hint: str = "", live: bool = False) -> RenderableType:
    """How far it is, at what rate, until when; waves by stage, slots; and what failed, in red.

    `live`: it is shown on stderr and is to fit the terminal.
    """
    from rich.console import Group
    from rich.text import Text

    width = wrapping.columns(sys.stderr if live else sys.stdout)
    several = len({slot.account for slot in shown.slots}) > 1
    lines = [
        f"slots {slot.pool} {f'{slot.account} ' if several else ''}{slot.region}: {slot.used} of {slot.limit}"
        for slot in shown.slots
    ]
    lines += [_at_work(one) for one in shown.workers]
    lines += list(shown.notes)
    below = [line for one in lines for line in wrapping.wrapped(one, width, indent=2)]
    parts = [
        Text("\n".join(wrapping.wrapped(_headline(shown), width, indent=2)), style="bold"),
        *(_wave(wave, shown, width) for wave in shown.waves),
        Text("\n".join(below)),
    ]
    last = list(wrapping.wrapped(hint, width)) if hint else []
    height = wrapping.rows(sys.stderr) if live else None
    room = None if height is None else height - 1 - sum(len(part.split()) for part in parts) - len(last)
    parts += [
        Text("\n".join(_failures(shown.failures, width, room)), style="bad"),
        Text("\n".join(last), style="quiet"),
    ]
    return Group(*(part for part in parts if part))


def _wave(wave: Any, shown: Status, width: int | None) -> Text:
    """A wave's items by stage: ``wave 1   12 queued, 3 sending, 85 completed, of 100``."""
    from rich.text import Text

    from vmie.cli.tables import STYLES

    counted = [f"{wave.states[state]}{wrapping.TOGETHER}{state}" for state in shown.columns if wave.states.get(state)]
    name = f"wave {wave.number}" if len(shown.waves) > 1 else "items"
    text = ", ".join([*counted, f"of {wave.total}"])
    line = Text("\n".join(wrapping.wrapped(text, width, first=f"{name:<8}  ", indent=10)))
    for word, style in STYLES.items():
        line.highlight_regex(rf"\d+ {word}\b", style)
    return line


def _headline(shown: Status) -> str:
    """``batch-… running: 137/500 completed, 3 failed, 12.3 an hour, ends about 2026-01-02 14:05 UTC``."""
    count = Counter(item.state.value for item in shown.items)
    parts = [f"{count['completed']}/{len(shown.items)} completed"]
    parts += [f"{count[state]} {state}" for state in ("failed", "cancelled") if count[state]]
    if shown.rate:
        parts.append(f"{shown.rate:.1f} an hour")
    if shown.ends:
        parts.append(f"ends about {render.moment(shown.ends)} UTC")
    return f"{shown.batch} {shown.status}: {', '.join(parts)}"


def _at_work(one: LiveWorker) -> str:
    """A worker and what it has in hand, in a line."""
    labels = "" if one.queues == ("default",) else f" ({', '.join(one.queues) or 'cancels'})"
    at = [f"{key} {state}" for key, state in one.at]
    more = f" and {len(at) - _IN_HAND} more" if len(at) > _IN_HAND else ""
    return f"worker {one.worker} on {one.host}{labels}: {', '.join(at[:_IN_HAND]) or 'nothing in hand'}{more}"


def watch(look: Callable[[], Status], *, clock: Clock) -> None:
    """Show the status again and again until the batch has ended."""
    from rich.live import Live

    with Live(
        status(look(), live=True), console=render.console(stderr=True), auto_refresh=False, transient=True
    ) as live:
        while not (shown := look()).ended:
            live.update(status(shown, live=True), refresh=True)
            clock.sleep(1.0)
