"""Whom sshd lets in at all: DenyUsers, AllowUsers, DenyGroups and AllowGroups, in that order (sshd_config(5))."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from vmie.guest.linux_facts import Sshd
from vmie.guest.tree import Tree

_MAX_LINES = 2000
#: patterns of a list that are read; a longer one is taken for one that lets everybody in
_MAX_PATTERNS = 500
_LONGEST = 256
LISTS = ("denyusers", "allowusers", "denygroups", "allowgroups")


def access_lists(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The four lists: unlike other keywords, each line adds to the ones before it."""
    found: dict[str, list[str]] = {}
    for line in lines:
        key, _, value = line.replace("=", " ", 1).replace("\t", " ").partition(" ")
        if key.lower() in LISTS:
            found.setdefault(key.lower(), []).extend(value.replace('"', " ").split())
    return {key: tuple(names) for key, names in found.items() if len(names) <= _MAX_PATTERNS}


def admits(sshd: Sshd, user: str, groups: Iterable[str]) -> bool:
    """Whether the lists let `user` in from some host."""
    groups = tuple(groups)
    if _matches(sshd.deny_users, user, denies=True) or (sshd.allow_users and not _matches(sshd.allow_users, user)):
        return False
    if any(_matches(sshd.deny_groups, group, denies=True) for group in groups):
        return False
    return not sshd.allow_groups or any(_matches(sshd.allow_groups, group) for group in groups)


def groups_of(tree: Tree) -> dict[str, set[str]]:
    """The groups of each account: its own, and those that list it."""
    names: dict[str, str] = {}
    found: dict[str, set[str]] = {}
    for line in (tree.text("/etc/group") or "").splitlines()[:_MAX_LINES]:
        fields = line.split(":")
        if len(fields) >= 4:
            names[fields[2]] = fields[0]
            for member in fields[3].split(","):
                found.setdefault(member.strip(), set()).add(fields[0])
    for line in (tree.text("/etc/passwd") or "").splitlines()[:_MAX_LINES]:
        fields = line.split(":")
        if len(fields) >= 4 and fields[3] in names:
            found.setdefault(fields[0], set()).add(names[fields[3]])
    return found


def _matches(patterns: Sequence[str], name: str, *, denies: bool = False) -> bool:
    """Whether a list names `name`; a pattern that a ``!`` negates takes it out. Of ``user@host`` any host may come.

    A denial that holds for some hosts only leaves the others.
    """
    hit = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        wanted, at, host = pattern.removeprefix("!").partition("@")
        if at and host != "*" and (negated or denies):
            continue
        if fnmatch.fnmatchcase(name[:_LONGEST], wanted[:_LONGEST].replace("[", "[[]")):  # a bracket is no set to sshd
            if negated:
                return False
            hit = True
    return hit
