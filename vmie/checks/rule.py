"""What a rule is: data about it, and one small pure function that looks at a `Subject`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from vmie import catalogue
from vmie.checks.subject import Subject
from vmie.errors import Cure, Set, actions
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

#: cures that several rules share: the route that looks at nothing, and today's list of prerequisites
AS_SNAPSHOT = Set("route", "snapshot", "it looks at nothing in the guest")
TODAY = Set("profile", "current", "today's service takes it")


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that tripped: what was seen, and where this hit differs from what the rule says of itself.

    `values` fill the service's words, as `catalogue.words` takes them.
    """

    message: str
    verdict: Verdict | None = None
    routes: tuple[Route, ...] | None = None
    cure: Cure | None = None
    predicts: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)


#: None: does not apply. Empty: passed. Otherwise what tripped.
Outcome = Iterable[Hit] | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `verdict` is what a hit means unless the hit says otherwise; `judge` is pure.

    `predicts` is the id of what the service would say in `vmie.catalogue`, "" where it would say nothing.
    """

    id: str
    title: str
    judge: Callable[[Subject], Outcome]
    source: str
    verdict: Verdict = Verdict.FAIL
    routes: tuple[Route, ...] = VM
    profiles: tuple[Profile, ...] = BOTH
    predicts: str = ""
    cure: Cure = ()

    def apply(self, subject: Subject, *, path: str = "") -> list[Finding]:
        """The findings of this rule: one per hit, one `pass`, or none when the rule does not apply."""
        if subject.profile not in self.profiles:
            return []
        outcome = self.judge(subject)
        if outcome is None:
            return []
        found = [self._finding(hit, _about(subject, hit, path)) for hit in outcome]
        return found or [Finding(self.id, Verdict.PASS, self.title, source=self.source, routes=self.routes, path=path)]

    def _finding(self, hit: Hit, path: str) -> Finding:
        verdict = self.verdict if hit.verdict is None else hit.verdict
        predicts = self.predicts if hit.predicts is None else hit.predicts
        return Finding(
            rule=self.id,
            verdict=verdict,
            # names from the image's inside must not drive a terminal
            message="".join(char if char.isprintable() else "?" for char in hit.message),
            actions=actions(self.cure if hit.cure is None else hit.cure),
            source=self.source,
            routes=self.routes if hit.routes is None else hit.routes,
            predicts=catalogue.words(predicts, **hit.values) if predicts and verdict is Verdict.FAIL else "",
            path=path,
        )


def _about(subject: Subject, hit: Hit, path: str) -> str:
    """The file that a hit is about: the one of several disks that heads its message, the unreadable one, or `path`."""
    if not path:
        return ""
    for disk in subject.disks:
        # The disks of one appliance are in the one file.
        if not disk.path.startswith(f"{path}#") and (disk.unreadable or hit.message.startswith(f"{disk.path}: ")):
            return disk.path
    return path
