"""The Condition element: operators, their qualifiers, and how a key that is absent counts. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_multi-value-conditions.html
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, NamedTuple

from vmie.policy.wildcards import filled, like

Context = Mapping[str, Sequence[str]]  #: keys in lower case
_Test = Callable[[str, str, "Context | None"], bool]
_DIGITS = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?")
_DATE = re.compile(r"\d{4}(-\d{2}){0,2}.*")


class Operator(NamedTuple):
    """A condition operator, taken apart: ``ForAnyValue:StringNotLikeIfExists``.

    `test` is the positive one of a negated pair; None when there is no such operator.
    """

    test: _Test | None
    negated: bool
    quantifier: str  #: "forallvalues", "foranyvalue" or ""
    optional: bool
    null: bool


def texts(value: Any) -> list[str]:
    """One value or a list of them, as IAM compares them."""
    return [_text(item) for item in (value if isinstance(value, list | tuple) else [] if value is None else [value])]


def _text(value: Any) -> str:
    """What is no single value is no text that anything matches."""
    if isinstance(value, Mapping | list | tuple):
        return "\0"
    return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache(maxsize=512)
def operator(name: str) -> Operator:
    """What `name` asks for; it may be spelt in any case."""
    quantifier, _, rest = name.lower().rpartition(":")
    optional = rest.endswith("ifexists")
    base = rest.removesuffix("ifexists")
    positive = _NEGATED.get(base, base)
    test = _TESTS.get(positive) if quantifier in ("", "forallvalues", "foranyvalue") else None
    return Operator(test, positive != base, quantifier, optional, rest == "null")


def holds(name: str, wanted: Any, key: str, context: Context, *, variables: bool = True) -> bool | None:
    """One key of one operator: True, False, or None when there is no such operator.

    `variables` is whether the document's version knows ``${…}``.
    """
    asked = operator(name)
    values = context.get(key.lower())
    given = list(values) if values else []
    if asked.null:
        return ("true" if not given else "false") in [one.lower() for one in texts(wanted)]
    if asked.test is None:
        return None
    if not given:
        # AWS: ForAllValues holds of nothing, ForAnyValue does not, and a negated test holds of what is absent
        return asked.optional or asked.quantifier == "forallvalues" or (asked.negated and not asked.quantifier)
    wants = texts(wanted)
    test, filling = asked.test, context if variables else None
    hits = [any(test(want, value, filling) for want in wants) is not asked.negated for value in given]
    if asked.quantifier == "foranyvalue" or not (asked.quantifier or asked.negated):
        return any(hits)
    return all(hits)


def doubtful(name: str, key: str, context: Context) -> bool:
    """Whether the answer of `holds` rests on a key that is not known, or an operator that is not."""
    asked = operator(name)
    return key.lower() not in context or not (asked.null or asked.test)


# --- one test each: what the policy wants, what the request has --------------------------------------------


def _equals(want: str, value: str, context: Context | None) -> bool:
    return filled(want, context) == value


def _equals_any_case(want: str, value: str, context: Context | None) -> bool:
    return filled(want, context).casefold() == value.casefold()


def _arn_like(want: str, value: str, context: Context | None) -> bool:
    """Each of an ARN's six parts on its own: a star does not run over a colon, save in the last."""
    wanted, given = want.split(":", 5), value.split(":", 5)
    if len(wanted) != 6 or len(given) != 6:
        return want == "*"
    return all(like(one, other, context) for one, other in zip(wanted, given, strict=True))


def _bool(want: str, value: str, _: Context | None) -> bool:
    return want.lower() == value.lower()


def _binary(want: str, value: str, _: Context | None) -> bool:
    try:
        return base64.b64decode(want, validate=True) == base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        return False


def _address(want: str, value: str, _: Context | None) -> bool:
    try:
        network, address = ipaddress.ip_network(want, strict=False), ipaddress.ip_address(value)
    except ValueError:
        return False
    return network.version == address.version and address in network


def _ordered(read: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> _Test:
    def test(want: str, value: str, _: Context | None) -> bool:
        wanted, given = read(want), read(value)
        return wanted is not None and given is not None and compare(given, wanted)

    return test


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text) if _DIGITS.fullmatch(text.strip()) else None
    except InvalidOperation:
        return None


def _moment(text: str) -> Decimal | None:
    """A date of ISO 8601, or seconds since 1970: both are taken (IAM guide, "Date condition operators")."""
    stripped = text.strip()
    if (number := _number(stripped)) is not None and not re.fullmatch(r"\d{4}", stripped):
        return number
    if not _DATE.fullmatch(stripped):
        return None
    padded = stripped if len(stripped) > 7 else f"{stripped}-01-01"[:10]
    try:
        read = dt.datetime.fromisoformat(padded)
    except ValueError:
        return None
    return Decimal(str((read if read.tzinfo else read.replace(tzinfo=dt.UTC)).timestamp()))


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda given, wanted: bool(given == wanted),
    "lessthan": lambda given, wanted: bool(given < wanted),
    "lessthanequals": lambda given, wanted: bool(given <= wanted),
    "greaterthan": lambda given, wanted: bool(given > wanted),
    "greaterthanequals": lambda given, wanted: bool(given >= wanted),
}
_TESTS: dict[str, _Test] = {
    "stringequals": _equals,
    "stringequalsignorecase": _equals_any_case,
    "stringlike": like,
    "arnequals": _arn_like,
    "arnlike": _arn_like,
    "bool": _bool,
    "binaryequals": _binary,
    "ipaddress": _address,
    **{f"numeric{name}": _ordered(_number, compare) for name, compare in _COMPARISONS.items()},
    **{f"date{name}": _ordered(_moment, compare) for name, compare in _COMPARISONS.items()},
}
_NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
    "notipaddress": "ipaddress",
    "numericnotequals": "numericequals",
    "datenotequals": "dateequals",
}
