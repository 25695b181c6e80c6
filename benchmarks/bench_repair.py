"""Mending a real Debian disk of 8 GiB: `vmie repair` against the same done in libguestfs' appliance.

    python benchmarks/bench_repair.py [--quick]

Two guests: one whose boot names an old disk, and one whose initramfs lacks NVMe. Both sides write a qcow2 over the
untouched image; whole processes are timed, vmie's with Python's start-up. The rival starts its appliance, mounts the
guest, and runs the guest's own update-initramfs (or sed). Where guestfish is not installed the ratio is left out, and
that is said.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rig
from bench_check import kernel

from tests import tools
from tests.e2e.test_repair_boots import GUESTS

SECONDS = 1.5
RATIO = 100
#: how the guest's own programs mend it
BY_HAND = {
    "no NVMe in the initramfs": "update-initramfs -u -k all",
    "root by the name of an old disk": "sed -i s,root=/dev/sda1,root=LABEL=root, /boot/grub/grub.cfg",
}


def main() -> None:
    rig.need("debugfs", "depmod", "cpio", "qemu-img")
    raw = rig.real_disk()
    rows = []
    with rig.scratch() as folder:
        for name, (make, rules) in GUESTS.items():
            path = folder / "broken.raw"
            tools.run(["cp", "--sparse=always", str(raw), str(path)])
            make(path)
            rows.append(measured(name, path, rules))
            path.unlink()
    rig.finish("repair", {"repairs": rows})


def measured(name: str, path: Path, rules: set[str]) -> dict[str, Any]:
    run = ours(path, times=1 if "--quick" in sys.argv[1:] else 5)
    missing = [rule for rule in rules if rule not in run.output]
    if missing:
        sys.exit(f"{name}: {', '.join(missing)} was not mended")
    print(
        f"vmie repair, {name}: {run.seconds:.2f} s ({run.cpu:.2f} s of processor)"
        f"  (target {SECONDS} s: {rig.verdict(met=run.seconds <= SECONDS)})"
    )
    row: dict[str, Any] = {"guest": name, "seconds": run.seconds, "cpu": run.cpu, "peak": run.peak}
    theirs = rival(path, BY_HAND[name])
    if theirs is not None:
        row |= {"guestfish": theirs.seconds, "ratio": theirs.seconds / run.seconds}
        met = rig.verdict(met=row["ratio"] >= RATIO)
        print(f"    guestfish {theirs.seconds:.1f} s: {row['ratio']:.0f} times as long  (target {RATIO}: {met})")
    return row


def ours(path: Path, *, times: int) -> rig.Run:
    """`vmie repair` of one file into a layer, the fastest of several runs after one that warms the caches."""
    rig.warm(path)
    out = path.with_name("mended.qcow2")
    argv = [*rig.VMIE, "repair", str(path), "--out", str(out), "--force", "--output", "json"]
    rig.timed(argv)
    return rig.best(argv, times=times)


def rival(path: Path, command: str) -> rig.Run | None:
    """One run of guestfish over a layer, after one that built its appliance; None where it cannot run."""
    if tools.find("guestfish") is None:
        print("guestfish is not installed (apt install libguestfs-tools): no ratio")
        return None
    layer = path.with_name("rival.qcow2")
    with kernel():
        runs = []
        for _ in range(2):
            tools.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(path), str(layer)])
            try:
                runs.append(rig.timed(["guestfish", "-a", str(layer), "-i", "command", command]))
            except RuntimeError as error:
                print(f"guestfish does not run here ({str(error)[:100]}): no ratio")
                return None
            layer.unlink()
    return runs[-1]


if __name__ == "__main__":
    main()
