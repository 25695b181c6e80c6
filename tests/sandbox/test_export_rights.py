"""Whether an export may write to its bucket, judged by every policy that has a say, before AWS is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET
from vmie import limits
from vmie.aws.session import connect
from vmie.errors import PreflightError
from vmie.model import Verdict
from vmie.ops.context import Context
from vmie.ops.export import ExportRequest, planning
from vmie.ops.journal import MemoryJournal
from vmie.sandbox import Sandbox
from vmie.sandbox.seed import IMAGE, INSTANCE
from vmie.settings import Settings

ARN = f"arn:aws:s3:::{BUCKET}"
ROLE = "arn:aws:iam::123456789012:role/vmimport"
SERVICE = {"CanonicalUser": limits.export_canonical_id("us-east-1")}


def allow(actions: Any, resources: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def deny(actions: Any, resources: Any = "*", **more: Any) -> dict[str, Any]:
    return {**allow(actions, resources, **more), "Effect": "Deny"}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def role(box: Sandbox, *statements: dict[str, Any]) -> None:
    box.client("iam").put_role_policy(RoleName="vmimport", PolicyName="vmimport", PolicyDocument=document(*statements))


def bucket(box: Sandbox, *statements: dict[str, Any]) -> None:
    box.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=document(*statements))


def verdicts(source: str) -> dict[str, Verdict]:
    context = Context(connect(region="us-east-1"), Settings(), journal=MemoryJournal("job-1"))
    try:
        made = planning.plan(context, ExportRequest(source, "vmdk", bucket=BUCKET))
    except PreflightError as error:
        return {one.rule: one.verdict for one in error.findings}
    return {one.rule: one.verdict for one in made.findings}


EVERYTHING = allow("*")
ROLE_MAY = {
    "everything": [EVERYTHING],
    "NotAction of something else": [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}],
    "NotResource of another bucket": [
        {"Effect": "Allow", "Action": "*", "NotResource": ["arn:aws:s3:::other", "arn:aws:s3:::other/*"]}
    ],
    "a Deny of another prefix": [EVERYTHING, deny("s3:PutObject", f"{ARN}/private/*")],
}
ROLE_MAY_NOT = {
    "NotAction takes writing out": [{"Effect": "Allow", "NotAction": ["s3:Put*"], "Resource": "*"}],
    "NotResource takes the bucket out": [{"Effect": "Allow", "Action": "*", "NotResource": [ARN, f"{ARN}/*"]}],
    "a Deny elsewhere": [EVERYTHING, deny("s3:PutObject", f"{ARN}/*")],
    "reading only": [allow(["s3:Get*", "s3:List*"]), allow("ec2:*")],
}


@pytest.mark.parametrize("case", ROLE_MAY)
def test_a_role_that_may_write(case: str, box: Sandbox) -> None:
    role(box, *ROLE_MAY[case])
    assert "VMIE-EXPORT-022" not in verdicts(IMAGE)


@pytest.mark.parametrize("case", ROLE_MAY_NOT)
def test_a_role_that_may_not_write(case: str, box: Sandbox) -> None:
    role(box, *ROLE_MAY_NOT[case])
    assert verdicts(IMAGE)["VMIE-EXPORT-022"] is Verdict.FAIL


def test_the_bucket_has_its_say_on_the_role(box: Sandbox) -> None:
    role(box, allow(["s3:Get*", "s3:List*"]), allow("ec2:*"))
    bucket(box, allow("s3:*", [ARN, f"{ARN}/*"], Principal={"AWS": ROLE}))
    assert "VMIE-EXPORT-022" not in verdicts(IMAGE)
    role(box, EVERYTHING)
    bucket(box, deny("s3:PutObject", f"{ARN}/*", Principal="*"))
    assert verdicts(IMAGE)["VMIE-EXPORT-022"] is Verdict.FAIL


def test_what_hangs_on_a_condition_is_unknown(box: Sandbox) -> None:
    role(box, EVERYTHING, deny("s3:PutObject", Condition={"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}))
    assert verdicts(IMAGE)["VMIE-EXPORT-022"] is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("statements", "writes"),
    [
        ([allow(["s3:GetBucketAcl", "s3:PutObject"], [ARN, f"{ARN}/*"], Principal=SERVICE)], True),
        ([allow("s3:*", [ARN, f"{ARN}/*"], Principal=SERVICE)], True),
        ([{"Effect": "Allow", "NotAction": "s3:Delete*", "Resource": [ARN, f"{ARN}/*"], "Principal": SERVICE}], True),
        ([allow("s3:*", ARN, Principal=SERVICE)], False),
        ([allow("s3:*", f"{ARN}/other/*", Principal=SERVICE), allow("s3:*", ARN, Principal=SERVICE)], False),
        (
            [
                allow("s3:*", [ARN, f"{ARN}/*"], Principal=SERVICE),
                deny("s3:PutObject", f"{ARN}/*", Principal="*"),
            ],
            False,
        ),
    ],
)
def test_the_bucket_has_its_say_on_an_instance(statements: list[dict[str, Any]], writes: bool, box: Sandbox) -> None:
    bucket(box, *statements)
    assert ("VMIE-EXPORT-013" not in verdicts(INSTANCE)) is writes
