"""The policy evaluator, against the rules that IAM's guide prints."""

from __future__ import annotations

import time
from typing import Any

import pytest

from vmie.policy.evaluate import Access, Decision, Principal, decide, matches

GET = Access("s3:GetObject", "arn:aws:s3:::images/disk.vmdk")


def statement(**changes: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **changes}]}


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        ({}, Decision.ALLOW),
        ({"Action": "S3:getobject"}, Decision.ALLOW),
        ({"Action": ["s3:List*", "s3:Get*"]}, Decision.ALLOW),
        ({"Action": "*"}, Decision.ALLOW),
        ({"Action": "s3:GetObjec?"}, Decision.ALLOW),
        ({"Action": "s3:PutObject"}, Decision.SILENT),
        ({"Action": "s3"}, Decision.SILENT),
        ({"Resource": "arn:aws:s3:::images/*"}, Decision.ALLOW),
        ({"Resource": "arn:aws:s3:::images"}, Decision.SILENT),
        ({"Resource": "arn:aws:s3:::Images/*"}, Decision.SILENT),
        ({"Resource": "arn:aws-cn:s3:::images/*"}, Decision.SILENT),
        ({"Resource": ["arn:aws:s3:::other/*", "arn:aws:s3:::images/d?sk.vmdk"]}, Decision.ALLOW),
        ({"Resource": "arn:aws:s3:::images/[d]isk.vmdk"}, Decision.SILENT),
        ({"Effect": "Deny"}, Decision.DENY),
        ({"Effect": "allow"}, Decision.SILENT),
        ({"Condition": {"StringEquals": {"aws:SourceAccount": "1"}}}, Decision.SILENT),
        ({"Condition": {"StringEqualsIfExists": {"aws:SourceAccount": "1"}}}, Decision.ALLOW),
        ({"Condition": {"Null": {"aws:SourceAccount": "true"}}}, Decision.ALLOW),
        ({"Condition": {"Null": {"aws:SourceAccount": True}}}, Decision.ALLOW),
        ({"Condition": {"MadeUpOperator": {"aws:SourceAccount": "1"}}}, Decision.SILENT),
        ({"Effect": "Deny", "Condition": "nonsense"}, Decision.DENY),
        ({"Condition": "nonsense"}, Decision.SILENT),
    ],
)
def test_one_statement(changes: dict[str, Any], decision: Decision) -> None:
    assert decide([statement(**changes)], GET) is decision


def test_not_action_and_not_resource_name_what_is_left_out() -> None:
    everything_but = {"Statement": {"Effect": "Allow", "NotAction": "s3:Delete*", "Resource": "*"}}
    assert decide([everything_but], GET) is Decision.ALLOW
    assert decide([everything_but], Access("s3:DeleteObject", GET.resource)) is Decision.SILENT
    elsewhere = {"Statement": {"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::images/*"}}
    assert decide([elsewhere], GET) is Decision.SILENT
    assert decide([elsewhere], Access("s3:GetObject", "arn:aws:s3:::other/x")) is Decision.ALLOW


def test_an_explicit_deny_wins_wherever_it_stands() -> None:
    assert decide([statement(), statement(Effect="Deny")], GET) is Decision.DENY
    assert decide([statement(Effect="Deny"), statement()], GET) is Decision.DENY


def test_condition_keys_are_spelt_in_any_case_and_values_are_not() -> None:
    asked = Access("sts:AssumeRole", context={"sts:ExternalId": "vmimport"})
    trust = statement(Action="sts:AssumeRole", Condition={"StringEquals": {"sts:Externalid": "vmimport"}})
    assert decide([trust], asked) is Decision.ALLOW
    assert decide([trust], Access("sts:AssumeRole", context={"sts:ExternalId": "VMImport"})) is Decision.SILENT


@pytest.mark.parametrize(
    ("operator", "wanted", "held"),
    [
        ("ArnLike", "arn:aws:vmie:*:123456789012:*", True),
        ("ArnLike", "arn:aws:vmie:*:210987654321:*", False),
        ("ArnLike", "arn:*", False),
        ("ArnNotLike", "arn:aws:vmie:*:210987654321:*", True),
        ("StringLike", "arn:aws:vmie:*", True),
        ("StringNotEquals", "arn", True),
        ("ForAnyValue:StringLike", "arn:aws:vmie:*", True),
        ("ForAllValues:StringEquals", "arn", False),
    ],
)
def test_operators(operator: str, wanted: str, held: bool) -> None:
    asked = Access("sts:AssumeRole", context={"aws:SourceArn": "arn:aws:vmie:eu-west-1:123456789012:task/import-ami-0"})
    document = statement(Action="sts:AssumeRole", Condition={operator: {"aws:SourceArn": wanted}})
    assert (decide([document], asked) is Decision.ALLOW) is held


def test_policy_variables_take_the_requests_value() -> None:
    document = {"Version": "2012-10-17", **statement(Resource="arn:aws:s3:::${aws:SourceAccount}-images/*")}
    asked = Access("s3:GetObject", "arn:aws:s3:::42-images/x", {"aws:SourceAccount": "42"})
    assert decide([document], asked) is Decision.ALLOW
    assert decide([document], Access("s3:GetObject", "arn:aws:s3:::42-images/x")) is Decision.SILENT


SERVICE = Principal("Service", ("vmie.amazonaws.com",))


@pytest.mark.parametrize(
    ("principal", "named"),
    [
        ({"Service": "vmie.amazonaws.com"}, True),
        ({"Service": ["ec2.amazonaws.com", "vmie.amazonaws.com"]}, True),
        ({"Service": "ec2.amazonaws.com"}, False),
        ({"AWS": "vmie.amazonaws.com"}, False),
        ("*", True),
        ("vmie.amazonaws.com", False),
        (None, False),
    ],
)
def test_a_trust_policy_must_name_who_asks(principal: Any, named: bool) -> None:
    trust = {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}
    assert (decide([trust], Access("sts:AssumeRole"), principal=SERVICE) is Decision.ALLOW) is named


@pytest.mark.parametrize(
    "document",
    ["", "{", "[]", "null", '"text"', '{"Statement": 7}', '{"Statement": [[]]}', "[" * 100_000, '{"Statement": [{}]}'],
)
def test_a_document_that_cannot_be_read_allows_nothing(document: str) -> None:
    assert decide([document], GET) is Decision.SILENT


def test_many_stars_take_no_time() -> None:
    begun = time.process_time()
    assert not matches("*a" * 40 + "b", "a" * 2000)
    assert not matches("*" * 5000 + "x", "a" * 2000)
    assert time.process_time() - begun < 10
