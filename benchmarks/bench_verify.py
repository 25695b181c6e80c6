"""What looking for damage costs: `vmie upload` of files that need no conversion, with and without `--skip-verify`; and
the share of `vmie check` that goes into tables.

    python benchmarks/bench_verify.py [--quick]

Both sides take turns against the same SeaweedFS, on the same cores; each is the best of three runs (`--quick`: one).
On one machine client and server share the cores, so that every second of work shows: a file that holds nothing packed
must keep its speed there, one whose grains are unpacked on a link of 1 Gbit/s (`--max-rate`), whose time is not the
processor's. For tables, disks are made whose every block is placed, in sparse files.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import bench_ingest
import rig

from tests import seaweed
from vmie import disk

MIB = 1024**2
#: of the speed without looking
TARGET = 0.95
_LINKS = (("", ""), (", 1 Gbit/s", "110M"))
#: a machine of one disk, as VMware exports it
_OVF = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
 <References><File ovf:id="f" ovf:href="disk.vmdk"/></References>
 <DiskSection><Info/><Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="8" ovf:capacityAllocationUnits="byte * 2^30"/>
 </DiskSection><VirtualSystem ovf:id="m"><Info/></VirtualSystem>
</Envelope>
"""


def main() -> None:
    times = 1 if "--quick" in sys.argv[1:] else 3
    rig.need("qemu-img", "weed", "aws")
    raw = rig.real_disk()
    with rig.scratch() as folder, bench_ingest.in_memory(folder) as place, seaweed.shared(place / "weed") as server:
        bench = bench_ingest.Bench(server, folder, times)
        rows = [sent(bench, name, path, times, link) for name, path, link in sources(raw, folder)]
        tables = [looked_at(path) for path in large(folder)]
    rig.finish("verify", {"uploads": rows, "tables": tables})


def sources(raw: Path, folder: Path) -> list[tuple[str, Path, str]]:
    """What is sent as it is: its name, the file, and the rate at most ("" for none)."""
    random = folder / "random.raw"
    with random.open("wb") as file:
        for _ in range(256):
            file.write(os.urandom(4 * MIB))
    noise, debian, vhd = (folder / name for name in ("noise.vmdk", "disk.vmdk", "disk.vhd"))
    for source, target in ((random, noise), (raw, debian), (raw, vhd)):
        rig.timed([*rig.VMIE, "--quiet", "convert", str(source), str(target)])
    ova = packed(debian, folder)
    return [
        ("raw, 1 GiB", random, ""),
        ("VHD, dynamic", vhd, ""),
        *((f"VMDK, 1 GiB incompressible{at}", noise, link) for at, link in _LINKS),
        *((f"VMDK, Debian{at}", debian, link) for at, link in _LINKS),
        *((f"OVA of it, SHA-256 manifest{at}", ova, link) for at, link in _LINKS),
    ]


def packed(vmdk: Path, folder: Path) -> Path:
    """An OVA of one disk, with its manifest."""
    (folder / "disk.ovf").write_text(_OVF)
    lines = []
    for name in ("disk.ovf", vmdk.name):
        with (folder / name).open("rb") as file:
            lines.append(f"SHA256({name})= {hashlib.file_digest(file, 'sha256').hexdigest()}\n")
    (folder / "disk.mf").write_text("".join(lines))
    with tarfile.open(folder / "disk.ova", "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("disk.ovf", "disk.mf", vmdk.name):
            tar.add(folder / name, name)
    return folder / "disk.ova"


def sent(bench: bench_ingest.Bench, name: str, path: Path, times: int, rate: str) -> dict[str, Any]:
    """One source, sent in turns with and without looking."""
    rig.warm(path)
    options = ("--as-is", *(("--max-rate", rate) if rate else ()))
    looking, blind = [], []
    for _ in range(times):
        blind.append(bench.vmie(path, *options, "--skip-verify"))
        looking.append(bench.vmie(path, *options))
    ours, before = rig.fastest(looking), rig.fastest(blind)
    speed = before.seconds / ours.seconds
    wanted = TARGET if rate or path.suffix in (".raw", ".vhd") else None
    judged = f" (target {wanted}, {rig.verdict(met=speed >= wanted)})" if wanted else ""
    print(
        f"{name:40} {before.seconds:6.2f} s (cpu {before.cpu:5.2f})   looking {ours.seconds:6.2f} s "
        f"(cpu {ours.cpu:5.2f}, {ours.peak // MIB} MiB)   {speed:.2f} of the speed{judged}",
        flush=True,
    )
    return {
        "source": name,
        "bytes": path.stat().st_size,
        "speed": speed,
        "target": wanted,
        "met": wanted is None or speed >= wanted,
        "seconds": ours.seconds,
        "cpu_seconds": ours.cpu,
        "blind_seconds": before.seconds,
        "blind_cpu_seconds": before.cpu,
        "peak_bytes": ours.peak,
    }


def large(folder: Path) -> list[Path]:
    """Disks of 256 GiB of which every block has its place in the file; the files themselves are sparse."""
    made = {
        "large.qcow2": ("qcow2", "preallocation=metadata"),
        "large.vhdx": ("vhdx", "subformat=fixed"),
        "large.vdi": ("vdi", "static=on"),
    }
    for name, (form, options) in made.items():
        rig.timed(["qemu-img", "create", "-q", "-f", form, "-o", options, str(folder / name), "256G"])
    return [folder / name for name in made]


def looked_at(path: Path) -> dict[str, Any]:
    """The seconds of a whole `vmie check`, and those of them that its tables take."""
    run = rig.best([*rig.VMIE, "check", str(path), "--output", "json", "--route", "snapshot"], times=3)
    seconds = []
    for _ in range(3):
        with disk.open(path) as opened:
            began = time.perf_counter()
            if list(opened.table_faults()):
                raise RuntimeError(f"{path} has faults")
            seconds.append(time.perf_counter() - began)
    share = min(seconds) / run.seconds
    print(f"vmie check, 256 GiB {path.suffix:6} {run.seconds:.2f} s, of which tables {min(seconds):.3f} s: {share:.0%}")
    return {"image": path.suffix, "seconds": run.seconds, "tables_seconds": min(seconds), "share": share}


if __name__ == "__main__":
    main()
