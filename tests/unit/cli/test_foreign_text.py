"""The command line on a real terminal and through a pipe: foreign text is shown, secrets are not."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_escaping import EVIL, SEEN
from vmie import events
from vmie.cli import render, reporter, run
from vmie.cli.context import Invocation
from vmie.errors import VmieError

SECRET = "s3cr/t"


@pytest.fixture
def jobs(tmp_path: Path) -> dict[str, str]:
    """A state folder with a job whose source has such a name; the environment that names it."""
    shape = {"status": "done", "kind": "import", "source": EVIL, "request": {}, "steps": {}, "updated": "2026"}
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "job-20260102-030405-a1b2c3.json").write_text(json.dumps(shape))
    return {**os.environ, "VMIE_STATE": str(tmp_path), "TERM": "xterm", "COLUMNS": "400"}


def test_a_file_name_on_a_terminal(jobs: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-m", "vmie", "jobs"], env=jobs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 1 << 16):
                shown += piece
        except OSError:  # Linux's end of a terminal
            pass
    os.close(ours)
    assert process.returncode == 0, shown
    assert SEEN.encode() in shown
    assert b"\x1b]" not in shown


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_json_is_utf_8_whatever_a_file_is_called(jobs: dict[str, str], encoding: str) -> None:
    argv = [sys.executable, "-m", "vmie", "--output", "json", "jobs"]
    done = subprocess.run(argv, env=jobs | {"PYTHONIOENCODING": encoding}, capture_output=True, check=True)
    (job,) = json.loads(done.stdout.decode("utf-8"))["result"]["jobs"]
    assert job["source"] == EVIL.replace("\udc80", r"\udc80")


@pytest.mark.parametrize("output", ["text", "json"])
def test_an_error_shows_neither_controls_nor_passwords(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = VmieError(f"AWS says {EVIL}", cause=f"Failed to connect to proxy URL: http://me:{SECRET}@proxy:3128")
    error.result = {"endpoint": f"https://me:{SECRET}@host/x"}
    render.fail(Invocation(output=output), "import", error)
    shown = "".join(capsys.readouterr())
    assert SECRET not in shown
    assert "http://me:[redacted]@proxy:3128" in shown
    assert not set("\x1b\x9b\u202e\udc80") & set(shown)


def test_a_refused_endpoint_is_named_without_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--endpoint-url", f"ftp://me:{SECRET}@host", "tasks", "list"]) == 2
    shown = "".join(capsys.readouterr())
    assert "host" in shown
    assert SECRET not in shown


@pytest.mark.parametrize("form", ["text", "json"])
def test_progress_shows_neither_controls_nor_passwords(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    with reporter.make(log_format=form) as report:
        report(events.Note(f"{EVIL} http://me:{SECRET}@proxy"))
        report(events.Stage("check", EVIL))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert not set("\x1b\x9b\u202e\udc80") & set("".join(lines))
    assert SECRET not in lines[0]
    if form == "json":
        assert [json.loads(line)["event"] for line in lines] == ["Note", "Stage"]
