"""Condition operators, against the rules and tables that IAM's guide prints (reference_policies_elements_condition)."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from vmie.policy.conditions import holds
from vmie.policy.evaluate import Access, Decision, Principal, decide
from vmie.policy.wildcards import matches

IP, NOW = {"aws:sourceip": ["203.0.113.7"]}, {"aws:currenttime": ["2026-11-28T04:00:00Z"]}


@pytest.mark.parametrize(
    ("operator", "wanted", "value", "held"),
    [
        ("StringEquals", ["a", "b"], ["b"], True),
        ("StringEquals", "A", ["a"], False),
        ("StringEquals", "a*", ["ab"], False),
        ("StringEqualsIgnoreCase", "A", ["a"], True),
        ("StringNotEqualsIgnoreCase", "A", ["a"], False),
        ("StringNotEquals", ["a", "b"], ["b"], False),
        ("StringNotEquals", ["a", "b"], ["c"], True),
        ("StringNotEquals", "a", None, True),
        ("StringEquals", "a", None, False),
        ("StringEqualsIfExists", "a", None, True),
        ("StringEqualsIfExists", "a", ["b"], False),
        ("StringLike", "a?c*", ["abcdef"], True),
        ("StringNotLike", "a?c*", ["abcdef"], False),
        ("NumericLessThanEquals", "10", ["10"], True),
        ("NumericLessThan", 10, ["9.5"], True),
        ("NumericGreaterThan", "3600", ["3600"], False),
        ("NumericGreaterThanEquals", "-1", ["0"], True),
        ("NumericEquals", "10", ["10.0"], True),
        ("NumericNotEquals", "10", ["11"], True),
        ("NumericEquals", "10", ["ten"], False),
        ("NumericLessThan", "10", None, False),
        ("NumericLessThanIfExists", "10", None, True),
        ("NumericEquals", "1e9999999", ["1"], False),
        ("DateGreaterThan", "2013-08-16T12:00:00Z", ["2026-11-28T04:00:00Z"], True),
        ("DateLessThan", "2013-08-16T12:00:00Z", ["2026-11-28T04:00:00Z"], False),
        ("DateLessThan", "1800000000", ["2026-11-28T04:00:00Z"], True),
        ("DateEquals", "2026-11-28T05:00:00+01:00", ["2026-11-28T04:00:00Z"], True),
        ("DateGreaterThanEquals", "2026", ["2026-01-01T00:00:00Z"], True),
        ("DateNotEquals", "2026-11-28", ["2026-11-28T04:00:00Z"], True),
        ("DateLessThan", "soon", ["2026-11-28T04:00:00Z"], False),
        ("Bool", "true", ["true"], True),
        ("Bool", True, ["true"], True),
        ("Bool", "false", None, False),
        ("BoolIfExists", "false", None, True),
        ("BoolIfExists", "false", ["true"], False),
        ("BinaryEquals", base64.b64encode(b"ab").decode(), [base64.b64encode(b"ab").decode()], True),
        ("BinaryEquals", "no base64!", ["no base64!"], False),
        ("IpAddress", "203.0.113.0/24", ["203.0.113.7"], True),
        ("IpAddress", ["192.0.2.0/24", "2001:db8::/32"], ["2001:db8::1"], True),
        ("IpAddress", "203.0.113.7", ["203.0.113.7"], True),
        ("NotIpAddress", ["192.0.2.0/24", "203.0.113.0/24"], ["203.0.113.7"], False),
        ("NotIpAddress", "192.0.2.0/24", ["203.0.113.7"], True),
        ("IpAddress", "203.0.113.0/99", ["203.0.113.7"], False),
        ("ArnLike", "arn:aws:*:us-east-1:*:topic/a*", ["arn:aws:sns:us-east-1:123456789012:topic/ab:c"], True),
        ("ArnEquals", "arn:aws:iam::*:role/*", ["arn:aws:iam::123456789012:role/x"], True),
        ("ArnLike", "arn:aws:iam::*", ["arn:aws:iam::123456789012:role/x"], False),
        ("ArnNotEquals", "arn:aws:iam::*:role/*", ["arn:aws:iam::123456789012:user/x"], True),
        ("Null", "true", None, True),
        ("Null", "true", ["x"], False),
        ("Null", "false", ["x"], True),
        ("Null", "false", [], False),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
        ("ForAllValues:StringEquals", ["a"], None, True),
        ("ForAllValues:StringNotEquals", ["a"], ["b", "a"], False),
        ("ForAnyValue:StringEquals", ["a", "b"], ["c", "b"], True),
        ("ForAnyValue:StringEquals", ["a"], None, False),
        ("ForAnyValue:StringNotEquals", ["a"], ["a", "b"], True),
        ("ForAnyValue:StringNotEquals", ["a"], ["a"], False),
        ("ForAnyValue:StringNotEquals", ["a"], None, False),
        ("ForAnyValue:StringLikeIfExists", ["a"], None, True),
        ("stringequals", "a", ["a"], True),
        ("StringSeemsLike", "a", ["a"], None),
        ("ForSomeValues:StringEquals", "a", ["a"], None),
    ],
)
def test_one_condition(operator: str, wanted: Any, value: list[str] | None, held: bool | None) -> None:
    context = {} if value is None else {"aws:key": value}
    assert holds(operator, wanted, "AWS:Key", context) is held


HOME = "arn:aws:s3:::home/${aws:username}/*"


@pytest.mark.parametrize(
    ("version", "resource", "asked", "context", "allowed"),
    [
        ("2012-10-17", HOME, "arn:aws:s3:::home/ann/x", {"aws:username": "ann"}, True),
        ("2012-10-17", HOME, "arn:aws:s3:::home/bob/x", {"aws:username": "ann"}, False),
        ("2012-10-17", HOME, "arn:aws:s3:::home/ann/x", {}, False),
        ("2008-10-17", HOME, "arn:aws:s3:::home/ann/x", {"aws:username": "ann"}, False),
        ("2008-10-17", HOME, "arn:aws:s3:::home/${aws:username}/x", {"aws:username": "ann"}, True),
        ("2012-10-17", "a-${aws:PrincipalTag/team, 'none'}", "a-none", {}, True),
        ("2012-10-17", "a-${aws:PrincipalTag/team, 'none'}", "a-red", {"aws:principaltag/TEAM": "red"}, True),
        ("2012-10-17", "a-${*}-${?}-${$}", "a-*-?-$", {}, True),
        ("2012-10-17", "a-${*}", "a-b", {}, False),
        ("2012-10-17", HOME, "arn:aws:s3:::home/ann/x", {"aws:username": "a*"}, False),
        ("2012-10-17", HOME, "arn:aws:s3:::home/a*/x", {"aws:username": "a*"}, True),
        ("2012-10-17", HOME, "arn:aws:s3:::home/ann/x", {"aws:username": ["ann", "bob"]}, False),
        ("2012-10-17", "a-${unclosed", "a-${unclosed", {}, True),
    ],
)
def test_variables(version: str, resource: str, asked: str, context: dict[str, Any], allowed: bool) -> None:
    document = {"Version": version, "Statement": {"Effect": "Allow", "Action": "*", "Resource": resource}}
    assert (decide([document], Access("s3:GetObject", asked, context)) is Decision.ALLOW) is allowed


def test_a_variable_without_a_value_is_like_nothing_and_unlike_everything() -> None:
    for operator, held in (("StringLike", False), ("StringNotLike", True), ("StringEquals", False)):
        assert holds(operator, "${aws:PrincipalTag/team}", "k", {"k": ["red"]}) is held, operator
    assert holds("StringEquals", "${aws:username}", "k", {"k": ["ann"], "aws:username": ["ann"]})


ACCOUNT, BOB = "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:user/Bob"


@pytest.mark.parametrize(
    ("excepted", "ids", "denied"),
    [
        ([ACCOUNT, BOB], (BOB, ACCOUNT, "111122223333"), False),
        (["111122223333", BOB], (BOB, ACCOUNT, "111122223333"), False),
        ([BOB], (BOB, ACCOUNT, "111122223333"), True),
        ([ACCOUNT], (BOB, ACCOUNT, "111122223333"), True),
        ([ACCOUNT], (ACCOUNT, "111122223333"), False),
        ([ACCOUNT, BOB], (BOB.replace("Bob", "Eve"), ACCOUNT, "111122223333"), True),
    ],
)
def test_not_principal_must_name_the_account_as_well(excepted: list[str], ids: tuple[str, ...], denied: bool) -> None:
    document = {"Statement": {"Effect": "Deny", "NotPrincipal": {"AWS": excepted}, "Action": "*", "Resource": "*"}}
    found = decide([document], Access("s3:GetObject", "arn:aws:s3:::b/k"), principal=Principal("AWS", ids))
    assert (found is Decision.DENY) is denied


@pytest.mark.parametrize(
    ("pattern", "value", "like"),
    [
        ("*", "", True),
        ("?", "", False),
        ("a*c", "abcbc", True),
        ("*ab*ab", "abab", True),
        ("*ab*ab", "aba", False),
        ("a**c", "ac", True),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
        ("a*", "a\nb", True),
        ("**", "x", True),
        ("?*?", "x", False),
    ],
)
def test_wildcards(pattern: str, value: str, like: bool) -> None:
    assert matches(pattern, value) is like


def test_hostile_patterns_take_linear_time() -> None:
    begun = time.process_time()
    for pattern in ("*a" * 500 + "b", "*" * 5000 + "x", "*?" * 500 + "b", "*ab?" * 300):
        assert not matches(pattern, "a" * 5000)
    assert not holds("StringLike", "*a" * 500 + "${k}", "k", {"k": ["a" * 5000 + "b"]})
    assert time.process_time() - begun < 5
