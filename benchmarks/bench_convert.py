"""Any disk to stream-optimised VMDK: vmie against `qemu-img convert`, memory against itself, time to open.

    python benchmarks/bench_convert.py [--quick]

Whole processes are timed, vmie's with Python's start-up and its fsync. The default takes the best of three runs of
vmie, before and after the one of qemu-img, since what else runs on the machine takes cores from the side that uses
all of them; `--quick` takes one. Seconds of processor time are printed too: they are less moved by others.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

import rig

MIB = 1024**2

#: name, what `qemu-img convert` makes of the raw disk (none: the raw disk itself), the ratio to reach
SOURCES: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("raw", (), 15),
    ("qcow2", ("-O", "qcow2"), 10),
    ("compressed.qcow2", ("-c", "-O", "qcow2"), 8),
    ("vhd", ("-O", "vpc", "-o", "force_size=on"), 8),
    ("vhdx", ("-O", "vhdx"), 8),
    ("sparse.vmdk", ("-O", "vmdk", "-o", "subformat=monolithicSparse"), 8),
)
LARGER = 1.10
PEAK = 250 * MIB
OPEN = 0.020


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    rig.need("qemu-img")
    raw = rig.real_disk()
    images = {name: rig.image(raw, name, *options) if options else raw for name, options, _ in SOURCES}
    rows = [compare(name, images[name], target, times=1 if quick else 3) for name, _, target in SOURCES]
    opening = {name: opened(path) for name, path in images.items()}
    for name, seconds in opening.items():
        print(f"open {name:18} {seconds * 1000:6.1f} ms  (target 20 ms, {rig.verdict(met=seconds <= OPEN)})")
    rig.finish(
        "convert", {"conversions": rows, "memory": memory(), "open_seconds": opening, "disk_bytes": raw.stat().st_size}
    )


def compare(name: str, path: Path, target: float, *, times: int) -> dict[str, Any]:
    """One source by both programs, and whether qemu-img finds the result equal."""
    rig.warm(path)
    with rig.scratch() as folder:
        ours, theirs = folder / "vmie.vmdk", folder / "qemu.vmdk"
        convert = [*rig.VMIE, "--quiet", "convert", str(path), str(ours), "--force"]
        runs = [rig.timed(convert)]
        slow = rig.timed(
            ["qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", str(path), str(theirs)]
        )
        fast = rig.fastest([*runs, *(rig.timed(convert) for _ in range(times - 1))])
        rig.timed(["qemu-img", "compare", "-F", "vmdk", str(path), str(ours)])
        larger = ours.stat().st_size / theirs.stat().st_size
    ratio = slow.seconds / fast.seconds
    met = ratio >= target and larger <= LARGER and fast.peak <= PEAK
    print(
        f"{name:17} qemu-img {slow.seconds:6.2f} s (cpu {slow.cpu:6.2f})"
        f"   vmie {fast.seconds:5.2f} s (cpu {fast.cpu:5.2f})   {ratio:5.1f} x faster (target {target:g})"
        f"   size {larger:.3f}   peak {fast.peak // MIB} MiB   {rig.verdict(met=met)}",
        flush=True,
    )
    return {
        "source": name,
        "qemu_img_seconds": slow.seconds,
        "vmie_seconds": fast.seconds,
        "qemu_img_cpu_seconds": slow.cpu,
        "vmie_cpu_seconds": fast.cpu,
        "ratio": ratio,
        "target": target,
        "size_ratio": larger,
        "peak_bytes": fast.peak,
        "met": met,
    }


def memory() -> dict[str, Any]:
    """Peak memory with the same 1 GiB of data on 8 GiB and on 800 GiB, and the time that each takes."""
    peaks: dict[int, rig.Run] = {}
    with rig.scratch() as folder:
        for gib in (8, 800):
            path = folder / f"{gib}.raw"
            scatter(path, gib * rig.GIB)
            out = folder / "out.vmdk"
            peaks[gib] = rig.best([*rig.VMIE, "--quiet", "convert", str(path), str(out), "--force"], times=2)
            print(f"{gib:4} GiB sparse, 1 GiB data: {peaks[gib].seconds:5.2f} s, peak {peaks[gib].peak / MIB:.0f} MiB")
            path.unlink()
    small, large = peaks[8], peaks[800]
    ratio = large.peak / small.peak
    met = abs(ratio - 1) <= 0.10 and max(small.peak, large.peak) <= PEAK
    print(f"peak memory, 800 GiB against 8 GiB: {ratio:.3f} (target within 10 %, {rig.verdict(met=met)})")
    return {
        "peak_8_gib": small.peak,
        "peak_800_gib": large.peak,
        "seconds_8_gib": small.seconds,
        "seconds_800_gib": large.seconds,
        "met": met,
    }


def scatter(path: Path, size: int) -> None:
    """1 GiB of data in pieces of 4 MiB, spread evenly over a sparse file."""
    piece = random.Random(1).randbytes(2 * MIB) + b"text that compresses well " * (2 * MIB // 26)
    with path.open("wb") as file:
        for number in range(256):
            file.seek(number * (size // 256))
            file.write(piece)
        file.truncate(size)


def opened(path: Path) -> float:
    """Seconds to open a disk and have its facts, once everything is imported."""
    from vmie import disk

    with disk.open(path) as first:
        first.read(0, 512)
    begun = time.perf_counter()
    with disk.open(path) as again:
        assert again.facts is not None
        assert again.size
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
