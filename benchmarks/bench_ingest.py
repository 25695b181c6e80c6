"""A local disk into S3: vmie against `qemu-img convert` + `aws s3 cp`, against s5cmd; and vmie's memory.

    python benchmarks/bench_ingest.py [--quick]

The server is SeaweedFS on the same machine and cores, its objects in memory (tmpfs), the same for both sides of a
ratio, which take turns; each side is the best of three runs (`--quick`: one). Whole processes are timed, vmie's with
Python's start-up. Seconds of processor time, the client's and the server's, are less moved by what else the machine
does.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rig

from tests import seaweed

MIB = 1024**2
FACTOR = 5.0
BESIDE_S5CMD = 0.95
PEAK = 300 * MIB


def main() -> None:
    times = 1 if "--quick" in sys.argv[1:] else 3
    rig.need("qemu-img", "weed", "aws", "s5cmd")
    raw = rig.real_disk()
    sources = {"raw": raw, "qcow2": rig.image(raw, "qcow2", "-O", "qcow2")}
    with rig.scratch() as folder, in_memory(folder) as place, seaweed.shared(place / "weed") as server:
        bench = Bench(server, folder, times)
        rows = [bench.converted(name, path) for name, path in sources.items()]
        result = {"disks": rows, "incompressible": bench.incompressible(), "memory": bench.memory()}
    rig.finish("ingest", {**result, "versions": versions(), "disk_bytes": raw.stat().st_size})


@contextmanager
def in_memory(folder: Path) -> Iterator[Path]:
    """Where the server keeps its objects: in memory if there is room, for S3's disks are not the client's."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < 12 * rig.GIB:
        yield folder
        return
    with tempfile.TemporaryDirectory(dir=memory) as place:
        yield Path(place)


class Bench:
    """One server, and the clients that take turns at it."""

    def __init__(self, server: seaweed.Seaweed, folder: Path, times: int) -> None:
        self._server = server
        self._folder = folder
        self._times = times
        self._number = 0
        #: processor seconds that the last run cost the server
        self.served = 0.0
        os.environ.update(server.environ, VMIE_STATE=str(folder / "state"))

    def vmie(self, path: Path, *options: str) -> rig.Run:
        command = [*rig.VMIE, "--endpoint-url", self._server.url, "--quiet", "upload", str(path)]
        return self._fresh([*command, self._key(), *options])

    def aws(self, path: Path) -> rig.Run:
        return self._fresh(["aws", "--endpoint-url", self._server.url, "s3", "cp", "--quiet", str(path), self._key()])

    def s5cmd(self, path: Path) -> rig.Run:
        return self._fresh(["s5cmd", "--endpoint-url", self._server.url, "cp", str(path), self._key()])

    def _key(self) -> str:
        self._number += 1
        return f"s3://images/{self._number}"

    def _fresh(self, argv: list[str]) -> rig.Run:
        """Run with what earlier runs wrote on the medium, and their objects gone."""
        client = self._server.client()
        for entry in client.list_objects_v2(Bucket="images").get("Contents", []):
            client.delete_object(Bucket="images", Key=entry["Key"])
        os.sync()
        before = self._server_cpu()
        done = rig.timed(argv)
        self.served = self._server_cpu() - before
        return done

    def _server_cpu(self) -> float:
        """Processor seconds that the server took so far."""
        fields = Path(f"/proc/{self._server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def converted(self, name: str, path: Path) -> dict[str, Any]:
        """A disk to an object that AWS takes: two programs and a temporary file, against one stream."""
        rig.warm(path)
        ours, theirs, served = [], [], 0.0
        for _ in range(self._times):
            ours.append(self.vmie(path))
            served = self.served
            out = self._folder / "out.vmdk"
            options = ["-O", "vmdk", "-o", "subformat=streamOptimized"]
            first = rig.timed(["qemu-img", "convert", *options, str(path), str(out)])
            second = self.aws(out)
            theirs.append(rig.Run(first.seconds + second.seconds, first.cpu + second.cpu, 0, ""))
            out.unlink()
        fast, slow = rig.fastest(ours), rig.fastest(theirs)
        ratio = slow.seconds / fast.seconds
        met = ratio >= FACTOR and fast.peak <= PEAK
        print(
            f"{name:6} qemu-img + aws {slow.seconds:6.2f} s (cpu {slow.cpu:6.2f})   vmie {fast.seconds:5.2f} s "
            f"(cpu {fast.cpu:5.2f}, server {served:5.2f})   {ratio:5.1f} x faster (target {FACTOR:g})   "
            f"peak {fast.peak // MIB} MiB   {rig.verdict(met=met)}",
            flush=True,
        )
        return {
            "source": name,
            "ratio": ratio,
            "target": FACTOR,
            "met": met,
            "server_cpu_seconds": served,
            **_both(fast, slow),
        }

    def incompressible(self) -> dict[str, Any]:
        """2 GiB that no compressor shortens, sent as they are."""
        path = self._folder / "random.raw"
        with path.open("wb") as file:
            for _ in range(512):
                file.write(os.urandom(4 * MIB))
        ours, s5cmd, aws = [], [], []
        served: dict[str, float] = {}
        for _ in range(self._times):
            s5cmd.append(self.s5cmd(path))
            served["s5cmd"] = self.served
            ours.append(self.vmie(path, "--as-is"))
            served["vmie"] = self.served
            aws.append(self.aws(path))
            served["aws"] = self.served
        path.unlink()
        mine, rival, other = rig.fastest(ours), rig.fastest(s5cmd), rig.fastest(aws)
        speed = rival.seconds / mine.seconds
        met = speed >= BESIDE_S5CMD and mine.seconds < other.seconds
        for label, run in (("s5cmd", rival), ("aws", other), ("vmie", mine)):
            cpu = f"client {run.cpu / 2:5.2f} s, server {served[label] / 2:5.2f} s"
            print(f"2 GiB  {label:6} {run.seconds:6.2f} s   cpu per GiB: {cpu}", flush=True)
        print(f"2 GiB  {speed:.2f} x s5cmd's speed (target {BESIDE_S5CMD:g}), {rig.verdict(met=met)}", flush=True)
        return {
            "speed_beside_s5cmd": speed,
            "target": BESIDE_S5CMD,
            "met": met,
            "peak_bytes": mine.peak,
            "server_cpu_seconds": served,
            **{
                f"{label}_{what}": value
                for label, run in (("vmie", mine), ("s5cmd", rival), ("aws", other))
                for what, value in (("seconds", run.seconds), ("cpu_seconds_per_gib", run.cpu / 2))
            },
        }

    def memory(self) -> dict[str, Any]:
        """Peak memory with 1 GiB of data on 1 GiB and spread over 100 GiB."""
        peaks = {}
        for gib in (1, 100):
            path = self._folder / f"{gib}.raw"
            with path.open("wb") as file:
                file.truncate(gib * rig.GIB)
                for number in range(256):
                    file.seek(number * gib * rig.GIB // 256)
                    file.write(os.urandom(2 * MIB) + b"text that compresses well " * (2 * MIB // 26))
                file.truncate(gib * rig.GIB)
            peaks[gib] = self.vmie(path).peak
            path.unlink()
        met = max(peaks.values()) <= PEAK
        shown = ", ".join(f"{gib} GiB: {peak // MIB} MiB" for gib, peak in peaks.items())
        print(f"peak memory, {shown} (target 300 MiB, {rig.verdict(met=met)})")
        return {"peak_1_gib": peaks[1], "peak_100_gib": peaks[100], "target": PEAK, "met": met}


def _both(fast: rig.Run, slow: rig.Run) -> dict[str, Any]:
    return {
        "vmie_seconds": fast.seconds,
        "vmie_cpu_seconds": fast.cpu,
        "vmie_peak_bytes": fast.peak,
        "rival_seconds": slow.seconds,
        "rival_cpu_seconds": slow.cpu,
    }


def versions() -> dict[str, str]:
    """Whom vmie was measured against."""
    asked = {
        "qemu-img": ["qemu-img", "--version"],
        "aws": ["aws", "--version"],
        "s5cmd": ["s5cmd", "version"],
        "weed": ["weed", "version"],
    }
    return {name: rig.timed(argv).output.splitlines()[0] for name, argv in asked.items()}


if __name__ == "__main__":
    main()
