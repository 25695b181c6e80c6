"""The table of calls and rights, held against AWS's own reference of actions, resources and condition keys."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from vmie import policy
from vmie.policy import permissions
from vmie.policy.evaluate import Access, Decision, decide
from vmie.policy.permissions import JobKind, Scope

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "service-authorization.json").read_text())
ACTIONS: dict[str, Any] = REFERENCE["actions"]
ACCOUNT = "123456789012"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
WHOLE = Scope(
    region="eu-west-1",
    account=ACCOUNT,
    buckets=("b-1",),
    prefix="vmie/",
    export_prefix="exports/",
    object_keys=(KEY,),
    result_keys=(KEY,),
    sources=("b-2/disks/",),
)
BY_EBS = {one for one in JobKind if one.value.endswith("ebs")} | {JobKind.READ_SNAPSHOT, JobKind.BOOT}
EVERY = [(job, statement) for job in JobKind for statement in permissions.document([job], WHOLE)["Statement"]]


def kinds(action: str, resources: list[str]) -> set[str]:
    """Which of the reference's kinds of resource the ARNs are of; "" for all resources."""
    service = action.partition(":")[0]
    found = set()
    for resource in resources:
        if resource == "*":
            found.add("")
            continue
        named = [
            name.partition(":")[2]
            for name, arn in REFERENCE["arns"].items()
            if name.startswith(f"{service}:") and re.fullmatch(_pattern(arn), resource)
        ]
        assert named, f"{action} is on no {resource}"
        found.add(min(named, key=len) if service != "s3" else "object" if "/" in resource else "bucket")
    return found


def _pattern(arn: str) -> str:
    return re.sub(r"\\\$\\\{\w+\\\}", r"[^:]*", re.escape(arn))


@pytest.mark.parametrize("job", JobKind)
def test_every_action_is_aws_s_and_on_what_aws_says_it_is(job: JobKind) -> None:
    for statement in permissions.document([job], WHOLE)["Statement"]:
        for action in statement["Action"]:
            known = ACTIONS[action]["resources"]
            found = kinds(action, statement["Resource"])
            assert found <= (set(known) or {""}), (action, found)
            needed = {kind for kind, required in known.items() if required}
            assert needed <= found, f"{action} is refused unless {needed - found} are allowed too"


@pytest.mark.parametrize(("job", "statement"), EVERY, ids=str)
def test_a_condition_rests_on_keys_that_the_actions_have(job: JobKind, statement: dict[str, Any]) -> None:
    for tests in statement.get("Condition", {}).values():
        for key in tests:
            for action in statement["Action"]:
                name = re.sub(r"(aws:(Request|Resource)Tag)/.*", r"\1/${TagKey}", key)
                assert name in ACTIONS[action]["conditions"], (action, key)


def test_what_an_action_depends_on_is_allowed_with_it() -> None:
    """AWS names what else a call may need: for these the tags of what is made, and nowhere iam:PassRole."""
    for job in JobKind:
        allowed = {action for statement in _statements(job) for action in statement["Action"]}
        for action in allowed - {"servicequotas:ListServiceQuotas"}:
            # a launch that passes no role on, of an AMI that it names by its id
            spared = {"iam:PassRole", "ssm:GetParameters"} if action == "ec2:RunInstances" else set()
            assert set(ACTIONS[action]["dependent"]) - spared <= allowed, (job, action)


def test_every_call_is_one_of_the_sdk() -> None:
    session = botocore.session.get_session()
    services = {"servicequotas": "service-quotas"}
    models = {
        service: session.get_service_model(services.get(service, service))
        for service in ("s3", "ec2", "iam", "kms", "sts", "ebs", "servicequotas")
    }
    for job in JobKind:
        for call in permissions.calls(job):
            service, _, operation = call.partition(":")
            assert operation in models[service].operation_names
            assert models[service].endpoint_prefix == service


def _statements(*jobs: JobKind, scope: Scope = WHOLE) -> list[dict[str, Any]]:
    return policy.statements(permissions.document(jobs, scope))


@pytest.mark.parametrize("job", JobKind)
def test_nothing_is_granted_on_more_than_it_must_be(job: JobKind) -> None:
    for statement in _statements(job):
        for action in statement["Action"]:
            assert "*" not in action
            if "*" in statement["Resource"]:
                assert re.match(r"ec2:(Describe|Get|CancelConversionTask)|servicequotas:List", action), action
            if action == "ec2:CreateTags":
                assert statement["Condition"]
    actions = {action for statement in _statements(job) for action in statement["Action"]}
    assert not actions & {"iam:PassRole", "s3:DeleteBucket", "sts:GetCallerIdentity"}
    ends = [statement for statement in _statements(job) if "ec2:TerminateInstances" in statement["Action"]]
    assert all(one["Condition"] == {"Null": {"aws:ResourceTag/vmie:proof": "false"}} for one in ends)


def test_sids_are_what_iam_takes_and_each_is_once() -> None:
    for jobs in ([job] for job in JobKind):
        sids = [statement["Sid"] for statement in _statements(*jobs)]
        assert len(set(sids)) == len(sids)
        assert all(re.fullmatch("[A-Za-z0-9]+", sid) for sid in sids)


@pytest.mark.parametrize("job", JobKind)
def test_what_the_doctor_asks_is_what_the_policy_allows(job: JobKind) -> None:
    document = permissions.document([job], WHOLE)
    asked = permissions.asks(job, WHOLE, sample="vmie-doctor")
    for one in asked:
        assert "*" not in one.access.resource.removeprefix("*")
        assert decide([document], one.access) is Decision.ALLOW
    assert {one.access.action for one in asked} == {a for s in document["Statement"] for a in s["Action"]}
    looks = {action for one in document["Statement"] if one["Sid"].startswith("Look") for action in one["Action"]}
    assert {one.access.action for one in asked if not one.needed} == looks


def test_two_jobs_are_allowed_what_each_of_them_is() -> None:
    together = permissions.document([JobKind.IMPORT_IMAGE, JobKind.EXPORT_INSTANCE], WHOLE)
    for job in (JobKind.IMPORT_IMAGE, JobKind.EXPORT_INSTANCE):
        for one in permissions.asks(job, WHOLE, sample="x"):
            assert decide([together], one.access) is Decision.ALLOW
    assert decide([together], Access("ec2:ExportImage", f"arn:aws:ec2:eu-west-1:{ACCOUNT}:export-image-task/x")) is (
        Decision.SILENT
    )


def test_what_is_not_named_is_left_out() -> None:
    """No key, no source, no bucket: no statement about them, rather than one about all of them."""
    resources = [one for job in JobKind for s in _statements(job, scope=Scope()) for one in s["Resource"]]
    assert not [one for one in resources if ":kms:" in one or ":s3:" in one or "<" in one]
    assert {job for job in JobKind if permissions.wants_bucket([job])} == set(JobKind) - {
        JobKind.TASKS,
        JobKind.LIMITS,
        JobKind.DOCTOR,
        *BY_EBS,
    }


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("ec2:CreateTags", "arn:aws:ec2:eu-west-1::image/ami-1", {"aws:RequestTag/Owner": "me"}),
        ("ec2:CreateTags", f"arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/i-1", {"aws:RequestTag/vmie:job": "job-1"}),
        ("ec2:CreateTags", f"arn:aws:ec2:eu-west-1:{ACCOUNT}:import-image-task/x", {}),
        ("kms:Decrypt", KEY, {}),
        ("kms:Decrypt", KEY, {"kms:ViaService": "ec2.eu-west-1.amazonaws.com"}),
        ("s3:GetObject", "arn:aws:s3:::b-1/another/disk.raw", {}),
        ("s3:DeleteObject", "arn:aws:s3:::b-2/disks/disk.raw", {}),
        ("ec2:ImportImage", f"arn:aws:ec2:us-east-1:{ACCOUNT}:import-image-task/x", {}),
    ],
)
def test_what_an_import_may_not(action: str, resource: str, context: dict[str, str]) -> None:
    assert decide([permissions.document([JobKind.IMPORT], WHOLE)], Access(action, resource, context)) is Decision.SILENT


def test_nothing_is_attached_that_vmie_did_not_make() -> None:
    document = permissions.document([JobKind.IMPORT_INSTANCE], WHOLE)
    volume = f"arn:aws:ec2:eu-west-1:{ACCOUNT}:volume/vol-1"
    assert decide([document], Access("ec2:AttachVolume", volume)) is Decision.SILENT
    ours = {"aws:ResourceTag/vmie:job": "job-1"}
    assert decide([document], Access("ec2:AttachVolume", volume, ours)) is Decision.ALLOW


#: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: a managed policy, without white space
MANAGED = 6144


@pytest.mark.parametrize("jobs", [*([job] for job in JobKind), [JobKind.IMPORT, JobKind.EXPORT]], ids=str)
def test_a_policy_fits_in_a_managed_one(jobs: list[JobKind]) -> None:
    scope = replace(WHOLE, region="ap-northeast-1", buckets=("a-bucket-with-a-name-as-long-as-s3-takes-" + "x" * 21,))
    assert len(json.dumps(permissions.document(jobs, scope), separators=(",", ":"))) <= MANAGED
