"""Policy and trust documents as IAM, S3 and KMS hand them out, and requests to judge by them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import harness, mutations
from tests.fuzz.sizes import inputs
from vmie import policy
from vmie.policy import evaluate, permissions, service
from vmie.policy.evaluate import Access, Principal
from vmie.policy.permissions import JobKind, Scope
from vmie.policy.service import RoleDocuments, TaskOrigin

_ACCOUNT = "123456789012"
_ROLE = f"arn:aws:iam::{_ACCOUNT}:role/vmimport"
_KEY = f"arn:aws:kms:eu-west-1:{_ACCOUNT}:key/0123"
_GRANTS = policy.Grants(("images",), ("exports",), (_KEY,), license_manager=True)
_SEEDS: tuple[dict[str, Any], ...] = (
    policy.role(_GRANTS),
    policy.trust(),
    policy.trust(account=_ACCOUNT),
    policy.user(["images"]),
    permissions.document([JobKind.IMPORT], Scope(buckets=("images",), account=_ACCOUNT)),
    policy.export_bucket("exports", canonical_id="c" * 64),
    {"Version": "2012-10-17", "Statement": policy.key_statement(_ROLE)},
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Deny",
            "NotPrincipal": {"AWS": [_ROLE, _ACCOUNT]},
            "NotAction": ["s3:Get*", "ec2:*"],
            "NotResource": "arn:aws:s3:::images/${aws:PrincipalTag/team}/*",
            "Condition": {
                "ForAllValues:StringNotLikeIfExists": {"aws:SourceAccount": ["1*", "${aws:SourceAccount}"]},
                "ArnLike": {"aws:SourceArn": "arn:aws:vmie:*:*:*"},
                "Null": {"aws:MultiFactorAuthAge": "true"},
                "Bool": {"aws:SecureTransport": False},
                "NumericLessThan": {"aws:MultiFactorAuthAge": 3600},
            },
        },
    },
)
_WORDS = (
    *("Statement", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal", "Sid"),
    *("StringEquals", "StringLike", "ArnLike", "Null", "aws:SourceAccount", "sts:ExternalId", "AWS", "Service"),
)


def _make(rng: random.Random) -> tuple[str, Access, Principal | None]:
    document = mutations.tree(rng, rng.choice(_SEEDS), words=_WORDS)
    data = mutations.as_json(rng, document)
    if rng.random() < 0.2:
        data = mutations.damaged(rng, data, tokens=(b"[" * 2000, b'{"a":' * 2000, b"1e999", b"NaN"))
    text = data.decode("utf-8", errors="surrogateescape")
    asked = Access(
        rng.choice(("s3:GetObject", "sts:AssumeRole", "kms:Decrypt", *mutations.TEXTS)),
        rng.choice(("*", "arn:aws:s3:::images/disk.vmdk", _KEY, *mutations.TEXTS)),
        {rng.choice(("aws:SourceAccount", *mutations.TEXTS)): rng.choice((_ACCOUNT, ["a", "b"], [], *mutations.TEXTS))},
        generous=rng.random() < 0.5,
    )
    kind = rng.choice(("AWS", "Service", "CanonicalUser", *mutations.TEXTS))
    return text, asked, rng.choice((None, Principal(kind, (_ROLE, _ACCOUNT, "*"))))


def _read(made: tuple[str, Access, Principal | None]) -> None:
    text, asked, principal = made
    evaluate.decide([text], asked, principal=principal)
    document = policy.document(text, operand="s3://images")
    role = RoleDocuments(_ROLE, _ACCOUNT, document, (document, text), boundary=text)
    why = service.why_not_trusted(role, TaskOrigin("aws", "eu-west-1", _ACCOUNT))
    service.judge(role, asked, resource_policy=document, owner="999999999999")
    service.judge_key(role, asked, text)
    service.may_use_key(role, _KEY, document)
    _read_back(document, why)


def _read_back(document: dict[str, Any], why: str) -> None:
    found = policy.granted(document)
    policy.grants_of(document)
    policy.trusted_account(document)
    policy.trusts_only_the_service(document)
    policy.mentions_source(document)
    policy.buckets_of(document)
    policy.admits(document, account=_ACCOUNT)
    policy.missing([document], policy.role(found))
    policy.missing([policy.role(found)], document)
    merged = policy.merged(document, policy.export_bucket("exports", canonical_id="c" * 64))
    shown = {"policy": merged, "grants": [*found.buckets, *found.export_buckets, *found.keys], "why": why}
    harness.printed(shown, policy.text(merged))


@pytest.mark.parametrize("count", inputs("policies"))
def test_policies(tmp_path: Path, count: int) -> None:
    harness.expect_no_fault(harness.run("policies", count, folder=tmp_path / "here", make=_make, read=_read))
