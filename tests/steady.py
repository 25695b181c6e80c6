"""`make steady`: are the tests green every time, in any order, on a busy machine?

Every test runs twice in random order, the first time while what it does is recorded. Then those that
start a process or a thread, open a socket or look at a clock run twenty times with two busy loops
beside them: they are the ones that a slow machine can upset.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / ".cache" / "steady"
#: audit events (https://docs.python.org/3/library/audit_events.html); threads have one from Python 3.12 on only
WATCHED = {"subprocess.Popen", "os.fork", "os.posix_spawn", "socket.bind", "socket.connect"}
CLOCKS = ("time", "monotonic", "perf_counter", "sleep")
OURS = ("vmie", "tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("steady")
    group.addoption("--shuffle", type=int, help="run the tests in the random order of this seed")
    group.addoption("--record", action="store_true", help="record which tests start something or look at a clock")
    group.addoption("--recorded", choices=["yes", "no"], help="run only the tests that were recorded, or the others")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--record"):
        config.pluginmanager.register(Recorder(), "steady-recorder")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose, then mix: modules among each other, and the tests within a module, whose fixtures are dear."""
    wanted = config.getoption("--recorded")
    if wanted:
        recorded = set("\n".join(part.read_text() for part in RECORD.glob("*.txt")).splitlines())
        chosen = [item for item in items if (item.nodeid in recorded) == (wanted == "yes")]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
    seed = config.getoption("--shuffle")
    if seed is not None:
        mixed = random.Random(seed)
        modules = sorted({item.path for item in items})
        mixed.shuffle(modules)
        place = {path: number for number, path in enumerate(modules)}
        mixed.shuffle(items)
        items.sort(key=lambda item: place[item.path])


class Recorder:
    """Writes down the tests during which our code, or what it calls, did one of the watched things."""

    def __init__(self) -> None:
        self._current: str | None = None
        self._seen: set[str] = set()
        sys.addaudithook(self._event)
        for name in CLOCKS:
            setattr(time, name, self._counted(getattr(time, name)))
        started = threading.Thread.start

        def start(thread: threading.Thread) -> None:
            self._note()
            started(thread)

        setattr(threading.Thread, "start", start)  # noqa: B010 - mypy would have it be a method

    def _note(self) -> None:
        if self._current:
            self._seen.add(self._current)

    def _event(self, event: str, _details: object) -> None:
        if event in WATCHED:
            self._note()

    def _counted(self, clock: Callable[..., float]) -> Callable[..., float]:
        def read(*arguments: float) -> float:
            caller = sys._getframe(1).f_globals.get("__name__", "")
            if caller.split(".")[0] in OURS:
                self._note()
            return clock(*arguments)

        return read

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._current = item.nodeid
        yield
        self._current = None

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        worker = getattr(session.config, "workerinput", {}).get("workerid", "main")
        RECORD.mkdir(parents=True, exist_ok=True)
        (RECORD / f"{worker}.txt").write_text("\n".join(sorted(self._seen)))


def main() -> int:
    """Run it all; each run that is not green is named, and the exit code is their number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("paths", nargs="*", default=["tests"], help="what to run; everything when not given")
    wanted = parser.parse_args()
    for old in RECORD.glob("*.txt"):
        old.unlink()
    failed = [
        not _round("all, random order, recorded", wanted.paths, "--shuffle=1", "--record"),
        not _round("all others, random order", wanted.paths, "--shuffle=2", "--recorded=no"),
    ]
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        for number in range(1, wanted.rounds + 1):
            title = f"round {number} of {wanted.rounds} beside two busy loops"
            failed.append(not _round(title, wanted.paths, "--recorded=yes"))
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    print(f"{len(failed)} runs, {sum(failed)} of them not green")
    return min(sum(failed), 100)


def _round(title: str, paths: list[str], *options: str) -> bool:
    """One run of pytest; its last lines are printed, and all of them when it failed."""
    argv = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-p", "tests.steady"]
    begun = time.monotonic()
    ended = subprocess.run([*argv, *options, *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = ended.stdout.rstrip().splitlines()
    print(f"{title}: {lines[-1] if lines else ended.stderr} [{time.monotonic() - begun:.0f} s]", flush=True)
    if ended.returncode:
        print(ended.stdout, ended.stderr, flush=True)
    return ended.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
