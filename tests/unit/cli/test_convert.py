"""`vmie convert` as a user meets it: exit codes, JSON keys, --dry-run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.disk.memory import MIB, prose
from vmie.cli import run


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "in.raw"
    path.write_bytes(prose(3 * MIB))
    return path


def asked(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, dict[str, Any]]:
    code = run(["--output", "json", "--quiet", *map(str, argv)])
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, answer


def test_the_result_is_the_contracted_object(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = asked(capsys, "convert", raw, tmp_path / "out.vmdk")
    assert (code, answer["status"], answer["command"]) == (0, "success", "convert")
    assert set(answer["result"]) == {"path", "format", "virtual_size", "bytes_source", "bytes_written", "seconds"}
    assert (tmp_path / "out.vmdk").stat().st_size == answer["result"]["bytes_written"]


def test_an_existing_target_is_a_usage_error(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.vmdk").write_text("precious")
    code, answer = asked(capsys, "convert", raw, tmp_path / "out.vmdk")
    assert (code, answer["status"]) == (2, "error")
    assert "--force" in answer["error"]["cure"]
    code, _ = asked(capsys, "convert", raw, tmp_path / "out.vmdk", "--force")
    assert code == 0


def test_a_dry_run_writes_nothing(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = asked(capsys, "convert", raw, tmp_path / "out.vhd", "--dry-run")
    assert code == 0
    assert answer["result"]["upper_bound"] > 0
    assert not (tmp_path / "out.vhd").exists()


def test_text_says_what_was_made(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--quiet", "convert", str(raw), str(tmp_path / "out.raw")]) == 0
    said = capsys.readouterr().out
    assert "out.raw: raw\n  written  data 3.0 MiB" in said
    assert said.splitlines()[-1] == f"  next     vmie import {tmp_path / 'out.raw'}"
