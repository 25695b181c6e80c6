"""What every family of hostile input has in common: numbered inputs, and what is asked of whoever reads one.

An input is made from its family's name and its number alone, so that one that was found can be made again. Whatever
it is, reading it ends in a result or in a `VmieError` that says what and what to do; within a second of processor time
(five are allowed), within `MEMORY`, without running anything, without opening a file outside its folder, and with
nothing in what is printed that drives a terminal or is no UTF-8.
"""

from __future__ import annotations

import io
import os
import random
import re
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from vmie.cli import render
from vmie.errors import VmieError

#: bytes that a whole run may take beyond what the process has when it begins
MEMORY = 300 << 20
#: processor time of one input; seconds on the wall after which it is called a hang
SECONDS, HANG = 5.0, 120.0
#: faults of different places that are shown
_SHOWN = 12
_PRINTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
#: what runs code, or leaves the machine (https://docs.python.org/3/library/audit_events.html)
_FORBIDDEN = frozenset(
    {
        "os.system",
        "os.exec",
        "os.fork",
        "os.posix_spawn",
        "os.spawn",
        "os.putenv",
        "os.symlink",
        "pickle.find_class",
        "shutil.rmtree",
        "socket.connect",
        "socket.getaddrinfo",
        "subprocess.Popen",
        "urllib.Request",
    }
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass
class Tally:
    """What came of a family's inputs. `slowest` is (seconds of processor time, number)."""

    family: str
    inputs: int = 0
    results: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, 0)
    peak: int = 0

    def text(self) -> str:
        """One line a fact."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.errors.most_common())
        return (
            f"{self.family}: {self.inputs} inputs, {self.results} results, {sum(self.errors.values())} errors\n"
            f"  errors: {kinds or 'none'}\n"
            f"  slowest: {self.slowest[0]:.3f} s (input {self.slowest[1]}); memory: {self.peak >> 20} MiB more"
        )


class _Canary:
    """Watches what Python says that it does, while an input is read. A hook stays for ever: it is put in once."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._folder: str | None = None
        self._secret = ""
        sys.addaudithook(self._hook)

    @contextmanager
    def watching(self, folder: Path, secret: Path) -> Iterator[None]:
        self.seen.clear()
        self._folder, self._secret = os.path.realpath(folder), os.path.realpath(secret)
        try:
            yield
        finally:
            self._folder = None

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._folder is None:
            return
        if event in _FORBIDDEN:
            self.seen.append(f"{event} {str(arguments)[:200]}")
        elif event == "open" and isinstance(arguments[0], str | bytes):
            self._opened(os.fsdecode(arguments[0]), arguments[2])

    def _opened(self, name: str, flags: object) -> None:
        folder, self._folder = self._folder, None  # what is asked here is no input's doing
        try:
            real = os.path.realpath(name)
            inside = real.startswith((f"{folder}/", "/dev/null")) or "/__pycache__/" in real
            writing = isinstance(flags, int) and flags & _WRITES
            if real.startswith(self._secret) or (writing and not inside):
                self.seen.append(f"open {name[:200]}")
        finally:
            self._folder = folder


_CANARY = _Canary()


class Hang(BaseException):
    """Raised in whatever does not end."""


class Page:
    """A terminal, or a file, that takes UTF-8 and nothing else; also what `render` prints on."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.stack = ExitStack()
        self._out, self._err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict") for _ in range(2))

    @contextmanager
    def open(self) -> Iterator[None]:
        with redirect_stdout(self._out), redirect_stderr(self._err):
            yield

    def judge(self) -> None:
        """Raises AssertionError for what no reader should be given."""
        for stream in (self._out, self._err):
            stream.flush()
            assert isinstance(stream.buffer, io.BytesIO)
            found = _PRINTED.search(stream.buffer.getvalue().decode("utf-8"))
            assert found is None, f"{found[0]!r} is printed"


def printed(result: dict[str, Any], text: Any = "") -> None:
    """Print a result as the commands do, in both forms, and judge it."""
    for output in ("text", "json"):
        page = Page(output)
        with page.open():
            render.finish(page, "fuzz", result, text=text)
        page.judge()


def utf8(text: str) -> None:
    """For what is written to a file: raises UnicodeEncodeError for what no UTF-8 can hold."""
    text.encode("utf-8")


def refused(error: VmieError) -> None:
    """Judge an error: it says what and what to do, and can be printed."""
    assert error.message.strip(), "an error without words"
    assert error.cure.strip(), f"no cure: {error.message}"
    for output in ("text", "json"):
        page = Page(output)
        with page.open():
            render.fail(page, "fuzz", error)
        page.judge()


@contextmanager
def _bounded() -> Iterator[None]:
    """Let the process take `MEMORY` more than it has: beyond, MemoryError. And let nothing hang."""

    def hang(number: int, frame: FrameType | None) -> NoReturn:
        raise Hang("".join(traceback.format_stack(frame)[-4:]))

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, hang)
    resource.setrlimit(resource.RLIMIT_AS, (_pages(0) + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)


def _pages(column: int) -> int:
    """Bytes of this process: 0 virtual, 1 resident (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[column]) * resource.getpagesize()


def run(
    family: str,
    inputs: int,
    *,
    folder: Path,
    make: Callable[[random.Random], Any],
    read: Callable[[Any], None],
    begin: int = 0,
) -> Tally:
    """Make and read inputs `begin` and on; `make` puts what it writes into `folder`. Nothing is raised for a fault."""
    tally = Tally(family)
    secret = folder.parent / "secret"
    secret.mkdir(exist_ok=True)
    resident = _pages(1)
    with _bounded():
        for number in range(begin, begin + inputs):
            made = make(random.Random(f"{family}/{number}"))
            began = time.process_time()
            outcome = _judged(read, made, folder, secret)
            took = time.process_time() - began
            tally.inputs += 1
            tally.slowest = max(tally.slowest, (took, number))
            if took > SECONDS:
                outcome = f"slow: {took:.1f} s"
            if isinstance(outcome, VmieError):
                tally.errors[f"{type(outcome).__name__} {outcome.code}"] += 1
            elif outcome is None:
                tally.results += 1
            else:
                place = outcome.splitlines()[0]
                if place not in tally.faults and len(tally.faults) < _SHOWN:
                    tally.faults[place] = f"input {number}: {outcome}"
            if not number % 100:
                tally.peak = max(tally.peak, _pages(1) - resident)
    tally.peak = max(tally.peak, _pages(1) - resident)
    return tally


def _judged(read: Callable[[Any], None], made: Any, folder: Path, secret: Path) -> VmieError | str | None:
    """None for a result, the error, or what is wrong: its place first."""
    outcome: VmieError | str | None = None
    signal.setitimer(signal.ITIMER_REAL, HANG)
    try:
        with _CANARY.watching(folder, secret):
            try:
                read(made)
            except VmieError as error:
                outcome = error
                refused(error)
    except (Exception, Hang) as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "/vmie/" in frame.filename] or frames
        at = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        outcome = f"{type(error).__name__} at {at}\n{''.join(traceback.format_exception(error))[-3000:]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if _CANARY.seen:
        return f"{_CANARY.seen[0]}\n{_CANARY.seen}"
    return outcome


def expect_no_fault(tally: Tally) -> None:
    """Print the tally; raises AssertionError with each fault that is at another place."""
    print(f"\n{tally.text()}")
    assert not tally.faults, f"{len(tally.faults)} faults\n\n" + "\n\n".join(tally.faults.values())
    assert tally.results, "nothing was read: the inputs are too hostile to find anything"
    assert tally.errors, "nothing was refused: the inputs are not hostile"
