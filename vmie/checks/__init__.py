"""Facts to findings, findings to verdicts. Pure: nothing here opens a file or asks AWS.

Subject ──► every Rule of the profile ──► Finding(s) ──► Verdict per Route ──► the route to take
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from vmie.checks import (
    after_import,
    boot,
    boot_devices,
    contents,
    disks,
    filesystems,
    kernel,
    linux,
    machine,
    network,
    network_cards,
    partitions,
    retiring,
    sizes,
    systems,
    windows,
    windows_state,
)
from vmie.checks.rule import Hit, Rule
from vmie.checks.subject import CheckedDisk, CheckedMachine, Subject
from vmie.model import Finding, Route, Verdict

__all__ = [
    "RULES",
    "CheckedDisk",
    "CheckedMachine",
    "Hit",
    "Rule",
    "Subject",
    "judge",
    "left_without",
    "narrow",
    "recommend",
    "verdicts",
]

#: all rules, in the order in which the service would stumble over them
RULES: tuple[Rule, ...] = (
    *disks.RULES,
    *contents.RULES,
    *machine.RULES,
    *sizes.RULES,
    *partitions.RULES,
    *filesystems.RULES,
    *systems.RULES,
    *retiring.RULES,
    *boot.RULES,
    *kernel.RULES,
    *boot_devices.RULES,
    *linux.RULES,
    *windows.RULES,
    *windows_state.RULES,
    *after_import.RULES,
    *network.RULES,
    *network_cards.RULES,
)

#: what a file holds: who passes over it sends the bytes as they are
CONTENT = disks.CONTENT
#: rules without which there is nothing to import: who passes over them is refused all the same
INDISPENSABLE = frozenset({machine.WHICH_MACHINE})
#: worst first
SEVERITY = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.WARN, Verdict.PASS)
#: what a machine may be left without, in the order in which it would be missed
LACKS = ("boot", "some of its data", "network", "login")
_PREFERRED = (Route.IMAGE, Route.SNAPSHOT, Route.VOLUME, Route.INSTANCE)


def judge(subject: Subject, *, path: str = "", routes: Sequence[Route] = tuple(Route)) -> list[Finding]:
    """Every finding about `subject` on `routes`, passes included, worst first.

    A subject that cannot be opened is judged as a file only.
    """
    unreadable = any(disk.unreadable for disk in subject.disks)
    rules = [rule for rule in RULES if not unreadable or rule.id in disks.WITHOUT_READING]
    found = [finding for rule in rules for finding in rule.apply(subject, path=path)]
    return sorted(narrow(found, routes), key=lambda finding: _rank(finding.verdict))


def narrow(findings: Iterable[Finding], routes: Sequence[Route]) -> list[Finding]:
    """The findings about `routes` only, and only those routes in them."""
    narrowed = [_narrowed(finding, routes) for finding in findings]
    return [finding for finding in narrowed if finding.routes]


def _narrowed(finding: Finding, routes: Sequence[Route]) -> Finding:
    kept = tuple(route for route in finding.routes if route in routes)
    if kept == finding.routes:
        return finding
    return replace(finding, routes=kept, without=tuple(one for one in finding.without if one[0] in kept))


def verdicts(findings: Iterable[Finding]) -> dict[Route, Verdict]:
    """Per route the worst of its findings: fail, unknown, warn, pass."""
    worst = dict.fromkeys(_PREFERRED, Verdict.PASS)
    for finding in findings:
        for route in finding.routes:
            if _rank(finding.verdict) < _rank(worst[route]):
                worst[route] = finding.verdict
    return {route: worst[route] for route in Route}


def left_without(findings: Iterable[Finding]) -> dict[Route, tuple[str, ...]]:
    """Per route what a machine that came by it would be without (`LACKS`); routes with nothing are left out."""
    lacking = [one for finding in findings for one in finding.without]
    found = {route: tuple(what for what in LACKS if (route, what) in lacking) for route in Route}
    return {route: lacks for route, lacks in found.items() if lacks}


def recommend(by_route: Mapping[Route, Verdict], barred: Collection[Route] = ()) -> Route | None:
    """The best way in: the first of image, snapshot, volume, instance that passes or warns, else one unknown.

    None where no route is left that is not `barred`.
    """
    for accepted in ((Verdict.PASS, Verdict.WARN), (Verdict.UNKNOWN,)):
        for route in _PREFERRED:
            if route not in barred and by_route.get(route) in accepted:
                return route
    return None


def _rank(verdict: Verdict) -> int:
    return SEVERITY.index(verdict)
