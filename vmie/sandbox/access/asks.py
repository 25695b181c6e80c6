"""What a call needs: actions on resources, with condition keys; which module knows, by service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vmie.policy.authorize import Guard

Context = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Ask:
    """One action on one resource; `context` are the keys beside those that every request has.

    `guard` is the resource's own policy. `only_denied` is for what AWS lets everybody do who is not denied it.
    `hides` is the error that a client gets instead of a missing object when it may not list the bucket.
    """

    action: str
    resource: str = "*"
    context: Context = field(default_factory=dict)
    guard: Guard = Guard()  # noqa: RUF009 - frozen
    only_denied: bool = False
    rescue: bool = False  #: the account's owner may do it whatever the resource's policy says


def tag_context(tags: Mapping[str, str]) -> dict[str, str | Sequence[str]]:
    """The keys that say which tags a request sets."""
    if not tags:
        return {}
    return {**{f"aws:RequestTag/{key}": value for key, value in tags.items()}, "aws:TagKeys": tuple(tags)}


def resource_tags(tags: Mapping[str, str], service: str = "") -> dict[str, str]:
    """The keys that say which tags a resource has, `service`'s own spelling too."""
    names = ("aws", service) if service else ("aws",)
    return {f"{name}:ResourceTag/{key}": value for name in names for key, value in tags.items()}
