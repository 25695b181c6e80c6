"""What ships vmie beside the wheel: the workflows, the action for pull requests, the container."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import tools
from tests.tools import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / ".github" / "actions" / "check" / "action.yml"
CONTAINERFILE = (ROOT / "Containerfile").read_text()
CHECK = ACTION.with_name("check.py")


def steps() -> list[dict[str, Any]]:
    """Every step of every workflow and of the action."""
    jobs = [job for file in WORKFLOWS for job in yaml.safe_load(file.read_text())["jobs"].values()]
    return [step for each in (*jobs, yaml.safe_load(ACTION.read_text())["runs"]) for step in each["steps"]]


def test_github_would_take_each_file() -> None:
    tools.need("check-jsonschema")
    schemas = (
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.github-actions", [ACTION]),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
    )
    for schema, files in schemas:
        tools.run(["check-jsonschema", "--builtin-schema", schema, *files])


def test_the_hook_and_the_action_look_at_the_same_files() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"] == "vmie check"
    (action,) = re.findall(r'_IMAGE = re\.compile\(r"([^"]+)", re\.IGNORECASE\)', CHECK.read_text())
    assert hook["files"] == f"(?i){action}"
    assert re.search(hook["files"], "build/Disk.QCOW2.gz")


def test_actions_are_pinned_to_a_commit_and_their_version_is_told() -> None:
    for file in (*WORKFLOWS, ACTION):
        for line in file.read_text().splitlines():
            _, uses, name = line.partition("uses: ")
            if uses and not name.startswith("./"):
                assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", name), line


def test_no_workflow_may_write_unless_a_job_says_so_and_none_runs_what_strangers_named() -> None:
    for file in WORKFLOWS:
        assert yaml.safe_load(file.read_text())["permissions"] == {"contents": "read"}, file.name
        assert "pull_request_target" not in file.read_text()
    assert [step for step in steps() if "${{" in step.get("run", "")] == []
    checkouts = [step for step in steps() if "actions/checkout@" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_every_supported_python_is_tested() -> None:
    matrix = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"]["suite"]["strategy"]
    declared = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert matrix["matrix"]["python"] == declared


def test_the_container_is_pinned_not_root_and_copies_what_is_there() -> None:
    bases = re.findall(r"^FROM (\S+)", CONTAINERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.search(r":3\.\d+\.\d+-|@sha256:[0-9a-f]{64}$", base) for base in bases)
    assert re.findall(r"^USER (\S+)", CONTAINERFILE, re.MULTILINE)[-1] == "10001:10001"
    allowed = {line[1:] for line in (ROOT / ".containerignore").read_text().splitlines() if line.startswith("!")}
    for words in re.findall(r"^COPY ([^-].*)", CONTAINERFILE, re.MULTILINE):
        for source in words.split()[:-1]:
            assert (ROOT / source).exists()
            assert source in allowed


def test_hadolint_finds_nothing_in_it() -> None:
    tools.need("hadolint")
    tools.run(["hadolint", ROOT / "Containerfile"])


class Runner:
    """What a runner of GitHub gives the action's script."""

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.temp = folder / "temp"
        self.work.mkdir()
        self.temp.mkdir()

    def __call__(self, *, images: str = "", route: str = "image", strict: str = "false") -> tuple[int, list[str]]:
        given = {"IMAGES": images, "ROUTE": route, "RULES": "current", "STRICT": strict}
        files = {name: str(self.temp / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        environ = {**os.environ, **given, **files, "RUNNER_TEMP": str(self.temp), "PYTHONSAFEPATH": "1"}
        environ["PYTHONPATH"] = str(ROOT)
        done = subprocess.run([sys.executable, CHECK], cwd=self.work, env=environ, capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout.splitlines()

    def written(self, name: str) -> str:
        return (self.temp / name).read_text()

    def git(self, *argv: str) -> None:
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        subprocess.run(["git", *identity, *argv], cwd=self.work, check=True, capture_output=True)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_the_action_checks_the_images_of_a_pull_request(runner: Runner, tmp_path: Path) -> None:
    hostile = "a,b:%0A::error::<b>|`x`.img"
    runner.git("init", "-q")
    (runner.work / "old.img").write_bytes(bytes(1 << 20))
    runner.git("add", "-A")
    runner.git("commit", "-qm", "base")
    assert runner()[0] == 2  # no parent is here
    (runner.work / hostile).write_bytes(bytes(1 << 20))
    (runner.work / "README.md").write_text("no image")
    (runner.work / "vmie.py").write_text("raise SystemExit('imported from the pull request')")
    (tmp_path / "secret.img").write_bytes(bytes(1 << 20))
    (runner.work / "link.img").symlink_to(tmp_path / "secret.img")
    runner.git("add", "-A")
    runner.git("commit", "-qm", "images")
    code, lines = runner()
    assert code == 4
    assert [image["path"] for image in json.loads(runner.written("vmie-check.json"))["result"]["images"]] == [hostile]
    assert lines
    for line in lines:
        found = re.fullmatch(r"::error file=([^,:]+),title=VMIE-[A-Z]+-\d+::(.+)", line)
        assert found, line
        assert found[1] == "a%2Cb%3A%250A%3A%3Aerror%3A%3A<b>|`x`.img"
    assert "verdict=fail" in runner.written("GITHUB_OUTPUT")
    table = runner.written("GITHUB_STEP_SUMMARY")
    assert "VMIE-PART-001" in table
    assert "<b>" not in table
    assert "`x`" not in table


def test_the_action_checks_what_it_is_told_to(runner: Runner) -> None:
    (runner.work / "deep" / "er").mkdir(parents=True)
    (runner.work / "deep" / "er" / "one.raw").write_bytes(bytes(1 << 20))
    assert runner(images="deep/**/*.raw\n\n", route="snapshot") == (0, [])
    assert "verdict=pass" in runner.written("GITHUB_OUTPUT")
    code, (line,) = runner(images="absent.ova")
    assert code == 2
    assert line.startswith("::error file=absent.ova,title=")


def test_the_action_passes_a_pull_request_without_images(runner: Runner) -> None:
    runner.git("init", "-q")
    runner.git("commit", "-q", "--allow-empty", "-m", "base")
    runner.git("commit", "-q", "--allow-empty", "-m", "none")
    assert runner()[0] == 0
    assert runner.written("GITHUB_OUTPUT") == "verdict=none\n"
