"""A disk of a machine that has lived: bytes that go to AWS without what its file systems call free, and with it.

    python benchmarks/bench_free.py

The Debian disk of the other benchmarks, on which files of 1 GiB (half noise, half text) came and went. Where it is
installed, `virt-sparsify --in-place` does the same to a copy, and that is streamed. The seconds are processor time.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

import rig

from tests import tools
from vmie import disk
from vmie.disk import stream
from vmie.guest.free import block_plan, left_out, without_free
from vmie.guest.machine import Budget, Machine

MIB = 1 << 20
DELETED = 1024 * MIB
#: at most this part of the bytes, and of the processor time, of sending all
BYTES, CPU = 0.7, 0.8


def main() -> None:
    rig.need("debugfs", "e2fsck", "qemu-img")
    raw = rig.real_disk()
    with rig.scratch() as folder:
        aged = folder / "aged.raw"
        tools.run(["cp", "--sparse=always", raw, aged])
        age(aged, folder)
        rig.warm(aged)
        whole = sent(aged, keep=True)
        short = sent(aged, keep=False, out=folder / "short.vmdk")
        check(folder / "short.vmdk", aged, folder)
        found: dict[str, Any] = {"fresh": sent(raw, keep=True), "kept": whole, "left_out": short}
        if tools.find("virt-sparsify"):
            found["virt_sparsify"] = sparsified(aged)
        blocks = written(raw)
    ratio, cpu = short["bytes"] / whole["bytes"], short["cpu"] / whole["cpu"]
    for name, one in found.items():
        print(f"{name:14} {one['bytes'] / MIB:8.1f} MiB sent  {one['cpu']:6.2f} CPU s")
    print(f"bytes {ratio:.2f} (target {BYTES}, {rig.verdict(met=ratio <= BYTES)}), ", end="")
    print(f"CPU {cpu:.2f} (target {CPU}, {rig.verdict(met=cpu <= CPU)})")
    print(f"EBS direct, the fresh disk: {blocks['used']:,} of {blocks['all']:,} blocks; {blocks['none']:,} hold data")
    rig.finish("free", {**found, "bytes_ratio": ratio, "cpu_ratio": cpu, "blocks": blocks})


def age(image: Path, folder: Path) -> None:
    """Write files into the root file system, and remove them again."""
    where = root_of(image)
    part, big = folder / "part", folder / "big"
    noise = random.Random(5)
    with big.open("wb") as file:
        for _ in range(DELETED // (2 * MIB)):
            file.write(noise.randbytes(MIB) + b"a line of a log file, more or less\n" * (MIB // 35))
    cut(image, part, where)
    tools.run(["debugfs", "-w", "-R", f"write {big} big", part])
    tools.run(["debugfs", "-w", "-R", "rm big", part])
    tools.run(["e2fsck", "-fn", part])
    tools.run(["dd", f"if={part}", f"of={image}", "bs=1M", f"seek={where[0] // MIB}", "conv=notrunc,sparse"])
    part.unlink()
    big.unlink()


def root_of(image: Path) -> tuple[int, int]:
    """Where the largest ext4 lies: start and length in bytes."""
    with disk.open(image) as opened:
        machine = Machine([opened], budget=Budget())
        machine.read()
        found = [one.partition for one in machine.volumes if one.partition and one.content.kind == "ext4"]
    largest = max(found, key=lambda one: one.length)
    return largest.start, largest.length


def cut(image: Path, part: Path, where: tuple[int, int]) -> None:
    """Copy a range of whole MiB."""
    start, length = (size // MIB for size in where)
    tools.run(["dd", f"if={image}", f"of={part}", "bs=1M", f"skip={start}", f"count={length}", "conv=sparse"])


def sent(image: Path, *, keep: bool, out: Path | None = None) -> dict[str, Any]:
    """Stream the disk: bytes of the VMDK, processor time, and data that was left out."""
    begun, total = time.process_time(), 0
    with disk.open(image) as opened, (out or Path("/dev/null")).open("wb") as file:
        shown = opened if keep else without_free(opened)
        for piece in stream.write(shown, "vmdk"):
            total += file.write(piece)
        return {"bytes": total, "cpu": time.process_time() - begun, "left_out": left_out(shown)}


def sparsified(aged: Path) -> dict[str, Any]:
    """The rival: the disk itself is changed first."""
    copy = aged.with_name("copy.raw")
    shutil.copyfile(aged, copy)
    ran = rig.timed(["virt-sparsify", "--in-place", str(copy)])
    return {**(found := sent(copy, keep=True)), "cpu": found["cpu"] + ran.cpu}


def check(short: Path, aged: Path, folder: Path) -> None:
    """The file system is whole."""
    back, part = folder / "back.raw", folder / "part"
    tools.run(["qemu-img", "convert", "-O", "raw", short, back])
    cut(back, part, root_of(aged))
    tools.run(["e2fsck", "-fn", part])


def written(image: Path) -> dict[str, int]:
    """Blocks that a snapshot of the disk gets."""
    found = {}
    with disk.open(image) as opened:
        for zeros in ("all", "used", "none"):
            plan = block_plan(opened, zeros=zeros)
            found[zeros] = sum(1 for index, always in plan if always or any(opened.read(index << 19, 1 << 19)))
    return found


if __name__ == "__main__":
    main()
