"""The pytest plugin, in a pytest of its own: as somebody else's project uses it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.tools import ROOT

PLUGIN = "vmie.sandbox.pytest_plugin"


def pytest_in(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider", *arguments]
    given = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT), **environ}
    return subprocess.run(argv, cwd=folder, env=given, capture_output=True, text=True, timeout=120)


def test_it_is_found_where_vmie_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"vmie_sandbox": PLUGIN}


def test_it_costs_the_tests_that_do_not_use_it_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "import sys\n"
        "def test_nothing_is_imported():\n"
        "    heavy = {'boto3', 'botocore', 'moto', 'flask', 'werkzeug', 'pydantic', 'yaml', 'typer'}\n"
        "    assert not heavy & {name.partition('.')[0] for name in sys.modules}\n"
    )
    done = pytest_in(tmp_path, "--strict-markers", "--strict-config", "-W", "error")
    assert done.returncode == 0, done.stdout
    code = f"import time, pytest; t = time.thread_time(); import {PLUGIN}; print(time.thread_time() - t)"
    spent = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout) for _ in range(3)
    ]
    assert min(spent) < 0.1


TESTS = """
import os, subprocess, sys, urllib.request
import boto3
import pytest

KEYS = []

@pytest.mark.parametrize("round", [1, 2])
def test_each_has_its_own(vmie_sandbox, round):
    s3 = boto3.client("s3")
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["vmie-sandbox"]
    vmie_sandbox.client("s3").create_bucket(Bucket="mine")
    assert vmie_sandbox.session.region_name == "us-east-1"
    assert vmie_sandbox.session.client("sts").get_caller_identity()["Account"] == "123456789012"
    KEYS.append(round)

@pytest.mark.parametrize("round", [1, 2])
def test_a_server_each(vmie_sandbox_server, round):
    assert os.environ["AWS_ENDPOINT_URL"] == vmie_sandbox_server.url
    code = "import boto3; s3 = boto3.client('s3'); s3.create_bucket(Bucket='theirs'); print(s3.list_buckets())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "vmie-sandbox" in done.stdout
    assert {one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]} == {"vmie-sandbox", "theirs"}

def test_what_it_changed_is_put_back():
    assert os.environ.get("AWS_ENDPOINT_URL") is None
    assert os.environ["AWS_PROFILE"] == "theirs"

@pytest.mark.vmie_sandbox(speed=0, seeded=False, region="eu-west-1")
class TestOptions:
    def test_of_the_class(self, vmie_sandbox):
        assert (vmie_sandbox.clock.speed, vmie_sandbox.region) == (0, "eu-west-1")
        assert boto3.client("s3").list_buckets()["Buckets"] == []

    @pytest.mark.vmie_sandbox(speed="human", world="world.yaml")
    def test_of_the_test(self, vmie_sandbox):
        assert (vmie_sandbox.clock.speed, vmie_sandbox.region) == (40, "eu-west-1")
        assert [one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]] == ["of-the-test"]
"""


def test_the_fixtures_work(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(TESTS)
    (tmp_path / "world.yaml").write_text("buckets: [{name: of-the-test}]")
    done = pytest_in(tmp_path, "--strict-markers", AWS_PROFILE="theirs")
    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout


def test_a_setting_names_the_world_of_every_test(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nvmie_sandbox_world = seeds/world.yaml\n")
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "world.yaml").write_text("buckets: [{name: of-the-setting}]")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "test_theirs.py").write_text(
        "import pytest\n"
        "@pytest.mark.vmie_sandbox(seeded=False)\n"
        "def test_it(vmie_sandbox):\n"
        "    assert len(vmie_sandbox.client('s3').list_buckets()['Buckets']) == 1\n"
    )
    done = pytest_in(tmp_path)
    assert done.returncode == 0, done.stdout


def test_mistakes_are_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "import pytest\n"
        "@pytest.mark.vmie_sandbox(pace=1)\n"
        "def test_option(vmie_sandbox): pass\n"
        "@pytest.mark.vmie_sandbox(world='none.yaml')\n"
        "def test_world(vmie_sandbox): pass\n"
        "def test_afterwards(vmie_sandbox): pass\n"
    )
    done = pytest_in(tmp_path)
    assert "1 passed, 2 errors" in done.stdout
    assert "pace" in done.stdout
    assert "No such file" in done.stdout
    assert "Traceback" not in done.stdout


def test_without_the_extra_it_is_silent_until_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "moto.py").write_text("raise ModuleNotFoundError('no moto', name='moto')\n")
    (tmp_path / "test_theirs.py").write_text("def test_other(): pass\ndef test_it(vmie_sandbox): pass\n")
    done = pytest_in(tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert "1 passed, 1 error" in done.stdout, done.stdout
    assert f"pip install --editable '{ROOT}[sandbox]'" in done.stdout
