"""`vmie setup-role` as it is typed: text, JSON, dry run, exit codes, the settings file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from vmie.cli import run


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setattr("vmie.aws.iam._READ_PAUSE", 0.0)
    with mock_aws():
        yield


def envelope(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_from_dry_run_to_nothing_to_change(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["setup-role", "--bucket", "imports", "--create-bucket"]
    assert run([*argv, "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert "create   bucket imports" in planned
    assert '+        "arn:aws:s3:::imports/*"' in planned
    assert boto3.client("s3").list_buckets()["Buckets"] == []
    assert run(argv) == 0
    assert "created  policy vmimport of role vmimport" in capsys.readouterr().out
    assert run(argv) == 0
    assert capsys.readouterr().out.splitlines() == ["nothing to change", "arn:aws:iam::123456789012:role/vmimport"]


def test_json_is_as_contracted(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--output", "json", "setup-role", "--bucket", "imports", "--create-bucket", "--tag", "team=migration"]
    assert run(argv) == 0
    first = envelope(capsys)
    assert first["command"] == "setup-role"
    assert first["result"]["created"] is True
    assert set(first["result"]["changes"][0]) == {"action", "resource", "detail", "before", "after"}
    assert run(argv) == 0
    second = envelope(capsys)["result"]
    assert (second["created"], second["changes"]) == (False, [])
    assert second["role_arn"] == first["result"]["role_arn"]


def test_an_edited_policy_is_shown_with_exit_code_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["setup-role", "--bucket", "imports", "--create-bucket", "--quiet"]) == 0
    document = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}
    )
    boto3.client("iam").put_role_policy(RoleName="vmimport", PolicyName="vmimport", PolicyDocument=document)
    capsys.readouterr()
    for dry in ([], ["--dry-run"]):
        assert run(["setup-role", "--bucket", "imports", *dry]) == 4
        said = capsys.readouterr().err
        assert '-      "Effect": "Deny"' in said
        assert "--force" in said
    assert run(["setup-role", "--bucket", "imports", "--force"]) == 0


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["setup-role"], 2),
        (["setup-role", "--bucket", "*"], 2),
        (["setup-role", "--bucket", "imports", "--tag", "x"], 2),
        (["setup-role", "--bucket", "imports"], 5),
    ],
)
def test_exit_codes(argv: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(argv) == code
    assert "cure:" in capsys.readouterr().err or code == 2


def test_without_credentials_it_ends_with_5(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert run(["--output", "json", "setup-role", "--bucket", "imports"]) == 5
    assert envelope(capsys)["error"]["code"] == "NoCredentials"


def test_the_bucket_is_saved_as_the_default_when_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "settings.toml"
    monkeypatch.setenv("VMIE_CONFIG", str(config))
    base = ["--output", "json", "setup-role", "--create-bucket"]
    assert run([*base, "--bucket", "imports"]) == 0
    assert envelope(capsys)["result"]["settings_file"] is None
    assert not config.exists()
    assert run([*base, "--bucket", "imports", "--export-bucket", "exports", "--save-settings"]) == 0
    assert envelope(capsys)["result"]["settings_file"] == str(config)
    assert tomllib.loads(config.read_text()) == {"bucket": "imports", "export_bucket": "exports"}
    # Now the bucket need not be named any more.
    assert run(["--output", "json", "setup-role"]) == 0
    assert envelope(capsys)["result"]["changes"] == []
