"""All kinds of policies together, against the flow chart and the tables of IAM's guide (evaluation logic)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vmie.policy.authorize import Caller, Guard, Kind, authorize
from vmie.policy.evaluate import Access

HOME, ABROAD = "111122223333", "444455556666"
USER, ROLE = f"arn:aws:iam::{HOME}:user/Ann", f"arn:aws:iam::{HOME}:role/ops"
SESSION = f"arn:aws:sts::{HOME}:assumed-role/ops/ann"
ASK = Access("s3:GetObject", "arn:aws:s3:::images/disk.vmdk")


def says(effect: str, action: str = "*", **more: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": {"Effect": effect, "Action": action, "Resource": "*", **more}}


def to(*names: str, effect: str = "Allow") -> dict[str, Any]:
    return says(effect, Principal={"AWS": list(names)})


YES, NO, EC2 = says("Allow"), says("Deny"), says("Allow", "ec2:*")
ANN = Caller(USER, HOME, (YES,))
OPS = Caller(SESSION, HOME, (YES,), role=ROLE)
ROOT = f"arn:aws:iam::{HOME}:root"
EVERYONE = says("Allow", Principal="*")
KEY = Guard(alone=True)


@pytest.mark.parametrize(
    ("caller", "guard", "said"),
    [
        (ANN, Guard(), ""),
        (replace(ANN, identity=()), Guard(), "because no identity-based policy allows the s3:GetObject action"),
        (replace(ANN, identity=(YES, NO)), Guard(), "with an explicit deny in an identity-based policy"),
        # boundaries and sessions are met, not added
        (replace(ANN, boundary=EC2), Guard(), "because no permissions boundary allows the s3:GetObject action"),
        (replace(ANN, boundary=NO), Guard(), "with an explicit deny in a permissions boundary"),
        (replace(ANN, identity=(), boundary=YES), Guard(), "because no identity-based policy allows the s3:Get"),
        (replace(OPS, session=(EC2,)), Guard(), "because no session policy allows the s3:GetObject action"),
        (replace(OPS, session=(EC2, YES)), Guard(), ""),
        (replace(OPS, session=()), Guard(), "because no session policy allows"),
        (replace(OPS, session=(YES, NO)), Guard(), "with an explicit deny in a session policy"),
        # each level of an organisation must allow
        (replace(ANN, control=((YES,), (YES, EC2))), Guard(), ""),
        (replace(ANN, control=((YES,), (EC2,))), Guard(), "because no service control policy allows"),
        (replace(ANN, control=((YES, NO),)), Guard(), "with an explicit deny in a service control policy"),
        (replace(ANN, owner=True, control=((YES, NO),)), Guard(), "with an explicit deny in a service control"),
        # a resource of the same account: to the user by name it is enough, to the account it is not
        (replace(ANN, identity=()), Guard(to(USER)), ""),
        (replace(ANN, identity=()), Guard(EVERYONE), ""),
        (replace(ANN, identity=()), Guard(to(ROOT)), "because no identity-based policy allows"),
        (replace(ANN, identity=()), Guard(to(HOME)), "because no identity-based policy allows"),
        (ANN, Guard(to(USER, effect="Deny")), "with an explicit deny in a resource-based policy"),
        (ANN, Guard(to(ROOT, effect="Deny")), "with an explicit deny in a resource-based policy"),
        # what a user or a session is given by its own ARN no boundary limits; what its role is given, it does
        (replace(ANN, identity=(), boundary=EC2), Guard(to(USER)), ""),
        (replace(OPS, identity=(), boundary=EC2), Guard(to(ROLE)), "because no permissions boundary allows"),
        (replace(OPS, identity=(), boundary=EC2, session=(EC2,)), Guard(to(SESSION)), ""),
        (replace(OPS, identity=(), session=(EC2,)), Guard(to(ROLE)), "because no session policy allows"),
        (replace(ANN, identity=(), boundary=NO), Guard(to(USER)), "with an explicit deny in a permissions boundary"),
        (replace(ANN, control=((EC2,),)), Guard(to(USER)), "because no service control policy allows"),
        # another account's: both must allow
        (ANN, Guard(owner=ABROAD), "because no resource-based policy allows"),
        (ANN, Guard(to(USER), owner=ABROAD), ""),
        (ANN, Guard(to(ROOT), owner=ABROAD), ""),
        (ANN, Guard(EVERYONE, owner=ABROAD), ""),
        (replace(ANN, identity=()), Guard(to(USER), owner=ABROAD), "because no identity-based policy allows"),
        (replace(ANN, boundary=EC2), Guard(to(USER), owner=ABROAD), "because no permissions boundary allows"),
        (replace(ANN, owner=True), Guard(owner=ABROAD), "because no resource-based policy allows"),
        # a key decides alone, unless it passes that on to the account
        (ANN, KEY, "because no resource-based policy allows"),
        (ANN, replace(KEY, policy=to(ROOT)), ""),
        (replace(ANN, identity=()), replace(KEY, policy=to(ROOT)), "because no identity-based policy allows"),
        (replace(ANN, identity=()), replace(KEY, policy=to(USER)), ""),
        (replace(ANN, identity=()), replace(KEY, granted=True), ""),
        (replace(ANN, identity=(NO,)), replace(KEY, granted=True), "with an explicit deny in an identity-based"),
        (replace(ANN, owner=True), replace(KEY, policy=to(ROOT, effect="Deny")), "with an explicit deny in a res"),
        (ANN, replace(KEY, kind=Kind.TRUST), "because no role trust policy allows the s3:GetObject action"),
        (ANN, replace(KEY, kind=Kind.TRUST, policy=to(ROOT, effect="Deny")), "with an explicit deny in the role trust"),
    ],
)
def test_who_may(caller: Caller, guard: Guard, said: str) -> None:
    verdict = authorize(caller, ASK, guard)
    assert verdict.allowed is (said == "")
    if said:
        assert verdict.reason(ASK.action).startswith(said)


def test_an_explicit_denial_is_named_before_a_missing_permission() -> None:
    caller = replace(ANN, identity=(), boundary=NO, control=((EC2,),))
    assert authorize(caller, ASK).reason(ASK.action) == "with an explicit deny in a permissions boundary"


def test_a_role_is_excepted_by_role_session_and_account_only() -> None:
    for names, allowed in (((ROOT, ROLE, SESSION), True), ((ROOT, ROLE), False), ((ROLE, SESSION), False)):
        policy = says("Deny", NotPrincipal={"AWS": list(names)})
        assert authorize(OPS, ASK, Guard(policy)).allowed is allowed, names
