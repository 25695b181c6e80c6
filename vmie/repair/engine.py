"""From findings to a layer: plan, write, look again, and take back what mended nothing.

judge(facts) ──► findings before ──► mends ──► edits ──► patches into the overlays ──► judge again
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field

from vmie.checks import SEVERITY
from vmie.disk.overlay import Overlay
from vmie.errors import ImageError
from vmie.guest import Budget, GuestFacts, OpenGuest, opened
from vmie.guest.budget import OverBudget
from vmie.guest.in_place import NotWritable, Patch
from vmie.guest.machine import Volume
from vmie.model import Finding, Route, Verdict
from vmie.repair.files import GuestFiles
from vmie.repair.model import Edit, FileChange, Left, Mend, Repair

Judge = Callable[[GuestFacts], Sequence[Finding]]
#: rule → the messages of its findings that are no pass: the verdict, and what a machine would be without
_Hit = tuple[Verdict, tuple[tuple[Route, str], ...]]
_Hits = dict[str, dict[str, _Hit]]


@dataclass(slots=True)
class _Plan:
    changes: list[FileChange] = field(default_factory=list)
    #: mends that changed something
    active: list[Mend] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


def apply(overlays: Sequence[Overlay], mends: Sequence[Mend], *, budget: Budget | None = None) -> Repair:
    """Write what `mends` want into `overlays`, the disks of one machine, without a look at findings.

    Every file is read back; one that differs takes everything back (ImageError). `mended` stays empty.
    """
    with opened(overlays, budget=budget or Budget()) as guest:
        plan = _plan(guest, overlays, mends, ())
    _read_back(overlays, plan.changes, budget or Budget())
    return Repair(tuple(plan.changes), (), tuple(plan.left))


def repair(
    overlays: Sequence[Overlay],
    mends: Sequence[Mend],
    *,
    judge: Judge,
    only: Iterable[str] = (),
    budget: Callable[[], Budget] = Budget,
) -> Repair:
    """Mend what `judge` finds on `overlays`, the disks of one machine, by those of `mends` whose rules have findings.

    A mend without rules is made always; `only` narrows to mends of those rules or names. What is written is judged
    again: a mend that took no finding away is taken back, its rules are in `left` with why. Raises ImageError.
    """
    chosen = set(only)
    with opened(overlays, budget=budget()) as guest:
        before = _hits(judge(guest.facts))
        wanted = [mend for mend in mends if _asked(mend, before, chosen)]
        useless: dict[str, Left] = {}
        while True:
            plan = _plan(guest, overlays, [mend for mend in wanted if mend.name not in useless], before)
            findings = _judged(overlays, plan, judge, budget())
            after = _hits(findings)
            failed = [mend for mend in plan.active if mend.rules and not _helped(mend, before, after)]
            if not failed:
                break
            for mend in failed:
                rule = next((rule for rule in mend.rules if rule in after), mend.rules[0])
                why = f"{mend.name}: what it changed did not mend it, and was taken back"
                useless[mend.name] = Left(rule, why, mend.by_hand)
            for overlay in overlays:
                overlay.clear()
    mended = [rule for rule in before if rule not in after and any(rule in mend.rules for mend in plan.active)]
    left = [*plan.left, *useless.values()]
    told = {one.rule for one in left}
    left += [Left(rule, message) for rule, found in after.items() if rule not in told for message in found]
    return Repair(tuple(plan.changes), tuple(mended), tuple(dict.fromkeys(left)), tuple(findings))


def _asked(mend: Mend, hits: _Hits, only: set[str]) -> bool:
    if only and mend.name not in only and not only & set(mend.rules):
        return False
    return not mend.rules or any(rule in hits for rule in mend.rules)


def _plan(guest: OpenGuest, overlays: Sequence[Overlay], mends: Sequence[Mend], found: Container[str]) -> _Plan:
    """Ask every mend for every system, and write what they want; `found` are the rules with findings."""
    plan = _Plan()
    for facts, tree in guest.systems:
        files = GuestFiles(guest, facts, tree)
        for mend in mends:
            try:
                if _made(files, mend, tuple(rule for rule in mend.rules if rule in found), plan.left):
                    plan.active.append(mend)
            except OverBudget as error:
                plan.left.append(Left(next(iter(mend.rules), ""), f"{mend.name}: {error}"))
        plan.changes += files.changes()
        for volume, patch in files.patches():
            _write(guest, overlays, volume, patch)
    return plan


def _made(files: GuestFiles, mend: Mend, rules: tuple[str, ...], left: list[Left]) -> bool:
    """Take up what `mend` wants, because of `rules`; whether that changed anything."""
    changed = False
    for wish in mend.apply(files):
        if isinstance(wish, Left):
            left.append(wish)
            continue
        try:
            changed |= files.edit(wish, rules=rules)
        except NotWritable as error:
            left.append(Left(next(iter(rules or mend.rules), ""), f"{wish.path}: {error}", mend.by_hand))
    return changed


def _write(guest: OpenGuest, overlays: Sequence[Overlay], volume: Volume, patch: Patch) -> None:
    offset, data = patch
    if volume.blocks is None:
        return
    done = 0
    for disk, at, length in guest.machine.places(volume.blocks, offset, len(data)):
        overlays[disk].write(at, data[done : done + length])
        done += length


def _judged(overlays: Sequence[Overlay], plan: _Plan, judge: Judge, budget: Budget) -> Sequence[Finding]:
    with opened(overlays, budget=budget) as guest:
        _compare(guest, overlays, plan.changes)
        return judge(guest.facts)


def _read_back(overlays: Sequence[Overlay], changes: Sequence[FileChange], budget: Budget) -> None:
    """Raise ImageError, with everything taken back, unless every changed file reads as it was meant to."""
    with opened(overlays, budget=budget) as guest:
        _compare(guest, overlays, changes)


def _compare(guest: OpenGuest, overlays: Sequence[Overlay], changes: Sequence[FileChange]) -> None:
    for change in changes:
        found = [tree.read(change.path, limit=len(change.after) + 1) for _, tree in guest.systems]
        if change.after not in found:
            for overlay in overlays:
                overlay.clear()
            raise ImageError(f"{change.path} does not read back as it was written: nothing was changed")


def _hits(findings: Iterable[Finding]) -> _Hits:
    """What is found; not what an import mends by writing the disk in another form."""
    found: _Hits = {}
    for finding in findings:
        if finding.verdict is not Verdict.PASS and not finding.mended:
            found.setdefault(finding.rule, {})[finding.message] = finding.verdict, finding.without
    return found


def _helped(mend: Mend, before: _Hits, after: _Hits) -> bool:
    """Whether a finding of the mend's rules is gone or is another by now, and none of them is worse."""
    gone = False
    for rule in mend.rules:
        had, has = before.get(rule, {}), after.get(rule, {})
        if len(has) > len(had) or _worst(has) < _worst(had):
            return False
        gone |= has != had
    return gone


def _worst(found: dict[str, _Hit]) -> int:
    return min((SEVERITY.index(verdict) for verdict, _ in found.values()), default=len(SEVERITY))


__all__ = ["Edit", "apply", "repair"]
