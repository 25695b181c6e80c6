"""A word or two that no message has: the rules and limits about it are named, offline."""

from __future__ import annotations

import json

import pytest

from vmie.cli import run


@pytest.mark.parametrize(
    ("words", "wanted"),
    [("kernel", "VMIE-OS-005"), ("kernel known", "VMIE-BOOT-007"), ("concurrent imports", "concurrent")],
)
def test_what_is_about_the_words_is_named(words: str, wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", *words.split()]) == 0
    assert wanted in capsys.readouterr().out
    assert run(["--output", "json", "explain", words]) == 0
    near = json.loads(capsys.readouterr().out)["result"]["near"]
    assert any(wanted in one["id"] or wanted in one["title"].lower() for one in near)


def test_a_message_is_no_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--output", "json", "explain", "ClientError: something the kernel of this guest did is quite new"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["near"] == []
