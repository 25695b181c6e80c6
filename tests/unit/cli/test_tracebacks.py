"""A traceback shows where a fault was, and no secret that its message holds."""

from __future__ import annotations

import json
import sys
import threading

import pytest

from vmie.cli import job_index, run, tracebacks

_SECRETS = (
    "postgresql://vmie:hunter2@db/vmie",
    "https://b.s3.amazonaws.com/k?X-Amz-Signature=0badc0de&X-Amz-Security-Token=t0ken",
    "aws_secret_access_key=s3cr3t/s3cr3t",
    "AKIAABCDEFGHIJKLMNOP",
)
_NEVER = ("hunter2", "0badc0de", "t0ken", "s3cr3t", "AKIAABCDEFGHIJKLMNOP", "\x1b", "\udc80")


def fail(*_: object, **__: object) -> None:
    try:
        int(" ".join(_SECRETS))
    except ValueError as error:
        raise RuntimeError(f"\x1b[2J \udc80 {' '.join(_SECRETS)}") from error


@pytest.mark.parametrize("output", ["text", "json"])
def test_verbose_shows_a_fault_without_secrets(
    output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(job_index, "everything", fail)
    assert run(["--verbose", "--output", output, "jobs"]) == 1
    shown = capsys.readouterr()
    assert "Traceback (most recent call last)" in shown.err
    assert shown.err.count("in fail") == 2
    assert not [secret for secret in _NEVER if secret in shown.out + shown.err]
    if output == "json":
        assert json.loads(shown.out)["error"]["code"] == "Fault"


def test_what_a_thread_leaves_is_shown_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module, hook in ((sys, "excepthook"), (threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    tracebacks.install()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError(_SECRETS[0]), None)
    shown = capsys.readouterr().err
    assert "RuntimeError" in shown
    assert "ValueError" in shown
    assert not [secret for secret in _NEVER if secret in shown]
