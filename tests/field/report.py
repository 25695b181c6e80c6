"""The table of what came of the families: on the terminal, and on the page."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from pathlib import Path

from tests.field import families
from tests.field.corpora import CACHE, listed
from tests.field.judging import Tally, Word, known_wrong

_BEGIN, _END = "<!-- made by `make field` -->", "<!-- end -->"


def table(done: Sequence[Tally]) -> str:
    """One line a family."""
    lines = [f"{'family':<16}{'cases':>7}{'right':>7}{'wrong':>7}{'refused':>9}  read from"]
    for tally in done:
        counts = [tally.count(word) for word in (Word.RIGHT, Word.WRONG, Word.REFUSED)]
        right, wrong, refused = counts
        lines.append(f"{tally.family:<16}{sum(counts):>7}{right:>7}{wrong:>7}{refused:>9}  {_sources(tally.family)}")
    return "\n".join(lines)


def write(page: Path, done: Sequence[Tally], *, day: dt.date) -> None:
    """Put the table and what is known to be wrong between the marks of the page."""
    lines = [f"Made on {day.isoformat()}.", "", "| family | cases | right | wrong | refused | read from |"]
    lines += ["|---|---|---|---|---|---|"]
    for tally in done:
        counts = [tally.count(word) for word in (Word.RIGHT, Word.WRONG, Word.REFUSED)]
        cells = " | ".join(map(str, [sum(counts), *counts]))
        lines.append(f"| {tally.family} | {cells} | {_sources(tally.family)} |")
    lines += ["", "Wrong, and known to be:", ""]
    for tally in done:
        wrong = [one.name for one in tally.outcomes if one.word is Word.WRONG]
        known = known_wrong(tally.family)
        lines += [f"- {tally.family}, `{name}`: {known.get(name, 'not explained')}" for name in wrong]
    text = page.read_text()
    made = f"{_BEGIN}\n" + "\n".join(lines) + f"\n{_END}"
    page.write_text(re.sub(f"{re.escape(_BEGIN)}.*{re.escape(_END)}", lambda _: made, text, flags=re.DOTALL))


def _sources(name: str) -> str:
    family = families.chosen([name])[0]
    return ", ".join(f"{each} {_version(each)}".strip() for each in family.CORPORA)


def _version(name: str) -> str:
    if listed()[name].version:
        return listed()[name].version
    return next((path.read_text() for path in CACHE.glob(f"{name}-*/VERSION")), "")
