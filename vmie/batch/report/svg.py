"""Charts as SVG, drawn here: the report needs no script. Colours are CSS classes, for light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from vmie.batch.report.history import NAMES, Span

_WIDTH = 1000
_LEFT = 160
#: a timeline of more rows than this would be longer than a screen: it shows the items that took longest
MOST_ROWS = 60
#: distances between two lines of the time axis, in seconds
_TICKS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 21600, 43200)
_DAY = 86400


def timeline(found: Sequence[Span], keys: Sequence[str], *, failed: frozenset[str], total: float) -> str:
    """A row per item, a bar per stage, a mark where one failed; the title of a bar has its times."""
    row = 16
    at = {key: number for number, key in enumerate(keys)}
    parts = [_axis(total, len(keys) * row)]
    parts += [
        f'<text class="label end{" lost" if key in failed else ""}" x="{_LEFT - 6}" y="{number * row + 12}">'
        f"{escape(_short(key))}</text>"
        for key, number in at.items()
    ]
    ends: dict[str, float] = {}
    for span in found:
        if span.key not in at:
            continue
        ends[span.key] = span.end
        x, width = _x(span.begin, total), max(1.0, _x(span.end, total) - _x(span.begin, total))
        tip = f"{span.key}: {span.stage}, {clock(span.end - span.begin)} from {clock(span.begin)}"
        if span.worker:
            tip += f", {span.worker}"
        where = f'x="{x:.1f}" y="{at[span.key] * row + 2}" width="{width:.1f}" height="{row - 3}"'
        parts.append(f'<rect class="s{NAMES.index(span.stage)}" {where}><title>{escape(tip)}</title></rect>')
    for key in failed & ends.keys():
        where = f'x="{_x(ends[key], total):.1f}" y="{at[key] * row}" width="3" height="{row - 1}"'
        parts.append(f'<rect class="lost" {where}><title>{escape(key)} failed</title></rect>')
    return _svg("".join(parts), len(keys) * row + 24, "timeline")


def usage(
    curves: Mapping[tuple[str, str], Sequence[tuple[float, int]]], limits: Mapping[str, int], *, total: float
) -> str:
    """Slots in use over time, a strip per pool and Region with its limit."""
    height, parts = 70, []
    for number, ((pool, region), curve) in enumerate(curves.items()):
        top, limit = number * (height + 20), limits[pool]
        scale = (height - 10) / max(limit, *(used for _, used in curve))
        base = top + height
        line = base - limit * scale
        parts.append(
            f'<path class="area" d="{_stairs(_thinned(curve, total), base=base, scale=scale)}">'
            f"<title>{escape(pool)} {escape(region)}</title></path>"
            f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH}" y1="{line:.1f}" y2="{line:.1f}"/>'
            f'<text class="label end" x="{_LEFT - 6}" y="{line + 4:.1f}">{limit}</text>'
            f'<text class="label" x="0" y="{base - 4}">{escape(pool)} {escape(region)}</text>'
        )
    bottom = max(len(curves) * (height + 20) - 16, 10)
    return _svg(_axis(total, bottom) + "".join(parts), bottom + 24, "usage")


def progress(ended: Iterable[tuple[float, bool]], *, items: int, total: float) -> str:
    """Items completed, and failed on top of them, over time. `ended`: (seconds, whether it failed) of each item."""
    height = 120
    good: list[tuple[float, int]] = []
    all_: list[tuple[float, int]] = []
    completed = 0
    for number, (at, failed) in enumerate(sorted(ended), start=1):
        completed += not failed
        good.append((at, completed))
        all_.append((at, number))
    scale = (height - 10) / max(items, 1)
    line = height - items * scale
    parts = [
        f'<path class="{name}" d="{_stairs(_thinned(curve, total), base=height, scale=scale)}"/>'
        for name, curve in (("lost", all_), ("good", good))
        if curve
    ]
    parts.append(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{line:.1f}" y2="{line:.1f}"/>'
        f'<text class="label end" x="{_LEFT - 6}" y="{line + 4:.1f}">{items}</text>'
        f'<text class="label" x="0" y="{height - 4}">items ended</text>'
    )
    return _svg(_axis(total, height) + "".join(parts), height + 24, "progress")


def _stairs(curve: Sequence[tuple[float, int]], *, base: float, scale: float) -> str:
    """An area under steps; `curve` is (x, value from there on)."""
    path, last = [f"M{_LEFT},{base:.1f}"], base
    for x, value in curve:
        y = base - value * scale
        path.append(f"L{x:.1f},{last:.1f}L{x:.1f},{y:.1f}")
        last = y
    return f"{''.join(path)}L{_WIDTH},{last:.1f}L{_WIDTH},{base:.1f}Z"


def _thinned(curve: Sequence[tuple[float, int]], total: float) -> list[tuple[float, int]]:
    """(x, value) once or twice per half a pixel: its highest value and its last one, however many there are."""
    out: list[tuple[float, int]] = []
    highest: dict[float, int] = {}
    lasting: dict[float, int] = {}
    for at, value in curve:
        x = round(_x(at, total) * 2) / 2
        highest[x] = max(value, highest.get(x, 0))
        lasting[x] = value
    for x, value in highest.items():
        out.append((x, value))
        if lasting[x] != value:
            out.append((x, lasting[x]))
    return out


def clock(seconds: float) -> str:
    """``1:02:03``, with days in front where there are any; tenths under a minute."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    days, whole = divmod(round(seconds), _DAY)
    time = f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{days} d {time}" if days else time


def _axis(total: float, height: int) -> str:
    parts = []
    every = next((tick for tick in _TICKS if total / tick <= 8), 0) or _DAY * max(1, -(-total // (8 * _DAY)))
    for number in range(int(total / every) + 1):
        at = every * number
        x = _x(at, total)
        anchor = "end" if x > _WIDTH - 20 else "middle"
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>'
            f'<text class="label" x="{x:.1f}" y="{height + 16}" text-anchor="{anchor}">{_tick(at, every)}</text>'
        )
    return "".join(parts)


def _tick(at: float, every: float) -> str:
    """As much of a time as its axis needs."""
    if every < 1:
        return f"{at:.1f} s"
    if every < 60:
        return f"{at:.0f} s" if at < 60 else f"{at // 60:.0f}:{at % 60:02.0f}"
    if every >= _DAY:
        return f"{at / _DAY:.0f} d"
    days, left = divmod(at, _DAY)
    return f"{f'{days:.0f} d ' if days else ''}{left // 3600:.0f}:{left // 60 % 60:02.0f} h"


def _x(at: float, total: float) -> float:
    return _LEFT + (_WIDTH - _LEFT) * at / max(total, 1e-9)


def _svg(inside: str, height: int, name: str) -> str:
    return f'<svg id="{name}" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{name}">{inside}</svg>'


def _short(key: str) -> str:
    return key if len(key) <= 24 else f"{key[:23]}…"
