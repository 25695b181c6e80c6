"""What a rule is: data about it, and one small pure function that looks at a `Subject`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vmie import catalogue
from vmie.checks.sources import Evidence, bears
from vmie.checks.subject import Subject
from vmie.errors import PYTHON, Action, Cure, Run, Set, Terms, actions
from vmie.model import Finding, Profile, Route, Verdict

ALL = (Route.IMAGE, Route.SNAPSHOT, Route.INSTANCE, Route.VOLUME)
#: the routes that look inside and prepare the guest
VM = (Route.IMAGE, Route.INSTANCE)
#: the routes that take bytes as they are
DATA = (Route.SNAPSHOT, Route.VOLUME)
#: the routes over the legacy manifest
LEGACY = (Route.INSTANCE, Route.VOLUME)

BOTH = (Profile.CURRENT, Profile.Y2016)
NOW = (Profile.CURRENT,)
Y2016 = (Profile.Y2016,)

#: the routes by which a machine, not only a disk, comes to EC2
MACHINE = (Route.IMAGE, Route.INSTANCE, Route.SNAPSHOT)


def unprepared(what: str) -> Mapping[Route, str]:
    """Without `what` where the service prepares nothing."""
    return {Route.SNAPSHOT: what}


def anyway(what: str) -> Mapping[Route, str]:
    """Without `what` by every route: the service does not mend it."""
    return dict.fromkeys(MACHINE, what)


#: cures that several rules share: the route that looks at nothing, and today's list of prerequisites
AS_SNAPSHOT = Set("route", "snapshot", "it looks at nothing in the guest")
TODAY = Set("rules", "current", "today's service takes it")


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that tripped: what was seen, and where this hit differs from what the rule says of itself.

    `values` fill the service's words, as `catalogue.words` takes them. `evidence` is what this very hit rests on.
    A hit that passes is a note. With `may_say` the service's words are shown though the verdict is a warning.
    `without` is as in `Rule`. `disk` is the index of the disk that it is about: of several, its path heads the message.
    """

    message: str
    verdict: Verdict | None = None
    routes: tuple[Route, ...] | None = None
    cure: Cure | None = None
    predicts: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    may_say: bool = False
    without: Mapping[Route, str] | None = None
    disk: int | None = None


def as_snapshot(hit: Hit) -> Hit:
    """The same of a snapshot, which the service does not look into: it refuses nothing, and mends nothing."""
    return replace(hit, verdict=Verdict.WARN, routes=(Route.SNAPSHOT,), predicts="")


def both(hit: Hit) -> list[Hit]:
    """A hit, and the same of a snapshot."""
    return [hit, as_snapshot(hit)]


#: None: does not apply. Empty: passed. Otherwise what tripped.
Outcome = Iterable[Hit] | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `verdict` is what a hit means unless the hit says otherwise; `judge` is pure.

    `predicts` is the id of what the service would say in `vmie.catalogue`, "" where it would say nothing. `without` is
    what a machine that came by a route in spite of a hit would be without: boot, network or login. A rule that
    fails without evidence that bears it cannot be made (ValueError).
    """

    id: str
    title: str
    judge: Callable[[Subject], Outcome]
    evidence: tuple[Evidence, ...]
    verdict: Verdict = Verdict.FAIL
    routes: tuple[Route, ...] = VM
    profiles: tuple[Profile, ...] = BOTH
    predicts: str = ""
    cure: Cure = ()
    without: Mapping[Route, str] = field(default_factory=dict)
    #: about the form alone: a warning, where the bytes are re-streamed, of what is mended by that
    form: bool = False

    def __post_init__(self) -> None:
        """Refuse a rule whose verdict its evidence does not bear."""
        if not self.evidence or not all(bears(self.evidence, self.verdict, profile) for profile in self.profiles):
            raise ValueError(f"{self.id}: no evidence bears {self.verdict.value}")

    def as_json(self, terms: Terms = PYTHON) -> dict[str, Any]:
        """The contracted ``rule`` of `vmie explain`."""
        return {
            "id": self.id,
            "title": self.title,
            "verdict": self.verdict.value,
            "routes": [route.value for route in self.routes],
            "profiles": [profile.value for profile in self.profiles],
            "predicts": catalogue.words(self.predicts) if self.predicts else "",
            "cure": [action.text(terms) for action in actions(self.cure)],
            "evidence": [one.as_json() for one in self.evidence],
        }

    def source(self, profile: Profile, evidence: Iterable[Evidence] = ()) -> str:
        """Where it stands: the sources that count in `profile`, those of one hit first."""
        listed = [one.source for one in (*evidence, *self.evidence) if profile in one.profiles]
        return "; ".join(dict.fromkeys(listed))

    def apply(self, subject: Subject, *, path: str = "") -> list[Finding]:
        """The findings of this rule: one per hit, one `pass`, or none when the rule does not apply."""
        if subject.profile not in self.profiles:
            return []
        outcome = self.judge(subject)
        if outcome is None:
            return []
        found = [self._finding(hit, subject, _about(subject, hit, path)) for hit in outcome]
        source = self.source(subject.profile)
        return found or [Finding(self.id, Verdict.PASS, self.title, source=source, routes=self.routes, path=path)]

    def _finding(self, hit: Hit, subject: Subject, path: str) -> Finding:
        verdict = self.verdict if hit.verdict is None else hit.verdict
        predicts = self.predicts if hit.predicts is None else hit.predicts
        said = verdict is Verdict.FAIL or hit.may_say
        routes = self.routes if hit.routes is None else hit.routes
        without = self.without if hit.without is None else hit.without
        return Finding(
            rule=self.id,
            verdict=verdict,
            # names from the image's inside must not drive a terminal
            message="".join(char if char.isprintable() else "?" for char in _named(subject, hit)),
            actions=_on_file(actions(self.cure if hit.cure is None else hit.cure), path),
            source=self.source(subject.profile, hit.evidence),
            routes=routes,
            predicts=catalogue.words(predicts, **hit.values) if predicts and said else "",
            path=path,
            note=verdict is Verdict.PASS,
            mended=self.form and verdict is Verdict.WARN and not subject.literal,
            without=tuple((one, without[one]) for one in routes if one in without and verdict is not Verdict.PASS),
        )


def _on_file(cures: Sequence[Action], path: str) -> tuple[Action, ...]:
    """The cures of a rule for one file: it stands where a command says FILE."""
    if not path:
        return tuple(cures)
    return tuple(
        Run(tuple(path if word == "FILE" else word for word in one.argv), one.note) if isinstance(one, Run) else one
        for one in cures
    )


def _about(subject: Subject, hit: Hit, path: str) -> str:
    """The file that a hit is about: that of its disk, else of one that cannot be read, else `path`."""
    if not path:
        return ""
    one = subject.disks[hit.disk] if hit.disk is not None and len(subject.disks) > 1 else None
    found = one or next((disk for disk in subject.disks if disk.unreadable), None)
    # The disks of one appliance are in the one file.
    return path if found is None or found.path.startswith(f"{path}#") else found.path


def _named(subject: Subject, hit: Hit) -> str:
    """The message, after the path of its disk where there are several; what cannot be read says its name itself."""
    if hit.disk is None or len(subject.disks) < 2 or subject.disks[hit.disk].unreadable:
        return hit.message
    return f"{subject.disks[hit.disk].path}: {hit.message}"
