"""What is published: the wheel, built from the sdist as packagers build it, works where the repository is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tomllib
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tests import tools
from tests.tools import ROOT
from vmie import __version__

_MIB = 1 << 20


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both archives in `dist`, and in `site` the wheel, installed without the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    # without --sdist and --wheel it builds the wheel from the sdist
    build = [sys.executable, "-m", "build", "--no-isolation", "-o", folder / "dist", ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("vmie-*.whl")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    install = [*pip, "install", "--no-deps", "--no-compile", "--target", folder / "site", wheel]
    subprocess.run(install, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def described(elsewhere: Path) -> Message:
    """The metadata that the index shows."""
    (folder,) = (elsewhere / "site").glob("vmie-*.dist-info")
    return HeaderParser().parsestr((folder / "METADATA").read_text())


def vmie(elsewhere: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(elsewhere / "site")}
    return subprocess.run(
        [sys.executable, "-m", "vmie", *argv], cwd=elsewhere, env=environ, capture_output=True, text=True, timeout=120
    )


def test_it_is_the_wheel_that_runs(elsewhere: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(elsewhere / "site")}
    code = "import vmie, vmie.policy; print(vmie.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, env=environ, capture_output=True, text=True)
    assert str(elsewhere / "site") in done.stdout, done.stderr


def test_the_templates_and_the_manual_are_inside(elsewhere: Path) -> None:
    shipped = elsewhere / "site" / "vmie" / "policies"
    for template in (ROOT / "policies").glob("*.json"):
        assert json.loads((shipped / template.name).read_text()) == json.loads(template.read_text())
    assert (elsewhere / "site" / "vmie" / "py.typed").exists()
    manual = elsewhere / "site" / "share" / "man" / "man1"
    assert {page.name for page in manual.iterdir()} == {page.name for page in (ROOT / "man").iterdir()}


def test_a_role_can_be_set_up_from_it(elsewhere: Path) -> None:
    done = vmie(elsewhere, "--sandbox", "--output", "json", "setup-role", "--bucket", "somewhere", "--create-bucket")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["result"]["role_arn"].endswith(":role/vmimport")


def test_the_first_two_commands_of_a_newcomer_run(elsewhere: Path) -> None:
    assert vmie(elsewhere, "--version").stdout == f"vmie {__version__}\n"
    (elsewhere / "disk.img").write_bytes(bytes(_MIB))
    done = vmie(elsewhere, "--output", "json", "check", "disk.img")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (4, "error"), done.stdout + done.stderr


def test_an_index_would_take_both_archives(elsewhere: Path) -> None:
    tools.need("twine")
    tools.run(["twine", "check", "--strict", *(elsewhere / "dist").iterdir()])


def test_the_sdist_is_small_and_holds_what_builds_and_tests_it(elsewhere: Path) -> None:
    (sdist,) = (elsewhere / "dist").glob("vmie-*.tar.gz")
    assert sdist.stat().st_size < 3 * _MIB
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "LICENSE", "CHANGELOG.md", "tests/tools.py", "docs/generate.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("dist/", ".cache", ".tools"))]


def test_what_is_said_of_it_is_so(described: Message) -> None:
    assert described["Version"] == __version__
    assert described["License-Expression"] == "Apache-2.0"
    assert described["Description-Content-Type"] == "text/markdown"
    links = {line.partition(",")[0] for line in described.get_all("Project-URL", [])}
    assert links == {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
    minors = {line[-4:] for line in described.get_all("Classifier", []) if "Python :: 3." in line}
    assert minors == {"3.11", "3.12", "3.13", "3.14"}
    # a link of the README that is relative leads nowhere on an index's page
    assert "](docs/" not in described.get_payload()


def test_the_sandbox_brings_none_of_what_only_cloudformation_needs() -> None:
    """moto's `server` extra is 170 MB more: cfn-lint, sympy, docker, the X-Ray SDK, OpenAPI validators."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {"ec2", "s3", "iam", "sts", "kms", "ebs"}
    (moto,) = [one for one in project["optional-dependencies"]["sandbox"] if one.startswith("moto")]
    assert set(moto.partition("[")[2].partition("]")[0].split(",")) == extras
    locked = (ROOT / "requirements" / "demo.txt").read_text()
    assert not [name for name in ("cfn-lint", "sympy", "docker", "aws-xray-sdk") if f"\n{name}==" in f"\n{locked}"]


def test_the_version_has_its_section_in_the_changelog() -> None:
    heads = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert heads[0] == "## [Unreleased]"
    assert heads[1].startswith(f"## [{__version__}] - 20")
