"""One mistake, every door: the command, plans as YAML and CSV, and Python refuse it alike, before anything is read."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.batch.plans import load, mistakes
from vmie.cli import run
from vmie.cli.terms import TERMS
from vmie.errors import UsageError
from vmie.options import ExportRequest, ImportRequest, Options, RoleRequest, UploadRequest
from vmie.options.base import each

KEY_ARN = "arn:aws:kms:nowhere:123456789012:key/12345678-1234-1234-1234-123456789012"
LICENCE_ARN = "arn:aws:license-manager:eu-west-1:123456789012:license-configuration:lic-0123456789abcdef"
SNAPSHOT = {"route": "snapshot", "register": "web-1"}
INSTANCE = {"route": "instance", "instance_type": "m3.large"}

#: the options, the field that is named, and what is said of it
IMPORTS: list[tuple[dict[str, Any], str, str]] = [
    ({**SNAPSHOT, "volume_type": "nonsense"}, "volume_type", "choose gp3, gp2 or standard"),
    ({**SNAPSHOT, "volume_type": "io1"}, "volume_type", "IOPS"),
    ({**SNAPSHOT, "volume_type": "io2"}, "volume_type", "IOPS"),
    ({**SNAPSHOT, "volume_type": "st1"}, "volume_type", "boot volume"),
    ({"route": "boat"}, "route", "choose image, snapshot, instance or volume"),
    ({"usage_operation": "rubbish"}, "usage_operation", "RunInstances:0800"),
    ({"tags": {f"key-{number}": "x" for number in range(50)}}, "tags", "the 50 that a resource may have"),
    (
        {"tags": {f"key-{number}": "x" for number in range(49)}, "name": "web"},
        "tags",
        "the 50 that a resource may have",
    ),
    ({"tags": {"k" * 129: "x"}}, "tags", "at most 128"),
    ({"tags": {"key": "v" * 257}}, "tags", "at most 256"),
    ({"tags": {"AWS:x": "y"}}, "tags", "begin with aws:"),
    ({"tags": {"vmie:job": "y"}}, "tags", "choose another key"),
    ({"name": "n" * 257}, "name", "at most 256"),
    ({"name": "bell\a"}, "name", "U+0007"),
    ({"description": "d" * 256}, "description", "at most 255"),
    ({**INSTANCE, "description": "d" * 232}, "description", "at most 231"),
    ({"route": "snapshot", "register": "a*b"}, "register", "no AMI name"),
    ({"bucket": "Big_Bucket"}, "bucket", "no bucket's name"),
    ({"bucket": "my-bucket/deep"}, "bucket", "more than a bucket"),
    ({"prefix": "p" * 501}, "prefix", "at most 500"),
    ({"role_name": "arn:aws:iam::123456789012:role/vmimport"}, "role_name", "what follows the last /"),
    ({"role_name": "no role"}, "role_name", "no role's name"),
    ({"kms_key": "my-key"}, "kms_key", "no KMS key"),
    ({"kms_key": KEY_ARN}, "kms_key", "no AWS Region"),
    ({"sse_kms_key": "my-key"}, "sse_kms_key", "no KMS key"),
    ({"license_configurations": [f"{LICENCE_ARN}x"]}, "license_configurations", "no licence configuration"),
    ({"license_configurations": [LICENCE_ARN.replace("eu-west-1", "eu")]}, "license_configurations", "no AWS Region"),
    ({"route": "instance", "instance_type": "large"}, "instance_type", "no instance type"),
    ({**INSTANCE, "availability_zone": "nowhere-1a"}, "availability_zone", "no Availability Zone"),
    ({**INSTANCE, "subnet": "subnet-1"}, "subnet", "no subnet"),
    ({**INSTANCE, "security_groups": ["sg-1"]}, "security_groups", "no security group"),
    ({**INSTANCE, "subnet": "subnet-01234567", "private_ip": "10.0.0.300"}, "private_ip", "no IPv4 address"),
    ({**INSTANCE, "private_ip": "10.0.0.3"}, "private_ip", "needs"),
    ({**INSTANCE, "volume_size": 0}, "volume_size", "at least 1"),
    ({**INSTANCE, "volume_size": 16385}, "volume_size", "at most 16384"),
    ({**INSTANCE, "shutdown_behavior": "hibernate"}, "shutdown_behavior", "choose stop or terminate"),
    ({**INSTANCE, "tenancy": "host"}, "tenancy", "choose default or dedicated"),
    ({"storage_class": "GLACIER"}, "storage_class", "restored first"),
    ({"storage_class": "COLD"}, "storage_class", "choose STANDARD,"),
    ({"sse": "AES"}, "sse", "choose AES256"),
    ({"max_rate": "fast"}, "max_rate", "no rate"),
    ({"boot_mode": "efi"}, "boot_mode", "did you mean uefi?"),
    ({"architecture": "amd64"}, "architecture", "did you mean x86_64?"),
    ({"platform": "BeOS"}, "platform", "choose Linux or Windows"),
    ({"rules": "2099"}, "rules", "choose current or 2016"),
    ({"license_type": "BYOL", "usage_operation": "RunInstances:0800"}, "license_type", "cannot both be given"),
    ({"as_is": True, "format": "vmdk"}, "as_is", "cannot both be given"),
    ({"route": "snapshot", "imds_v2": True}, "imds_v2", "needs"),
    ({"route": "snapshot", "license_type": "BYOL"}, "license_type", "image"),
    ({**INSTANCE, "boot_mode": "uefi"}, "boot_mode", "no such parameter"),
    ({**INSTANCE, "format": "ova"}, "format", "the older calls take"),
]
EXPORTS: list[tuple[dict[str, Any], str, str]] = [
    ({"format": "vhdx"}, "format", "choose vmdk, vhd, raw or ova"),
    ({"format": "vmdk", "bucket": "B"}, "bucket", "no bucket's name"),
    ({"format": "vmdk", "target": "xen"}, "target", "did you mean citrix?"),
    ({"format": "vhd", "target": "vmware"}, "format", "is not a format of vmware"),
    ({"format": "vmdk", "description": "d" * 232}, "description", "at most 231"),
    ({"format": "vmdk", "tags": {f"key-{number}": "x" for number in range(50)}}, "tags", "the 50 that a resource"),
    ({"format": "vmdk", "prefix": "p" * 501}, "prefix", "at most 500"),
    ({"format": "vmdk", "role_name": "no role"}, "role_name", "no role's name"),
]
UPLOAD = ["upload", "none.raw", "s3://my-bucket/"]
#: options that plans have not
COMMANDS: list[tuple[type[Options], list[str], dict[str, Any], str, str]] = [
    (ImportRequest, ["import", "none.raw"], {"client_token": "a token"}, "client_token", "printable ASCII"),
    (ImportRequest, ["import", "none.raw"], {"client_token": "x" * 65}, "client_token", "1 to 64"),
    (ExportRequest, ["export", "i-01234567"], {"format": "raw", "client_token": "ä"}, "client_token", "1 to 64"),
    (
        UploadRequest,
        UPLOAD,
        {"storage_class": "GLACIER"},
        "storage_class",
        "restored",
    ),
    (UploadRequest, UPLOAD, {"disk": -1}, "disk", "at least 0"),
    (UploadRequest, UPLOAD, {"as_is": True, "format": "raw"}, "as_is", "both"),
    (UploadRequest, UPLOAD, {"sse_kms_key": "x"}, "sse_kms_key", "no KMS key"),
    (RoleRequest, ["setup-role"], {"buckets": ["Big_Bucket"]}, "buckets", "no bucket's name"),
    (RoleRequest, ["setup-role"], {"buckets": ["b-b"], "kms_keys": ["*"]}, "kms_keys", "no KMS key"),
    (RoleRequest, ["setup-role"], {"buckets": ["b-b"], "grant": "both"}, "grant", "choose policy or acl"),
    (RoleRequest, ["setup-role"], {"buckets": ["b-b"], "role_name": "a/b"}, "role_name", "no role's name"),
    (RoleRequest, ["setup-role"], {"buckets": ["b-b"], "tags": {"aws:x": "y"}}, "tags", "begin with aws:"),
]
_ARGUMENTS = {
    ImportRequest: {"sources": "none.raw"},
    ExportRequest: {"source": "i-01234567"},
    UploadRequest: {"path": "none.raw", "url": "s3://my-bucket/"},
    RoleRequest: {},
}


def argv(options: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in options.items():
        flag = TERMS.option(name)
        if isinstance(value, bool):
            words += [flag] if value else []
            continue
        several = [f"{key}={one}" for key, one in value.items()] if isinstance(value, dict) else value
        for one in several if isinstance(several, list) else [several]:
            words.append(f"{flag}={one}")
    return words


def by_command(capsys: pytest.CaptureFixture[str], words: list[str], options: Mapping[str, Any]) -> dict[str, str]:
    assert run(["--output", "json", *words, *argv(options)]) == 2
    shown: dict[str, str] = json.loads(capsys.readouterr().out)["error"]
    return shown


def by_python(model: type[Options], options: Mapping[str, Any]) -> UsageError:
    with pytest.raises(UsageError) as caught:
        model(**_ARGUMENTS[model], **options)
    assert caught.value.exit_code == 2
    return caught.value


def by_csv(folder: Path, source: str, options: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    cells = {"source": source}
    for name, value in options.items():
        if isinstance(value, dict):
            cells |= {f"tag:{key}": one for key, one in value.items()}
        else:
            cells[name] = ";".join(value) if isinstance(value, list) else str(value)
    with (folder / "cells.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, cells)
        writer.writeheader()
        writer.writerow(cells)
    return mistakes(folder, (folder / "cells.csv").read_text(encoding="utf-8"), name="plan.csv")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.raw").write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(("options", "field", "says"), IMPORTS)
class TestImport:
    def test_command(self, options: dict[str, Any], field: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
        shown = by_command(capsys, ["import", "none.raw"], options)
        assert TERMS.option(field) in shown["message"]
        assert says in "\n".join((shown["message"], shown["cause"], shown["cure"]))

    def test_python(self, options: dict[str, Any], field: str, says: str) -> None:
        error = by_python(ImportRequest, options)
        assert field in error.fields
        assert "--" not in error.message + error.cause + error.cure
        assert says in "\n".join((error.message, error.cause, error.cure))

    def test_yaml(self, options: dict[str, Any], field: str, says: str, folder: Path) -> None:
        found = mistakes(folder, json.dumps({"items": [{"source": "a.raw", **options}]}))
        assert [at for _, at, message in found if says in message], found
        assert all(f"items[0].{field}" in at for _, at, _ in found), found

    def test_csv(self, options: dict[str, Any], field: str, says: str, folder: Path) -> None:
        if says == "U+0007":
            with pytest.raises(UsageError, match=r"control character U\+0007"):  # refused whole
                load(folder, f"source,{field}\na.raw,{options[field]}\n", name="plan.csv")
            return
        found = by_csv(folder, "a.raw", options)
        assert [at for _, at, message in found if says in message], found


@pytest.mark.parametrize(("options", "field", "says"), EXPORTS)
class TestExport:
    def test_command(self, options: dict[str, Any], field: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
        shown = by_command(capsys, ["export", "i-01234567"], options)
        assert TERMS.option(field) in shown["message"]
        assert says in "\n".join((shown["message"], shown["cause"], shown["cure"]))

    def test_python(self, options: dict[str, Any], field: str, says: str) -> None:
        error = by_python(ExportRequest, options)
        assert field in error.fields
        assert says in "\n".join((error.message, error.cause, error.cure))

    def test_yaml(self, options: dict[str, Any], field: str, says: str, folder: Path) -> None:
        found = mistakes(folder, json.dumps({"items": [{"source": "i-01234567", **options}]}))
        assert [at for _, at, message in found if field in at and says in message], found


@pytest.mark.parametrize("case", COMMANDS, ids=lambda case: case[3])
def test_what_plans_have_not(case: Any, capsys: pytest.CaptureFixture[str]) -> None:
    model, words, options, field, says = case
    shown = by_command(capsys, words, options)
    assert TERMS.option(field) in shown["message"]
    assert says in shown["message"] + shown["cure"]
    error = by_python(model, options)
    assert error.fields[0] == field
    assert says in error.message + error.cure


def test_every_mistake_of_a_request_is_in_one_error() -> None:
    error = by_python(
        ImportRequest, {"bucket": "B", "volume_size": 0, "license_type": "no", "as_is": True, "format": "raw"}
    )
    assert {"bucket", "volume_size", "license_type", "as_is", "format"} <= set(error.fields)
    assert len(each(error)) == 4
    assert error.message == "4 options are wrong"


@pytest.mark.parametrize("options", [{"colour": "red"}, {"encrypted": "yes"}, {"volume_size": "9"}, {"tags": ["a=b"]}])
def test_python_gets_no_error_of_pydantic(options: dict[str, Any]) -> None:
    assert next(iter(options)) in by_python(ImportRequest, options).message


def test_a_job_of_another_version_is_refused_in_our_words() -> None:
    data = ImportRequest("a.raw").as_json()
    with pytest.raises(UsageError, match="cannot be read"):
        ImportRequest.from_json({**data, "launch": {}})
    assert ImportRequest.from_json(data) == ImportRequest("a.raw")
