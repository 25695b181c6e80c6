"""Every cure that is a command is typed back: it parses, and the mistake that it is for is gone."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from tests.e2e.conftest import Done
from tests.linux_guest import convert, files, linux_disk
from vmie import sandbox

#: what is wrong with each
CASES = """
import nope.ova
import folder
import text.raw
import bad.qcow2
import bad.qcow2 --strict --as instance --instance-type m3.medium
import two.ovf
import good.qcow2 --bucket absent-1
import good.qcow2 --role-name nobody
import good.qcow2 --as bogus
import good.qcow2 --as snapshott
import good.qcow2 --boot-mode bios
import good.qcow2 --as-is --format raw
import good.qcow2 --as-is --empty-disks
import good.qcow2 --kms-key alias/none
import good.qcow2 --tag foo
import good.qcow2 --name a --tag Name=b
import good.qcow2 --volume-type io1 --as snapshot --register abcd
import good.qcow2 --sse AES256 --sse-kms-key alias/x
import good.qcow2 --license-type AWS --usage-operation RunInstances:0800
import good.qcow2 --as instance
import good.qcow2 --as instance --instance-type m3.medium --kms-key alias/x
import good.qcow2 --imds-v2
import good.qcow2 --imds-v2 --as snapshot
import good.qcow2 --via ebs --as instance --instance-type m3.medium
import good.qcow2 --prefix x --via ebs --as snapshot
import good.qcow2 --no-such
import s3://vmie-sandbox/absent.vmdk
import s3://absent-2/absent.vmdk
check text.raw --route image
check good.qcow2 --route bogus
check bad.qcow2 --output json
check good.qcow2 --strict --as snapshot --as-is
upload good.qcow2 s3://absent-3/x.vmdk
upload good.qcow2 s3://vmie-sandbox/x.raw
upload good.qcow2 s3://vmie-sandbox/x.vmdk --as-is --format raw
convert good.qcow2 there.vmdk
convert good.qcow2 out.vmdk --workers many
export i-0123456789abcdef0 --format vmdk --bucket absent-4
export i-0123456789abcdef0 --format raw
export ami-0123456789abcdef0 --format ova
export ami-0123456789abcdef0 --format vmdk --target vmware
setup-role --bucket absent-5
setup-role --export-bucket absent-6
setup-role --bucket vmie-sandbox --kms-key alias/none
doctor --bucket absent-7
doctor --kms-key alias/none
policy role
policy bucket
policy user --job imports
policy user --guide --job import
resume job-20260102-030405-a1b2c3
cancel job-20260102-030405-a1b2c3
batch status batch-20260102-030405-a1b2c3
batch resume batch-20260102-030405-a1b2c3
batch rum plan.yaml
tasks show import-ami-0123456789abcdef0
tasks show foo
tasks cancel import-ami-0123456789abcdef0
explain VMIE-OS-999
explain import-ami-0123456789abcdef0
--region mars-1 tasks list
--profile nobody tasks list
limits --foo
worker
"""
#: words of a cure that stand for the user's own
STANDS_FOR = {
    "FILE": "good.qcow2",
    "OUT.vmdk": "fresh.vmdk",
    "OUT.raw": "fresh.raw",
    "BUCKET": "vmie-sandbox",
    "NAME": "web-1",
    "AMI": "ami-0123456789abcdef0",
    "B": "vmie-sandbox",
    "URL": "postgresql://127.0.0.1:1/none",
}
AWS_EVERYWHERE = {"--query", "--output", "--region", "--profile", "--dry-run"}
#: what the AWS CLI has beside the API's own operations
AWS_OWN = {("s3", "ls"), ("s3", "cp"), ("sso", "login"), ("configure", "list-profiles"), ("configure", "--profile")}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for name, content in (("good", files()), ("bad", files("6.6.13-amd64"))):
        convert(linux_disk(folder / f"{name}.raw", content), folder / f"{name}.qcow2", "qcow2")
    return folder


@pytest.fixture(scope="module")
def box() -> Iterator[None]:
    with sandbox.start(seeded=True, speed=20_000):
        yield


@pytest.fixture
def here(images: Path, tmp_path: Path, box: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the cases name; nothing of the user's own counts."""
    for name in ("good.qcow2", "bad.qcow2"):
        (tmp_path / name).hardlink_to(images / name)
    (tmp_path / "text.raw").write_text("no disk\n" * 1000)
    (tmp_path / "there.vmdk").write_bytes(b"another's")
    (tmp_path / "folder").mkdir()
    shutil.copy(images / "good.qcow2", tmp_path / "folder")
    systems = "".join(f'<VirtualSystem ovf:id="{name}"/>' for name in ("web", "db"))
    ovf = 'xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"'
    (tmp_path / "two.ovf").write_text(
        f"<Envelope {ovf}><VirtualSystemCollection>{systems}</VirtualSystemCollection></Envelope>"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    return tmp_path


@pytest.mark.parametrize("case", CASES.strip().splitlines())
def test_a_cure_typed_back_does_what_it_says(case: str, here: Path, vmie: Callable[..., Done]) -> None:
    argv = case.split()
    error = _error(vmie(*argv, "--dry-run"))
    assert error["cure"], "there is a way on"
    for line in error["cure"].splitlines():
        assert "Value error" not in error["message"]
        for command in _commands(line):
            _runs(command, vmie)
            if command[:2] == ["vmie", "setup-role"]:
                assert _error(vmie(*argv, "--dry-run"))["code"] != error["code"], "and then it goes"
        for mended in _mended(argv, line, error["message"]):
            after = vmie(*mended, "--dry-run")
            left = after.json["error"]
            assert left is None or left["message"] != error["message"], f"{mended}: {left}"
            assert left is None or "No such" not in left["message"], mended


def test_there_are_many() -> None:
    assert len(set(CASES.strip().splitlines())) >= 25


def _error(done: Done) -> dict[str, str]:
    found: dict[str, str] = done.json["error"] or {"code": "", "message": "", "cure": ""}
    return found


def _plain(line: str) -> str:
    """A cure without the note behind it."""
    return re.sub(r"  \(.*\)$", "", line)


def _commands(line: str) -> Iterator[list[str]]:
    """The commands of a cure: the line itself, or those that its sentence quotes."""
    quoted = re.findall(r"`((?:vmie|aws) [^`]+)`", line)
    if re.match(r"(vmie|aws) ", line):
        quoted.append(_plain(line))
    for one in quoted:
        yield [STANDS_FOR.get(word, word) for word in shlex.split(one)]


def _runs(command: list[str], vmie: Callable[..., Done]) -> None:
    if command[0] == "aws":
        _aws_parses(command[1:])
    elif "--help" in command:
        assert vmie(*command[1:]).code == 0
    else:
        acts = command[1] in ("import", "export", "upload", "cancel", "resume", "convert")
        done = vmie(*command[1:], *(["--dry-run"] if acts else []))
        assert not re.search("No such|missing|unexpected", _error(done)["message"]), f"{command}: {done.out}"
        assert _error(done)["code"] not in ("Fault", "Usage"), f"{command}: {done.out}"


def _aws_parses(words: list[str]) -> None:
    if tuple(words[:2]) in AWS_OWN:
        return
    service = botocore.session.get_session().get_service_model({"s3api": "s3"}.get(words[0], words[0]))
    operation = {xform_name(name, "-"): name for name in service.operation_names}[words[1]]
    members: dict[str, Any] = getattr(service.operation_model(operation).input_shape, "members", {})
    known = {f"--{xform_name(name, '-')}" for name in members} | AWS_EVERYWHERE
    flags = {word for word in words[2:] if word.startswith("--")}
    assert {flag.replace("--no-", "--") for flag in flags} <= known | {"--all-regions"}


def _mended(argv: list[str], line: str, message: str) -> Iterator[list[str]]:
    """What was typed, as a cure changes it."""
    text = _plain(line)
    if text.startswith("add "):
        for one in re.split(r" or (?=--)", text.removeprefix("add ")):
            words = [STANDS_FOR.get(word, word) for word in shlex.split(one)]
            yield [*argv, *words]
    elif found := re.fullmatch(r"leave (.*) out", text):
        yield _without(argv, found[1].split(" and "))
    elif text.startswith("choose ") and (flag := re.match(r"(--[a-z-]+)", message)):
        first = re.split(r",| or |;", text.removeprefix("choose "))[0].strip()
        yield [*_without(argv, [flag[1]]), flag[1], first]


def _without(argv: list[str], named: list[str]) -> list[str]:
    out, skipping = [], False
    for word in argv:
        if word in [name.split()[0] for name in named]:
            skipping = True
        elif skipping and not word.startswith("-"):
            skipping = False
        else:
            skipping = False
            out.append(word)
    return out
