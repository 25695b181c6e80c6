"""A served sandbox, programs run against it, and what came of each operation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sandbox.conftest import bootable

#: seconds of AWS's work per second: an import takes three, which is time to cancel one
SPEED = "600"
_WORLD = Path(__file__).parent / "world.yaml"


@dataclass(frozen=True)
class Result:
    """One operation of one client: it worked, or `why` not."""

    operation: str
    worked: bool
    why: str = ""


@dataclass
class Bench:
    """Where one client works: an empty home in `folder`, disk.raw in it, and the sandbox in its environment."""

    folder: Path
    environ: dict[str, str]
    results: list[Result] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The endpoint."""
        return self.environ["AWS_ENDPOINT_URL"]

    def run(
        self, operation: str, argv: Sequence[object], *, expect: str = "", more: dict[str, str] | None = None
    ) -> str:
        """Run a program: the operation worked when it ends with 0 and shows `expect`. What it showed."""
        code, shown, errors = self._run(argv, more or {})
        worked = code == 0 and expect in shown + errors
        why = "" if worked else _last(errors or shown) or f"it ended with {code} and did not show {expect!r}"
        self.results.append(Result(operation, worked, why))
        return shown

    def lines(self, argv: Sequence[object], *, more: dict[str, str] | None = None) -> None:
        """Run a program that writes a line of JSON for each operation: task, ok, message."""
        code, shown, errors = self._run(argv, more or {})
        before = len(self.results)
        for line in shown.splitlines():
            if line.startswith("{"):
                said: dict[str, Any] = json.loads(line)
                self.results.append(Result(said["task"], said["ok"], "" if said["ok"] else said["message"]))
        if code or len(self.results) == before:
            self.results.append(
                Result("the whole run", worked=False, why=_last(errors or shown) or f"ended with {code}")
            )

    def _run(self, argv: Sequence[object], more: dict[str, str]) -> tuple[int, str, str]:
        process = subprocess.Popen(
            [str(one) for one in argv],
            cwd=self.folder,
            env={**self.environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, errors = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, errors = process.communicate()
            errors += "\nit had not ended after 300 seconds"
        return process.returncode, out, errors


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


@contextmanager
def served(folder: Path) -> Iterator[Bench]:
    """`vmie sandbox serve` in a process of its own, begun with world.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "disk.raw").write_bytes(bootable(12 << 20, mark=b"bytes of a disk"))
    (folder / "world.yaml").write_bytes(_WORLD.read_bytes())
    argv = ["--output", "json", "sandbox", "serve", "--port", "0", "--speed", SPEED, "--any-guest"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vmie", *argv, "--seed", str(folder / "world.yaml")],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        shown = ""
        for line in process.stdout or ():
            shown += line
            if line.rstrip() == "}":
                break
        result = json.loads(shown)["result"]
        usual = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        yield Bench(folder, {**usual, "HOME": str(folder), **result["environment"]})
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stdout:
            process.stdout.close()
