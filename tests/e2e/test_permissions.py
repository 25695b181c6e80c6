"""Each job recorded call by call, under its own policy: that allows exactly these calls, and the table says them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.recorded_jobs import BUCKETS, CALLER, EVERYTHING, OTHERS, RECORDED, Vmie, World, batch
from tests.recording import Keys, accesses, recorded
from tests.sandbox.conftest import BUCKET, MIB
from vmie import sandbox
from vmie.aws import copying, parts
from vmie.policy import statements
from vmie.policy.evaluate import Decision, decide
from vmie.policy.permissions import JobKind, calls
from vmie.policy.wildcards import matches


@pytest.fixture
def world(vmie: Vmie, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with sandbox.start(seeded=True, speed=20_000, appears_after=0) as box, recorded() as recorder:
        kms, s3, iam = box.client("kms"), box.client("s3"), box.client("iam")
        keys = Keys(*(str(kms.create_key()["KeyMetadata"]["Arn"]) for _ in range(2)))
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": keys.object}}
        s3.create_bucket(Bucket="encrypted")
        s3.put_bucket_encryption(Bucket="encrypted", ServerSideEncryptionConfiguration={"Rules": [rule]})
        s3.create_bucket(Bucket=OTHERS)
        # a role with a managed policy and a boundary: there is more of it to look at
        arn = iam.create_policy(PolicyName="everything", PolicyDocument=EVERYTHING)["Policy"]["Arn"]
        for one in (arn, "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"):
            iam.attach_role_policy(RoleName="vmimport", PolicyArn=one)
        iam.create_user(UserName=CALLER)
        key = iam.create_access_key(UserName=CALLER)["AccessKey"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        # the smallest parts that S3 takes, so that small disks have some
        monkeypatch.setattr(parts, "DEFAULT_PART", 5 * MIB)
        monkeypatch.setattr(copying, "PART", 5 * MIB)
        yield World(box, vmie, recorder, tmp_path, keys)


@pytest.mark.parametrize("job", RECORDED)
def test_a_jobs_policy_allows_all_that_it_calls_and_nothing_else(world: World, job: JobKind) -> None:
    policy = world.policy(job)
    world.allow(policy)  # the sandbox holds the caller to it, by its own knowledge of what each call needs
    RECORDED[job](world)
    calls_ = world.recorder.take()
    assert {call.name for call in calls_} == set(calls(job))
    asked = list(accesses(calls_, world.keys))
    refused = [ask for ask in asked if decide([policy], ask) is not Decision.ALLOW]
    assert refused == []
    granted = {
        (action, _any_bucket(resource))
        for statement in statements(policy)
        for action in statement["Action"]
        for resource in statement["Resource"]
    }
    used = {(ask.action, _any_bucket(ask.resource)) for ask in asked}
    assert [one for one in granted if not any(one[0] == a and matches(one[1], r) for a, r in used)] == []


def test_a_batch_is_allowed_all_ways_of_its_items(world: World) -> None:
    policy = world.policy(JobKind.BATCH)
    world.allow(policy)
    batch(world)
    asked = list(accesses(world.recorder.take(), world.keys))
    assert {"ebs:PutSnapshotBlock", "ec2:ImportImage", "ec2:CreateVolume"} <= {ask.action for ask in asked}
    assert [ask for ask in asked if decide([policy], ask) is not Decision.ALLOW] == []


def _any_bucket(arn: str) -> str:
    """The same with one name for all of a job's buckets: what is done to one is allowed for all."""
    return re.sub("|".join(sorted({BUCKET, "encrypted", *itertools.chain(*BUCKETS.values())})), "bucket", arn)
