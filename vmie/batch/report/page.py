"""The page of a batch: pieces that stand for themselves, and the whole of them, as a file or live."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template
from urllib.parse import quote

from vmie._version import __version__
from vmie.batch.model import ENDED, Item, ItemKind, State
from vmie.batch.report import history, svg
from vmie.batch.report.failures import Failure, grouped
from vmie.batch.report.history import History, Span
from vmie.batch.report.status import Status
from vmie.batch.store.rows import Batch

#: what a file may load: nothing. A live page says so in its headers.
_CLOSED = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
)
#: the groups of items that can be shown alone, and what they are called
_GROUPS = {"failed": "failed", "open": "to do", "completed": "completed", "cancelled": "cancelled"}


@dataclass(frozen=True, slots=True)
class Frame:
    """What a page has beside the report: in its head, and before everything else."""

    head: str = _CLOSED
    top: str = ""


def whole(read: History, *, frame: Frame | None = None) -> str:
    """The page; a file that loads nothing, unless `frame` says otherwise."""
    page = resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    frame = frame or Frame()
    batch, shown = read.batch, read.status
    parts = pieces(batch, shown)
    return Template(page).substitute(
        head=frame.head,
        top=frame.top,
        title=escape(f"{batch.name} — {batch.batch}"),
        name=escape(batch.name),
        standing=parts["standing"],
        tiles=parts["tiles"],
        choices="".join(
            f"<label>{_radio(one)} {words} {parts[f'n-{one}']}</label>"
            for one, words in {"all": "all", **_GROUPS}.items()
        ),
        failures=parts["failed"],
        results="".join(parts[anchor(item)] for item in sorted(shown.items, key=_worst_first)),
        charts=charts(read),
        version=__version__,
    )


def pieces(batch: Batch, shown: Status) -> dict[str, str]:
    """What changes while a batch goes on: elements by their id, without the charts. A row for each item."""
    count = _counts(shown.items)
    failures = grouped(shown.failures)
    where = {key: _failure_id(one) for one in failures for key in one.keys}
    out = {
        "standing": _standing(batch, shown),
        "tiles": _tiles(shown, count),
        "failed": f'<div id="failed">{"".join(map(_failure, failures)) or "<p>None.</p>"}</div>',
        "n-all": f'<b id="n-all">{len(shown.items)}</b>',
    }
    out |= {f"n-{one}": f'<b id="n-{one}">{count[one]}</b>' for one in _GROUPS}
    return out | {anchor(item): _row(item, where.get(item.key, "")) for item in shown.items}


def charts(read: History) -> str:
    """What happened when: progress, slots in use, the timeline, how long each stage took."""
    batch, shown, found, total = read.batch, read.status, read.spans, read.total
    limits = {kind.value: batch.limits.of(kind) for kind in ItemKind}
    curves = history.slots(found, shown.items)
    rows, left = _timeline_rows(shown.items, found)
    failed = frozenset(item.key for item in shown.items if item.state is State.FAILED)
    page = resources.files(__package__).joinpath("charts.html").read_text(encoding="utf-8")
    return Template(page).substitute(
        progress=svg.progress(_ends(batch, shown.items), items=len(shown.items), total=total),
        usage=svg.usage(curves, limits, total=total) if curves else "<p>No task was started.</p>",
        legend="".join(f'<span><i class="s{n}"></i>{name}</span>' for n, name in enumerate(history.NAMES))
        + '<span><i class="lost"></i>failed</span>',
        timeline=svg.timeline(found, rows, failed=failed, total=total),
        more=f"<p>The {len(rows)} that took longest; {left} more are in the results above.</p>" if left else "",
        durations="".join(
            f'<tr><th scope="row">{one.stage}</th><td>{one.count}</td><td>{svg.clock(one.median)}</td>'
            f"<td>{svg.clock(one.p90)}</td><td>{svg.clock(one.longest)}</td></tr>"
            for one in history.durations(found)
        ),
    )


def anchor(item: Item) -> str:
    """The id of an item's row: a name may hold a space, which an id may not."""
    return f"item-{_fragment(item.key)}"


def _fragment(key: str) -> str:
    return quote(key, safe="", errors="surrogatepass")


def _counts(items: Sequence[Item]) -> Mapping[str, int]:
    return Counter(item.state.value if item.state in ENDED else "open" for item in items)


def _radio(group: str) -> str:
    return f'<input type="radio" name="show" id="show-{group}"{" checked" if group == "all" else ""}>'


def _standing(batch: Batch, shown: Status) -> str:
    facts = [batch.batch, shown.status, f"account {batch.account}", f"began {_moment(batch.created)}"]
    if shown.ended:
        last = max((item.updated for item in shown.items), default=batch.created)
        lasted = dt.datetime.fromisoformat(last) - dt.datetime.fromisoformat(batch.created)
        facts.append(f"lasted {svg.clock(max(lasted.total_seconds(), 0))}")
    if shown.rate and not shown.ended:
        facts.append(f"{shown.rate:.1f} an hour")
    facts.append(f"ends about {_moment(shown.ends)}" if shown.ends else "")
    return f'<p class="sub" id="standing">{escape(" · ".join(filter(None, facts)))}</p>'


def _moment(text: str) -> str:
    return f"{dt.datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"


def _tiles(shown: Status, count: Mapping[str, int]) -> str:
    sent = _size(sum(int(item.result.get("bytes_sent", 0)) for item in shown.items))
    tiles = [("", str(len(shown.items)), "items")]
    tiles += [(" class=good", str(count["completed"]), "completed"), (" class=bad", str(count["failed"]), "failed")]
    tiles += [("", str(count["open"]), "to do")] if count["open"] else []
    tiles += [("", str(count["cancelled"]), "cancelled"), ("", sent, "sent to S3")]
    return f'<div class="tiles" id="tiles">{"".join(f"<div><b{c}>{n}</b>{what}</div>" for c, n, what in tiles)}</div>'


def _worst_first(item: Item) -> int:
    """Failures first, then what was cancelled or is still to come, then what came through."""
    return {State.FAILED: 0, State.COMPLETED: 2}.get(item.state, 1)


def _timeline_rows(items: Sequence[Item], found: Sequence[Span]) -> tuple[list[str], int]:
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


def _failure_id(one: Failure) -> str:
    return f"failure-{_fragment(one.keys[0])}"


def _failure(one: Failure) -> str:
    details = ((name, one.error[name]) for name in ("cause", "cure", "code", "request_id"))
    rows = "".join(f"<dt>{name.replace('_', ' ')}</dt><dd>{escape(text)}</dd>" for name, text in details if text)
    links = [f'<a href="#item-{_fragment(key)}">{escape(key)}</a>' for key in one.keys]
    title = links[0] if len(links) == 1 else f"{len(links)} items"
    listed = "".join(f"<li>{link}</li>" for link in links)
    which = f'<details id="which-{_failure_id(one)}"><summary>which</summary><ul>{listed}</ul></details>'
    said = f"<p>{escape(one.error['message'])}</p><dl>{rows}</dl>"
    return f'<article id="{_failure_id(one)}"><h3>{title}</h3>{said}{which if len(links) > 1 else ""}</article>'


def _row(item: Item, failure: str) -> str:
    shown = item.as_json()
    made = [shown["image_id"] or "", *shown["snapshot_ids"], *shown["objects"]]
    # An id is not parted at its hyphen; an address may be.
    ids = " ".join(escape(one) if "/" in one else f"<b>{escape(one)}</b>" for one in made if one)
    state = f'<a href="#{failure}">{item.state.value}</a>' if failure else item.state.value
    cells = [state, escape(item.region), escape(item.task_id or ""), ids, escape(item.source)]
    head = f'<tr class="{item.state.value}" id="{anchor(item)}"><th scope="row">{escape(item.key)}</th>'
    return f"{head}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
