"""`setup-role --export-bucket B --grant acl`: the two grants of the older way, in every Region, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from tests.clocks import ManualClock
from vmie import limits
from vmie.aws.session import Aws, connect
from vmie.errors import UsageError
from vmie.ops import setup_role as op
from vmie.ops.role_plan import RoleResult
from vmie.options import RoleRequest

OTHER = "f" * 64


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


def run(aws: Aws, **wish: Any) -> RoleResult:
    asked = RoleRequest(export_buckets=["out"], create_bucket=True, grant="acl", **wish)
    return op.apply(aws, op.plan(aws, asked), clock=ManualClock())


def grants(aws: Aws) -> set[tuple[str, str]]:
    listed = aws.client("s3").get_bucket_acl(Bucket="out")["Grants"]
    return {(grant["Grantee"].get("ID", ""), grant["Permission"]) for grant in listed}


@pytest.mark.parametrize("region", ["eu-west-1", "me-central-1", "af-south-1", "us-gov-west-1", "cn-north-1"])
def test_the_regions_own_user_is_granted(region: str) -> None:
    aws = connect(region=region)
    run(aws)
    user = limits.export_canonical_id(region)
    assert {(user, "READ_ACP"), (user, "WRITE")} <= grants(aws)
    rules = aws.client("s3").get_bucket_ownership_controls(Bucket="out")["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerPreferred"}]


def test_a_second_run_changes_nothing() -> None:
    aws = connect(region="eu-west-1")
    first = run(aws)
    assert "ACL of bucket out" in [change.resource for change in first.changes]
    assert run(aws).changes == ()


def test_what_others_were_granted_stays() -> None:
    aws = connect(region="eu-west-1")
    run(aws)
    s3: Any = aws.client("s3")
    acl = s3.get_bucket_acl(Bucket="out")
    kept = [grant for grant in acl["Grants"] if grant["Permission"] not in ("WRITE", "READ_ACP")]
    kept.append({"Grantee": {"Type": "CanonicalUser", "ID": OTHER}, "Permission": "READ"})
    s3.put_bucket_acl(Bucket="out", AccessControlPolicy={"Owner": acl["Owner"], "Grants": kept})
    before = grants(aws)
    run(aws)
    user = limits.export_canonical_id("eu-west-1")
    assert grants(aws) == before | {(user, "READ_ACP"), (user, "WRITE")}


def test_acls_that_are_off_are_said_to_be_switched_on() -> None:
    aws = connect(region="eu-west-1")
    s3: Any = aws.client("s3")
    s3.create_bucket(Bucket="out", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_ownership_controls(
        Bucket="out", OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    plan = op.plan(aws, RoleRequest(export_buckets=["out"], grant="acl"))
    shown = next(change for change in plan.changes if change.resource == "object ownership of bucket out")
    assert (shown.before, shown.after) == ("BucketOwnerEnforced", "BucketOwnerPreferred")


def test_another_word_is_refused() -> None:
    with pytest.raises(UsageError, match="grant"):
        op.plan(connect(region="eu-west-1"), RoleRequest(export_buckets=["out"], grant="both"))
