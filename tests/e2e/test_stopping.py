"""Ctrl-C and SIGTERM at any moment, and streams that are closed, full or unread: real processes, as a user has them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

VMIE = (sys.executable, "-m", "vmie")
pytestmark = pytest.mark.usefixtures("started_anew")


def environ(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "VMIE_STATE": str(tmp_path / "state"), "AWS_REGION": "us-east-1"}


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Half a gigabyte that takes a while to convert: random, so that nothing of it is a hole."""
    path = tmp_path / "large.raw"
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for _ in range(500):
            file.write(block)
    return path


def stopped(argv: list[str | Path], tmp_path: Path, *, after: float, how: signal.Signals) -> tuple[int, str, str]:
    process = subprocess.Popen(
        [*VMIE, *map(str, argv)],
        env=environ(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(after)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_is_answered_at_any_moment(large: Path, tmp_path: Path, how: signal.Signals) -> None:
    for after in (0.3, 0.7, 1.1):
        argv = ["--output", "json", "convert", large, tmp_path / "out.vmdk", "--force", "--workers", "1"]
        code, out, err = stopped(argv, tmp_path, after=after, how=how)
        assert code == 130, (after, out, err)
        assert json.loads(out)["error"]["code"] == "Interrupted"
        assert "Traceback" not in err
    assert not list(tmp_path.glob("*.partial"))
    code, out, err = stopped(argv[2:], tmp_path, after=0.9, how=how)
    assert (code, out) == (130, "")
    assert err.splitlines()[-2:] == ["error: interrupted", "  cure: run the same command again"]


@pytest.mark.parametrize(
    "argv",
    [
        ["--sandbox", "import", "LARGE", "--skip-check", "all"],
        ["--sandbox", "upload", "LARGE", "s3://vmie-sandbox/x/"],
        ["check", "LARGE", "--verify"],
        ["--sandbox", "doctor"],
        ["--sandbox", "tasks", "list"],
        ["limits"],
        ["--sandbox", "batch", "run", "LARGE"],
    ],
    ids=" ".join,
)
def test_it_is_answered_by_every_verb(argv: list[str], large: Path, tmp_path: Path) -> None:
    words: list[str | Path] = [large if word == "LARGE" else word for word in argv]
    code, out, err = stopped(["--output", "json", *words], tmp_path, after=0.35, how=signal.SIGINT)
    assert "Traceback" not in err
    shown = json.loads(out)
    assert (code == 130) == (shown["status"] == "error" and shown["error"]["code"] == "Interrupted"), out


RESULTS = [
    ["--help"],
    ["import", "--help"],
    ["--version"],
    ["limits"],
    ["--output", "json", "limits"],
    ["policy", "trust"],
]


@pytest.mark.parametrize("argv", RESULTS, ids=" ".join)
def test_a_full_disk_and_a_reader_that_left_are_no_faults(argv: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run([*VMIE, *argv], env=environ(tmp_path), stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert b"the output could not be written: No space left on device" in done.stderr
    reader, writer = os.pipe()
    os.close(reader)
    left = subprocess.run([*VMIE, *argv], env=environ(tmp_path), stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    for shown in (done, left):
        assert b"Traceback" not in shown.stderr
        assert b"Exception ignored" not in shown.stderr
    assert left.returncode == 0


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_what_cannot_be_shown_changes_no_result(closed: str, tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(os.urandom(1 << 20))
    for argv, code in ((["check", "absent"], 2), (["convert", "disk.raw", "out.vmdk", "--force"], 0)):
        command = " ".join([*VMIE, *argv, closed])
        done = subprocess.run(
            ["sh", "-c", command], env=environ(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stdout + done.stderr
    assert (tmp_path / "out.vmdk").read_bytes()[:4] == b"KDMV"  # and not what was meant for a stream
