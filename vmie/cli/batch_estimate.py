"""What `vmie batch run --dry-run` shows: waves, every item, what is blocked and why, totals."""

from __future__ import annotations

import datetime as dt
import shutil
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmie.cli import render

if TYPE_CHECKING:
    from vmie.batch.estimate.estimate import Estimate, ItemEstimate, WaveEstimate

#: of a wave's items without anything to say; the JSON has all
_PASSED = 40
_KEY = 26
_HEAD = f"  {'item':{_KEY}} {'verdict':8}{'route':9}{'disk':>10}{'at most':>10}{'begins':>7}{'ends':>7}"


def text(shown: Estimate) -> str:
    """Lines of 80 columns."""
    several = len({(item.preview.account, item.preview.region) for item in shown.items}) > 1
    lines = [f"{shown.plan.name}: {_count(len(shown.items), 'item')}, nothing was sent or begun", ""]
    for wave in shown.waves:
        lines += [*_wave(shown, wave, several=several), ""]
    lines += _blocked(shown)
    lines += _warned(shown)
    return "\n".join([*lines, *_totals(shown)])


def _wave(shown: Estimate, wave: WaveEstimate, *, several: bool) -> Iterator[str]:
    line = f"wave {wave.number}: {_count(len(wave.items), 'item')}"
    if wave.blocked:
        line += f", {wave.blocked} blocked"
    if wave.begin is not None and wave.end is not None:
        line += f"; at most {render.size(wave.bytes_at_most)}, from {_clock(shown, wave.begin)} to "
        line += _clock(shown, wave.end)
    yield line
    yield _HEAD
    quiet, place = 0, ""
    for item in sorted(wave.items, key=_place) if several else wave.items:
        passed = not item.blocked and item.preview.verdict == "pass"
        quiet += passed
        if passed and quiet > _PASSED:
            continue
        if several and place != (place := _place(item)):
            yield f"  - {place}"
        yield _row(item)
    if quiet > _PASSED:
        yield f"  … and {quiet - _PASSED} more that pass; --output json has every item"


def _place(item: ItemEstimate) -> str:
    return f"{item.preview.account} {item.preview.region}"


def _row(item: ItemEstimate) -> str:
    seen = item.preview
    key = seen.item.key if len(seen.item.key) <= _KEY else f"{seen.item.key[: _KEY - 1]}…"
    verdict = "held" if item.held_by else "blocked" if item.blocked else seen.verdict
    disk = render.size(seen.bytes_source) if seen.bytes_source else "-"
    send = "-" if item.blocked or not seen.bytes_source else render.size(seen.bytes_at_most)
    begins, ends = (_hours(item.span.begin), _hours(item.span.end)) if item.span else ("-", "-")
    return f"  {key:{_KEY}} {verdict:8}{seen.route:9}{disk:>10}{send:>10}{begins:>7}{ends:>7}"


def _blocked(shown: Estimate) -> Iterator[str]:
    """Each blocked item with cause and cure, and what waits for it in vain."""
    blocked = [item for item in shown.blocked if not item.held_by]
    if not blocked:
        return
    yield "blocked, and failed if the plan were run as it is:"
    for item in blocked:
        seen = item.preview
        yield from _wrapped(f"  {seen.item.key}: ", seen.says)
        if why := seen.cause.partition("\n")[0].replace(f": {seen.says.partition(': ')[2]};", ":"):
            yield from _wrapped("    why:  ", why)
        if seen.cure:
            yield from _wrapped("    cure: ", seen.cure.splitlines()[0])
    held = [f"{item.preview.item.key} (after {item.held_by})" for item in shown.blocked if item.held_by]
    if held:
        yield from _wrapped("  held up with them: ", ", ".join(held))
    yield ""


def _warned(shown: Estimate) -> Iterator[str]:
    """Warnings and what could not be found out, the same one once for all its items."""
    said: dict[tuple[str, str], list[str]] = {}
    for item in shown.items:
        if not item.blocked and item.preview.verdict in ("warn", "unknown"):
            said.setdefault((item.preview.says, item.preview.cure), []).append(item.preview.item.key)
    if not said:
        return
    yield "warnings:"
    for (says, cure), keys in said.items():
        named = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
        yield from _wrapped(f"  {named}: ", says)
        if cure:
            yield from _wrapped("    cure: ", cure.splitlines()[0])
    yield ""


def _totals(shown: Estimate) -> Iterator[str]:
    ready, limits = len(shown.items) - len(shown.blocked), shown.plan.limits
    yield f"in all: {ready} of {len(shown.items)} items ready, {len(shown.blocked)} blocked"
    yield from _wrapped("  send    ", f"at most {render.size(shown.bytes_at_most)}")
    calls = ", ".join(f"{count} {name}" for name, count in sorted(shown.calls.items()))
    yield from _wrapped("  calls   ", f"{sum(shown.calls.values())} that change something: {calls}")
    at_once = (
        f"{limits.imports} imports, {limits.conversions} conversions, {limits.snapshots} snapshots and "
        f"{limits.exports} exports at once in an "
    )
    yield from _wrapped(
        "  finish  ",
        f"about {shown.ends:%a %d %b %Y %H:%M} UTC, {_hours(shown.hours)} hours from now (with {at_once}account and "
        f"Region, {limits.uploads} uploads)",
    )
    for number, line in enumerate(shown.bill.lines):
        label = "" if number else "cost"
        yield from _wrapped(f"  {label:8}", f"{line.amount:8.2f} USD  {line.what}: {line.how}")
    yield f"          {shown.bill.total:8.2f} USD  for the first month"
    if shown.bill.borrowed:
        regions = ", ".join(shown.bill.borrowed)
        yield from _wrapped("          ", f"(some prices of {regions} are not known: those of us-east-1 were taken)")
    dates = sorted({figure.date for figure in shown.bill.figures})
    yield from _wrapped(
        "  ",
        "These are estimates. AWS publishes no conversion times; the prices are list prices found in public sources "
        f"({', '.join(dates)}), not read from AWS today. --output json names the source of every figure.",
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _hours(hours: float) -> str:
    minutes = round(hours * 60)
    return f"{minutes // 60}:{minutes % 60:02}"


def _clock(shown: Estimate, hours: float) -> str:
    at = shown.now + dt.timedelta(hours=hours)
    return f"{at:%H:%M}" if at.date() == shown.now.date() else f"{at:%d %b %H:%M}"


def _wrapped(begin: str, words: str) -> list[str]:
    width = min(max(shutil.get_terminal_size((80, 24)).columns, 60), 120)
    return textwrap.wrap(
        words, width, initial_indent=begin, subsequent_indent=" " * min(len(begin), 10), break_on_hyphens=False
    ) or [begin]
