"""Values as shells and systemd quote them, and GRUB's environment block."""

from __future__ import annotations

import time

import pytest

from vmie.guest.linux.shell import block, variables


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain", "plain"),
        ("two words", "two words"),
        ("a # comment", "a"),
        ("a#b", "a#b"),
        ('"a # b" # comment', "a # b"),
        ('"a" left over', "a"),
        ("'a \"b\"'", 'a "b"'),
        ('"a \\"b\\" \\$c \\d"', 'a "b" $c \\d'),
        ("""'Joe'"'"'s net'""", "Joe's net"),
        ("a\\ b\\#", "a b#"),
        ('"open', "open"),
        ("''", ""),
        ("", ""),
    ],
)
def test_a_value(written: str, value: str) -> None:
    assert variables(f"A={written}\n") == {"A": value}


def test_a_block_of_grub_has_no_quotes_and_no_comments_behind_values() -> None:
    text = "# GRUB Environment Block\nsaved_entry=Fedora #1 'x'\na=b\\\\c\\\nd\nempty=\n" + "#" * 900
    assert block(text) == {"saved_entry": "Fedora #1 'x'", "a": "b\\c\nd", "empty": ""}


def test_hostile_text_takes_no_time() -> None:
    begin = time.process_time()
    block("a=\\\n" * 16_000 + "\\")
    for mark in ("'", '"', "\\", "' \"", "\\\n"):
        variables("A=" + mark * 30_000)
    assert time.process_time() - begin < 2
