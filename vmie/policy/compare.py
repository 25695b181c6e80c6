"""What IAM documents mean: the same, missing something, shown as text."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

#: actions that S3 judges by the bucket's ARN, and by the object's: the other pairing grants nothing
_ON_BUCKET = frozenset({"s3:listbucket", "s3:getbucketlocation", "s3:getbucketacl"})
_ON_OBJECT = frozenset({"s3:getobject", "s3:putobject"})


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One action on one resource."""

    action: str
    resource: str


def statements(document: Mapping[str, Any]) -> list[Document]:
    """The statements of `document`; IAM also takes a single one without a list."""
    found = document.get("Statement")
    listed = found if isinstance(found, list) else [found]
    return [statement for statement in listed if isinstance(statement, dict)]


def same(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Whether both say the same: order, grouping, Sids, letter case of actions and keys do not matter."""
    return set(_atoms(left)) == set(_atoms(right))


def missing(have: Iterable[Mapping[str, Any]], wanted: Mapping[str, Any]) -> list[Permission]:
    """What `wanted` allows and the documents `have` do not allow together.

    Conservative: an Allow with a condition counts for nothing, a Deny without one takes away.
    """
    allows: list[Document] = []
    denies: list[Document] = []
    for document in have:
        for statement in statements(document):
            if statement.get("Condition") or "NotAction" in statement or "NotResource" in statement:
                continue
            (allows if statement.get("Effect") == "Allow" else denies).append(statement)
    lacking = []
    for statement in statements(wanted):
        for permission in _permissions(statement):
            denied = any(_touches(statement, permission) for statement in denies)
            if denied or not any(_covers(statement, permission) for statement in allows):
                lacking.append(permission)
    return sorted(set(lacking))


def text(document: Mapping[str, Any] | None) -> str:
    """`document` as JSON to show and to diff; "" for none."""
    if document is None:
        return ""
    order = ["Version", "Id", "Statement", "Sid", "Effect", "Principal", "NotPrincipal"]
    order += ["Action", "NotAction", "Resource", "NotResource", "Condition"]

    def sort(value: Any) -> Any:
        if isinstance(value, Mapping):
            names = sorted(value, key=lambda name: (order.index(name) if name in order else len(order), name))
            return {name: sort(value[name]) for name in names}
        return [sort(item) for item in value] if isinstance(value, list) else value

    return json.dumps(sort(document), indent=2, ensure_ascii=False)


def texts(mapping: Mapping[str, Any], name: str) -> list[str]:
    """What `name` holds, a list in any case; what is not text is left out."""
    found = mapping.get(name)
    listed = found if isinstance(found, list) else [found]
    return [item for item in listed if isinstance(item, str)]


def _atoms(document: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The document's meaning, one fact at a time; a statement that cannot be read is a fact of its own."""
    for statement in statements(document):
        if not _readable(statement):
            yield ("?", json.dumps(statement, sort_keys=True, default=str))
            continue
        common = (str(statement["Effect"]), _principal(statement.get("Principal")), _condition(statement))
        for permission in _permissions(statement):
            yield (*common, permission.action.lower(), permission.resource)


def _readable(statement: Mapping[str, Any]) -> bool:
    known = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}
    return set(statement) <= known and statement.get("Effect") in ("Allow", "Deny") and bool(texts(statement, "Action"))


def _permissions(statement: Mapping[str, Any]) -> Iterator[Permission]:
    for action in texts(statement, "Action"):
        for resource in texts(statement, "Resource") or [""]:
            lowered, is_object = action.lower(), "/" in resource
            if resource.startswith("arn:") and (
                (lowered in _ON_BUCKET and is_object) or (lowered in _ON_OBJECT and not is_object)
            ):
                continue
            yield Permission(action, resource)


def _principal(principal: Any) -> str:
    if isinstance(principal, Mapping):
        return json.dumps({kind: sorted(texts(principal, kind)) for kind in sorted(principal)})
    return json.dumps(principal)


def _condition(statement: Mapping[str, Any]) -> str:
    condition = statement.get("Condition") or {}
    if not isinstance(condition, Mapping):
        return json.dumps(condition)
    plain = {
        operator: {key.lower(): sorted(texts(keys, key)) or keys[key] for key in keys}
        if isinstance(keys, Mapping)
        else keys
        for operator, keys in condition.items()
    }
    return json.dumps(plain, sort_keys=True, default=str)


def matches(pattern: str, text_: str) -> bool:
    """IAM's wildcards. A "?" does not cover a "*" in `text_`, which may itself be a pattern."""
    # fnmatch takes time in proportion to the pattern and the text, however many stars there are.
    literal = re.sub(r"\*+", "*", pattern).replace("[", "[[]").replace("?", "[!*]")
    return fnmatch.fnmatchcase(text_, literal)


def _covers(statement: Mapping[str, Any], permission: Permission) -> bool:
    return any(matches(a.lower(), permission.action.lower()) for a in texts(statement, "Action")) and any(
        matches(r, permission.resource) for r in texts(statement, "Resource")
    )


def _touches(statement: Mapping[str, Any], permission: Permission) -> bool:
    """Whether `statement` speaks of any part of `permission`."""
    action = permission.action.lower()
    actions = (a.lower() for a in texts(statement, "Action"))
    return any(matches(a, action) or matches(action, a) for a in actions) and any(
        matches(r, permission.resource) or matches(permission.resource, r) for r in texts(statement, "Resource")
    )
