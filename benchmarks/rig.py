"""Shared by every benchmark: the real disk, its images, timing of whole processes, their peak memory, the JSON.

Both sides of a ratio run in one call, one after the other, with their input in the page cache.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests import debian, tools  # noqa: E402 - benchmarks run as scripts

CACHE = ROOT / ".cache"
RESULTS = CACHE / "bench"
GIB = 1024**3
PEAK = "BENCH_PEAK"
#: `vmie` as a process that leaves its peak memory behind: ru_maxrss would count the parent's before the exec.
_TELL_PEAK = f"""
import atexit, os, re
@atexit.register
def tell():
    with open("/proc/self/status") as status, open(os.environ["{PEAK}"], "w") as out:
        out.write(re.search(r"VmHWM:\\s+([0-9]+)", status.read())[1])
"""
VMIE = (sys.executable, "-c", _TELL_PEAK + "from vmie.cli import main; main()")


@dataclass(frozen=True)
class Run:
    """A finished process: seconds on the wall and on the cores, peak resident memory in bytes, standard output.

    The peak is 0 for a program that does not tell (all but `VMIE`).
    """

    seconds: float
    cpu: float
    peak: int
    output: str


def timed(argv: Sequence[str | os.PathLike[str]]) -> Run:
    """Run a program to its end; raises when it fails."""
    program = tools.find(str(argv[0])) or str(argv[0])
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        tempfile.NamedTemporaryFile() as peak,
    ):
        env = {**os.environ, PEAK: peak.name}
        begun = time.perf_counter()
        child = subprocess.Popen([program, *map(str, argv[1:])], stdout=out, stderr=err, cwd=ROOT, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, argv))} ended with {child.returncode}:\n{out.read()}\n{err.read()}")
        kib = int(peak.read() or 0)
        return Run(seconds, usage.ru_utime + usage.ru_stime, kib * 1024, out.read())


def best(argv: Sequence[str | os.PathLike[str]], *, times: int) -> Run:
    """The fastest of several runs: the one that others disturbed least. Its peak is the highest seen."""
    return fastest([timed(argv) for _ in range(times)])


def fastest(runs: Sequence[Run]) -> Run:
    """The quickest run, with the highest peak of all."""
    quickest = min(runs, key=lambda run: run.seconds)
    return replace(quickest, peak=max(run.peak for run in runs))


def need(*programs: str) -> None:
    """End with a message when a program is missing."""
    missing = [program for program in programs if tools.find(program) is None]
    if missing:
        sys.exit(f"this benchmark needs {', '.join(missing)}: `make system-tools` installs what it can")


def real_disk(*, size: int = 8 * GIB) -> Path:
    """The cached Debian disk as a sparse raw file; made in about two minutes when it is not there yet."""
    need("mmdebstrap", "sfdisk", "mke2fs")
    return debian.debian_disk(CACHE, size=size)


def image(raw: Path, name: str, *options: str) -> Path:
    """`raw` as qemu-img writes it with `options`, kept in the cache."""
    path = RESULTS / f"{raw.stem}.{name}"
    if not path.exists():
        RESULTS.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f"making-{path.name}")
        tools.run(["qemu-img", "convert", "-f", "raw", *options, str(raw), str(made)])
        made.rename(path)
    return path


def warm(path: Path) -> None:
    """Read a file's data once, so that neither side pays for the medium."""
    with path.open("rb") as file:
        position = 0
        while True:
            try:
                position = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(file.fileno(), position, os.SEEK_HOLE)
            while position < end:
                position += len(os.pread(file.fileno(), min(1 << 22, end - position), position))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in the cache, on the same medium as the images; removed at the end."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=RESULTS, prefix="scratch-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {"cores": len(os.sched_getaffinity(0)), "machine": platform.machine(), "python": platform.python_version()}


def finish(name: str, result: dict[str, Any]) -> Path:
    """Write the result beside the others: ``.cache/bench/NAME.json``."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"benchmark": name, **machine(), **result}, indent=2) + "\n")
    print(f"written to {path.relative_to(ROOT)}")
    return path


def verdict(*, met: bool) -> str:
    """One word for a target."""
    return "met" if met else "MISSED"
