"""Buckets and roles as AWS shows them (moto), one refusal told from the other."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from tests.clocks import ManualClock
from vmie import policy
from vmie.aws import iam, kms, s3
from vmie.aws.session import Aws, connect
from vmie.errors import AwsRefused, DeadlineExceeded, Set


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield connect(region="eu-west-1")


def answering(service: str, *answers: tuple[str, Any]) -> tuple[Any, Any]:
    """A client that gives prepared answers: a dict, or (code, status) for an error."""
    client = boto3.client(
        service,  # type: ignore[call-overload]
        region_name="eu-west-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    stub = Stubber(client)
    for method, reply in answers:
        if isinstance(reply, tuple):
            stub.add_client_error(method, service_error_code=reply[0], http_status_code=reply[1])
        else:
            stub.add_response(method, copy.deepcopy(reply))  # botocore decodes documents in place
    stub.activate()
    return client, stub


def test_an_absent_bucket_is_none_and_a_local_one_is_found(aws: Aws) -> None:
    assert s3.find(aws, "no-such-bucket-here") is None
    with pytest.raises(AwsRefused) as caught:
        s3.expect_local(aws, "no-such-bucket-here")
    assert caught.value.code == "NoSuchBucket"
    assert "--create-bucket --region eu-west-1" in caught.value.cure
    s3.create(aws, "here-it-is")
    assert s3.expect_local(aws, "here-it-is") == s3.Bucket("here-it-is", "eu-west-1")
    s3.create(aws, "here-it-is")  # ours already: taken as made


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "ap-northeast-3"])
def test_a_bucket_is_made_in_the_sessions_region(aws: Aws, region: str) -> None:
    there = connect(region=region)
    s3.create(there, f"made-in-{region}")
    assert s3.find(there, f"made-in-{region}") == s3.Bucket(f"made-in-{region}", region)
    assert s3.ownership(there, f"made-in-{region}") == "BucketOwnerEnforced"


def test_a_bucket_elsewhere_names_both_regions(aws: Aws) -> None:
    s3.create(connect(region="us-west-2"), "far-away")
    with pytest.raises(AwsRefused, match="in us-west-2, not in eu-west-1") as caught:
        s3.expect_local(aws, "far-away")
    assert caught.value.code == "BucketElsewhere"
    assert Set("region", "us-west-2", "to work there") in caught.value.actions


def test_a_bucket_of_another_account_is_told_from_one_that_may_not_be_seen() -> None:
    s3_client, _ = answering("s3", ("head_bucket", ("403", 403)), ("head_bucket", {"BucketRegion": "eu-west-1"}))
    with pytest.raises(AwsRefused, match="belongs to another account") as caught:
        s3.find(Aws.of({"s3": s3_client}, region="eu-west-1", account="123456789012"), "theirs")
    assert caught.value.code == "BucketNotOwned"
    s3_client, _ = answering("s3", ("head_bucket", ("403", 403)), ("head_bucket", ("403", 403)))
    with pytest.raises(AwsRefused, match="access to the bucket theirs is denied") as caught:
        s3.find(Aws.of({"s3": s3_client}, region="eu-west-1", account="123456789012"), "theirs")
    assert caught.value.code == "AccessDenied"
    assert "arn:aws:s3:::theirs" in caught.value.cure


def test_the_old_names_of_regions_are_known() -> None:
    for answer, region in ((None, "us-east-1"), ("EU", "eu-west-1"), ("eu-north-1", "eu-north-1")):
        location = {"LocationConstraint": answer} if answer else {}
        s3_client, _ = answering("s3", ("head_bucket", {}), ("get_bucket_location", location))
        if not answer:
            s3_client.get_bucket_location = lambda **_: {"LocationConstraint": None}
        found = s3.find(Aws.of({"s3": s3_client}, region="eu-west-1", account="123456789012"), "old-bucket")
        assert found == s3.Bucket("old-bucket", region)


def test_a_name_that_another_account_has_is_refused(aws: Aws) -> None:
    s3_client, _ = answering("s3", ("create_bucket", ("BucketAlreadyExists", 409)))
    with pytest.raises(AwsRefused) as caught:
        s3.create(Aws.of({"s3": s3_client}, region="eu-west-1", account="123456789012"), "taken")
    assert caught.value.code == "BucketAlreadyExists"
    assert "another name" in caught.value.cure


def test_a_buckets_settings_are_read_back(aws: Aws) -> None:
    s3.create(aws, "settings-bucket")
    assert s3.public_access(aws, "settings-bucket") is None
    s3.block_public_access(aws, "settings-bucket")
    found = s3.public_access(aws, "settings-bucket")
    assert found is not None
    assert len(found) == 4
    assert all(found.values())
    s3.encrypt(aws, "settings-bucket")
    assert s3.encryption(aws, "settings-bucket") == "AES256"
    assert s3.bucket_policy(aws, "settings-bucket") is None
    document = policy.export_bucket("settings-bucket", canonical_id="c" * 64)
    s3.set_bucket_policy(aws, "settings-bucket", document)
    assert s3.bucket_policy(aws, "settings-bucket") == document


def test_the_lifecycle_rule_joins_those_that_are_there(aws: Aws) -> None:
    s3.create(aws, "cycle-bucket")
    assert not s3.aborts_uploads(aws, "cycle-bucket")
    foreign: Any = {
        "ID": "theirs",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 30},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    client = aws.client("s3")
    client.put_bucket_lifecycle_configuration(Bucket="cycle-bucket", LifecycleConfiguration={"Rules": [foreign]})
    assert not s3.aborts_uploads(aws, "cycle-bucket")  # theirs is for logs/ alone
    s3.abort_uploads(aws, "cycle-bucket")
    s3.abort_uploads(aws, "cycle-bucket")
    rules = client.get_bucket_lifecycle_configuration(Bucket="cycle-bucket")["Rules"]
    assert [rule["ID"] for rule in rules] == ["theirs", s3.ABORT_RULE]
    assert rules[0]["Expiration"] == {"Days": 30}
    assert rules[1]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": s3.ABORT_DAYS}
    assert s3.aborts_uploads(aws, "cycle-bucket")


def test_a_role_is_read_with_everything_in_it(aws: Aws) -> None:
    assert iam.find_role(aws, "vmimport") is None
    assert iam.role_policy(aws, "vmimport") is None
    iam.create_role(aws, "vmimport", trust=policy.trust(), tags={"team": "migration"})
    document = policy.role(policy.Grants(("imports",)))
    iam.put_policy(aws, "vmimport", document=document)
    found = iam.find_role(aws, "vmimport")
    assert found is not None
    assert found.arn == "arn:aws:iam::123456789012:role/vmimport"
    assert found.trust == policy.trust()
    assert found.policies == {"vmimport": document}
    assert found.tags == {"team": "migration"}
    assert iam.role_policy(aws, "vmimport") == document


def test_a_role_that_appeared_meanwhile_is_brought_up_to_date(aws: Aws) -> None:
    iam.create_role(aws, "vmimport", trust=policy.trust(account="123456789012"), tags={})
    iam.create_role(aws, "vmimport", trust=policy.trust(), tags={"a": "b"})
    found = iam.find_role(aws, "vmimport")
    assert found is not None
    assert found.trust == policy.trust()
    assert found.tags == {"a": "b"}


def test_a_missing_role_is_refused_with_the_command(aws: Aws) -> None:
    with pytest.raises(AwsRefused, match="does not exist in account 123456789012") as caught:
        iam.expect_role(aws, "other-role", bucket="imports")
    assert caught.value.cure == "vmie setup-role --bucket imports --role-name other-role"
    with pytest.raises(AwsRefused) as caught:
        iam.expect_role(aws, "other-role", bucket="exports", export=True)
    assert caught.value.cure == "vmie setup-role --export-bucket exports --role-name other-role"
    iam.create_role(aws, "other-role", trust=policy.trust(), tags={})
    iam.expect_role(aws, "other-role")


def test_who_may_not_read_roles_may_still_import() -> None:
    client, _ = answering("iam", ("get_role", ("AccessDenied", 403)), ("get_role", ("ExpiredToken", 403)))
    aws = Aws.of({"iam": client}, account="123456789012")
    iam.expect_role(aws, "vmimport")
    with pytest.raises(AwsRefused) as caught:
        iam.expect_role(aws, "vmimport")
    assert caught.value.code == "ExpiredToken"


def role_answer(trust: Any) -> dict[str, Any]:
    role = {
        "Path": "/",
        "RoleName": "vmimport",
        "RoleId": "AROAEXAMPLEEXAMPLE",
        "Arn": "arn:aws:iam::123456789012:role/vmimport",
        "CreateDate": "2026-01-01T00:00:00Z",
        "AssumeRolePolicyDocument": json.dumps(trust),
    }
    return {"Role": role}


def test_settling_wants_three_agreeing_reads_in_a_row() -> None:
    good, stale = role_answer(policy.trust()), role_answer(policy.trust(account="123456789012"))
    replies = [("NoSuchEntity", 404), stale, good, good, stale, good, good, good]
    client, stub = answering("iam", *(("get_role", reply) for reply in replies))
    clock = ManualClock()
    arn = iam.settle(Aws.of({"iam": client}), "vmimport", trust=policy.trust(), policy=None, clock=clock)
    assert arn == "arn:aws:iam::123456789012:role/vmimport"
    stub.assert_no_pending_responses()
    assert len(clock.sleeps) == len(replies) - 1


def test_settling_ends_after_two_minutes(aws: Aws) -> None:
    clock = ManualClock()
    with pytest.raises(DeadlineExceeded, match="does not show the role"):
        iam.settle(aws, "vmimport", trust=policy.trust(), policy=None, clock=clock)
    assert 120 <= clock.elapsed < 130


def test_keys_are_found_by_alias_and_id(aws: Aws) -> None:
    client = aws.client("kms")
    key = client.create_key()["KeyMetadata"]
    client.create_alias(AliasName="alias/images", TargetKeyId=key["KeyId"])
    assert kms.key_arn(aws, "alias/images") == kms.key_arn(aws, key["KeyId"]) == key["Arn"]
    with pytest.raises(AwsRefused):
        kms.key_arn(aws, "alias/none")
