"""A check of many images for people: one table, worst first; `--details` shows each in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmie.checks import SEVERITY
from vmie.cli import render
from vmie.cli.check_text import STYLES, guest, headline
from vmie.model import Route

if TYPE_CHECKING:
    from rich.console import RenderableType

    from vmie.ops.check import CheckReport, ImageReport


def table(report: CheckReport, route: Route) -> RenderableType:
    """A row for each image, the counts, and how to see more."""
    from rich.console import Group
    from rich.text import Text

    images = sorted(report.images, key=lambda one: SEVERITY.index(one.verdicts[route]))
    rows = [_row(one, report, route) for one in images]
    counts = dict.fromkeys(STYLES, 0)
    for image in images:
        counts[image.verdicts[route]] += 1
    parts = [(f"{count} {verdict.value}", STYLES[verdict]) for verdict, count in counts.items() if count]
    summed = Text(f"{len(images)} images by the {route} route: ", style="bold").append(
        Text("  ").join(Text(*part) for part in parts)
    )
    more = Text("each in full: the same command with --details", style="dim")
    return Group(render.table(["verdict", "image", "system", "finding"], rows), "", summed, more)


def _row(image: ImageReport, report: CheckReport, route: Route) -> list[str]:
    """Its verdict, its files, what is in it, and the worst of what was found."""
    if image.error is not None:
        return ["fail", " + ".join(image.paths), "", str(image.error)]
    found = [one for one in image.findings if route in one.routes]
    worst = min(found, key=lambda one: SEVERITY.index(one.verdict), default=None)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    said = f"{worst.rule} {worst.message}{more}" if worst else ""
    return [headline(image, report, route)[0].value, " + ".join(image.paths), guest(image).partition(" · ")[0], said]
