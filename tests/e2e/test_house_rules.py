"""What a stranger tries first: odd options, the same command twice, dry runs, the sandbox beside real settings."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Done
from tests.sandbox.conftest import BUCKET
from tests.tools import ROOT
from vmie import cli, sandbox
from vmie.errors import Interrupted, Run, UsageError
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
IMPORT = ("import", "--skip-check", "all")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000) as running:
        yield running


def tasks(box: Sandbox, kind: str = "import-image") -> int:
    return box.stats.tasks[kind]


@pytest.mark.parametrize(
    "argv",
    [
        ("import", "s3://"),
        ("import", "s3://bucket/"),
        ("import", "s3://bucket"),
        ("import", "s3://b/k.vmdk", "--as", "snapshot", "--imds-v2"),
        ("import", "s3://b/k.vmdk", "--name", "a", "--tag", "Name=b"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(vmie: Vmie, argv: tuple[str, ...]) -> None:
    done = vmie(*argv)
    assert done.code == 2
    assert done.json["error"]["cure"]


def test_the_same_token_is_the_same_import_also_from_elsewhere(
    box: Sandbox, vmie: Vmie, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.client("s3").upload_file(str(disk), BUCKET, "disk.raw")
    asked = ("import", f"s3://{BUCKET}/disk.raw", "--client-token", "mine")
    first = vmie(*asked).json["result"]
    again = vmie(*asked).json["result"]
    monkeypatch.setenv("VMIE_STATE", str(tmp_path / "another-machine"))
    elsewhere = vmie(*asked).json["result"]
    assert first["task_id"] == again["task_id"] == elsewhere["task_id"]
    assert first["image_id"] == again["image_id"]
    assert tasks(box) == 1
    other = vmie(*asked, "--description", "something else")
    assert (other.code, other.json["error"]["code"]) == (5, "IdempotentParameterMismatch")
    assert "--client-token" in other.json["error"]["cure"]


def test_the_same_token_is_the_same_export(
    box: Sandbox, vmie: Vmie, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("export", "ami-0123456789abcdef0", "--format", "vmdk", "--client-token", "mine")
    first = vmie(*asked).json["result"]["task_id"]
    assert vmie(*asked).json["result"]["task_id"] == first
    monkeypatch.setenv("VMIE_STATE", str(tmp_path / "another-machine"))
    assert vmie(*asked).json["result"]["task_id"] == first
    assert tasks(box, "export-image") == 1


def test_resume_and_cancel_only_look_in_a_dry_run(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    job = vmie(*IMPORT, disk, "--no-wait").json["result"]["job"]
    calls = dict(box.stats.calls)
    for verb in ("resume", "cancel"):
        shown = vmie(verb, job, "--dry-run")
        assert (shown.code, shown.json["command"]) == (0, verb)
        assert shown.json["result"]["plan"]["job"] == job
    assert dict(box.stats.calls) == calls
    done = vmie("resume", job)
    assert (done.code, done.json["command"]) == (0, "resume")
    for verb in ("resume", "cancel"):
        assert vmie(verb, job, "--dry-run").code == 2


def test_a_dry_run_shows_the_warnings_too(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    done = vmie("import", disk, "--dry-run", "--as", "snapshot")
    assert done.json["findings"] == vmie("import", disk, "--as", "snapshot").json["findings"]


def test_the_text_says_where_the_bucket_came_from(
    box: Sandbox, disk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMIE_POLL_SECONDS", "0.02")
    monkeypatch.setenv("VMIE_BUCKET", BUCKET)
    assert cli.run([*IMPORT, str(disk)]) == 0
    assert f"{BUCKET} (from environment variable VMIE_BUCKET)" in capsys.readouterr().out


def test_the_sandbox_works_beside_settings_for_aws(
    disk: Path, vmie: Vmie, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own bucket, role, endpoint and profile mean nothing in a world of its own."""
    settings = tmp_path / "settings.toml"
    settings.write_text('bucket = "my-images"\nrole_name = "my-role"\nprofile = "work"\n')
    monkeypatch.setenv("VMIE_CONFIG", str(settings))
    monkeypatch.setenv("VMIE_ENDPOINT_URL", "http://127.0.0.1:1")
    done = vmie("--sandbox", *IMPORT, disk)
    assert done.code == 0, done.out
    assert done.json["result"]["bucket_from"] == "the policy of role vmimport"


def test_a_broken_profile_does_not_break_the_sandbox(tmp_path: Path) -> None:
    """In a process of its own: moto asks boto for a session while it is imported."""
    environ = {**os.environ, "AWS_PROFILE": "absent", "VMIE_STATE": str(tmp_path)}
    argv = [sys.executable, "-m", "vmie", "--sandbox", "tasks", "list"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_fails_in_the_sandbox_names_no_job_of_a_world_that_is_gone(disk: Path, vmie: Vmie) -> None:
    done = vmie("--sandbox", "import", "--format", "vhd", "--keep-object", disk, "--client-token", "x y")
    assert done.code == 2
    failed = vmie("--sandbox", "import", "s3://vmie-sandbox/absent.vmdk")
    assert failed.code == 5
    assert "job-" not in failed.json["error"]["cure"]


def test_a_cure_that_names_a_file_called_like_a_job_stays_in_the_sandbox(tmp_path: Path, vmie: Vmie) -> None:
    image = tmp_path / "my-job-disk.img"
    image.write_bytes(bytes(1 << 20))
    refused = vmie("--sandbox", "import", image)
    assert refused.code == 4
    assert f"vmie check {image}" in refused.json["error"]["cure"]


def test_an_error_without_a_cure_gets_none_in_the_sandbox() -> None:
    assert cli._without_jobs(UsageError("no such file")).cure == ""


def test_an_interrupted_batch_of_the_sandbox_names_no_way_on() -> None:
    error = Interrupted(
        "interrupted", cure=(Run(("vmie", "batch", "resume", "batch-1"), "goes on"), "look at the disk")
    )
    assert cli._without_jobs(error).cure == "look at the disk"


def test_without_the_extra_the_sandbox_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("vmie.sandbox.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "moto", None)
    for name in [name for name in sys.modules if name.startswith("moto.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match="not installed") as error, sandbox.start():
        pass
    assert f"install --editable {shlex.quote(f'{ROOT}[sandbox]')}" in error.value.cure


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1"])
def test_other_partitions_have_a_role_and_a_bucket_of_their_own(vmie: Vmie, region: str) -> None:
    done = vmie("--sandbox", "--region", region, "setup-role", "--bucket", BUCKET)
    partition = "aws-cn" if region.startswith("cn") else "aws-us-gov"
    assert done.code == 0, done.out
    assert done.json["result"]["role_arn"] == f"arn:{partition}:iam::123456789012:role/vmimport"
    assert not done.json["result"]["created"]


def test_a_key_is_switched_by_its_arn_too(box: Sandbox) -> None:
    kms = box.client("kms")
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    kms.disable_key(KeyId=arn)
    assert kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Disabled"
    kms.enable_key(KeyId=arn)
    assert kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Enabled"


def test_a_role_without_licence_rights_is_cured_by_the_option_that_grants_them(vmie: Vmie, disk: Path) -> None:
    arn = "arn:aws:license-manager:us-east-1:123456789012:license-configuration:lic-0123456789abcdef0123456789abcdef"
    done = vmie("--sandbox", *IMPORT, disk, "--license-configuration", arn)
    assert done.code == 5
    assert "--license-manager" in done.json["error"]["cure"]


def test_a_reader_that_left_is_no_fault(tmp_path: Path) -> None:
    """`vmie … | head`: no traceback, also when it is an error that nobody reads."""
    (tmp_path / "empty.raw").write_bytes(b"")
    script = "import sys; from vmie import cli; cli.main(sys.argv[1:])"
    for argv in (["--output", "json", "check", str(tmp_path / "empty.raw")], ["--output", "json", "limits"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([sys.executable, "-c", script, *argv], stdout=writer, stderr=subprocess.PIPE, check=False)
        os.close(writer)
        assert b"Broken" not in done.stderr
        assert b"Traceback" not in done.stderr


def test_a_taken_name_is_told_before_a_byte_is_sent(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    first = vmie("import", disk, "--as", "snapshot", "--register", "web-1")
    assert first.code == 0, first.out
    (made,) = box.client("ec2").describe_images(Filters=[{"Name": "name", "Values": ["web-1"]}])["Images"]
    again = vmie("import", disk, "--as", "snapshot", "--register", "web-1", "--tag", "another=job")
    assert again.code == 5
    assert made["ImageId"] in again.json["error"]["message"]
    assert tasks(box, "import-snapshot") == 1
    odd = vmie("import", disk, "--as", "snapshot", "--register", "no")
    assert odd.code == 2
    assert tasks(box, "import-snapshot") == 1
