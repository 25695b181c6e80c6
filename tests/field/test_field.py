"""The slice of `make field` that every test run makes, and what the judging itself promises."""

from __future__ import annotations

import os

import pytest

from tests.field import families
from tests.field.judging import Case, Said, Word, judge, tally
from vmie.errors import ImageError


@pytest.mark.parametrize("family", families.SLICE, ids=lambda family: family.NAME)
def test_nothing_is_wrong_that_was_right(family: families.Family) -> None:
    done = families.run(family)
    if done.missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"cannot be had here: {'; '.join(done.missing)}")
    assert [str(one) for one in done.news()] == []
    assert done.few() == ""


def test_a_family_that_refuses_what_it_read_fails() -> None:
    assert tally("ovf", [Case("a", 1, lambda: 1), Case("b", 1, lambda: 1)]).few() == ""
    assert tally("ovf", [Case("a", 1, lambda: 1), Case("b", 1, lambda: Said.UNKNOWN)]).few() != ""


def _refuse() -> object:
    raise ImageError("no disk")


@pytest.mark.parametrize(
    ("expected", "ours", "word"),
    [
        (1, lambda: 1, Word.RIGHT),
        (1, lambda: 2, Word.WRONG),
        (1, lambda: 1 // 0, Word.WRONG),
        (1, _refuse, Word.REFUSED),
        (1, lambda: Said.UNKNOWN, Word.REFUSED),
        (Said.REFUSED, _refuse, Word.RIGHT),
        (Said.REFUSED, lambda: 1, Word.WRONG),
    ],
)
def test_a_case_is_judged(expected: object, ours: object, word: Word) -> None:
    assert judge(Case("a", expected, ours)).word is word  # type: ignore[arg-type]
