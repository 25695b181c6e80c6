"""`vmie policy` as it is typed: documents for review and for Terraform, without AWS."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from vmie import policy
from vmie.cli import run
from vmie.limits import export_canonical_id
from vmie.policy.permissions import JobKind

ACCOUNT = "123456789012"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def document(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert run(["policy", *argv]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def text(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert run(["policy", *argv, "--format", "hcl"]) == 0
    return capsys.readouterr().out


def test_documents_are_those_that_setup_role_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert document(capsys, "trust") == policy.trust()
    assert document(capsys, "trust", "--account", ACCOUNT) == policy.trust(account=ACCOUNT)
    grants = policy.Grants(("b-1", "b-2"), ("b-3",), (KEY,), True)
    argv = ("--bucket", "b-1", "--bucket", "s3://b-2", "--export-bucket", "b-3", "--kms-key", KEY, "--license-manager")
    assert document(capsys, "role", *argv) == policy.role(grants)
    assert document(capsys, "user", "--guide", "--bucket", "b-1") == policy.user(["b-1"])


def test_the_export_bucket_names_the_regions_user(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "export-bucket", "--bucket", "b-1", "--region", "eu-south-1")
    assert found["Statement"][0]["Principal"]["CanonicalUser"] == export_canonical_id("eu-south-1")
    china = document(capsys, "export-bucket", "--bucket", "b-1", "--region", "cn-north-1")
    assert china["Statement"][0]["Resource"][0] == "arn:aws-cn:s3:::b-1"
    assert run(["policy", "export-bucket", "--bucket", "b-1"]) == 2


@pytest.mark.parametrize("job", JobKind)
def test_a_job_may_touch_nothing_but_its_bucket(capsys: pytest.CaptureFixture[str], job: JobKind) -> None:
    argv = ("--job", job, "--bucket", "b-1", "--bucket", "b-2", "--account", ACCOUNT, "--region", "eu-west-1")
    found = document(capsys, "user", *argv)
    for statement in found["Statement"]:
        for action in statement["Action"]:
            if action.startswith("s3:"):
                assert all(re.match(r"arn:aws:s3:::b-[12](/|$)", one) for one in statement["Resource"])
            if action.startswith("ec2:") and statement["Resource"] != ["*"]:
                assert all(re.match(rf"arn:aws:ec2:eu-west-1:({ACCOUNT})?:", one) for one in statement["Resource"])
            if action.startswith("iam:") and job is not JobKind.DOCTOR:
                policies = [f"arn:aws:iam::{ACCOUNT}:policy/*", "arn:aws:iam::aws:policy/*"]
                assert set(statement["Resource"]) <= {f"arn:aws:iam::{ACCOUNT}:role/vmimport", *policies}


def test_without_a_job_it_is_for_imports_and_exports(capsys: pytest.CaptureFixture[str]) -> None:
    usual = document(capsys, "user", "--bucket", "b-1")
    assert usual == document(capsys, "user", "--bucket", "b-1", "--job", "import", "--job", "export")
    actions = {action for statement in usual["Statement"] for action in statement["Action"]}
    assert {
        *("s3:ListMultipartUploadParts", "s3:AbortMultipartUpload", "s3:ListBucketMultipartUploads"),
        *("ec2:DescribeImages", "ec2:DescribeSnapshots", "ec2:RegisterImage", "ec2:ExportImage", "ec2:ImportImage"),
        *("ec2:CancelImportTask", "ec2:CancelExportTask", "ec2:CreateInstanceExportTask"),
    } <= actions
    assert "ec2:TerminateInstances" not in actions


def test_what_the_resources_are_made_of(capsys: pytest.CaptureFixture[str]) -> None:
    where = (
        "--bucket",
        "b-1",
        "--source",
        "s3://b-2/disks/",
        "--sse-kms-key",
        KEY,
        "--prefix",
        "",
        "--role-name",
        "r-1",
    )
    found = json.dumps(document(capsys, "user", "--job", "import-image", *where, "--region", "eusc-de-east-1"))
    for part in (
        "arn:aws-eusc:s3:::b-1/*",
        "arn:aws-eusc:s3:::b-2/disks/*",
        KEY,
        ":role/r-1",
        "s3.eusc-de-east-1.amazonaws.eu",
    ):
        assert f'{part}"' in found


def test_the_statement_for_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "kms", "--account", ACCOUNT, "--role-name", "mine")
    assert found["Statement"][0]["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:role/mine"}
    assert run(["policy", "kms"]) == 2


def test_terraform_gets_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert text(capsys, "trust", "--account", ACCOUNT) == (
        'data "aws_iam_policy_document" "vmie_trust" {\n'
        "  statement {\n"
        '    effect  = "Allow"\n'
        '    actions = ["sts:AssumeRole"]\n'
        "\n"
        "    principals {\n"
        '      type        = "Service"\n'
        '      identifiers = ["vmie.amazonaws.com"]\n'
        "    }\n"
        "\n"
        "    condition {\n"
        '      test     = "StringEquals"\n'
        '      variable = "sts:ExternalId"\n'
        '      values   = ["vmimport"]\n'
        "    }\n"
        "\n"
        "    condition {\n"
        '      test     = "StringEquals"\n'
        '      variable = "aws:SourceAccount"\n'
        f'      values   = ["{ACCOUNT}"]\n'
        "    }\n"
        "\n"
        "    condition {\n"
        '      test     = "ArnLike"\n'
        '      variable = "aws:SourceArn"\n'
        f'      values   = ["arn:aws:vmie:*:{ACCOUNT}:*"]\n'
        "    }\n"
        "  }\n"
        "}\n"
    )
    for argv in (("role", "--bucket", "b-1"), ("user", "--bucket", "b-1"), ("kms", "--account", ACCOUNT)):
        shown = text(capsys, *argv)
        assert shown.count("{") == shown.count("}")
        assert shown.count("statement {") == len(document(capsys, *argv)["Statement"])


def test_terraforms_own_signs_are_escaped() -> None:
    statement = {"Effect": "Deny", "NotAction": 's3:"x"', "NotResource": ["arn:aws:s3:::${aws:username}/%{x}\n"]}
    shown = policy.hcl({"Version": "2012-10-17", "Statement": [{**statement, "NotPrincipal": "*"}]}, "x")
    assert 'not_actions   = ["s3:\\"x\\""]' in shown
    assert 'not_resources = ["arn:aws:s3:::&{aws:username}/%%{x}\\n"]' in shown
    assert 'type        = "*"' in shown
    with pytest.raises(ValueError, match="Terraform"):
        policy.hcl({}, 'x" {')


@pytest.mark.parametrize(
    "argv",
    [
        ("role",),
        ("role", "--bucket", "*"),
        ("role", "--bucket", "b-1", "--kms-key", "alias/x"),
        ("user",),
        ("user", "--bucket", "b-1", "--job", "holiday"),
        ("user", "--bucket", "b-1", "--job", "import", "--guide"),
        ("user", "--guide"),
        ("user", "--bucket", "b-1", "--prefix", "vmie/*"),
        ("user", "--bucket", "b-1", "--prefix", "${aws:username}/"),
        ("user", "--bucket", "b-1", "--role-name", "*"),
        ("user", "--bucket", "b-1", "--source", "s3://*/"),
        ("user", "--bucket", "b-1", "--source", "s3://b-2/d?sk"),
        ("user", "--bucket", "b-1", "--kms-key", "*"),
        ("trust", "--account", "12"),
        ("export-bucket", "--bucket", "b/../c", "--region", "eu-west-1"),
    ],
)
def test_what_cannot_be_meant(capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]) -> None:
    assert run(["--output", "json", "policy", *argv]) == 2
    assert json.loads(capsys.readouterr().out)["status"] == "error"
