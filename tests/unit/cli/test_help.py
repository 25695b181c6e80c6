"""Help as it is typed: groups, examples, every width; and what the shell is offered."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from vmie.cli import run
from vmie.cli.app import build
from vmie.cli.global_options import GLOBALS
from vmie.cli.verbs import VERBS
from vmie.options.base import GROUPS

JOB, BATCH, TASK = "job-20260102-030405-a1b2c3", "batch-20260102-030405-a1b2c3", "import-ami-0123456789abcdef0"


def _every(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in getattr(node, "commands", {}).items():
        if command.hidden:
            continue
        yield (*path, name), command
        yield from _every(command, (*path, name))


EVERY = dict(_every(typer.main.get_command(build())))
ALONE = [path for path, command in EVERY.items() if not hasattr(command, "commands")]


def _help(*argv: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(list(argv)) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_three_ways_to_one_page(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    page = _help(*path, "--help", capsys=capsys)
    assert page == _help(*path, "-h", capsys=capsys) == _help("help", *path, capsys=capsys)
    assert page.startswith(f"Usage: vmie {' '.join(path)} [OPTIONS]")
    assert "..." not in page.replace("...  ", "").partition("\n\n")[2].replace("]...", ""), "a sentence is cut"


@pytest.mark.parametrize("path", ALONE, ids=" ".join)
def test_every_page_has_examples_and_names_the_global_options(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    page = _help(*path, "--help", capsys=capsys)
    examples = re.findall(
        rf"^  .*vmie {' '.join(path)}\b.*$", page.partition("Examples:")[2].partition("\n\n")[0], re.M
    )
    assert len(examples) >= 3
    flat = " ".join(page.split())
    for one in GLOBALS:
        assert one.name == "version" or one.flag in flat


@pytest.mark.parametrize("path", [path for path in EVERY if path not in ALONE], ids=" ".join)
def test_a_group_alone_shows_its_page(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert _help(*path, capsys=capsys) == _help(*path, "--help", capsys=capsys)


@pytest.mark.parametrize("width", [30, 50, 80, 100, 200])
@pytest.mark.parametrize("path", [(), ("import",), ("check",), ("batch",), ("sandbox", "serve")], ids=" ".join)
def test_a_page_fits_the_terminal(
    path: tuple[str, ...], width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = _help(*path, "--help", capsys=capsys).splitlines()
    prose = [line for line in lines if not line.startswith(("  vmie ", '  eval "$(vmie'))]
    # One word alone may be longer than a very narrow terminal.
    assert [line for line in prose if len(line) > width and " " in line.strip()] == []
    assert width > 100 or max(map(len, prose)) > width * 0.8


def test_the_options_of_an_import_are_grouped(capsys: pytest.CaptureFixture[str]) -> None:
    page = _help("import", "--help", capsys=capsys)
    titles = [line.removesuffix(":") for line in page.splitlines() if re.fullmatch(r"[A-Z][A-Za-z ]+:", line)]
    groups = [one for one in GROUPS if one not in ("By EBS direct", "In EC2")]  # of an export, of a boot
    assert titles == ["Examples", "Arguments", *groups, "Global options"]
    assert "--as <image|snapshot|instance|volume>" in page


def test_the_root_page_is_the_same_with_an_option_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    page = _help(capsys=capsys)
    assert page == _help("--help", capsys=capsys) == _help("-h", capsys=capsys) == _help("help", capsys=capsys)
    assert page == _help("--region", "eu-west-1", "--help", capsys=capsys)
    for name, verb in VERBS.items():
        assert f"\n  {name} " in page
        assert verb.summary.split()[-1] in page


def test_a_flag_has_one_meaning_and_older_ones_still_work(capsys: pytest.CaptureFixture[str]) -> None:
    """`--kms-key` is the key of what AWS makes, wherever a page names it."""
    named = {" ".join(path) for path in ALONE if re.search(r"^  --kms-key ", _help(*path, "-h", capsys=capsys), re.M)}
    assert named == {"import", "doctor", "policy user"}
    for argv in (("upload", "x", "s3://my-images/"), ("setup-role",), ("policy", "role", "--bucket", "b-1")):
        run([*argv, "--kms-key", "alias/:"])
        assert "No such option" not in capsys.readouterr().err


def test_help_for_what_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", "inport"]) == 2
    assert "inport" in capsys.readouterr().err


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """A home with two profiles and a state folder with a job and a batch."""
    shape = {"status": "done", "kind": "import", "source": "x", "request": {}, "updated": "2026"}
    shape["steps"] = {"submit": {"task_id": TASK, "at": "2026-01-02T03:04:05+00:00"}}
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / f"{JOB}.json").write_text(json.dumps(shape))
    (tmp_path / "batches" / BATCH).mkdir(parents=True)
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n[profile work]\nregion = eu-west-1\n")
    places = {"VMIE_STATE": str(tmp_path), "AWS_CONFIG_FILE": str(tmp_path / "config")}
    return {**os.environ, **places, "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}


def _offered(shell: str, line: str, home: dict[str, str]) -> list[str]:
    words = line.split(" ")
    asked = {
        "bash": {"COMP_WORDS": line.replace(" ", "\n"), "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    argv = [sys.executable, "-m", "vmie"]
    env = home | asked | {"_VMIE_COMPLETE": f"complete_{shell}"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    if shell == "zsh":
        return re.findall(r'^(?:_arguments \S+ :\(\()?"(.*?)"', done.stdout, re.M) or re.findall(
            r'"([^"\s]+)"(?::"|\n|\))', done.stdout
        )
    return [one.partition("\t")[0] for one in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("vmie imp", "import"),
        ("vmie import --licen", "--license-type"),
        ("vmie import x --dry", "--dry-run"),
        ("vmie import --as sn", "snapshot"),
        ("vmie import x --profile wo", "work"),
        ("vmie --profile wo", "work"),
        ("vmie import x --region eu-west-1 --as sn", "snapshot"),
        ("vmie batch run plan.yaml --region eu-cent", "eu-central-1"),
        ("vmie tasks list --output js", "json"),
        ("vmie resume job-", JOB),
        ("vmie cancel import-", TASK),
        ("vmie tasks show imp", TASK),
        ("vmie batch status bat", BATCH),
        ("vmie explain VMIE-OS-00", "VMIE-OS-005"),
    ],
)
def test_what_the_shell_is_offered(shell: str, line: str, wanted: str, home: dict[str, str]) -> None:
    assert wanted in _offered(shell, line, home)
