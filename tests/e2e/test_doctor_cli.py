"""`vmie doctor`, `explain`, `limits` as they are typed, against a sandbox."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Done
from tests.sandbox.conftest import BUCKET, HOUR, bootable, policy
from vmie import cli, sandbox
from vmie.poll import SystemClock
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
FORBIDDEN = "ClientError: Disk validation failed [We do not have access to the given resource. Reason 403 Forbidden]"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000) as running:
        yield running


@pytest.fixture
def text(capsys: pytest.CaptureFixture[str], vmie: Vmie) -> Callable[..., Done]:
    """Run the command line with text output."""

    def call(*argv: str) -> Done:
        capsys.readouterr()
        code = cli.run(list(argv))
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return call


def no_role(box: Sandbox) -> None:
    box.client("iam").delete_role_policy(RoleName="vmimport", PolicyName="vmimport")
    box.client("iam").delete_role(RoleName="vmimport")


def test_what_is_wrong_is_named_mended_and_well(box: Sandbox, vmie: Vmie) -> None:
    no_role(box)
    argv = ("doctor", "--bucket", BUCKET)
    found = vmie(*argv)
    assert found.code == 5
    assert found.json["status"] == "error"
    assert found.json["error"]["code"] == "NoSuchRole"
    assert "--fix" in found.json["error"]["cure"]
    (failed,) = [line for line in found.json["result"]["lines"] if line["verdict"] == "fail"]
    assert failed["check"] == "role"
    assert failed["fixable"]
    planned = vmie(*argv, "--fix", "--dry-run")
    assert [change["action"] for change in planned.json["result"]["plan"]] == ["create", "create", "update"]
    assert vmie(*argv).code == 5, "a dry run changes nothing"
    mended = vmie(*argv, "--fix")
    assert mended.code == 0, mended.out
    assert [change["resource"] for change in mended.json["result"]["fixed"]] == [
        "role vmimport",
        "policy vmimport of role vmimport",
        f"lifecycle of bucket {BUCKET}",
    ]
    again = vmie(*argv, "--fix")
    assert again.code == 0
    assert again.json["result"]["fixed"] == []
    assert {line["verdict"] for line in again.json["result"]["lines"]} == {"pass"}


def test_text_is_one_line_per_thing_and_ends_as_an_error_does(box: Sandbox, text: Vmie) -> None:
    no_role(box)
    found = text("doctor", "--bucket", BUCKET)
    assert found.code == 5
    assert f"pass    bucket: {BUCKET} is this account's, in us-east-1" in found.out
    assert "fail    role: the service role vmimport does not exist in account 123456789012" in found.out
    assert found.err.splitlines()[0] == "error: the service role vmimport does not exist in account 123456789012"
    assert f"  cure: vmie setup-role --bucket {BUCKET}" in found.err


def test_what_somebody_wrote_is_not_replaced(box: Sandbox, vmie: Vmie) -> None:
    box.client("iam").put_role_policy(
        RoleName="vmimport",
        PolicyName="vmimport",
        PolicyDocument=policy({"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}),
    )
    found = vmie("doctor", "--bucket", BUCKET, "--fix")
    assert found.code == 5
    assert "--force" in found.json["error"]["cure"]
    assert [change["resource"] for change in found.json["result"]["fixed"]] == [f"lifecycle of bucket {BUCKET}"]
    statement = next(line for line in found.json["result"]["lines"] if line["verdict"] == "fail")["statement"]
    assert "ec2:RegisterImage" in statement["Action"]
    assert "s3:GetObject" not in statement["Action"]


def failed_task(box: Sandbox, message: str) -> str:
    ec2 = box.client("ec2")
    box.client("s3").put_object(Bucket=BUCKET, Key="disk.raw", Body=bootable())
    box.faults.fail_task(message, at="validating")
    disk = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
    task = str(ec2.import_image(DiskContainers=[disk])["ImportTaskId"])
    box.advance(HOUR)
    return task


def lame(box: Sandbox) -> None:
    """A role that may list, and not read."""
    box.client("iam").put_role_policy(
        RoleName="vmimport",
        PolicyName="vmimport",
        PolicyDocument=policy(
            {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation", "ec2:*"], "Resource": "*"}
        ),
    )


def test_a_task_is_explained_by_what_is_really_so(box: Sandbox, vmie: Vmie, text: Vmie) -> None:
    task = failed_task(box, FORBIDDEN)
    lame(box)
    result = vmie("explain", task).json["result"]
    assert result["id"] == "object-forbidden"
    assert result["task"]["task_id"] == task
    first = result["lines"][0]
    assert first["verdict"] == "fail"
    assert f"lacks s3:GetObject on arn:aws:s3:::{BUCKET}/disk.raw" in first["what"]
    assert first["statement"] == {
        "Effect": "Allow",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{BUCKET}/disk.raw"],
    }
    shown = text("explain", task).out
    assert "add this statement:" in shown
    assert "the role vmimport is there and trusts VM Import/Export" in shown


def test_a_task_whose_object_is_gone(box: Sandbox, vmie: Vmie) -> None:
    task = failed_task(box, FORBIDDEN)
    box.client("s3").delete_object(Bucket=BUCKET, Key="disk.raw")
    lines = vmie("explain", task).json["result"]["lines"]
    assert lines[0]["what"] == f"there is no object s3://{BUCKET}/disk.raw"


def test_a_task_that_failed_for_what_is_in_the_image(box: Sandbox, vmie: Vmie) -> None:
    result = vmie("explain", failed_task(box, "ClientError: Unsupported kernel version 4.18.0-15-generic")).json[
        "result"
    ]
    assert result["id"] == "kernel-unsupported"
    assert result["lines"] == []
    assert any(rule.startswith("VMIE-") for rule in result["rules"])


def test_a_task_that_did_not_fail(box: Sandbox, text: Vmie) -> None:
    shown = text("explain", "import-ami-0123456789abcdef0")
    assert shown.code in (0, 1)
    box.faults.stall_task()
    box.client("s3").put_object(Bucket=BUCKET, Key="disk.raw", Body=bootable())
    disk = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
    task = str(box.client("ec2").import_snapshot(DiskContainer=disk)["ImportTaskId"])
    assert "did not fail" in text("explain", task).out


def test_a_failed_import_ends_with_the_diagnosis(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    box.faults.fail_task(FORBIDDEN, at="validating")
    begun = vmie("import", "--skip-check", "all", "--no-wait", "--bucket", BUCKET, str(disk))
    assert begun.code == 0, begun.out
    lame(box)
    ended = vmie("resume", begun.json["result"]["job"])
    assert ended.code == 1
    error = ended.json["error"]
    assert "403 Forbidden" in error["message"] + error["cause"]
    assert "lacks s3:GetObject on" in error["cause"]
    assert "vmie setup-role" in error["cure"]


def test_an_export_that_aws_calls_an_internal_error(box: Sandbox, vmie: Vmie, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = [0.0]
    real = SystemClock.now
    monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: ahead.__setitem__(0, ahead[0] + seconds))
    monkeypatch.setattr(SystemClock, "now", lambda self: real(self) + dt.timedelta(seconds=ahead[0]))
    box.client("s3").delete_bucket_policy(Bucket=BUCKET)
    ended = vmie("export", "i-0123456789abcdef0", "--format", "vmdk", "--bucket", BUCKET, "--skip-check", "all")
    error = ended.json["error"]
    assert ended.code in (1, 4, 5)
    assert f"vmie setup-role --export-bucket {BUCKET}" in error["cure"]


SECRETS = (
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "5d41402abc4b2a76b9719d911017c592",
    "FwoGZXIvYXdzEXAMPLETOKEN",
)


@pytest.mark.parametrize(
    "said",
    [
        "https://b.s3.amazonaws.com/k?X-Amz-Credential={0}%2F1&X-Amz-Security-Token={3}&X-Amz-Signature={2} no",
        "GET https://b.s3.amazonaws.com/k?AWSAccessKeyId={0}&Expires=1&Signature={2} Request has expired",
        "aws_access_key_id = {0}\naws_secret_access_key = {1}\naws_session_token = {3}\nAccess Denied",
        '{{"AccessKeyId": "{0}", "SecretAccessKey": "{1}", "SessionToken": "{3}"}} access denied',
        "Authorization: AWS4-HMAC-SHA256 Credential={0}/20260101/us-east-1/ec2/aws4_request, Signature={2} AuthFailure",
        "AWS_SECRET_ACCESS_KEY='{1}' made up words",
    ],
)
def test_no_secret_is_printed(box: Sandbox, vmie: Vmie, text: Vmie, said: str) -> None:
    message = said.format(*SECRETS)
    for done in (vmie("explain", message), text("explain", message), text("--verbose", "explain", message)):
        for secret in SECRETS:
            assert secret not in done.out + done.err
        assert "[redacted]" in done.out


def test_a_rule_is_explained_with_its_evidence(vmie: Vmie, text: Vmie) -> None:
    result = vmie("explain", "VMIE-OS-005").json["result"]
    assert (result["id"], result["known"], result["kind"]) == ("VMIE-OS-005", True, "rule")
    assert {one["kind"] for one in result["rule"]["evidence"]} == {"documented", "seen in the field"}
    shown = text("explain", "vmie-os-005").out
    assert shown.startswith("VMIE-OS-005: The kernel is on AWS's list\n")
    assert "Seen in the field: Unsupported kernel version 4.18.0-15-generic" in shown
    assert "https://github.com/teamdfir/sift/issues/465" in shown
    assert text("explain", "OS-005").out == shown
    done = text("explain", "VMIE-OS-905")
    assert done.code == 2
    assert "there is no rule VMIE-OS-905" in done.err


def test_a_part_of_a_message_is_explained(vmie: Vmie, text: Vmie) -> None:
    result = vmie("explain", "unsupported kernel").json["result"]
    assert (result["id"], result["known"], result["rules"]) == ("kernel-unsupported", True, ["VMIE-OS-005"])
    several = vmie("explain", "is not supported").json["result"]
    assert (several["id"], several["known"]) == ("unknown", False)
    assert len(several["like"]) > 1
    shown = text("explain", "is not supported").out
    assert "a part of:" in shown
    assert "cure" not in shown


def test_no_secret_of_a_failed_task_is_printed(box: Sandbox, vmie: Vmie, text: Vmie) -> None:
    url = f"https://b.s3.amazonaws.com/k?X-Amz-Credential={SECRETS[0]}&X-Amz-Signature={SECRETS[2]}"
    task = failed_task(box, f"ClientError: Disk validation failed [cannot read {url}]")
    for done in (vmie("explain", task), text("explain", task)):
        assert done.code == 0, done.out
        for secret in SECRETS:
            assert secret not in done.out + done.err


def test_limits_show_what_is_kept_to_and_in_use(
    box: Sandbox, vmie: Vmie, text: Vmie, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMIE_IMPORT_LIMIT", "7")
    box.faults.stall_task()
    box.client("s3").put_object(Bucket=BUCKET, Key="disk.raw", Body=bootable())
    disk = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
    box.client("ec2").import_snapshot(DiskContainer=disk)
    found = {limit["id"]: limit for limit in vmie("limits").json["result"]["limits"]}
    imports = found["concurrent-imports"]
    assert (imports["seed"], imports["setting"], imports["in_use"]) == (20, 7, 1)
    assert imports["setting_from"] == "environment variable VMIE_IMPORT_LIMIT"
    assert found["concurrent-exports"]["in_use"] == 0
    assert found["volumes-per-vm"]["in_use"] is None
    assert "active ImportImage and ImportSnapshot tasks" in text("limits").out


def test_limits_without_aws(vmie: Vmie) -> None:
    for argv in (("limits", "--offline"), ("limits",)):
        done = vmie(*argv)
        assert done.code == 0, done.err
        assert done.json["result"]["unasked"]
        assert done.json["result"]["limits"][0]["in_use"] is None


def test_an_export_grant_is_mended(box: Sandbox, vmie: Vmie) -> None:
    box.client("s3").delete_bucket_policy(Bucket=BUCKET)
    argv = ("doctor", "--for", "export", "--bucket", BUCKET)
    assert vmie(*argv).json["error"]["code"] == "ExportBucketGrant"
    assert vmie(*argv, "--fix").code == 0
    written: dict[str, Any] = json.loads(box.client("s3").get_bucket_policy(Bucket=BUCKET)["Policy"])
    assert written["Statement"][0]["Sid"] == "VmieExport"


def test_a_job_that_does_not_exist(vmie: Vmie) -> None:
    assert vmie("doctor", "--for", "holiday").code == 2
