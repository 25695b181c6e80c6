"""Tables at every width: ids whole, nobody's text is markup, nothing drives the terminal."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from vmie.cli.tables import TextTable
from vmie.cli.terminal import SafeConsole

IDS = ("job-20260102-030405-a1b2c3", "import-ami-0123456789abcdef0", "export-image-0123456789abcdef01")
NAME = "[/dev/sda1] [red]web[/] \x1b[31m: a server with a long name"
ROWS = [
    (IDS[0], "completed", "import", IDS[1], "21.8 MiB", f"/images/{'deep/' * 30}server.vmdk", NAME),
    (IDS[2], "interrupted 3/500", "batch", "", "", "/home/me/plan.yaml", ""),
]
COLUMNS = ("job", "status", "kind", "task", "held", "source", "name")


@pytest.mark.parametrize("width", [*range(60, 131, 7), 160, 200, 400])
@pytest.mark.parametrize("kept", [2, 4, 7])
def test_a_table_fits_and_parts_no_id(width: int, kept: int) -> None:
    out = io.StringIO()
    console = SafeConsole(out, force_terminal=True, color_system=None, width=width)
    console.print(TextTable(COLUMNS[-kept:], [row[-kept:] for row in ROWS]))
    console.print(TextTable(COLUMNS[:kept], [row[:kept] for row in ROWS]))
    shown = out.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    for one in (IDS[0], IDS[2], *(IDS[1:2] if kept > 3 else ())):
        assert one in shown
    words = " ".join(shown.split())
    assert "[/dev/sda1] [red]web[/]" in words or "[red]web[/]" in words.replace("name ", "")
    assert "\x1b" not in shown


def test_through_a_pipe_a_row_is_a_line() -> None:
    out = io.StringIO()
    SafeConsole(out, no_color=True, width=200, soft_wrap=True).print(TextTable(COLUMNS, ROWS))
    header, first, second = out.getvalue().splitlines()
    assert header.split() == list(COLUMNS)
    assert first.startswith(IDS[0])
    assert "deep/" * 30 in first
    assert second.endswith("/home/me/plan.yaml")


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_jobs_on_a_terminal(width: int, tmp_path: Path) -> None:
    steps = {"submit": {"task_id": IDS[1], "at": "2026-01-02T03:04:05+00:00"}}
    shape = {"status": "done", "kind": "import", "source": NAME, "request": {}, "steps": steps}
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / f"{IDS[0]}.json").write_text(json.dumps(shape | {"updated": "2026-01-02T03:04:05+00:00"}))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    env = {**os.environ, "VMIE_STATE": str(tmp_path), "TERM": "xterm"}
    env.pop("COLUMNS", None)
    with subprocess.Popen([sys.executable, "-m", "vmie", "jobs"], env=env, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 1 << 16):
                shown += piece
        except OSError:  # Linux's end of a terminal
            pass
    os.close(ours)
    assert process.returncode == 0, shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    assert IDS[0] in plain
    assert IDS[1] in plain
    assert "[/dev/sda1]" in plain
    assert "\x1b" not in plain
    assert max(map(len, plain.replace("\r", "").splitlines())) <= width
