"""What README and docs print is what works: every `vmie …` line in them parses, and the tutorial runs."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import vmie
from tests.e2e.conftest import Done
from tests.sandbox.conftest import bootable
from tests.tools import ROOT
from vmie import sandbox
from vmie.cli.app import build

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])


def blocks(text: str) -> Iterator[str]:
    """The lines of code blocks, indented or fenced, with continued lines joined."""
    fenced = False
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()


def commands(page: Path) -> list[list[str]]:
    """Every vmie command of a page, as arguments."""
    found = []
    for line in blocks(page.read_text(encoding="utf-8")):
        for part in re.split(r"[;&|]+\s*", line.removeprefix("$ ")):
            if not re.match(r"(vmie|eval \"\$\(vmie) ", part):
                continue
            plain = re.sub(r'^eval "\$\((.*)\)"', r"\1", part)
            found.append(shlex.split(plain, comments=True)[1:])
    return found


ALL = [(page, argv) for page in PAGES for argv in commands(page)]


@pytest.fixture(scope="module")
def root() -> Any:
    return typer.main.get_command(build())


def test_the_documents_show_commands() -> None:
    assert len(ALL) > 40
    assert len(commands(ROOT / "README.md")) >= 8


@pytest.mark.parametrize(("page", "argv"), ALL, ids=[f"{page.stem}: {' '.join(argv)}"[:70] for page, argv in ALL])
def test_every_command_parses(root: Any, page: Path, argv: list[str]) -> None:
    if "[" in " ".join(argv):
        return  # a synopsis
    everywhere = {name: option for option in root.params for name in option.opts + option.secondary_opts}
    rest, node = list(argv), root
    own: dict[str, Any] = {}
    while rest:
        word = rest.pop(0)
        if word in getattr(node, "commands", {}):
            node = node.commands[word]
            own = {name: option for option in node.params for name in option.opts + option.secondary_opts}
        elif word.startswith("-") and word not in ("-", "--help"):
            name, equals, _ = word.partition("=")
            option = own.get(name) or everywhere.get(name)
            assert option is not None, f"{page.name}: vmie {' '.join(argv)}: there is no {name}"
            if not option.is_flag and not equals:
                assert rest, f"{page.name}: {name} lacks its value"
                value = rest.pop(0)
                choices = getattr(getattr(option, "type", None), "choices", None)
                if choices and value.isalpha() and not value.isupper():
                    assert value in [str(getattr(one, "value", one)) for one in choices], (page.name, argv)
        else:
            assert node is not root, f"{page.name}: there is no verb {word}"
    assert node is not root or {"--version", "--help", "--show-completion", "--install-completion"} & set(argv)


def test_the_tutorial_runs_as_printed(
    vmie: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    printed = commands(ROOT / "docs" / "tutorial" / "first-import.md")
    alone = [argv for argv in printed if argv[0] == "check" or "--sandbox" in argv]
    served = [argv for argv in printed if argv not in alone and argv[0] != "sandbox"]
    assert len(alone) >= 3
    assert len(served) >= 3
    for argv in alone:
        assert vmie(*argv).code == 0, argv
    with sandbox.start(seeded=True, speed=20_000):
        for argv in served:
            assert vmie(*argv).code == 0, argv


def scripts(page: str) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_script_of_the_batch_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vmie: Callable[..., Done]
) -> None:
    (script,) = scripts("docs/how-to/run-a-batch.md")
    (tmp_path / "vm.raw").write_bytes(bootable())
    (tmp_path / "plan.yaml").write_text("defaults: {skip_check: all}\nitems: [{source: vm.raw}]\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    with sandbox.start(seeded=True, speed=10_000):
        exec(script, names)  # the page is ours
    assert set(names["made"]) == {"vm"}
    assert names["made"]["vm"].startswith("ami-")
    (listed,) = vmie("batch", "status").json["result"]["batches"]
    assert listed["batch"] == names["outcome"].batch


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the pages name, in the working directory."""
    shutil.copy(ROOT / "examples" / "demo.ova", tmp_path / "server.ova")
    vmie.convert(tmp_path / "server.ova", tmp_path / "server.vmdk")
    (tmp_path / "plan.yaml").write_text(
        "items: [{source: server.ova}, {source: server.vmdk, key: data, route: snapshot}]\n"
    )
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("folder")
def test_the_page_of_the_library_runs() -> None:
    *blocks, offline = scripts("docs/how-to/from-python.md")
    names: dict[str, Any] = {}
    with sandbox.start(seeded=True, speed=10_000):
        for block in blocks:
            exec(block, names)  # the page is ours
    exec(offline, names)
    assert names["made"].image_id.startswith("ami-")
    assert {str(item.state) for item in names["outcome"].items} == {"completed"}
    assert names["tried"].status == "completed"


@pytest.mark.usefixtures("folder")
def test_the_ten_lines_of_the_readme_run() -> None:
    (script,) = scripts("README.md")
    names: dict[str, Any] = {}
    with sandbox.start(seeded=True, speed=10_000):
        exec(script, names)  # the page is ours
    assert names["made"].status == "completed"
    assert len(names["outcome"].items) == 2
    assert len(script.split("\n\n", 1)[1].strip().splitlines()) <= 10
