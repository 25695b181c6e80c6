"""A check's result for people: the verdict, then each finding once with its rule, its evidence and its cure."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vmie.cli import render, wrapping
from vmie.cli.terms import TERMS
from vmie.escaping import visible
from vmie.guest.linux_facts import LinuxFacts
from vmie.model import Finding, Route, Verdict
from vmie.ops.check_report import blocking

if TYPE_CHECKING:
    from rich.console import RenderableType

    from vmie.ops.check import CheckReport, ImageReport

#: pieces of one line: text and style
Line = list[tuple[str, str]]

STYLES = {Verdict.FAIL: "worst", Verdict.UNKNOWN: "unclear", Verdict.WARN: "warning", Verdict.PASS: "good"}
_MARKS = {Verdict.FAIL: "FAIL   ", Verdict.UNKNOWN: "UNKNOWN", Verdict.WARN: "WARN   ", Verdict.PASS: "PASS   "}
_INDENT = 10


#: what the disks become by each route
_BECOMES = {
    Route.IMAGE: "an image",
    Route.SNAPSHOT: "a snapshot",
    Route.INSTANCE: "an instance",
    Route.VOLUME: "a volume",
}


def lines(report: CheckReport, route: Route, *, everything: bool = False) -> list[Line]:
    """The lines of a report on what becomes of the images by `route`; with `everything` the passes too."""
    out: list[Line] = []
    for image in report.images:
        if out:
            out.append([])
        out += _image(image, report, route, everything=everything)
    return out


def headline(image: ImageReport, report: CheckReport, route: Route) -> tuple[Verdict, str]:
    """The verdict on an image by `route`, and what it comes to."""
    verdict, becomes = image.verdicts[route], _BECOMES[route]
    if image.error is not None:
        return Verdict.FAIL, "cannot be read"
    if verdict is Verdict.FAIL:
        return verdict, f"cannot become {becomes}{_open(image, route)}"
    if blocking(replace(report, images=(image,)), route):
        return verdict, f"stopped by {TERMS.option('strict')} on its way to {becomes}{_open(image, route)}"
    said = {
        Verdict.UNKNOWN: f"may become {becomes}: not all that decides is known",
        Verdict.WARN: f"can become {becomes}, with what is named below",
        Verdict.PASS: f"can become {becomes}",
    }
    return verdict, said[verdict]


def _open(image: ImageReport, route: Route) -> str:
    other = image.recommended
    return f"; open: --route {other}" if other not in (None, route) else ""


def styled(written: list[Line]) -> RenderableType | str:
    """The lines as one text: coloured on a terminal, plain elsewhere (and then without loading rich)."""
    if not sys.stdout.isatty():
        return "\n".join("".join(piece for piece, _ in line) for line in written)
    from rich.text import Text

    return Text("\n").join(Text.assemble(*line) for line in written)


def _image(image: ImageReport, report: CheckReport, route: Route, *, everything: bool) -> Iterator[Line]:
    verdict, said = headline(image, report, route)
    mark, name = _MARKS[verdict].rstrip(), _clean(" + ".join(image.paths))
    width = wrapping.columns(sys.stdout)
    if width is not None and len(mark) + len(name) + len(said) + 4 > width:
        yield [(mark, STYLES[verdict]), (f"  {name}", "bold")]
        yield from _hung(said)
    else:
        yield [(mark, STYLES[verdict]), (f"  {name}", "bold"), (f"  {said}", "")]
    yield from _hung(_file(image), "quiet")
    if image.error is None:
        yield from _hung(guest(image) or "no operating system seen")
        yield []
        yield from _routes(image)
    found = image.everything if everything else (*image.findings, *image.notes)
    if found:
        yield []
    for same in _grouped(found):
        yield from _findings(same)


def _hung(text: str, style: str = "") -> Iterator[Line]:
    """`text` below the headline."""
    for line in wrapping.wrapped(text, wrapping.columns(sys.stdout), first="  ", indent=4):
        yield [(line, style)]


def _file(image: ImageReport) -> str:
    disks = image.subject.disks
    size = sum(disk.size for disk in disks)
    allocated = sum(disk.allocated_size for disk in disks)
    kind = f"{image.format} {disks[0].variant}".strip() if image.format != disks[0].variant else image.format
    parts = [kind]
    if len(disks) > 1:
        parts.append(f"{len(disks)} disks")
    parts.append(f"{render.size(size)}, {render.size(allocated)} used" if size else "size unknown")
    if image.subject.guest.disks:
        table = image.subject.guest.table.value
        parts.append("no partition table" if table == "none" else table.upper())
    if image.firmware != "unknown":
        parts.append({"hybrid": "BIOS and UEFI"}.get(image.firmware, image.firmware.upper()))
    return " · ".join(parts)


def guest(image: ImageReport) -> str:
    """The system in it; "" for none that was seen."""
    root = image.root
    if root is None:
        return ""
    if isinstance(root, LinuxFacts):
        name = root.pretty_name or f"{root.distribution} {root.version}"
        parts = [name, root.architecture, f"kernel {root.default_kernel}" if root.default_kernel else ""]
    else:
        parts = [root.product or "Windows", root.architecture, f"build {root.build}" if root.build else ""]
    if root.free_bytes is not None:
        parts.append(f"{render.size(root.free_bytes)} free on {root.filesystem}")
    return _clean(" · ".join(part for part in parts if part))


def _routes(image: ImageReport) -> Iterator[Line]:
    """The recommended route first, then the others in their usual order."""
    order = sorted(image.verdicts, key=lambda route: route is not image.recommended)
    for route in order:
        verdict = image.verdicts[route]
        reasons = {finding.rule for finding in image.findings if route in finding.routes}
        count = f"{len(reasons)} to look at" if reasons else ""
        note = "recommended" if route is image.recommended else ""
        lacks = image.leaves_without.get(route, ())
        left = f"leaves it without {' and '.join(lacks)}" if lacks else ""
        tail = " · ".join(part for part in (note, left, count) if part)
        mark = _MARKS[verdict] if tail else _MARKS[verdict].rstrip()
        yield [(f"  {f'{route} ({route.call})':<26}", ""), (mark, STYLES[verdict]), (f" {tail}".rstrip(), "quiet")]
    if image.recommended is None:
        looked = bool(image.subject.guest.disks)
        why = "each is refused, or leaves a machine without what it needs" if looked else "it was not looked into"
        yield [(f"  no route is recommended: {why}", "")]


def _grouped(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings that say the same of several routes, worst first, together."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.rule, finding.message, finding.path), []).append(finding)
    return list(groups.values())


def _findings(same: Sequence[Finding]) -> Iterator[Line]:
    by_verdict: dict[Verdict, list[Route]] = {}
    for finding in same:
        by_verdict.setdefault(finding.verdict, []).extend(finding.routes)
    for number, (verdict, routes) in enumerate(by_verdict.items()):
        message = "the same" if number else _clean(same[0].message)
        rule = f"{same[0].rule}  "
        first, *rest = _wrapped(f"{message}{on_routes(routes)}", taken=len(rule))
        mark = "NOTE   " if same[0].note else _MARKS[verdict]
        yield [("  ", ""), (mark, STYLES[verdict]), (" ", ""), (rule, "quiet"), (first, "")]
        for line in rest:
            yield [(" " * _INDENT, ""), (line, "")]
    if same[0].verdict is Verdict.PASS and not same[0].note:
        return
    yield from _told(same)
    for number, line in enumerate(same[0].cure_text(TERMS).splitlines()):
        yield from _labelled("      " if number else "cure: ", line, "busy")
    if same[0].repair is not None:
        yield from _labelled("mends with: ", same[0].repair.text(TERMS), "busy")


def on_routes(routes: Sequence[Route]) -> str:
    """Which routes, where they are not all."""
    listed = [route for route in Route if route in routes]
    return "" if not listed or len(listed) == len(Route) else f" [{', '.join(listed)}]"


def _told(same: Sequence[Finding]) -> Iterator[Line]:
    """AWS's words, each with its routes where there are several."""
    words: dict[str, list[Route]] = {}
    for finding in same:
        if finding.predicts:
            words.setdefault(finding.predicts, []).extend(finding.routes)
    failed = same[0].verdict is Verdict.FAIL
    label, colour = ("AWS says: ", "bad") if failed else ("AWS may say: ", "warning")
    for text, routes in words.items():
        yield from _labelled(label, f"{text}{on_routes(routes) if len(words) > 1 else ''}", colour)


def _labelled(label: str, text: str, style: str) -> Iterator[Line]:
    for number, line in enumerate(_wrapped(_clean(text), taken=len(label))):
        yield [(" " * _INDENT, ""), (label if number == 0 else " " * len(label), "quiet"), (line, style)]


def _wrapped(text: str, *, taken: int = 0) -> list[str]:
    columns = wrapping.columns(sys.stdout)
    width = None if columns is None else max(40, min(columns, 120) - _INDENT - taken)
    return list(wrapping.wrapped(text, width))


def _clean(text: str) -> str:
    """Names from the image's inside must not drive the terminal, nor begin a line of their own."""
    return visible(text.replace("\n", " "))
