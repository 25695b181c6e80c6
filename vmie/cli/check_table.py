"""A check of many images for people: one table, worst first; `--details` shows each in full.

On a terminal what several images share is said once: their folder, and a finding that the row above has too.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from vmie.checks import SEVERITY
from vmie.cli import render, wrapping
from vmie.cli.check_text import STYLES, guest, headline
from vmie.model import Finding, Route

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from vmie.ops.check import CheckReport, ImageReport

_SAME = "the same"
#: more images are summed up by finding
_MANY = 20
_FINDINGS = 5
#: narrower terminals have no room for the systems, which --details names
_WIDE = 120

#: verdict, image, system, finding
Row = list[str]


def table(report: CheckReport, route: Route) -> RenderableType:
    """A row for each image, the counts, and how to see more."""
    from rich.console import Group
    from rich.text import Text

    images = sorted(report.images, key=lambda one: _order(one, route))
    rows = [_row(one, report, route) for one in images]
    counts = dict.fromkeys(STYLES, 0)
    for image in images:
        counts[image.verdicts[route]] += 1
    parts = [(f"{count} {verdict.value}", STYLES[verdict]) for verdict, count in counts.items() if count]
    width = wrapping.columns(sys.stdout)
    folder = _folder([path for image in images for path in image.paths]) if width else ""
    where = f" in {folder}" if folder else ""
    summed = Text(f"{len(images)} images{where} by the {route} route: ", style="bold").append(
        Text("  ").join(Text(*part) for part in parts)
    )
    more = Text("each in full: the same command with --details", style="quiet")
    found = _frequent(images, route, width) if len(images) > _MANY else []
    columns = ["verdict", "image", "system", "finding"]
    if width:
        rows = _once(rows, folder)
    if width and width < _WIDE:
        columns, rows = [*columns[:2], *columns[3:]], [[*row[:2], *row[3:]] for row in rows]
    return Group(render.table(columns, rows), "", summed, *found, more)


def _row(image: ImageReport, report: CheckReport, route: Route) -> Row:
    """Its verdict, its files, what is in it, and the worst of what was found."""
    if image.error is not None:
        return ["fail", " + ".join(image.paths), "", str(image.error)]
    found = _found(image, route)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    said = f"{found[0].rule} {found[0].message}{more}" if found else ""
    return [headline(image, report, route)[0].value, " + ".join(image.paths), guest(image).partition(" · ")[0], said]


def _found(image: ImageReport, route: Route) -> list[Finding]:
    """Its findings on this route, worst first, what the import mends last."""
    found = [one for one in image.findings if route in one.routes]
    return sorted(found, key=lambda one: (SEVERITY.index(one.verdict), one.mended))


def _order(image: ImageReport, route: Route) -> tuple[int, bool, str]:
    """Worst first, what the import mends last, and beside each other what has the same finding."""
    found = [] if image.error else _found(image, route)[:1]
    return SEVERITY.index(image.verdicts[route]), any(one.mended for one in found), "".join(one.rule for one in found)


def _folder(paths: list[str]) -> str:
    """The folder that all files are in, "" where it is not worth saying once."""
    try:
        shared = os.path.commonpath([str(Path(path).parent) for path in paths])
    except ValueError:
        return ""
    return "" if shared == os.sep else shared


def _once(rows: list[Row], folder: str) -> list[Row]:
    """The rows without what stands above them already."""
    out, before = [], ""
    for verdict, image, system, finding in rows:
        names = image.replace(f"{folder}{os.sep}", "") if folder else image
        out.append([verdict, names, system, _SAME if finding and finding == before else finding])
        before = finding
    return out


def _frequent(images: list[ImageReport], route: Route, width: int | None) -> list[Text]:
    """How many images have each finding, worst first: the table's beginning may be far above."""
    from rich.text import Text

    counted: Counter[tuple[int, bool, str]] = Counter()
    words: dict[str, str] = {}
    for image in images:
        found = {one.rule: one for one in reversed(_found(image, route))}
        if image.error is not None:
            counted[0, False, "cannot be read"] += 1
            continue
        for rule, one in found.items():
            counted[SEVERITY.index(one.verdict), one.mended, rule] += 1
            words.setdefault(rule, one.message)
    lines = []
    order = sorted(counted, key=lambda one: (one[:2], -counted[one]))
    for kind in order[:_FINDINGS]:
        said, verdict = f"{kind[2]}  {words.get(kind[2], '')}".rstrip(), SEVERITY[kind[0]]
        first = f"{counted[kind]:>6}  {verdict.value:<7}  "
        line = Text("\n".join(wrapping.wrapped(said, width, first=first, indent=len(first))))
        line.stylize(STYLES[verdict], 0, len(first))
        lines.append(line)
    left = len(order) - _FINDINGS
    return lines + ([Text(f"{'':>6}  … and {left} other finding{'s' if left > 1 else ''}")] if left > 0 else [])
