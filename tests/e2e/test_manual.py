"""The manual pages are what `--help` says, and well-formed by mandoc's and groff's judgement."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import typer.main

from tests import tools
from tests.tools import ROOT
from vmie.cli.app import build
from vmie.cli.verbs import VERBS

PAGES = sorted((ROOT / "man").glob("*.1"))


def shown(page: Path) -> str:
    """A page as mandoc shows it, without bold."""
    done = tools.run(["mandoc", "-Tutf8", "-Owidth=1000", page])
    return re.sub(r".\x08", "", done.stdout)


def test_there_is_a_page_for_every_verb() -> None:
    assert {page.stem for page in PAGES} == {"vmie", *(f"vmie-{verb}" for verb in VERBS)}


def test_mandoc_finds_nothing_to_warn_of() -> None:
    tools.need("mandoc")
    tools.run(["mandoc", "-Tlint", "-Wwarning", *PAGES])


def test_groff_finds_nothing_to_warn_of() -> None:
    if tools.find("man") is None or tools.find("troff") is None:
        pytest.skip("man is not installed here; mandoc judges too")
    environ = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    for page in (ROOT / "man" / "vmie.1", ROOT / "man" / "vmie-batch.1", ROOT / "man" / "vmie-import.1"):
        argv = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page]
        done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), page.name


@pytest.mark.parametrize("verb", ["import", "check", "batch"])
def test_a_page_shows_what_help_shows(verb: str) -> None:
    tools.need("mandoc")
    text = shown(ROOT / "man" / f"vmie-{verb}.1")
    command = typer.main.get_command(build()).commands[verb]  # type: ignore[attr-defined]
    for one in getattr(command, "commands", {verb: command}).values():
        for option in one.params:
            if not option.hidden and option.param_type_name == "option" and option.opts[0] != "--profile":
                assert option.opts[0] in text, option.opts
    assert "\\" not in text.replace("\\\n", "")
