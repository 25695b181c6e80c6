"""The role converges from wherever it is, never widens what others wrote, and survives a crash anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from tests.clocks import ManualClock
from vmie import events, limits, policy
from vmie.aws import iam, s3
from vmie.aws.session import Aws, connect
from vmie.errors import AwsRefused, PreflightError, UsageError
from vmie.ops import setup_role as op
from vmie.ops.role_plan import RoleResult, diff
from vmie.options import RoleRequest

ACCOUNT = "123456789012"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


@pytest.fixture
def calls() -> list[events.AwsCall]:
    return []


@pytest.fixture
def aws(calls: list[events.AwsCall]) -> Aws:
    def note(event: events.Event, /) -> None:
        if isinstance(event, events.AwsCall):
            calls.append(event)

    return connect(region="eu-west-1", reporter=note)


def run(aws: Aws, *, reporter: events.Reporter = events.silent, **wish: Any) -> RoleResult:
    return op.apply(aws, op.plan(aws, RoleRequest(**wish)), reporter=reporter, clock=ManualClock())


def role_of(aws: Aws, name: str = "vmimport") -> iam.Role:
    found = iam.find_role(aws, name)
    assert found is not None
    return found


def inline(aws: Aws) -> dict[str, Any]:
    return dict(role_of(aws).policies[iam.POLICY_NAME])


def edit(aws: Aws, change: Any) -> dict[str, Any]:
    """What an administrator does by hand."""
    document = inline(aws)
    change(document)
    iam.put_policy(aws, "vmimport", document=document)
    return document


WRITING = ("Create", "Put", "Update", "Delete", "Tag", "Attach")


def written(calls: list[events.AwsCall]) -> list[str]:
    return [call.operation for call in calls if call.operation.startswith(WRITING)]


# ------------------------------------------------------------------------------------------- from nothing


def test_from_nothing_to_the_seeds_role(aws: Aws) -> None:
    s3.create(aws, "imports")
    result = run(aws, buckets=["imports"])
    assert result.created
    assert result.role_arn == f"arn:aws:iam::{ACCOUNT}:role/vmimport"
    assert role_of(aws).trust == policy.trust()
    assert inline(aws) == policy.role(policy.Grants(("imports",)))
    assert {change.action for change in result.changes} == {"create"}
    assert set(result.as_json()) >= {"role_arn", "created", "changes"}


def test_a_second_run_changes_nothing_and_writes_nothing(aws: Aws, calls: list[events.AwsCall]) -> None:
    wish: dict[str, Any] = {
        "buckets": ["imports"],
        "export_buckets": ["exports"],
        "kms_keys": [KEY],
        "license_manager": True,
        "create_bucket": True,
        "restrict_source": True,
        "tags": {"team": "migration"},
    }
    run(aws, **wish)
    calls.clear()
    result = run(aws, **wish)
    assert result.changes == ()
    assert not result.created
    assert written(calls) == []


def test_a_plan_writes_nothing(aws: Aws, calls: list[events.AwsCall]) -> None:
    plan = op.plan(aws, RoleRequest(buckets=["imports"], export_buckets=["exports"], create_bucket=True))
    assert plan.created
    assert written(calls) == []
    assert '+        "arn:aws:s3:::exports/*"' in diff(plan.changes[-1])
    assert s3.find(aws, "imports") is None


def test_another_name_and_tags(aws: Aws) -> None:
    s3.create(aws, "imports")
    result = run(aws, buckets=["imports"], role_name="my-import-role", tags={"team": "migration", "env": "x"})
    assert result.role_arn.endswith(":role/my-import-role")
    assert role_of(aws, "my-import-role").tags == {"team": "migration", "env": "x"}
    run(aws, buckets=["imports"], role_name="my-import-role", tags={"team": "other"})
    assert role_of(aws, "my-import-role").tags == {"team": "other", "env": "x"}


@pytest.mark.parametrize(
    ("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("us-east-1", "aws")]
)
def test_other_partitions(region: str, partition: str) -> None:
    aws = connect(region=region)
    wish: dict[str, Any] = {"export_buckets": ["exports"], "create_bucket": True, "restrict_source": True}
    run(aws, buckets=["imports"], **wish)
    role = role_of(aws)
    text = json.dumps([role.trust, inline(aws), s3.bucket_policy(aws, "exports")])
    assert f"arn:{partition}:s3:::imports/*" in text
    assert f"arn:{partition}:vmie:*:{aws.account}:*" in text
    assert limits.export_canonical_id(region) in text
    assert partition == "aws" or "arn:aws:" not in text
    assert run(aws, buckets=["imports"], **wish).changes == ()


# ------------------------------------------------------------------------------------------- what is there stays


def test_adding_keeps_everything_granted_before(aws: Aws) -> None:
    run(aws, buckets=["first"], create_bucket=True)
    run(aws, export_buckets=["exports"], create_bucket=True)
    run(aws, buckets=["second"], create_bucket=True, kms_keys=[KEY])
    run(aws, buckets=["first"], license_manager=True)
    assert policy.grants_of(inline(aws)) == policy.Grants(("first", "second"), ("exports",), (KEY,), True)


def test_a_hand_made_role_that_says_the_same_is_taken_over(aws: Aws, calls: list[events.AwsCall]) -> None:
    s3.create(aws, "imports")
    trust = policy.trust()
    trust["Statement"][0]["Condition"] = {"StringEquals": {"sts:Externalid": "vmimport"}}
    iam.create_role(aws, "vmimport", trust=trust, tags={})
    document = policy.role(policy.Grants(("imports",)))
    document["Statement"].reverse()
    iam.put_policy(aws, "vmimport", document=document)
    calls.clear()
    assert run(aws, buckets=["imports"]).changes == ()
    assert written(calls) == []
    s3.create(aws, "second")
    run(aws, buckets=["second"])
    assert policy.grants_of(inline(aws)) == policy.Grants(("imports", "second"))


def test_a_bucket_taken_away_by_hand_does_not_come_back(aws: Aws) -> None:
    run(aws, buckets=["first", "second"], create_bucket=True)
    iam.put_policy(aws, "vmimport", document=policy.role(policy.Grants(("first",))))
    assert run(aws, buckets=["first"]).changes == ()
    assert policy.grants_of(inline(aws)) == policy.Grants(("first",))


def test_an_edited_policy_that_is_enough_is_shown_and_kept(aws: Aws, calls: list[events.AwsCall]) -> None:
    run(aws, buckets=["imports"], create_bucket=True)
    edited = edit(aws, lambda d: d["Statement"].append({"Effect": "Allow", "Action": "logs:*", "Resource": "*"}))
    calls.clear()
    result = run(aws, buckets=["imports"])
    assert result.changes == ()
    assert written(calls) == []
    kept = next(change for change in result.kept if change.resource.startswith("policy vmimport"))
    assert "edited" in kept.detail
    assert "logs:*" in kept.before
    assert inline(aws) == edited


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["Statement"][1]["Resource"].append("arn:aws:s3:::third/prefix/*"),
        lambda d: d["Statement"].append({"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::imports/x/*"}),
        lambda d: d["Statement"][0]["Action"].remove("s3:GetBucketLocation"),
        lambda d: d["Statement"][1].update(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
    ],
)
def test_an_edited_policy_is_never_widened_unless_forced(aws: Aws, change: Any, calls: list[events.AwsCall]) -> None:
    run(aws, buckets=["imports", "second"], create_bucket=True)
    edited = edit(aws, change)
    s3.create(aws, "third")
    calls.clear()
    with pytest.raises(PreflightError) as caught:
        run(aws, buckets=["imports", "third"], tags={"a": "b"})
    assert written(calls) == []
    assert inline(aws) == edited
    assert caught.value.exit_code == 4
    assert "third" in caught.value.cause
    assert "add force" in caught.value.cure
    assert [change["action"] for change in caught.value.result["changes"]].count("conflict") == 1
    run(aws, buckets=["imports", "third"], force=True)
    assert policy.grants_of(inline(aws)) == policy.Grants(("imports", "second", "third"))


def test_other_policies_of_the_role_are_named_and_left(aws: Aws) -> None:
    run(aws, buckets=["imports"], create_bucket=True)
    client = aws.client("iam")
    other = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]}
    client.put_role_policy(RoleName="vmimport", PolicyName="extra", PolicyDocument=json.dumps(other))
    arn = client.create_policy(PolicyName="managed", PolicyDocument=json.dumps(other))["Policy"]["Arn"]
    client.attach_role_policy(RoleName="vmimport", PolicyArn=arn)
    result = run(aws, buckets=["imports"], force=True)
    assert result.changes == ()
    kept = " ".join(change.resource for change in result.kept)
    assert "policy extra of role vmimport" in kept
    assert arn in kept
    assert role_of(aws).policies["extra"] == other


# ------------------------------------------------------------------------------------------- trust


def test_the_source_is_restricted_and_stays_so(aws: Aws) -> None:
    run(aws, buckets=["imports"], create_bucket=True)
    result = run(aws, buckets=["imports"], restrict_source=True)
    assert [change.resource for change in result.changes] == ["trust policy of role vmimport"]
    assert role_of(aws).trust == policy.trust(account=ACCOUNT)
    assert run(aws, buckets=["imports"]).changes == ()
    assert role_of(aws).trust == policy.trust(account=ACCOUNT)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["Condition"]["StringEquals"].update({"sts:ExternalId": "other"}),
        lambda s: s.pop("Condition"),
        lambda s: s.update(Effect="Deny"),
    ],
)
def test_a_broken_trust_in_the_service_is_put_right(aws: Aws, change: Any) -> None:
    run(aws, buckets=["imports"], create_bucket=True)
    trust = policy.trust()
    change(trust["Statement"][0])
    iam.set_trust(aws, "vmimport", trust=trust)
    result = run(aws, buckets=["imports"])
    assert [change.action for change in result.changes] == ["update"]
    assert role_of(aws).trust == policy.trust()


def test_putting_the_trust_right_does_not_widen_a_narrowed_one(aws: Aws) -> None:
    run(aws, buckets=["imports"], create_bucket=True)
    trust = policy.trust(account=ACCOUNT)
    trust["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"] = "other"
    iam.set_trust(aws, "vmimport", trust=trust)
    run(aws, buckets=["imports"])
    assert role_of(aws).trust == policy.trust(account=ACCOUNT)


def test_a_trust_narrowed_by_hand_that_works_is_kept(aws: Aws) -> None:
    run(aws, buckets=["imports"], create_bucket=True)
    trust = policy.trust()
    trust["Statement"][0]["Condition"]["StringEquals"]["aws:SourceAccount"] = ACCOUNT
    iam.set_trust(aws, "vmimport", trust=trust)
    assert run(aws, buckets=["imports"]).changes == ()
    assert role_of(aws).trust == trust


def test_a_trust_in_others_too_is_kept_while_it_works_and_else_refused(aws: Aws) -> None:
    run(aws, buckets=["imports"], create_bucket=True)
    other = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    trust = policy.trust()
    trust["Statement"].append(other)
    iam.set_trust(aws, "vmimport", trust=trust)
    result = run(aws, buckets=["imports"])
    assert result.changes == ()
    assert any("edited" in change.detail for change in result.kept)
    iam.set_trust(aws, "vmimport", trust={"Version": "2012-10-17", "Statement": [other]})
    with pytest.raises(PreflightError, match="trust policy"):
        run(aws, buckets=["imports"])
    assert role_of(aws).trust["Statement"] == [other]
    run(aws, buckets=["imports"], force=True)
    assert role_of(aws).trust == policy.trust()


# ------------------------------------------------------------------------------------------- buckets


def test_a_bucket_is_made_private_encrypted_and_tidy(aws: Aws) -> None:
    run(aws, buckets=["imports"], create_bucket=True)
    assert s3.find(aws, "imports") == s3.Bucket("imports", "eu-west-1")
    assert all((s3.public_access(aws, "imports") or {"": False}).values())
    assert s3.encryption(aws, "imports") == "AES256"
    assert s3.aborts_uploads(aws, "imports")
    assert s3.ownership(aws, "imports") == "BucketOwnerEnforced"


def test_settings_that_somebody_chose_for_a_bucket_are_kept(aws: Aws) -> None:
    s3.create(aws, "imports")
    client = aws.client("s3")
    client.put_public_access_block(Bucket="imports", PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    kms: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]}
    client.put_bucket_encryption(Bucket="imports", ServerSideEncryptionConfiguration=kms)
    result = run(aws, buckets=["imports"], create_bucket=True)
    assert [change.resource for change in result.changes if "bucket" in change.resource] == [
        "lifecycle of bucket imports"
    ]
    assert s3.encryption(aws, "imports") == "aws:kms"


def test_without_leave_to_make_it_an_absent_bucket_is_refused(aws: Aws, calls: list[events.AwsCall]) -> None:
    with pytest.raises(AwsRefused) as caught:
        run(aws, buckets=["imports"])
    assert caught.value.code == "NoSuchBucket"
    assert "--create-bucket" in caught.value.cure
    assert written(calls) == []


@pytest.mark.parametrize("create", [True, False])
def test_a_bucket_in_another_region_is_refused(aws: Aws, create: bool) -> None:
    s3.create(connect(region="us-west-2"), "far-away")
    with pytest.raises(AwsRefused) as caught:
        run(aws, buckets=["far-away"], create_bucket=create)
    assert caught.value.code == "BucketElsewhere"
    assert "us-west-2" in caught.value.cure


def test_the_export_bucket_lets_the_regions_service_write_and_keeps_the_rest(aws: Aws) -> None:
    s3.create(aws, "exports")
    theirs = {
        "Sid": "Theirs",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteBucket",
        "Resource": "arn:aws:s3:::exports",
    }
    s3.set_bucket_policy(aws, "exports", {"Version": "2012-10-17", "Statement": [theirs]})
    run(aws, export_buckets=["exports"])
    found = s3.bucket_policy(aws, "exports")
    assert found is not None
    assert found["Statement"][0] == theirs
    assert found["Statement"][1]["Principal"] == {"CanonicalUser": limits.export_canonical_id("eu-west-1")}
    assert set(found["Statement"][1]["Action"]) == {"s3:GetBucketAcl", "s3:PutObject"}
    assert policy.buckets_of(inline(aws), export=True) == ["exports"]


def test_an_export_bucket_with_a_kms_key_is_warned_of(aws: Aws) -> None:
    s3.create(aws, "exports")
    kms: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]}
    aws.client("s3").put_bucket_encryption(Bucket="exports", ServerSideEncryptionConfiguration=kms)
    assert "KMS" in op.plan(aws, RoleRequest(export_buckets=["exports"])).warnings[0]


# ------------------------------------------------------------------------------------------- usage


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"buckets": ["*"]},
        {"buckets": ["s3://imports/key"]},
        {"buckets": ["imports"], "role_name": "arn:aws:iam::123456789012:role/vmimport"},
        {"buckets": ["Capital.Bucket"], "create_bucket": True},
        {"buckets": ["192.168.1.10"], "create_bucket": True},
        {"export_buckets": ["x"]},
        {"buckets": ["imports"], "kms_keys": ["*"]},
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_written(
    aws: Aws, wish: dict[str, Any], calls: list[events.AwsCall]
) -> None:
    with pytest.raises(UsageError) as caught:
        run(aws, **wish)
    assert caught.value.cure
    assert written(calls) == []


def test_a_key_may_be_named_by_alias(aws: Aws) -> None:
    client = aws.client("kms")
    arn = client.create_key()["KeyMetadata"]["Arn"]
    client.create_alias(AliasName="alias/images", TargetKeyId=arn)
    run(aws, buckets=["imports"], create_bucket=True, kms_keys=["alias/images"])
    found = policy.grants_of(inline(aws))
    assert found is not None
    assert found.keys == (arn,)


# ------------------------------------------------------------------------------------------- crashes


@pytest.mark.parametrize("survived", range(11))
def test_a_crash_after_any_step_is_made_good_by_the_next_run(aws: Aws, survived: int) -> None:
    wish: dict[str, Any] = {
        "buckets": ["imports"],
        "export_buckets": ["exports"],
        "create_bucket": True,
        "tags": {"a": "b"},
    }
    steps = op.plan(aws, RoleRequest(**wish)).steps
    assert len(steps) == 11
    for step in steps[:survived]:
        assert step.act is not None
        step.act()
    run(aws, **wish)
    assert role_of(aws).trust == policy.trust()
    assert role_of(aws).tags == {"a": "b"}
    assert policy.grants_of(inline(aws)) == policy.Grants(("imports",), ("exports",))
    for bucket in ("imports", "exports"):
        assert s3.aborts_uploads(aws, bucket)
        assert s3.encryption(aws, bucket) == "AES256"
        assert s3.public_access(aws, bucket)
    assert run(aws, **wish).changes == ()


def test_every_step_may_be_repeated(aws: Aws) -> None:
    plan = op.plan(aws, RoleRequest(buckets=["imports"], export_buckets=["exports"], create_bucket=True))
    op.apply(aws, plan, clock=ManualClock())
    assert op.apply(aws, plan, clock=ManualClock()).role_arn == plan.role_arn
    assert run(aws, buckets=["imports"], export_buckets=["exports"], create_bucket=True).changes == ()


def test_it_waits_until_iam_shows_what_was_written_and_says_what_may_follow(
    aws: Aws, calls: list[events.AwsCall]
) -> None:
    said: list[str] = []

    def note(event: events.Event, /) -> None:
        if isinstance(event, events.Note):
            said.append(event.text)

    run(aws, buckets=["imports"], create_bucket=True, reporter=note)
    after = [call.operation for call in calls[[call.operation for call in calls].index("PutRolePolicy") + 1 :]]
    assert after.count("GetRole") == iam.AGREEING_READS
    assert "two minutes" in said[-1]
