"""Setting up a role where S3 and IAM are slow to see what was just made, or have settings of their own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clocks import ManualClock
from tests.sandbox.conftest import BUCKET
from vmie import policy
from vmie.aws import iam, s3
from vmie.aws.session import Aws, connect
from vmie.errors import AwsRefused, UsageError
from vmie.ops import bucket, setup_role
from vmie.options import RoleRequest
from vmie.sandbox import Sandbox
from vmie.settings import Settings

NEW = "a-new-bucket"


@pytest.fixture
def aws(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Aws:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    return connect(region="us-east-1")


def applied(aws: Aws, clock: ManualClock, **wish: Any) -> setup_role.RoleResult:
    return setup_role.apply(aws, setup_role.plan(aws, RoleRequest(**wish)), clock=clock)


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("PutPublicAccessBlock", "NoSuchBucket"),
        ("PutBucketEncryption", "OperationAborted"),
        ("PutBucketLifecycleConfiguration", "NoSuchBucket"),
        ("PutRolePolicy", "NoSuchEntity"),
        ("PutRolePolicy", "ConcurrentModification"),
    ],
)
def test_what_was_just_made_is_waited_for(operation: str, code: str, aws: Aws, box: Sandbox) -> None:
    box.faults.fail(operation, code=code, message="not seen yet", status=409, times=3)
    clock = ManualClock()
    made = applied(aws, clock, buckets=[NEW], create_bucket=True, role_name="another")
    assert {change.action for change in made.changes} == {"create"}
    assert s3.aborts_uploads(aws, NEW)
    assert len(clock.sleeps) >= 3


def test_what_stays_away_is_an_error(aws: Aws, box: Sandbox) -> None:
    box.faults.fail("PutBucketEncryption", code="NoSuchBucket", message="no", status=404, times=None)
    clock = ManualClock()
    with pytest.raises(AwsRefused) as caught:
        applied(aws, clock, buckets=[NEW], create_bucket=True)
    assert caught.value.code == "NoSuchBucket"
    assert 30 < clock.elapsed <= 60


def test_a_policy_that_iam_would_not_take_is_found_before_a_bucket_is_made(aws: Aws) -> None:
    names = [f"{'b' * 58}-{number:03d}" for number in range(74)]
    with pytest.raises(UsageError) as caught:
        applied(aws, ManualClock(), buckets=names, create_bucket=True)
    assert (caught.value.code, caught.value.fields) == ("LimitExceeded", ("bucket",))
    assert s3.find(aws, names[0]) is None


def test_the_longest_policy_that_iam_takes_is_written(aws: Aws) -> None:
    names = [f"{'b' * 58}-{number:03d}" for number in range(50)]
    applied(aws, ManualClock(), buckets=names, create_bucket=True)
    assert policy.buckets_of(iam.role_policy(aws, "vmimport") or {})[-1] in (names[-1], BUCKET)


def test_parts_of_uploads_are_kept_for_longer_than_a_task_may_take(aws: Aws) -> None:
    applied(aws, ManualClock(), buckets=[NEW], create_bucket=True)
    assert (s3.abort_days(aws, NEW) or 0) > 7


def test_a_hasty_rule_of_ours_is_brought_up_to_date(aws: Aws, box: Sandbox) -> None:
    applied(aws, ManualClock(), buckets=[NEW], create_bucket=True)
    rule = {"ID": s3.ABORT_RULE, "Status": "Enabled", "Filter": {"Prefix": ""}}
    rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": 7}  # type: ignore[assignment]
    box.client("s3").put_bucket_lifecycle_configuration(Bucket=NEW, LifecycleConfiguration={"Rules": [rule]})
    made = applied(aws, ManualClock(), buckets=[NEW], create_bucket=True)
    assert [change.resource for change in made.changes] == [f"lifecycle of bucket {NEW}"]
    assert s3.abort_days(aws, NEW) == s3.ABORT_DAYS


def test_an_encryption_rule_without_a_default_is_none(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = {"ServerSideEncryptionConfiguration": {"Rules": [{"BucketKeyEnabled": True}]}}
    monkeypatch.setattr(aws.client("s3"), "get_bucket_encryption", lambda **_: bare)
    assert s3.encryption(aws, BUCKET) is None
    assert s3.encryption_key(aws, BUCKET) == ""


def test_who_may_not_read_iam_is_asked_for_the_bucket(aws: Aws, box: Sandbox) -> None:
    box.faults.fail("GetRolePolicy", code="AccessDenied", message="not authorized", status=403, times=None)
    with pytest.raises(AwsRefused) as caught:
        bucket.resolve(aws, Settings())
    assert "bucket" in caught.value.cure
    assert "no bucket is named" in caught.value.cause
