"""What the service needs of its role, judged by documents: every reason has its name, and doubt is doubt."""

from __future__ import annotations

from typing import Any

import pytest

from vmie import policy
from vmie.policy.evaluate import Access
from vmie.policy.service import (
    KEY_ACTIONS,
    Judgement,
    RoleDocuments,
    TaskOrigin,
    import_asks,
    judge,
    judge_key,
    may,
    why_not_trusted,
)

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/vmimport"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"
ERRAND = TaskOrigin("aws", "eu-west-1", ACCOUNT)
GET = Access("s3:GetObject", "arn:aws:s3:::b/k")


def statement(effect: str, actions: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": effect, "Action": actions, "Resource": resource, **more}]}


def role(*identity: dict[str, Any], trust: Any = None, boundary: Any = "") -> RoleDocuments:
    return RoleDocuments(ROLE, ACCOUNT, trust or policy.trust(), identity, boundary)


def trusting(**changes: Any) -> dict[str, Any]:
    (own,) = policy.trust()["Statement"]
    return {"Statement": [{**own, **changes}]}


@pytest.mark.parametrize("account", ["", ACCOUNT])
def test_our_own_trust_policy_is_good(account: str) -> None:
    assert why_not_trusted(role(trust=policy.trust(account=account)), ERRAND) == ""


@pytest.mark.parametrize(
    ("trust", "why"),
    [
        ({"Statement": []}, "does not name the service"),
        (trusting(Principal={"AWS": "*"}), "does not name the service"),
        (trusting(Action="sts:TagSession"), "does not name the service"),
        (trusting(Effect="Deny"), "denies vmie.amazonaws.com"),
        (trusting(Condition={"StringEquals": {"sts:ExternalId": "x"}}), "another external id (x)"),
        (trusting(Condition={"StringLike": {"STS:EXTERNALID": ["a*", "b"]}}), "another external id (a*, b)"),
        (policy.trust(account="210987654321"), "narrowed to requests that are not from account"),
    ],
)
def test_what_is_wrong_with_a_trust_policy_is_said(trust: Any, why: str) -> None:
    assert why in why_not_trusted(role(trust=trust), ERRAND)


def test_a_trust_policy_that_hangs_on_what_is_not_known_gets_the_benefit_of_the_doubt() -> None:
    hanging = trusting(Condition={"StringEquals": {"sts:ExternalId": "vmimport", "aws:PrincipalOrgID": "o-1"}})
    assert why_not_trusted(role(trust=hanging), ERRAND) == ""
    odd = trusting(Condition={"DateLessThan": {"aws:CurrentTime": "2099-01-01"}})
    assert why_not_trusted(role(trust=odd), ERRAND) == ""


def test_every_reason_has_its_name() -> None:
    allowed = statement("Allow", "s3:*")
    named = statement("Allow", "s3:GetObject", Principal={"AWS": ROLE})
    denied = statement("Deny", "s3:GetObject", Principal="*")
    assert judge(role(allowed), GET) is Judgement.ALLOWED
    assert judge(role(), GET) is Judgement.SILENT
    assert judge(role(), GET, resource_policy=named) is Judgement.ALLOWED
    assert judge(role(allowed, statement("Deny", "*")), GET) is Judgement.DENIED
    assert judge(role(allowed, boundary=statement("Allow", "ec2:*")), GET) is Judgement.BOUNDARY
    assert judge(role(allowed), GET, resource_policy=denied) is Judgement.RESOURCE
    assert judge(role(allowed), GET, owner="210987654321") is Judgement.FOREIGN
    assert judge(role(allowed), GET, resource_policy=named, owner="210987654321") is Judgement.ALLOWED


def test_a_deny_under_a_condition_is_sure_only_if_it_can_be_judged() -> None:
    allowed = statement("Allow", "s3:*")
    elsewhere = statement("Deny", "s3:*", Principal="*", Condition={"StringNotEquals": {"aws:SourceVpce": "vpce-1"}})
    insecure = statement("Deny", "s3:*", Principal="*", Condition={"Bool": {"aws:SecureTransport": "false"}})
    asked = Access("s3:GetObject", GET.resource, {"aws:SecureTransport": "true"})
    sure = Access(asked.action, asked.resource, asked.context, generous=True)
    assert judge(role(allowed), asked, resource_policy=elsewhere) is Judgement.RESOURCE
    assert judge(role(allowed), sure, resource_policy=elsewhere) is Judgement.ALLOWED
    assert judge(role(allowed), asked, resource_policy=insecure) is Judgement.ALLOWED


def test_a_key_is_ruled_by_its_own_policy() -> None:
    account = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    delegating = statement("Allow", "kms:*", Principal=account)
    naming = statement("Allow", "kms:*", Principal={"AWS": ROLE})
    other = statement("Allow", "kms:*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:user/x"})
    granted = role(statement("Allow", "kms:*", KEY))
    ask = Access("kms:Decrypt", KEY)
    assert judge_key(granted, ask, delegating) is Judgement.ALLOWED
    assert judge_key(role(), ask, delegating) is Judgement.SILENT
    assert judge_key(role(), ask, naming) is Judgement.ALLOWED
    assert judge_key(granted, ask, other) is Judgement.FOREIGN
    assert judge_key(granted, ask, {"Statement": [*statement("Deny", "kms:*", Principal="*")["Statement"]]}) is (
        Judgement.RESOURCE
    )
    assert judge_key(role(statement("Deny", "kms:*")), ask, naming) is Judgement.DENIED


def test_the_role_that_setup_role_writes_meets_every_need() -> None:
    written = role(policy.role(policy.Grants(buckets=("b",), keys=(KEY,))))
    for ask in import_asks("aws", "b", "vmie/x.vmdk", image=True):
        assert may(written, ask), ask
    delegating = statement("Allow", "kms:*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    for action in KEY_ACTIONS:
        assert judge_key(written, Access(action, KEY), delegating) is Judgement.ALLOWED
    by_statement = policy.key_statement(ROLE)
    for action in KEY_ACTIONS:
        assert judge_key(role(), Access(action, KEY), by_statement) is Judgement.ALLOWED
