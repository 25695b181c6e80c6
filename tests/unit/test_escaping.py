"""What an image, a file's name or a service says drives no terminal and breaks no JSON."""

from __future__ import annotations

import io
import json

import pytest
from rich.live import Live
from rich.text import Text

from vmie.cli import render
from vmie.cli.terminal import SafeConsole
from vmie.escaping import json_text, visible

#: sets the window's title; turns the rest of the line round; a byte that is no UTF-8
EVIL = "\x1b]0;owned\x01 \x9b31m \u202egnp.exe \udc80 [bold]x[/nothing] :smile:"
SEEN = r"\x1b]0;owned\x01 \x9b31m \u202egnp.exe \udc80 [bold]x[/nothing] :smile:"


def test_controls_are_shown() -> None:
    assert visible(EVIL) == SEEN
    assert visible("naïve 日本\tx\n") == "naïve 日本\tx\n"


@pytest.mark.parametrize("ascii_only", [False, True])
def test_json_gives_the_text_back_and_holds_no_control(ascii_only: bool) -> None:
    written = json_text({EVIL: [EVIL, "日本"]}, indent=2, ascii_only=ascii_only)
    assert written.encode("ascii" if ascii_only else "utf-8")
    assert written == visible(written)
    kept = EVIL.replace("\udc80", r"\udc80")
    assert json.loads(written) == {kept: [kept, "日本"]}


def test_a_terminal_is_shown_escapes_and_no_markup_is_read() -> None:
    stream = io.StringIO()
    console = SafeConsole(stream, force_terminal=True, width=300, color_system=None)
    for one in (EVIL, Text(EVIL), render.table([EVIL], [[EVIL]])):
        console.print(one)
        assert SEEN in stream.getvalue()
        assert "owned\x01" not in stream.getvalue()
        stream.seek(0)
        stream.truncate()
    with Live(render.table(["NAME"], [[EVIL]]), console=console, auto_refresh=False):
        pass
    assert SEEN in stream.getvalue()
    assert not {"\x01", "\x9b", "\u202e", "\udc80"} & set(stream.getvalue())
