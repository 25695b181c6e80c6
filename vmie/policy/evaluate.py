"""Would IAM allow it? A pure evaluator of policy documents: no AWS, no moto.

The rules of
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html within one
account: an explicit Deny wins, else one Allow is needed. Documents come from users, so they are
read as hostile: a statement that cannot be understood allows nothing, and denies if it says Deny.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


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


@dataclass(frozen=True, slots=True)
class Access:
    """One action on one resource, with the request's context keys (any case).

    `generous` gives the benefit of the doubt: a condition on a key that is not in `context`, or by an operator that
    is not known here, holds in an Allow and not in a Deny. What is refused even so is refused for sure.
    """

    action: str
    resource: str = "*"
    context: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    generous: bool = False


def decide(
    documents: Iterable[str | Mapping[str, Any]], ask: Access, *, principal: Principal | None = None
) -> Decision:
    """Judge `ask` by all `documents`.

    With `principal` the documents are resource or trust policies, whose statements must name it;
    without, they are identity policies.
    """
    decision = Decision.SILENT
    for document in documents:
        for statement in parsed(document):
            if principal is not None and not _principal_matches(statement, principal):
                continue
            if not _applies(statement, ask, resource_matters="Resource" in statement or principal is None):
                continue
            if statement.get("Effect") == "Deny":
                return Decision.DENY
            if statement.get("Effect") == "Allow":
                decision = Decision.ALLOW
    return decision


def condition_keys(documents: Iterable[str | Mapping[str, Any]], ask: Access) -> set[str]:
    """The condition keys that statements about `ask` test and that its context does not have."""
    known = {key.lower() for key in ask.context}
    found = set()
    for document in documents:
        for statement in parsed(document):
            bare = {key: value for key, value in statement.items() if key != "Condition"}
            conditions = statement.get("Condition")
            if isinstance(conditions, Mapping) and _applies(bare, ask, resource_matters=True):
                tests = [test for test in conditions.values() if isinstance(test, Mapping)]
                found |= {str(key) for test in tests for key in test if str(key).lower() not in known}
    return found


def matches(pattern: str, value: str) -> bool:
    """IAM's wildcards: ``*`` any run of characters, ``?`` one; nothing else is special."""
    # A run of stars means the same as one, and costs a backtracking matcher dearly.
    literal = re.sub(r"\*+", "*", pattern).replace("[", "[[]")
    return fnmatch.fnmatchcase(value, literal)


def parsed(document: str | Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The statements of a document, text or parsed; what cannot be read has none."""
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError):
            return
    if not isinstance(document, Mapping):
        return
    for statement in _listed(document.get("Statement")):
        if isinstance(statement, Mapping):
            yield statement


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _texts(value: Any) -> list[str]:
    return [_text(item) for item in _listed(value)]


def _text(value: Any) -> str:
    """As IAM compares it; what is no single value is no text that anything matches."""
    if isinstance(value, Mapping | list | tuple):
        return "\0"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _applies(statement: Mapping[str, Any], ask: Access, *, resource_matters: bool) -> bool:
    if "NotAction" in statement:
        if any(_names(item, ask.action) for item in _texts(statement["NotAction"])):
            return False
    elif not any(_names(item, ask.action) for item in _texts(statement.get("Action"))):
        return False
    if "NotResource" in statement:
        if any(_arn_matches(item, ask) for item in _texts(statement["NotResource"])):
            return False
    elif resource_matters and not any(_arn_matches(item, ask) for item in _texts(statement.get("Resource"))):
        return False
    return _conditions_hold(statement.get("Condition"), ask, denying=statement.get("Effect") == "Deny")


def _names(pattern: str, action: str) -> bool:
    """Actions are spelt in any case."""
    return matches(pattern.lower(), action.lower())


def _arn_matches(pattern: str, ask: Access) -> bool:
    return matches(_filled(pattern, ask), ask.resource)


def _filled(text: str, ask: Access) -> str:
    """Policy variables: ``${aws:SourceAccount}`` is the request's own value; unknown ones match nothing."""
    values = {key.lower(): value for key, value in ask.context.items()}

    def value(found: re.Match[str]) -> str:
        name = found[1].split(",")[0].strip().lower()
        return _texts(values[name])[0] if name in values and _texts(values[name]) else "\0"

    return re.sub(r"\$\{([^}]*)\}", value, text) if "${" in text else text


def _principal_matches(statement: Mapping[str, Any], principal: Principal) -> bool:
    if "NotPrincipal" in statement:
        return not _named(statement["NotPrincipal"], principal)
    return _named(statement.get("Principal"), principal)


def _named(names: Any, principal: Principal) -> bool:
    if names == "*":
        return True
    if not isinstance(names, Mapping):
        return False
    return any(name == "*" or name in principal.ids for name in _texts(names.get(principal.kind)))


def _conditions_hold(conditions: Any, ask: Access, *, denying: bool) -> bool:
    if not conditions:
        return True
    if not isinstance(conditions, Mapping):
        return denying
    context = {key.lower(): _texts(value) for key, value in ask.context.items()}
    for operator, tests in conditions.items():
        if not isinstance(tests, Mapping):
            return denying
        for key, wanted in tests.items():
            if ask.generous and _doubtful(str(operator), str(key), context):
                if denying:
                    return False
                continue
            held = _condition_holds(
                str(operator), [_filled(item, ask) for item in _texts(wanted)], context.get(str(key).lower())
            )
            # An operator that this evaluator does not know is taken at its strictest.
            if held is False or (held is None and not denying):
                return False
    return True


def _doubtful(operator: str, key: str, context: Mapping[str, object]) -> bool:
    name = operator.lower().rpartition(":")[2]
    known = name == "null" or _NEGATIVE.get(name.removesuffix("ifexists"), name.removesuffix("ifexists")) in _TESTS
    return key.lower() not in context or not known


def _condition_holds(operator: str, wanted: list[str], values: list[str] | None) -> bool | None:
    """One condition key: True, False, or None when the operator is unknown."""
    name = operator.lower()
    quantifier, _, rest = name.rpartition(":")
    name = rest if quantifier in ("forallvalues", "foranyvalue") else name
    if name == "null":
        return (values is None) == (wanted == ["true"])
    optional = name.endswith("ifexists")
    name = name.removesuffix("ifexists")
    if values is None:
        return optional or quantifier == "forallvalues" or (_NEGATIVE.get(name) is not None)
    positive = _NEGATIVE.get(name, name)
    test = _TESTS.get(positive)
    if test is None:
        return None
    hits = [any(test(want, value) for want in wanted) for value in values]
    if positive != name:
        hits = [not hit for hit in hits]
    return all(hits) if quantifier == "forallvalues" or positive != name else any(hits)


def _arn_like(pattern: str, value: str) -> bool:
    """Each of an ARN's six parts on its own: a star does not run over a colon, save in the last."""
    wanted, given = pattern.split(":", 5), value.split(":", 5)
    if len(wanted) != 6 or len(given) != 6:
        return pattern == "*"
    return all(matches(one, other) for one, other in zip(wanted, given, strict=True))


_NEGATIVE = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
}
_TESTS: dict[str, Callable[[str, str], bool]] = {
    "stringequals": lambda want, value: want == value,
    "stringequalsignorecase": lambda want, value: want.lower() == value.lower(),
    "stringlike": matches,
    "arnequals": _arn_like,
    "arnlike": _arn_like,
    "bool": lambda want, value: want.lower() == value.lower(),
}
