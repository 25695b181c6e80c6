"""A wheel built from the repository works where the repository is not: templates and data travel inside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools import ROOT


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel, and nothing of the repository, was installed."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, ROOT], check=True, capture_output=True)
    (wheel,) = folder.glob("vmie-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, capture_output=True)
    return folder


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


def test_the_templates_are_inside(elsewhere: Path) -> None:
    shipped = elsewhere / "site" / "vmie" / "policies"
    for template in (ROOT / "policies").glob("*.json"):
        assert json.loads((shipped / template.name).read_text()) == json.loads(template.read_text())
    assert (elsewhere / "site" / "vmie" / "py.typed").exists()


def test_a_role_can_be_set_up_from_it(elsewhere: Path) -> None:
    done = vmie(elsewhere, "--sandbox", "--output", "json", "setup-role", "--bucket", "somewhere", "--create-bucket")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["result"]["role_arn"].endswith(":role/vmimport")
