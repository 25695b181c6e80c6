"""Programs that tests use as oracles. A missing one fails in CI and is a named skip elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_PATH = os.pathsep.join([str(ROOT / ".tools" / "bin"), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def find(program: str) -> str | None:
    """The program's path, also from the tools environment and /sbin."""
    return shutil.which(program, path=_PATH)


def need(*programs: str) -> None:
    """Go on only if all `programs` are there: else fail in CI, skip with their names elsewhere."""
    missing = [program for program in programs if find(program) is None]
    if not missing:
        return
    reason = f"needs {', '.join(missing)} (`make system-tools` installs it where it can)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def run(argv: Sequence[str | os.PathLike[str]], **kwargs: object) -> subprocess.CompletedProcess[str]:
    """Run an oracle, with its output in the failure message."""
    program = find(str(argv[0])) or str(argv[0])
    env = {**os.environ, "PATH": _PATH, "LC_ALL": "C"}
    done = subprocess.run(  # type: ignore[call-overload]
        [program, *map(str, argv[1:])],
        **{"check": False, "capture_output": True, "text": True, "env": env, "timeout": 600, **kwargs},
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def sized(some: int, all_: int) -> list[object]:
    """For `parametrize`: the size of every run, and the full one of `make soak`."""
    return [some, pytest.param(all_, marks=pytest.mark.soak)]
