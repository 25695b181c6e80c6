"""The quick half of `make clients`: programs that no one here wrote do their work in a served sandbox."""

from __future__ import annotations

import datetime as dt
import os

import pytest

from tests.clients import moto_suites
from tests.clients.__main__ import judged, table
from tests.clients.bench import Result
from tests.clients.programs import CLIENTS, QUICK
from tests.tools import ROOT


@pytest.mark.parametrize("name", QUICK)
def test_it_works_unchanged(name: str) -> None:
    results = judged(name)
    if isinstance(results, str):
        if os.environ.get("CI"):
            pytest.fail(results)
        pytest.skip(f"{name}: {results}")
    assert [one for one in results if not one.worked] == []
    assert len(results) >= 4


def test_the_table_names_what_fails_and_what_was_not_run() -> None:
    shown = table(
        {"a": [Result("one", worked=True), Result("two", worked=False, why="a|b <i>")], "b": "it is not installed"},
        dt.date(2026, 1, 2),
    )
    assert shown.splitlines()[4:] == [
        "| a | one | works |",
        "| a | two | fails: a\\|b &lt;i> |",
        "| b | | not run: it is not installed |",
    ]


def test_the_page_has_a_row_of_each_client() -> None:
    page = (ROOT / "docs" / "explanation" / "sandbox.md").read_text()
    rows = page.partition("<!-- clients: ")[2].partition("<!-- /clients -->")[0]
    assert all(f"| {name} |" in rows for name in CLIENTS)
    rows = page.partition("<!-- moto: ")[2].partition("<!-- /moto -->")[0]
    assert all(f"| {name} |" in rows for name in moto_suites.SUITES)


def test_a_slice_of_motos_own_tests() -> None:
    assert moto_suites.surprises(moto_suites.run("ebs", whole=False)) == []
