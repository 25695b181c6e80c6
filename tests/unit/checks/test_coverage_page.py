"""docs/reference/coverage.md is complete, and everything it names is there."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer.main

from tests.tools import ROOT
from vmie import checks
from vmie.checks.coverage import REQUIREMENTS
from vmie.cli.app import build
from vmie.ops.export import rules as exports

PAGE = ROOT / "docs" / "reference" / "coverage.md"
ROWS = re.findall(r"^\| (\d+)(?:-(\d+))? \| (.*?) \| (.*?) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

#: every line of the page (as plain text) with a sentence, a bullet or a policy on it: no headings, no "Note"
SENTENCES = """
7 9 13 17 19 21 23 25 27 29 33 35 39 41 45 47 51 53 57 59 63 65 69 71 73 75 77 79 81 83 87 89 91 93 97 101 103
105 109 111 115 117 121 123 125 127 131 133 135-141 145 149 153 157 161 163-180 182 186 188 192 196
198-231 233 235 237 241 243-295 297 303 305 307 309 311 313 315 317 319 321 323 325 327 329 331 333 335 337
341 343 345 347 349 351 353 355 357 359 361 363 365 367 369 371 373 377 379 381 383 385 387 389 391
"""


def covered() -> set[int]:
    return {line for first, last, *_ in ROWS for line in range(int(first), int(last or first) + 1)}


def test_every_sentence_of_the_page_is_covered() -> None:
    spans = (span.partition("-") for span in SENTENCES.split())
    wanted = {line for first, _, last in spans for line in range(int(first), int(last or first) + 1)}
    assert len(wanted) > 200
    assert sorted(wanted ^ covered()) == []


def test_no_line_is_covered_twice() -> None:
    lines = [line for first, last, *_ in ROWS for line in range(int(first), int(last or first) + 1)]
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda one: str(one.line))
def test_it_agrees_with_the_rules_own_list(requirement: Any) -> None:
    row = next(row for row in ROWS if int(row[0]) == requirement.line and not row[1])
    assert (row[2], row[3]) == (requirement.section, requirement.says)
    assert set(requirement.rules) <= set(re.findall(r"\[(VMIE-[A-Z]+-\d{3})\]", row[4]))


def test_every_rule_is_one() -> None:
    known = {rule.id for rule in checks.RULES} | {rule.id for rule in exports.RULES}
    named = {name for row in ROWS for name in re.findall(r"VMIE-[A-Z]+-\d{3}", row[4])}
    assert named <= known


def test_the_pages_export_limitations_are_each_a_rule() -> None:
    last = {row[0]: row[4] for row in ROWS if row[2] == "Limitations of exports" and int(row[0]) >= 379}
    assert len(last) == 7
    assert all("VMIE-EXPORT-" in covers or "vmie limits" in covers for covers in last.values())


def test_every_command_and_option_exists() -> None:
    named = {text for row in ROWS for text in re.findall(r"`(vmie [^`]*)`", row[4])}
    assert len(named) > 20
    for text in named:
        node: Any = typer.main.get_command(build())
        words = text.split()[1:]
        while words and words[0] in getattr(node, "commands", {}):
            node = node.commands[words.pop(0)]
        options = {name for parameter in node.params for name in parameter.opts}
        for word in (word for word in words if word.startswith("--")):
            assert word in options, f"{text}: no {word}"
        assert node.name != "vmie", text


def test_every_link_leads_somewhere() -> None:
    for target, anchor in {link for row in ROWS for link in re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", row[4])}:
        linked = (PAGE.parent / target).resolve()
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, (target, anchor)


def test_every_row_names_something() -> None:
    assert [row for row in ROWS if not re.search(r"`vmie |VMIE-|\]\(|one program", row[4])] == []


def _anchor(heading: str) -> str:
    kept = (char if char.isalnum() or char in "-_" else "-" if char == " " else "" for char in heading.lower())
    return "".join(kept)
