"""OS, second part: releases that AWS has begun to give up, as today's page announces."""

from __future__ import annotations

import datetime as dt

from vmie.checks import sources
from vmie.checks.oslist import NAMES, canonical, parse
from vmie.checks.rule import NOW, VM, Hit, Outcome, Rule
from vmie.checks.sources import advised
from vmie.checks.subject import Subject
from vmie.model import Verdict

BEGINS = dt.date(2026, 2, 1)
#: by distribution the major versions, for Ubuntu the releases
_LINUX: dict[str, frozenset[str]] = {
    "centos": frozenset("5678"),
    "debian": frozenset(("6", "7", "10")),
    "fedora": frozenset(("18", "19", "20", "37", "38", "39")),
    "oracle": frozenset("56"),
    "rhel": frozenset("56"),
    "sles": frozenset(("11",)),
    "ubuntu": frozenset(("12.04", "12.10", "13.04", "13.10", "14.04", "14.10", "15.04")),
}
_WINDOWS = frozenset(("2003", "2003 R2", "2008", "7", "8", "8.1"))


def _retiring(subject: Subject) -> Outcome:
    name = _linux(subject) or _windows(subject)
    if not name:
        return None if not subject.guest.roots else ()
    began = "has begun" if subject.today >= BEGINS else "will begin"
    return [Hit(f"AWS {began} to end its support for {name} (from {BEGINS.isoformat()} on)", Verdict.PASS)]


def _linux(subject: Subject) -> str:
    root = subject.linux
    if root is None:
        return ""
    distribution, numbers = canonical(root.distribution), parse(root.version)
    shown = f"{numbers[0]}.{numbers[1]:02d}" if distribution == "ubuntu" and len(numbers) > 1 else str(*numbers[:1])
    given_up = shown in _LINUX.get(distribution, ())
    return f"{NAMES[distribution]} {shown}" if given_up else ""


def _windows(subject: Subject) -> str:
    windows = subject.windows
    if windows is None:
        return ""
    return f"Windows {windows.release}" if windows.release in _WINDOWS else ""


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-OS-010",
        title="AWS does not give up the release",
        judge=_retiring,
        routes=VM,
        profiles=NOW,
        verdict=Verdict.WARN,
        cure="plan its replacement: releases past their vendor's end of life are not tested either",
        evidence=(
            advised(sources.PREREQUISITES, "the releases whose support ends from February 2026 on, and 32-bit ones"),
        ),
    ),
)
