"""A disk into a snapshot by EBS direct: vmie against NixOS's uploader and awslabs' flexible-snapshot-proxy.

    python benchmarks/bench_ebs.py [--quick]

All send the same random disk to an endpoint of our own (`ebs_endpoint.py`) on the same machine and cores, which answers
after 100 ms; in turns, each without its start-up. The rivals are fetched into `.cache/rivals` (git, pip) and run as
they are; one that cannot be fetched is named and left out. Then vmie with TLS, against a limit of 400 calls a second,
and with blocks spread over 16 TiB for the memory. Seconds of processor time are moved less by what else the machine
does than those on the wall.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ebs_endpoint
import rig

MIB = 1024**2
BLOCK = ebs_endpoint.BLOCK
SPEED, BESIDE_NIXOS, BESIDE_FSP, CPU_TLS, SHARE, REFUSED, PEAK = 475, 2.0, 3.0, 1.6, 0.97, 0.01, 200 * MIB
RIVALS = rig.CACHE / "rivals"
SOURCES = {
    "nixos": ("https://github.com/NixOS/amis", "amis"),
    "fsp": ("https://github.com/awslabs/flexible-snapshot-proxy", "flexible-snapshot-proxy"),
}
#: what flexible-snapshot-proxy imports and vmie does not bring
NEEDS = ("joblib", "numpy", "zstandard")
#: tells seconds, seconds of processor time and peak memory (KiB) of the sending alone, without Python's start-up
_TOLD = """
import re, resource, sys, time
def told(send):
    def cpu():
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)
    begun, before = time.perf_counter(), cpu()
    send()
    after = time.perf_counter() - begun, cpu() - before
    print("told", *after, re.search(r"VmHWM:\\s+([0-9]+)", open("/proc/self/status").read())[1])
"""
_VMIE = """
from vmie.aws.ebs.client import EbsDirect
from vmie.aws.ebs.send import send_blocks
from vmie.aws.session import connect
url, path, count, holes = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
file = open(path, "rb", buffering=0)
def blocks():
    for number in range(count):
        file.seek(number * 524288)
        yield number * holes, file.read(524288)
ebs = EbsDirect(connect(region="us-east-1", endpoint_url=url))
def send():
    snapshot = ebs.start(volume_size=16384).snapshot_id
    assert send_blocks(ebs, snapshot, blocks(), total=count) == count
    ebs.complete(snapshot, blocks=count, checksum=bytes(32))
told(send)
"""
_NIXOS = """
import sys
sys.path.insert(0, sys.argv[1])
from upload_ami.snapshot_uploader import upload_snapshot
told(lambda: upload_snapshot(sys.argv[2], region="us-east-1", workers=int(sys.argv[3])))
"""
_FSP = """
import sys
sys.path.insert(0, sys.argv[1])
import fsp
fsp.singleton.NUM_JOBS, fsp.singleton.FULL_COPY, fsp.singleton.AWS_ORIGIN_REGION = 16, True, "us-east-1"
told(lambda: fsp.upload(sys.argv[2], None))
"""


def main() -> None:
    times, gib = (1, 1) if "--quick" in sys.argv[1:] else (3, 2)
    rig.need("git", "openssl")
    os.environ.update(AWS_ACCESS_KEY_ID="AKID", AWS_SECRET_ACCESS_KEY="secret", AWS_DEFAULT_REGION="us-east-1")
    with rig.scratch() as folder:
        path = folder / "random.raw"
        with path.open("wb") as file:
            for _ in range(gib * 1024 // 4):
                file.write(os.urandom(4 * MIB))
        bench = Bench(folder, path, times)
        result = {
            "plain": bench.beside_rivals(),
            "tls": bench.tls(),
            "limited": bench.limited(),
            "memory": bench.memory(),
        }
    rig.finish("ebs", result)


def timed(argv: Sequence[str | os.PathLike[str]]) -> rig.Run:
    """Run a program that tells its times."""
    output = rig.timed(argv).output
    told = next(line for line in output.splitlines() if line.startswith("told ")).split()
    return rig.Run(float(told[1]), float(told[2]), int(told[3]) * 1024, output)


class Bench:
    """One disk, and the clients that take turns."""

    def __init__(self, folder: Path, path: Path, times: int) -> None:
        self._folder = folder
        self._path = path
        self._times = times
        self._count = path.stat().st_size // BLOCK
        rig.warm(path)

    def vmie(self, url: str, *, count: int = 0, holes: int = 1) -> rig.Run:
        argv = [url, str(self._path), str(count or self._count), str(holes)]
        return timed([sys.executable, "-c", _TOLD + _VMIE, *argv])

    def _mib(self, run: rig.Run) -> float:
        return self._count * BLOCK / MIB / run.seconds

    def _cpu(self, run: rig.Run) -> float:
        return run.cpu / (self._count * BLOCK / rig.GIB)

    def beside_rivals(self) -> dict[str, Any]:
        """Plain HTTP, 100 ms: the best of each."""
        with ebs_endpoint.running() as (url, _):
            os.environ["AWS_ENDPOINT_URL_EBS"] = url
            sides: dict[str, Callable[[], rig.Run]] = {"vmie": lambda: self.vmie(url), **self._rivals()}
            runs: dict[str, list[rig.Run]] = {name: [] for name in sides}
            for _ in range(self._times):
                for name, side in sides.items():
                    runs[name].append(side())
            del os.environ["AWS_ENDPOINT_URL_EBS"]
        best = {name: rig.fastest(found) for name, found in runs.items()}
        for name, run in best.items():
            print(f"{name:10} {self._mib(run):6.0f} MiB/s   cpu {self._cpu(run):5.2f} s a GiB", flush=True)
        out: dict[str, Any] = {
            name: {"mib_per_second": self._mib(run), "cpu_seconds_per_gib": self._cpu(run)}
            for name, run in best.items()
        }
        mine = self._mib(best["vmie"])
        print(f"vmie {mine:.0f} MiB/s (target {SPEED}, {rig.verdict(met=mine >= SPEED)})")
        for name, target in (("nixos", BESIDE_NIXOS), ("fsp", BESIDE_FSP)):
            if name in best:
                ratio = mine / self._mib(best[name])
                print(f"{ratio:.1f} x {name} (target {target:g}, {rig.verdict(met=ratio >= target)})")
                out[f"beside_{name}"] = ratio
        return out

    def _rivals(self) -> dict[str, Callable[[], rig.Run]]:
        out: dict[str, Callable[[], rig.Run]] = {}
        for name, (source, folder) in SOURCES.items():
            try:
                if not (RIVALS / folder).is_dir():
                    subprocess.run(["git", "clone", "-q", "--depth", "1", source, RIVALS / folder], check=True)
                out[name] = getattr(self, f"_{name}")(RIVALS / folder)
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"{name} is left out: {error}", flush=True)
        return out

    def _nixos(self, source: Path) -> Callable[[], rig.Run]:
        argv: list[str | os.PathLike[str]] = [
            sys.executable,
            "-c",
            _TOLD + _NIXOS,
            source / "upload-ami" / "src",
            self._path,
            "64",
        ]
        return lambda: timed(argv)

    def _fsp(self, source: Path) -> Callable[[], rig.Run]:
        python = RIVALS / "venv" / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", RIVALS / "venv"], check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", "boto3", *NEEDS], check=True)
        return lambda: timed([python, "-c", _TOLD + _FSP, source / "src", self._path])

    def tls(self) -> dict[str, float]:
        """The same with TLS: what it costs."""
        certificate = ebs_endpoint.make_certificate(self._folder)
        with ebs_endpoint.running(certificate=certificate) as (url, _):
            os.environ["AWS_CA_BUNDLE"] = str(certificate)
            runs = [self.vmie(url) for _ in range(self._times)]
            del os.environ["AWS_CA_BUNDLE"]
        cpu = min(self._cpu(run) for run in runs)
        speed = max(self._mib(run) for run in runs)
        print(f"TLS: {speed:.0f} MiB/s, cpu {cpu:.2f} s a GiB (target {CPU_TLS}, {rig.verdict(met=cpu <= CPU_TLS)})")
        return {"mib_per_second": speed, "cpu_seconds_per_gib": cpu}

    def limited(self) -> dict[str, float]:
        """A limit of 400 calls a second, 20 seconds of it; what was saved up before is not counted."""
        rate, count = 400, 8192 if self._times > 1 else 4096
        self._path.open("r+b").truncate(count * BLOCK)
        with ebs_endpoint.running(rate=rate) as (url, _):
            run = self.vmie(url, count=count)
            seen = ebs_endpoint.stat(url)
        self._path.open("r+b").truncate(self._count * BLOCK)
        share = (seen["taken"] - rate) / run.seconds / rate
        refused = seen["refused"] / (seen["taken"] + seen["refused"])
        met = share >= SHARE and refused < REFUSED
        print(f"limit of {rate}/s: {share:.1%} of it, {refused:.2%} refused ({rig.verdict(met=met)})", flush=True)
        return {"share": share, "refused": refused}

    def memory(self) -> dict[str, int]:
        """Peak memory with blocks side by side on 1 GiB and spread over 16 TiB."""
        with ebs_endpoint.running() as (url, _):
            peaks = {name: self.vmie(url, holes=holes).peak for name, holes in (("dense", 1), ("16 TiB", 8192))}
        met = max(peaks.values()) <= PEAK
        shown = ", ".join(f"{name}: {peak // MIB} MiB" for name, peak in peaks.items())
        print(f"peak memory, {shown} (target {PEAK // MIB} MiB, {rig.verdict(met=met)})")
        return peaks


if __name__ == "__main__":
    main()
