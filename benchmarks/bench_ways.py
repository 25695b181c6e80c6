"""Two ways of one disk into EC2: objects in S3, and blocks straight into a snapshot (`--via ebs`).

    python benchmarks/bench_ways.py [--quick]

The same Debian disk of 8 GiB as a snapshot, by either way, against one sandbox server: what crosses the wire, and what
it costs this machine. What the line and AWS itself take is not in it: see docs/explanation/three-ways-in.md.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import rig
from bench_single import server

MIB = 1 << 20
WAYS = {
    "s3": ("--via", "s3"),
    "ebs": ("--via", "ebs"),
    "ebs, all zeros": ("--via", "ebs", "--zeros", "all"),
    "ebs, no zeros": ("--via", "ebs", "--zeros", "none"),
}


def main() -> None:
    disk = rig.real_disk()
    rig.warm(disk)
    ways = dict(list(WAYS.items())[:2]) if "--quick" in sys.argv[1:] else WAYS
    with rig.scratch() as folder, server():
        found = {name: sent(disk, folder / f"{number}", options) for number, (name, options) in enumerate(ways.items())}
    for name, one in found.items():
        blocks = f"{one['blocks']:6,} blocks" if one["blocks"] else " " * 13
        work = f"{one['seconds']:5.1f} s, {one['cpu']:5.1f} s of processor, {one['peak'] / MIB:4.0f} MiB"
        print(f"{name:15} {one['bytes'] / MIB:7,.0f} MiB sent, {blocks}, {work}")
    print(f"by EBS {found['ebs']['bytes'] / found['s3']['bytes']:.2f} times the bytes of S3")
    rig.finish("ways", {"bytes_ratio": found["ebs"]["bytes"] / found["s3"]["bytes"], "ways": found})


def sent(disk: Path, state: Path, options: tuple[str, ...]) -> dict[str, Any]:
    """One import as a snapshot: bytes on the wire, blocks, seconds on the wall and on the cores."""
    os.environ["VMIE_STATE"] = str(state)
    argv = ["import", str(disk), "--as", "snapshot", "--skip-check", "all", *options, "--output", "json"]
    run = rig.timed([*rig.VMIE, *argv])
    result = json.loads(run.output)["result"]
    return {
        "bytes": result["bytes_sent"],
        "blocks": result.get("blocks_written", 0),
        "seconds": run.seconds,
        "cpu": run.cpu,
        "peak": run.peak,
    }


if __name__ == "__main__":
    main()
