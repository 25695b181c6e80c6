"""End to end: the command line as a user runs it, against a sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import bootable
from vmie import cli
from vmie.sandbox import defaults


@dataclass
class Done:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)  # type: ignore[no-any-return]


@pytest.fixture
def vmie(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Done]:
    """Run the command line in this process; JSON output, fast polling, a state folder of its own."""
    monkeypatch.setenv("VMIE_POLL_SECONDS", "0.02")
    monkeypatch.setenv("VMIE_STATE", str(tmp_path / "state"))

    def call(*argv: str) -> Done:
        capsys.readouterr()
        code = cli.run(["--output", "json", *map(str, argv)])
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return call


@dataclass
class Server:
    """`vmie sandbox serve` in another process."""

    url: str
    environ: dict[str, str]
    process: subprocess.Popen[str] = field(repr=False)

    def control(self, path: str, data: dict[str, Any] | None = None, method: str = "") -> dict[str, Any]:
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(
            f"{self.url}/_vmie/{path}", data=body, method=method or ("GET" if body is None else "POST")
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)  # type: ignore[no-any-return]

    def start(self, *argv: str | Path, state: Path) -> subprocess.Popen[str]:
        """A vmie of its own process, pointed at this server."""
        environ = {**os.environ, **self.environ, "VMIE_STATE": str(state), "VMIE_POLL_SECONDS": "0.2"}
        return subprocess.Popen(
            [sys.executable, "-m", "vmie", "--output", "json", *map(str, argv)],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *argv: str | Path, state: Path) -> Done:
        process = self.start(*argv, state=state)
        out, err = process.communicate(timeout=120)
        return Done(process.returncode, out, err)


@contextmanager
def serving(*, speed: int = 400, limit: int = 20) -> Iterator[Server]:
    """A sandbox server in another process; at 400 an import takes about four seconds. `limit` imports at once."""
    argv = ["--output", "json", "sandbox", "serve", "--port", "0", "--speed", str(speed), "--any-guest"]
    argv += ["--import-limit", str(limit)]
    process = subprocess.Popen(
        [sys.executable, "-m", "vmie", *argv], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    shown = ""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        shown += line
        if line.rstrip() == "}":
            break
    result = json.loads(shown)["result"]
    server = Server(result["url"], {k: v for k, v in result["environment"].items() if v}, process)
    try:
        server.control("settings", {"appears_after": APPEARS_AFTER})
        yield server
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()


#: seconds until what was made is there for other requests: AWS is no sooner
APPEARS_AFTER = 0.25


@pytest.fixture(autouse=True)
def eventual(monkeypatch: pytest.MonkeyPatch) -> None:
    """New snapshots, images, roles and buckets are not there at once in any sandbox of these tests."""
    monkeypatch.setattr(defaults, "APPEARS_AFTER", APPEARS_AFTER)


@pytest.fixture
def server() -> Iterator[Server]:
    """A sandbox server whose imports take about four seconds, so that there is time to interrupt one."""
    with serving() as running:
        yield running


@pytest.fixture
def slow_server() -> Iterator[Server]:
    """A sandbox server whose imports take more than a minute: no busy machine is too slow to cancel one."""
    with serving(speed=20) as running:
        yield running


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A small raw disk with a partition table and nothing in its partition."""
    path = tmp_path / "disk.raw"
    path.write_bytes(bootable(mark=b"here"))
    return path
