"""A batch as a person sees it run: the table on a terminal, a line per finished item through a pipe."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.test_check_cli import bad, good

__all__ = ["bad", "good"]
ITEMS = 3


@pytest.fixture
def plan(tmp_path: Path, good: Path, bad: Path) -> Path:
    """Two machines that come through and one that does not."""
    paths = [tmp_path / "web-1.raw", tmp_path / "web-2.raw", tmp_path / "old.raw"]
    for path, image in zip(paths, (good, good, bad), strict=True):
        os.link(image, path) if image is bad else path.write_bytes(image.read_bytes())
    lines = "".join(f"  - {{source: {path}}}\n" for path in paths)
    (tmp_path / "plan.yaml").write_text(f"items:\n{lines}")
    return tmp_path / "plan.yaml"


def _on_a_terminal(argv: list[str], *, key: bytes = b"", after: bytes = b"completed") -> tuple[int, str]:
    """Exit code, and what a terminal of 100 columns was sent; `key` is typed once `after` was seen."""
    pid, ours = pty.fork()
    if pid == 0:
        env = {**os.environ, "COLUMNS": "100", "LINES": "30", "TERM": "xterm"}
        os.execve(sys.executable, [sys.executable, "-m", "vmie", *argv], env)
    shown, end = b"", time.monotonic() + 120
    try:
        while time.monotonic() < end and (piece := os.read(ours, 1 << 16)):
            shown += piece
            if key and after in shown:
                os.write(ours, key)
                key = b""
    except OSError:  # Linux's end of a terminal
        pass
    os.close(ours)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_a_terminal_gets_the_table_and_the_failures_in_red(plan: Path, tmp_path: Path) -> None:
    target = tmp_path / "result.html"
    code, shown = _on_a_terminal(["--sandbox", "batch", "run", str(plan), "--report", str(target)])
    assert code == 3, shown
    assert re.search(r"batch-\S+ running: \d/3 completed", shown)
    assert "d: detach" in shown
    assert re.search(r"\x1b\[31m  old: .*", shown)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.rpartition("2 of 3 completed")[2])
    assert f"report: {target} written" in last.replace("\r\n", "").replace("  report", "report")
    assert "old: queued" not in shown, "no line for each stage"
    assert target.stat().st_size > 1000


def test_a_key_puts_the_table_away_and_the_work_goes_on(plan: Path) -> None:
    code, shown = _on_a_terminal(["--sandbox", "batch", "run", str(plan)], key=b"d", after=b"d: detach")
    assert code == 3, shown
    assert "2 of 3 completed, 1 failed" in shown
    assert "web-2: completed" in shown, "lines from then on"


def test_through_a_pipe_there_is_a_line_for_each_finished_item(plan: Path) -> None:
    argv = [sys.executable, "-m", "vmie", "--sandbox", "batch", "run", str(plan)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stderr
    lines = [line for line in done.stderr.splitlines() if ": " in line]
    ended = [line for line in lines if re.match(r"(web-1|web-2|old): (completed|failed)", line)]
    assert len(ended) == ITEMS
    assert not re.search(r": (queued|sending|converting)", done.stderr)
    assert "\x1b" not in done.stderr + done.stdout
