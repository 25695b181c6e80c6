"""Looking into a real Debian disk of 8 GiB: `vmie check` against `virt-inspector` of libguestfs.

    python benchmarks/bench_check.py [--quick]

Whole processes are timed, vmie's with Python's start-up. virt-inspector boots an appliance: with KVM where that
works, else by emulation (TCG); which one is printed. Its kernel is the host's, or that of the Debian disk's own root
tar where the host has none. Where libguestfs is not installed, the ratio is left out and said to be.
"""

from __future__ import annotations

import os
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rig

from tests import debian, tools

MIB = 1024**2
SECONDS = 0.7
PEAK = 150 * MIB
RATIO = 20


def main() -> None:
    raw = rig.real_disk()
    stream = rig.image(raw, "stream.vmdk", "-O", "vmdk", "-o", "subformat=streamOptimized")
    runs = {path: ours(path, times=1 if "--quick" in sys.argv[1:] else 5) for path in (raw, stream)}
    theirs = rival(raw)
    rows = []
    for path, run in runs.items():
        kind = path.suffix.lstrip(".")
        row: dict[str, Any] = {"image": kind, "seconds": run.seconds, "cpu": run.cpu, "peak": run.peak}
        met = run.seconds <= SECONDS and run.peak <= PEAK
        print(
            f"vmie check, {kind:5} {run.seconds:6.2f} s ({run.cpu:.2f} s of processor), {run.peak / MIB:.0f} MiB"
            f"  (target {SECONDS} s, {PEAK // MIB} MiB: {rig.verdict(met=met)})"
        )
        if theirs is not None:
            row |= {"virt_inspector": theirs["seconds"], "ratio": theirs["seconds"] / run.seconds}
            print(f"    {row['ratio']:.0f} times as fast  (target {RATIO}, {rig.verdict(met=row['ratio'] >= RATIO)})")
        rows.append(row)
    rig.finish("check", {"checks": rows, "rival": theirs})


def ours(path: Path, *, times: int) -> rig.Run:
    """`vmie check` of one file, the fastest of several runs after one that warms the caches."""
    rig.warm(path)
    argv = [*rig.VMIE, "check", str(path), "--output", "json"]
    rig.timed(argv)
    return rig.best(argv, times=times)


def rival(raw: Path) -> dict[str, Any] | None:
    """One run of virt-inspector on the raw disk, after one that built its appliance; None where it cannot run."""
    if tools.find("virt-inspector") is None:
        print("virt-inspector is not installed (apt install libguestfs-tools): no ratio")
        return None
    if not Path("/lib/modules").exists():
        print(
            "libguestfs builds no appliance on a machine without /lib/modules (mkdir it, or install a kernel): no ratio"
        )
        return None
    with kernel():
        for accelerator, settings in (("KVM", "force_kvm"), ("emulation, TCG", "force_tcg")):
            os.environ["LIBGUESTFS_BACKEND_SETTINGS"] = settings
            run = inspected(raw)
            if run is not None:
                print(f"virt-inspector     {run.seconds:6.2f} s  (its appliance runs by {accelerator})")
                return {"seconds": run.seconds, "accelerator": accelerator}
    print("virt-inspector runs here neither with KVM nor by emulation: no ratio")
    return None


def inspected(raw: Path) -> rig.Run | None:
    """The second run of virt-inspector: the first may build the appliance. None when it fails or sees no Linux."""
    argv = ["virt-inspector", "--format=raw", "-a", str(raw), "--no-applications", "--no-icon"]
    try:
        rig.timed(argv)
        run = rig.timed(argv)
    except RuntimeError:
        return None
    return run if "<name>linux</name>" in run.output else None


@contextmanager
def kernel() -> Iterator[None]:
    """A kernel for libguestfs' appliance: the host's, else the one in the Debian root tar."""
    os.environ["LIBGUESTFS_BACKEND"] = "direct"
    if any(Path("/boot").glob("vmlinuz-*")):
        yield
        return
    with rig.scratch() as folder:
        with tarfile.open(debian.debian_root(rig.CACHE)) as archive:
            wanted = [member for member in archive if _of_kernel(member.name)]
            archive.extractall(folder, wanted, filter="tar")
        image = next((folder / "boot").glob("vmlinuz-*"))
        version = image.name.removeprefix("vmlinuz-")
        os.environ["SUPERMIN_KERNEL"] = str(image)
        os.environ["SUPERMIN_KERNEL_VERSION"] = version
        os.environ["SUPERMIN_MODULES"] = str(folder / "usr/lib/modules" / version)
        # Its appliance is built for this kernel: keep it away from the user's own.
        os.environ["LIBGUESTFS_CACHEDIR"] = str(folder)
        yield


def _of_kernel(name: str) -> bool:
    plain = name.removeprefix("./")
    return plain.startswith(("boot/vmlinuz-", "usr/lib/modules/"))


if __name__ == "__main__":
    main()
