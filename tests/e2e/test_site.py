"""The site: every page is found, every link leads somewhere, and each message of AWS has a page that shows it whole."""

from __future__ import annotations

import html
import importlib.util
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tools import ROOT
from vmie import catalogue

DOCS = ROOT / "docs"
SITE, BLOB = "https://vmie.github.io/vmie/", "https://github.com/vmie/vmie/"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").glob("*.md")])
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(page: Path) -> list[str]:
    """Where a page leads, without code blocks and anchors."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [link.partition("#")[0] for link in _LINK.findall(re.sub(r"`[^`\n]*`", "", text))]


def target(page: Path, link: str) -> Path | None:
    """The file of the repository that a link means; None for another place."""
    if link.startswith(SITE):
        place = link.removeprefix(SITE).strip("/")
        if place.startswith("errors"):
            return None  # pages of messages are made while the site is built, from what `made` shows below
        return DOCS / (f"{place}.md" if place else "index.md")
    if link.startswith((f"{BLOB}blob/main/", f"{BLOB}tree/main/")):
        return ROOT / link.partition("/main/")[2]
    return None if "://" in link or not link or link.endswith("errors/index.md") else page.parent / link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_of_a_document_leads_nowhere(page: Path) -> None:
    missing = [link for link in links(page) if (file := target(page, link)) and not file.exists()]
    assert missing == []


def test_every_document_is_in_the_navigation_once() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())

    def listed(node: Any) -> list[str]:
        if isinstance(node, str):
            return [node]
        return [one for each in (node.values() if isinstance(node, dict) else node) for one in listed(each)]

    named = listed(settings["nav"])
    assert sorted(named) == sorted([*(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")), "errors/index.md"])
    assert settings["strict"]
    assert {settings["validation"][kind] for kind in ("not_found", "anchors", "omitted_files")} == {"warn"}


@pytest.fixture(scope="module")
def made() -> Mapping[str, str]:
    """The pages that no file holds."""
    spec = importlib.util.spec_from_file_location("error_site", DOCS / "error_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = path
    return module.pages()  # type: ignore[no-any-return]


def test_each_message_has_a_page_by_its_id(made: Mapping[str, str]) -> None:
    assert set(made) == {"index.md", *(f"{name}.md" for name in catalogue.entries())}
    for name, entry in catalogue.entries().items():
        page = made[f"{name}.md"]
        words = catalogue.words(name)
        _, front, body = page.split("---\n", 2)
        assert yaml.safe_load(front)["title"] == words
        heading = next(line for line in body.splitlines() if line.startswith("# "))
        assert html.unescape(heading.removeprefix("# ")) == words
        assert all(cause in body for cause in entry.causes)
        assert f"    vmie explain {name}\n" in body
        assert f"]({name}.md)" in made["index.md"]


def test_their_links_lead_to_rules_that_are_there(made: Mapping[str, str]) -> None:
    rules = (DOCS / "reference" / "rules.md").read_text()
    heads = {
        re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in re.findall(r"^#+ (.*)$", rules, re.MULTILINE)
    }
    anchors = re.findall(r"rules\.md#([\w-]+)", "".join(made.values()))
    assert len(anchors) > 20
    assert set(anchors) <= heads


def test_what_the_documents_show_of_python_yaml_json_and_toml_can_be_read() -> None:
    for page in PAGES:
        for kind, text in re.findall(r"```(python|yaml|json)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            if kind == "python":
                compile(text, str(page), "exec")
            elif kind == "yaml":
                yaml.safe_load(text)
            else:
                json.loads(text)
