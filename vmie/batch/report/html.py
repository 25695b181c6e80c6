"""What became of a batch, as one HTML file that opens offline, or as CSV or JSON."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape
from importlib import resources
from string import Template
from typing import Any

from vmie._version import __version__
from vmie.batch.model import Item, ItemKind, State
from vmie.batch.report import history, svg
from vmie.batch.report.failures import Failure, grouped
from vmie.batch.report.status import Status, of
from vmie.batch.store.locations import Locations
from vmie.batch.store.rows import Batch
from vmie.escaping import json_text, visible
from vmie.poll import Clock

_COLUMNS = (
    "key",
    "status",
    "kind",
    "source",
    "account",
    "region",
    "wave",
    "task_id",
    "image_id",
    "snapshot_ids",
    "objects",
    "bytes_source",
    "bytes_sent",
    "updated",
    "code",
    "message",
    "cause",
    "cure",
)


def render(locations: Locations, batch: str, form: str, *, clock: Clock) -> str:
    """The report of a batch as "html", "csv" or "json": text that UTF-8 can hold, whatever the names in it are.

    Raises UsageError when there is none of that name.
    """
    location, now = locations.of(batch), clock.now()
    with location.open(clock.now) as store:
        known, items = store.batch(batch), store.items(batch)
        keys = {item.key for item in items}
        transitions = [one for one in store.transitions(batch) if one["key"] in keys]
    shown = of(known, items, now=now, at_work=location.shared or location.in_use())
    if form == "csv":
        return _csv(items)
    began = now.fromisoformat(known.created)
    until = max([now.fromisoformat(one["at"]) for one in transitions], default=now) if shown.ended else now
    found = history.spans(transitions, began=began, until=until)
    if form == "json":
        return json_text({**shown.as_json(), "spans": [asdict(span) for span in found]}, indent=1)
    return visible(_html(known, shown, found, total=(until - began).total_seconds()))


def _csv(items: Sequence[Item]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for item in items:
        shown = item.as_json()
        shown |= {name: (shown["error"] or {}).get(name, "") for name in ("code", "message", "cause", "cure")}
        writer.writerow([_cell(shown[name]) for name in _COLUMNS])
    return out.getvalue()


def _cell(value: Any) -> str:
    text = ";".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    # A file's name may be a formula to a spreadsheet.
    text = visible(text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _html(batch: Batch, shown: Status, found: Sequence[history.Span], *, total: float) -> str:
    page = resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    limits = {kind.value: batch.limits.of(kind) for kind in ItemKind}
    curves = history.slots(found, shown.items)
    count = Counter(item.state for item in shown.items)
    rows, left = _rows(shown.items, found)
    failed = frozenset(item.key for item in shown.items if item.state is State.FAILED)
    return Template(page).substitute(
        title=escape(f"{batch.name} — {batch.batch}"),
        name=escape(batch.name),
        batch=escape(batch.batch),
        status=escape(shown.status),
        account=escape(batch.account),
        began=f"{dt.datetime.fromisoformat(batch.created):%Y-%m-%d %H:%M} UTC",
        lasted=svg.clock(total),
        total=len(shown.items),
        completed=count[State.COMPLETED],
        failed=count[State.FAILED],
        cancelled=count[State.CANCELLED],
        sent=_size(sum(int(item.result.get("bytes_sent", 0)) for item in shown.items)),
        progress=svg.progress(_ends(batch, shown.items), items=len(shown.items), total=total),
        usage=svg.usage(curves, limits, total=total) if curves else "<p>No task was started.</p>",
        legend="".join(f'<span><i class="s{n}"></i>{name}</span>' for n, name in enumerate(history.NAMES))
        + '<span><i class="lost"></i>failed</span>',
        timeline=svg.timeline(found, rows, failed=failed, total=total),
        more=f"<p>The {len(rows)} that took longest; {left} more are in the results below.</p>" if left else "",
        durations="".join(
            f"<tr><td>{one.stage}</td><td>{one.count}</td><td>{svg.clock(one.median)}</td>"
            f"<td>{svg.clock(one.p90)}</td><td>{svg.clock(one.longest)}</td></tr>"
            for one in history.durations(found)
        ),
        failures="".join(_failure(one) for one in grouped(shown.failures)) or "<p>None.</p>",
        results="".join(map(_result, sorted(shown.items, key=_worst_first))),
        version=__version__,
    )


def _worst_first(item: Item) -> int:
    """Failures first, then what was cancelled or is still to come, then what came through."""
    return {State.FAILED: 0, State.COMPLETED: 2}.get(item.state, 1)


def _rows(items: Sequence[Item], found: Sequence[history.Span]) -> tuple[list[str], int]:
    """The keys that the timeline shows, and how many it leaves out: all in the plan's order, or some as they began."""
    keys = [item.key for item in items]
    if len(keys) <= svg.MOST_ROWS:
        return keys, 0
    took: Counter[str] = Counter()
    began: dict[str, float] = {}
    for span in found:
        if span.stage != history.NAMES[0]:
            took[span.key] += round(span.end - span.begin)
            began.setdefault(span.key, span.begin)
    longest = sorted((key for key, _ in took.most_common(svg.MOST_ROWS)), key=began.__getitem__)
    return longest, len(keys) - len(longest)


def _ends(batch: Batch, items: Sequence[Item]) -> Iterator[tuple[float, bool]]:
    """When each item ended, in seconds since the batch began, and whether it failed."""
    began = dt.datetime.fromisoformat(batch.created)
    for item in items:
        if item.state in (State.COMPLETED, State.FAILED):
            yield (dt.datetime.fromisoformat(item.updated) - began).total_seconds(), item.state is State.FAILED


def _failure(one: Failure) -> str:
    details = ((name, one.error[name]) for name in ("cause", "cure", "code", "request_id"))
    rows = "".join(f"<dt>{name.replace('_', ' ')}</dt><dd>{escape(text)}</dd>" for name, text in details if text)
    said = escape(one.error["message"])
    if len(one.keys) == 1:
        return f"<article><h3>{escape(one.keys[0])}</h3><p>{said}</p><dl>{rows}</dl></article>"
    which = f"<details><summary>which</summary>{escape(', '.join(one.keys))}</details>"
    return f"<article><h3>{len(one.keys)} items</h3><p>{said}</p><dl>{rows}</dl>{which}</article>"


def _result(item: Item) -> str:
    shown = item.as_json()
    made = [shown["image_id"] or "", *shown["snapshot_ids"], *shown["objects"]]
    cells = [item.key, item.state.value, item.region, item.task_id or ""]
    # An id is not parted at its hyphen; an address may be.
    ids = " ".join(escape(one) if "/" in one else f"<b>{escape(one)}</b>" for one in made if one)
    written = [*map(escape, cells), ids, escape(item.source)]
    return f'<tr class="{item.state.value}">{"".join(f"<td>{cell}</td>" for cell in written)}</tr>'


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
