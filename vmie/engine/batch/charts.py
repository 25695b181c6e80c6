"""Charts as SVG, drawn here: the report needs no script. Colours are CSS classes, for light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from vmie.engine.batch.history import NAMES, Span

_WIDTH = 1000
_LEFT = 160
#: a timeline of more rows than this shows the ones that took longest: no screen shows more
MOST_ROWS = 1500


def timeline(found: Sequence[Span], keys: Sequence[str], *, total: float) -> str:
    """A row per item, a bar per stage; the title of a bar tells its times."""
    row = 16 if len(keys) <= 200 else 6
    at = {key: number for number, key in enumerate(keys)}
    parts = [_axis(total, len(keys) * row)]
    if row > 10:
        parts += [
            f'<text class="label end" x="{_LEFT - 6}" y="{number * row + 12}">{escape(_short(key))}</text>'
            for key, number in at.items()
        ]
    for span in found:
        if span.key in at:
            x, width = _x(span.begin, total), max(1.0, _x(span.end, total) - _x(span.begin, total))
            tip = f"{span.key}: {span.stage}, {clock(span.end - span.begin)} from {clock(span.begin)}"
            if span.worker:
                tip += f", {span.worker}"
            where = f'x="{x:.1f}" y="{at[span.key] * row + 2}" width="{width:.1f}" height="{row - 3}"'
            parts.append(f'<rect class="s{NAMES.index(span.stage)}" {where}><title>{escape(tip)}</title></rect>')
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
        path = [f"M{_LEFT},{base}"]
        last: float = base
        for at, used in curve:
            y = base - used * scale
            path.append(f"L{_x(at, total):.1f},{last:.1f}L{_x(at, total):.1f},{y:.1f}")
            last = y
        path.append(f"L{_WIDTH},{last:.1f}L{_WIDTH},{base}Z")
        line = base - limit * scale
        parts.append(
            f'<path class="area" d="{"".join(path)}"><title>{escape(pool)} {escape(region)}</title></path>'
            f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH}" y1="{line:.1f}" y2="{line:.1f}"/>'
            f'<text class="label" x="{_LEFT - 6}" y="{line + 4:.1f}" text-anchor="end">{limit}</text>'
            f'<text class="label" x="0" y="{base - 4}">{escape(pool)} {escape(region)}</text>'
        )
    bottom = max(len(curves) * (height + 20) - 16, 10)
    return _svg(_axis(total, bottom) + "".join(parts), bottom + 24, "usage")


def clock(seconds: float) -> str:
    """``1:02:03``; tenths under a minute."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _axis(total: float, height: int) -> str:
    parts = []
    for number in range(6):
        at = total * number / 5
        x = _x(at, total)
        anchor = "end" if number == 5 else "middle"
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>'
            f'<text class="label" x="{x:.1f}" y="{height + 16}" text-anchor="{anchor}">{clock(at)}</text>'
        )
    return "".join(parts)


def _x(at: float, total: float) -> float:
    return _LEFT + (_WIDTH - _LEFT) * at / max(total, 1e-9)


def _svg(inside: str, height: int, name: str) -> str:
    return f'<svg id="{name}" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{name}">{inside}</svg>'


def _short(key: str) -> str:
    return key if len(key) <= 24 else f"{key[:23]}…"
