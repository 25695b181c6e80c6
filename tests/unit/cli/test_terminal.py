"""What goes to a terminal: colours that are seen on any, none where none are wanted, bars only where they can be."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr, redirect_stdout

import pytest
from rich.color import Color
from rich.style import Style

from vmie import events
from vmie.cli import check_text, render, reporter, tables, wrapping
from vmie.cli.terminal import PALETTE

MIB = 1 << 20
COLOURED = r"\x1b\[[0-9;]*[34][0-9]"
#: paper, ink, and the grounds that terminals come with
GROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0), "grey": (30, 30, 30), "cream": (253, 246, 227)}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "NO_COLOR": ""}.items():
        monkeypatch.setenv(name, value)
    return Terminal()


def _lightness(colour: tuple[int, ...]) -> float:
    """Relative luminance: https://www.w3.org/TR/WCAG21/#dfn-relative-luminance."""
    parts = [one / 255 for one in colour]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("meaning", PALETTE)
def test_a_colour_is_seen_on_light_and_dark(meaning: str, ground: str) -> None:
    colour = Style.parse(PALETTE[meaning]).color
    assert isinstance(colour, Color)
    one, other = sorted((_lightness(tuple(colour.get_truecolor())), _lightness(GROUNDS[ground])), reverse=True)
    assert (one + 0.05) / (other + 0.05) >= 3, "WCAG 2.1, 1.4.11"


def test_every_style_is_one_of_those_colours() -> None:
    assert {*tables.STYLES.values(), *check_text.STYLES.values()} <= PALETTE.keys()


def _show(stream: io.StringIO, **options: bool) -> str:
    """An upload that an earlier run had brought to three quarters, and a table."""
    with redirect_stderr(stream), redirect_stdout(stream):
        with reporter.make(**options) as report:
            report(events.Stage("upload", "disk.raw"))
            report(events.Progress("upload", 75 * MIB, 100 * MIB, 0))
            report(events.Note("mind this", "warning"))
        render.console(stderr=False).print(render.table(["job", "status"], [["a", "failed"]]))
    return stream.getvalue()


def test_a_bar_goes_on_where_the_upload_stood(terminal: Terminal) -> None:
    shown = _show(terminal)
    assert "75.0/100.0 MiB" in shown
    assert "mind this" in shown
    assert not re.search(r"[0-9.]+ .?B/s", shown), "what an earlier run sent is no rate"


def test_no_colour_where_none_is_wanted(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.search(COLOURED, _show(terminal))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(COLOURED, _show(Terminal()))


def test_a_terminal_that_only_prints_gets_lines(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    shown = _show(terminal)
    assert "\x1b" not in shown
    assert "upload: disk.raw" in shown


def test_no_bar_where_none_is_wanted(terminal: Terminal) -> None:
    told = "upload: disk.raw\nwarning: mind this\n"
    assert _show(terminal, progress=False).startswith(told)
    assert _show(io.StringIO()) == f"{told}job  status\na    failed\n", "through a pipe"


@pytest.mark.parametrize("width", range(44, 121, 9))
def test_a_command_is_copied_as_it_was(width: int) -> None:
    argv = ["aws", "ec2", "run-instances", "--image-id", "ami-0123456789abcdef0", "--key-name", "my key", "--dry-run"]
    lines = list(wrapping.command(argv, width, first="  next  ", indent=8))
    assert max(map(len, lines)) <= width
    assert all(line.endswith(" \\") for line in lines[:-1])
    joined = " ".join(line.strip().removesuffix("\\").strip() for line in lines)
    assert joined == "next  aws ec2 run-instances --image-id ami-0123456789abcdef0 --key-name 'my key' --dry-run"


def test_a_number_stays_with_its_unit() -> None:
    for width in range(40, 60):
        lines = list(wrapping.wrapped("Debian GNU/Linux 12 (bookworm) and 466.1 MiB free on ext4, in 2.0 s", width))
        assert all(not re.search(r"[0-9]$", line) or line.endswith("12") for line in lines)
