"""Would IAM allow it? A pure evaluator of policy documents: no AWS, no moto.

This module says what documents of one kind say together: an explicit Deny wins, else one Allow is needed. `authorize`
puts the kinds together. Documents come from users, so they are read as hostile: a statement that cannot be understood
allows nothing, and denies if it says Deny.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, lru_cache
from typing import Any

from vmie.policy.conditions import Context, doubtful, holds, texts
from vmie.policy.wildcards import like, matches

__all__ = ["Access", "Decision", "Document", "Principal", "condition_keys", "decide", "matches", "parsed"]

Document = str | Mapping[str, Any]  #: a policy, as text or parsed
#: the version that knows variables; a document without a version is of 2008-10-17
_WITH_VARIABLES = "2012-10-17"


class Decision(Enum):
    """What documents say together."""

    ALLOW = "allow"
    DENY = "deny"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: `kind` is Service, AWS, CanonicalUser or Federated; `ids` all names it goes by."""

    kind: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Access:
    """One action on one resource, with the request's context keys (any case).

    `generous` gives the benefit of the doubt: a condition on a key that is not in `context`, or by an operator that
    is not known here, holds in an Allow and not in a Deny. What is refused even so is refused for sure.
    """

    action: str
    resource: str = "*"
    context: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    generous: bool = False

    @cached_property
    def known(self) -> Context:
        """The context as conditions read it: keys in lower case, lists of values."""
        return {key.lower(): texts(value) for key, value in self.context.items()}


def decide(documents: Iterable[Document], ask: Access, *, principal: Principal | None = None) -> Decision:
    """Judge `ask` by all `documents`.

    With `principal` the documents are resource or trust policies, whose statements must name it;
    without, they are identity policies.
    """
    decision = Decision.SILENT
    for document in documents:
        variables, statements = _read(document)
        for statement in statements:
            if principal is not None and not _principal_matches(statement, principal):
                continue
            if not _applies(statement, ask, resource_matters=principal is None, variables=variables):
                continue
            if statement.get("Effect") == "Deny":
                return Decision.DENY
            if statement.get("Effect") == "Allow":
                decision = Decision.ALLOW
    return decision


def condition_keys(documents: Iterable[Document], ask: Access) -> set[str]:
    """The condition keys that statements about `ask` test and that its context does not have."""
    found = set()
    for document in documents:
        variables, statements = _read(document)
        for statement in statements:
            bare = {key: value for key, value in statement.items() if key != "Condition"}
            conditions = statement.get("Condition")
            if isinstance(conditions, Mapping) and _applies(bare, ask, resource_matters=True, variables=variables):
                tests = [test for test in conditions.values() if isinstance(test, Mapping)]
                found |= {str(key) for test in tests for key in test if str(key).lower() not in ask.known}
    return found


def parsed(document: Document) -> Iterator[Mapping[str, Any]]:
    """The statements of a document, text or parsed; what cannot be read has none."""
    yield from _read(document)[1]


_Read = tuple[bool, tuple[Mapping[str, Any], ...]]


def _read(document: Document) -> _Read:
    """Whether variables are known, and the statements."""
    return _read_text(document) if isinstance(document, str) else _statements(document)


@lru_cache(maxsize=1024)
def _read_text(document: str) -> _Read:
    try:
        return _statements(json.loads(document))
    except (ValueError, RecursionError):
        return False, ()


def _statements(document: Any) -> _Read:
    if not isinstance(document, Mapping):
        return False, ()
    found = document.get("Statement")
    listed = found if isinstance(found, list | tuple) else [found]
    statements = tuple(statement for statement in listed if isinstance(statement, Mapping))
    return document.get("Version") == _WITH_VARIABLES, statements


def _applies(statement: Mapping[str, Any], ask: Access, *, resource_matters: bool, variables: bool) -> bool:
    if "NotAction" in statement:
        if any(_names(item, ask.action) for item in texts(statement["NotAction"])):
            return False
    elif not any(_names(item, ask.action) for item in texts(statement.get("Action"))):
        return False
    filling = ask.known if variables else None
    if "NotResource" in statement:
        if any(like(item, ask.resource, filling) for item in texts(statement["NotResource"])):
            return False
    elif (resource_matters or "Resource" in statement) and not any(
        like(item, ask.resource, filling) for item in texts(statement.get("Resource"))
    ):
        return False
    return _conditions_hold(statement, ask, variables=variables)


def _names(pattern: str, action: str) -> bool:
    """Actions are spelt in any case."""
    return matches(pattern.lower(), action.lower())


def _conditions_hold(statement: Mapping[str, Any], ask: Access, *, variables: bool) -> bool:
    conditions, denying = statement.get("Condition"), statement.get("Effect") == "Deny"
    if not conditions:
        return True
    if not isinstance(conditions, Mapping):
        return denying
    for operator, tests in conditions.items():
        if not isinstance(tests, Mapping):
            return denying
        for key, wanted in tests.items():
            if ask.generous and doubtful(str(operator), str(key), ask.known):
                if denying:
                    return False
                continue
            held = holds(str(operator), wanted, str(key), ask.known, variables=variables)
            # An operator that this evaluator does not know is taken at its strictest.
            if held is False or (held is None and not denying):
                return False
    return True


def _principal_matches(statement: Mapping[str, Any], principal: Principal) -> bool:
    if "NotPrincipal" in statement:
        return not _excepted(statement["NotPrincipal"], principal)
    return _named(statement.get("Principal"), principal)


def _named(names: Any, principal: Principal) -> bool:
    if names == "*":
        return True
    if not isinstance(names, Mapping):
        return False
    return any(name == "*" or name in principal.ids for name in texts(names.get(principal.kind)))


def _excepted(names: Any, principal: Principal) -> bool:
    """Whether NotPrincipal leaves `principal` out: it must name the account as well as the user, role and session.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
    """
    levels: dict[str, list[str]] = {}
    for one in principal.ids:
        account = one if one.isdigit() else one.split(":")[4] if one.endswith(":root") and one.count(":") == 5 else ""
        levels.setdefault(f"account {account}" if account else one, []).append(one)
    return all(_named(names, Principal(principal.kind, tuple(ids))) for ids in levels.values())
