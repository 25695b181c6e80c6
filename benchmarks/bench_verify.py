"""What looking for damage costs: `vmie upload` of files that need no conversion, with and without `--skip-verify`; and
the share of `vmie check` that goes into tables.

    python benchmarks/bench_verify.py [--quick]

Both sides take turns against the same server, on the same cores; each is the best of three runs (`--quick`: one).
Where nothing but memory lies between client and SeaweedFS every second of work shows: a file that holds nothing packed
must keep its speed there. One whose grains are unpacked must on a link of 1 Gbit/s (`--max-rate`), where the server is
one that drops what it gets: in the field S3 takes none of the client's cores. For tables, disks are made whose every
block is placed, in sparse files.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import bench_ingest
import rig
import sink

from tests import seaweed
from vmie import disk
from vmie.model import ExtentKind

MIB = 1024**2
#: of the speed without looking
TARGET = 0.95
_LINK = "119M"
#: copies of the Debian disk on the one that is sent over the link: its start, half a second, is not the question there
_COPIES = 3
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
        rows = [sent(bench.vmie, name, path, times) for name, path in sources(raw, folder)]
        with sink.running() as url:
            rows += [sent(dropped(url, folder), name, path, times, _LINK) for name, path in linked(raw, folder)]
        tables = [looked_at(path) for path in large(folder)]
    rig.finish("verify", {"uploads": rows, "tables": tables})


def sources(raw: Path, folder: Path) -> list[tuple[str, Path]]:
    """What is sent as it is: its name, and the file."""
    random = folder / "random.raw"
    with random.open("wb") as file:
        for _ in range(256):
            file.write(os.urandom(4 * MIB))
    noise, debian, vhd = (folder / name for name in ("noise.vmdk", "disk.vmdk", "disk.vhd"))
    for source, target in ((random, noise), (raw, debian), (raw, vhd)):
        rig.timed([*rig.VMIE, "--quiet", "convert", str(source), str(target)])
    return [
        ("raw, 1 GiB", random),
        ("VHD, dynamic", vhd),
        ("VMDK, 1 GiB incompressible", noise),
        ("VMDK, Debian", debian),
        ("OVA of it, SHA-256 manifest", packed(debian, folder)),
    ]


def linked(raw: Path, folder: Path) -> list[tuple[str, Path]]:
    """What is sent over a link: compressed grains, alone and in an appliance."""
    place = folder / "link"
    place.mkdir()
    several, vmdk = place / "disk.raw", place / "disk.vmdk"
    with several.open("wb") as file, disk.open(raw) as one:
        file.truncate(_COPIES * one.size)
        for extent in one.extents():
            held = extent.kind is ExtentKind.ALLOCATED
            for at in range(extent.offset, extent.end, 4 * MIB) if held else ():
                data = one.read(at, min(4 * MIB, extent.end - at))
                for copy in range(_COPIES):
                    os.pwrite(file.fileno(), data, copy * one.size + at)
    rig.timed([*rig.VMIE, "--quiet", "convert", str(several), str(vmdk)])
    several.unlink()
    return [
        (f"VMDK, Debian x {_COPIES}, 1 Gbit/s", vmdk),
        ("OVA of it, SHA-256 manifest, 1 Gbit/s", packed(vmdk, place)),
    ]


def dropped(url: str, folder: Path) -> Callable[..., rig.Run]:
    """`vmie upload` to the sink at `url`, each time under another key."""
    number = count()

    def upload(path: Path, *options: str) -> rig.Run:
        os.environ["VMIE_STATE"] = str(folder / f"link-{next(number)}")
        to = f"s3://images/{next(number)}"
        return rig.timed([*rig.VMIE, "--endpoint-url", url, "--quiet", "upload", str(path), to, *options])

    return upload


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


def sent(upload: Callable[..., rig.Run], name: str, path: Path, times: int, rate: str = "") -> dict[str, Any]:
    """One source, sent in turns with and without looking."""
    rig.warm(path)
    options = ("--as-is", *(("--max-rate", rate) if rate else ()))
    looking, blind = [], []
    for _ in range(times):
        blind.append(upload(path, *options, "--skip-verify"))
        looking.append(upload(path, *options))
    ours, before = rig.fastest(looking), rig.fastest(blind)
    speed, gib = before.seconds / ours.seconds, path.stat().st_size / rig.GIB
    wanted = TARGET if rate or path.suffix in (".raw", ".vhd") else None
    judged = f" (target {wanted}, {rig.verdict(met=speed >= wanted)})" if wanted else ""
    print(
        f"{name:40} {before.seconds:6.2f} s (cpu {before.cpu / gib:5.2f} s/GiB)   looking {ours.seconds:6.2f} s "
        f"(cpu {ours.cpu / gib:5.2f} s/GiB, {ours.peak // MIB} MiB)   {speed:.2f} of the speed{judged}",
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
