"""A batch as text: its result, its status, the list of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmie.cli import render

if TYPE_CHECKING:
    from rich.console import RenderableType

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
    lines = [
        (
            f"{done.batch}: {shown['completed']} of {shown['total']} completed, {shown['failed']} failed, "
            f"{shown['cancelled']} cancelled"
        )
    ]
    completed = [item for item in shown["items"] if item["status"] == "completed"]
    if len(completed) <= _SHOWN:
        lines += [f"  {item['key']}: {_made(item)}" for item in completed]
    lines += _failures([item for item in shown["items"] if item["status"] == "failed"])
    if report_to is not None:
        lines.append(f"  report: {report_to} written")
    if not kept:
        lines.append("  the sandbox of this command is gone, and the batch with it; `vmie sandbox serve` keeps one")
        return "\n".join(lines)
    if shown["failed"]:
        lines.append(f"  again:  vmie batch resume {done.batch} --retry-failed")
    if report_to is None:
        lines.append(f"  report: vmie batch report {done.batch}")
    return "\n".join(lines)


def _made(item: dict[str, Any]) -> str:
    """What an item came to: its AMI, snapshots or files."""
    made = [item["image_id"] or "", *item["snapshot_ids"], *item["objects"]]
    return ", ".join(filter(None, made)) or item["task_id"] or "done"


def _failures(items: Sequence[dict[str, Any]]) -> list[str]:
    """One entry per cause, what affects most items first."""
    from vmie.batch.report.failures import grouped

    lines = []
    found = grouped(items)
    for one in found[:_SHOWN]:
        lines.append(f"  {one.named(_NAMED)}: {one.error['message']}")
        if one.error["cause"]:
            lines.append(f"    why:  {one.error['cause'].splitlines()[0]}")
        if one.error["cure"]:
            lines.append(f"    cure: {one.error['cure'].splitlines()[0]}")
    if left := sum(len(one.keys) for one in found[_SHOWN:]):
        lines.append(f"  … and {left} more failed, for other reasons")
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


def status(shown: Status, *, hint: str = "") -> RenderableType:
    """How far it is, at what rate, until when; waves by stage, slots; and what failed, in red."""
    from rich.console import Group
    from rich.text import Text

    rows = [
        [str(wave.number), *(str(wave.states.get(state, 0) or "") for state in shown.columns), str(wave.total)]
        for wave in shown.waves
    ]
    table = render.table(["wave", *shown.columns, "all"], rows)
    lines = [_headline(shown)]
    several = len({slot.account for slot in shown.slots}) > 1
    lines += [
        f"slots {slot.pool} {f'{slot.account} ' if several else ''}{slot.region}: {slot.used} of {slot.limit}"
        for slot in shown.slots
    ]
    lines += [_at_work(one) for one in shown.workers]
    lines += list(shown.notes)
    failed = Text("\n".join(_failures(shown.failures)), style="red")
    parts = [Text(lines[0], style="bold"), table, "\n".join(lines[1:]), failed, Text(hint, style="dim")]
    return Group(*(part for part in parts if part))


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

    with Live(status(look()), console=render.console(stderr=True), auto_refresh=False, transient=True) as live:
        while not (shown := look()).ended:
            live.update(status(shown), refresh=True)
            clock.sleep(1.0)
