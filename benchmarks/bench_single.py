"""What a workflow engine costs one import: `vmie import` against `vmie batch run` of a plan with one item.

    python benchmarks/bench_single.py [--quick]

Both against one sandbox server, taking turns, on disks of 2 MiB, so that nearly all of it is start-up and records.
Processor time is compared: the wall-clock time is the sandbox's waiting.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rig

from tests.sandbox.conftest import bootable


def main() -> None:
    times = 1 if "--quick" in sys.argv[1:] else 4
    with rig.scratch() as folder, server():
        runs = [pair(folder / str(number)) for number in range(times)]
    single, batch = (rig.fastest([run[side] for run in runs]) for side in (0, 1))
    bytes_single, bytes_batch = (f"{count / 1024:.0f} KiB of state" for count in runs[-1][2:])
    engine = {name: cpu(f"import {name}", times) for name in ("vmie.jobs.runner", "vmie.jobs.runner, dbos")}
    print(f"vmie import              {single.cpu:5.2f} s of processor, {single.peak / 2**20:4.0f} MiB, {bytes_single}")
    print(f"vmie batch run, one item {batch.cpu:5.2f} s of processor, {batch.peak / 2**20:4.0f} MiB, {bytes_batch}")
    print(f"    {batch.cpu / single.cpu:.1f} times as much")
    plain, with_dbos = engine.values()
    print(f"importing the engine: {plain:.2f} s, with DBOS {with_dbos:.2f} s")
    rig.finish(
        "single",
        {
            "single_cpu": single.cpu,
            "batch_cpu": batch.cpu,
            "ratio": batch.cpu / single.cpu,
            "import_cpu": plain,
            "import_with_dbos_cpu": with_dbos,
        },
    )


def pair(folder: Path) -> tuple[rig.Run, rig.Run, int, int]:
    """One disk by either way, each with a state folder of its own; the runs, and the bytes of state left behind."""
    folder.mkdir()
    disk = folder / "vm.raw"
    disk.write_bytes(bootable(mark=folder.name.encode()))
    plan = folder / "plan.yaml"
    plan.write_text(f"defaults: {{skip_check: all}}\nitems:\n  - source: {disk}\n", encoding="utf-8")
    done = []
    for name, argv in (("single", ["import", disk, "--skip-check", "all"]), ("batch", ["batch", "run", plan])):
        os.environ["VMIE_STATE"] = str(folder / name)
        done.append(rig.timed([*rig.VMIE, *map(str, argv), "--output", "json"]))
    return done[0], done[1], *(kept(folder / name) for name in ("single", "batch"))


def kept(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def cpu(code: str, times: int) -> float:
    """Seconds of processor that Python takes for `code`, start-up included."""
    return min(rig.timed([sys.executable, "-c", code]).cpu for _ in range(times))


@contextmanager
def server() -> Iterator[None]:
    """A sandbox in a process of its own; this one's environment points at it."""
    argv = [*rig.VMIE, "--output", "json", "sandbox", "serve", "--port", "0", "--speed", "5000", "--any-guest"]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, cwd=rig.ROOT, env={**os.environ, rig.PEAK: os.devnull}
    ) as process:
        assert process.stdout is not None
        shown = ""
        while not shown.endswith("\n}\n"):
            shown += process.stdout.readline()
        environment = json.loads(shown)["result"]["environment"]
        os.environ.update({name: value for name, value in environment.items() if value})
        os.environ["VMIE_POLL_SECONDS"] = "0.2"
        try:
            yield
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
