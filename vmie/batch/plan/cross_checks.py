"""Items among each other: keys, dependencies, and things that only one of them may have."""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmie import partitions
from vmie.batch.plan import suggestions
from vmie.batch.plan.document import Path_, Raw
from vmie.batch.plan.patterns import readable

#: circles reported; more of them are seldom another mistake
_CIRCLES = 10
#: looked for among all keys, each of them
_MOST_PATTERNS = 1000
#: mistakes after which no name is suggested any more: to find one takes a while
_MOST_SUGGESTIONS = 100


@dataclass(slots=True)
class Draft:
    """One VM of the plan while it is judged. `where` is the item that makes it, also when a pattern made several."""

    where: Path_
    key: str
    named: bool
    sources: list[str]
    export: bool
    values: dict[str, Any]
    by_pattern: bool = False
    after: tuple[str, ...] = ()
    request: Any = None

    @property
    def wave(self) -> int:
        """0 unless it says otherwise."""
        return int(self.values.get("wave", 0))

    @property
    def region(self) -> str:
        """ "" for the session's."""
        return str(self.values.get("region", ""))


@dataclass(slots=True)
class _Judge:
    raw: Raw
    drafts: Sequence[Draft]
    region: str
    seen: set[tuple[Path_, str]] = field(default_factory=set)
    patterns: dict[str, list[str]] = field(default_factory=dict)

    def wrong(self, draft: Draft, name: str, message: str) -> None:
        """Report a mistake once for the items of a pattern."""
        at = (*draft.where, name) if name else draft.where
        if (at, message) not in self.seen:
            self.seen.add((at, message))
            self.raw.wrong(at, message)

    def matching(self, pattern: str, known: Iterable[str]) -> list[str]:
        """The keys that a pattern means; thousands of items may name the same one."""
        if pattern not in self.patterns:
            self.patterns[pattern] = fnmatch.filter(known, pattern) if "*" in pattern and readable(pattern) else []
        return self.patterns[pattern]

    def line(self, draft: Draft) -> int:
        return self.raw.line(draft.where)


def judge(raw: Raw, drafts: Sequence[Draft], *, region: str) -> None:
    """Report what is wrong between the items. `region` is the session's where it is known, else ""."""
    judge = _Judge(raw, drafts, region)
    _keys(judge)
    _dependencies(judge)
    _sources(judge)
    _registered(judge)
    _addresses(judge)
    _buckets(judge)


def _groups(drafts: Iterable[Draft], of: Callable[[Draft], Any]) -> dict[Any, list[Draft]]:
    groups: defaultdict[Any, list[Draft]] = defaultdict(list)
    for draft in drafts:
        if (key := of(draft)) is not None:
            groups[key].append(draft)
    return groups


def _keys(judge: _Judge) -> None:
    for key, group in _groups(judge.drafts, lambda draft: draft.key or None).items():
        first = group[0]
        for draft in group[1:]:
            if draft.where == first.where:
                if not draft.named:
                    message = f"two files that the pattern matches make the key {key!r}: name them one by one"
                    judge.wrong(draft, "source", message)
                continue
            cure = "give them different ones" if draft.named else "give it a `key` of its own"
            message = f"the key {key!r} is in line {judge.line(first)} too: {cure}"
            judge.wrong(draft, "key" if draft.named else "source", message)


# --- after ----------------------------------------------------------------------------------------------------


def _dependencies(judge: _Judge) -> None:
    known: dict[str, Draft] = {}
    for draft in judge.drafts:
        known.setdefault(draft.key, draft)
    for draft in judge.drafts:
        draft.after = tuple(_named(judge, draft, known))
        for key in draft.after:
            if known[key].wave > draft.wave:
                judge.wrong(
                    draft,
                    "after",
                    f"{key} is in wave {known[key].wave}, which begins after wave {draft.wave} has ended",
                )
    for circle in _circles({draft.key: set(draft.after) for draft in known.values()}):
        judge.wrong(known[circle[0]], "after", f"a circle: {' → '.join(circle)}")


def _named(judge: _Judge, draft: Draft, known: Mapping[str, Draft]) -> Iterable[str]:
    """The keys that `after` means; a pattern means all that it matches, without the item itself."""
    found: dict[str, None] = {}
    for text in draft.values.get("after", ()):
        if text in known:
            found[text] = None
            continue
        if len(judge.patterns) > _MOST_PATTERNS:
            judge.wrong(draft, "after", f"a plan has {_MOST_PATTERNS} different patterns at most: name the keys")
            continue
        matched = [key for key in judge.matching(text, known) if key != draft.key]
        if not matched:
            few = len(judge.raw.mistakes) < _MOST_SUGGESTIONS
            near = suggestions.name(text, known) if few else ""
            judge.wrong(draft, "after", f"there is no item {text!r}{near}")
        found |= dict.fromkeys(matched)
    return found


def _circles(left: dict[str, set[str]]) -> list[list[str]]:
    """Circles of `after`, each once; without recursion, for plans are long."""
    found: list[list[str]] = []
    while len(found) < _CIRCLES:
        left = _waiting(left)
        if not left:
            break
        circle = _walk(left)
        found.append(circle)
        for key in circle:
            left.pop(key, None)
    return found


def _waiting(left: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """What remains when everything that can be done in some order is done."""
    waits = {key: {name for name in names if name in left} for key, names in left.items()}
    followers: defaultdict[str, list[str]] = defaultdict(list)
    for key, names in waits.items():
        for name in names:
            followers[name].append(key)
    free = [key for key, names in waits.items() if not names]
    while free:
        done = free.pop()
        for key in followers[done]:
            waits[key].discard(done)
            if not waits[key]:
                free.append(key)
    return {key: names for key, names in waits.items() if names}


def _walk(left: Mapping[str, set[str]]) -> list[str]:
    path = [next(iter(left))]
    seen = {path[0]: 0}
    while True:
        following = min(name for name in left[path[-1]] if name in left)
        if following in seen:
            return [*path[seen[following] :], following]
        seen[following] = len(path)
        path.append(following)


# --- what only one may have -------------------------------------------------------------------------------------


def _sources(judge: _Judge) -> None:
    """The same disk in two items: twice the same VM, unless both were given keys of their own, or two machines."""
    seen: dict[tuple[str, str, str], Draft] = {}
    for draft in judge.drafts:
        label = str(draft.values.get("queue", "default"))
        for source in draft.sources:
            elsewhere = draft.export or source.startswith("s3://")
            at = ("" if elsewhere else label, source, str(draft.values.get("machine", "")))
            other = seen.setdefault(at, draft)
            if other is draft or (draft.named and other.named):
                continue
            judge.wrong(draft, "source", _twice(judge, source, draft, other))


def _twice(judge: _Judge, source: str, draft: Draft, other: Draft) -> str:
    shown = source.rpartition("/")[2] or source
    named = f"{other.key!r} " if other.key else ""
    found = f"{shown} is in the item {named}of line {judge.line(other)} too"
    if draft.by_pattern or other.by_pattern:
        return f"{found}: a VM is moved once; leave it out of the pattern with `except: {shown}`"
    return f"{found}: a VM is moved once; if that is intended, give both items a `key`"


def _registered(judge: _Judge) -> None:
    def name(draft: Draft) -> Any:
        registered = draft.values.get("register")
        return (draft.values.get("profile", ""), draft.region or judge.region, registered) if registered else None

    for group in _groups(judge.drafts, name).values():
        for draft in group[1:]:
            judge.wrong(
                draft,
                "register",
                f"line {judge.line(group[0])} registers an AMI of this name too: a name is given once in a Region",
            )


def _addresses(judge: _Judge) -> None:
    for (_, address), group in _groups(
        judge.drafts,
        lambda draft: (
            (draft.values.get("subnet"), draft.values["private_ip"]) if draft.values.get("private_ip") else None
        ),
    ).items():
        for draft in group[1:]:
            judge.wrong(draft, "private_ip", f"{address} is given in line {judge.line(group[0])} too")


def _buckets(judge: _Judge) -> None:
    """A bucket is in one Region, and AWS imports from, and exports to, buckets of its own Region only."""
    seen: dict[tuple[str, str], Draft] = {}
    for draft in judge.drafts:
        region = draft.region or judge.region
        if not region:
            continue
        used = [("bucket", str(draft.values["bucket"]))] if "bucket" in draft.values else []
        if not draft.values.get("copy"):
            stored = (source for source in draft.sources if source.startswith("s3://"))
            used += [("source", source[5:].partition("/")[0]) for source in stored]
        for name, bucket in used:
            other = seen.setdefault((_partition(region), bucket), draft)
            there = other.region or judge.region
            if there != region:
                judge.wrong(
                    draft,
                    name,
                    f"the bucket {bucket} is used in {there} too (line {judge.line(other)}), and a bucket is in one "
                    f"Region: name one of {region}",
                )


def _partition(region: str) -> str:
    return partitions.of(region).name
