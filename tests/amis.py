"""Disks that start and disks that do not, as snapshots of a sandbox."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import guests
from tests.guests import Link
from tests.linux_guest import KERNEL, files, linux_disk
from tests.sandbox.conftest import bootable

Files = Mapping[str, str | bytes | Link | None]

#: name → id of its snapshot
SNAPSHOTS = {
    name: f"snap-{number:017x}"
    for number, name in enumerate(("good", "no nvme", "no ena", "no loader", "bad fstab", "dracut", "no initramfs"), 1)
}


def without(*words: str) -> dict[str, str | bytes | Link | None]:
    """A Linux that has no driver whose path holds any of the words."""
    found = files()
    dep = f"/lib/modules/{KERNEL}/modules.dep"
    lines = [one for one in str(found[dep]).splitlines() if not any(word in one for word in words)]
    found[dep] = "".join(f"{one}\n" for one in lines)
    modules = [f"usr/lib/modules/{KERNEL}/{one.rstrip(':')}" for one in lines]
    found[f"/boot/initrd.img-{KERNEL}"] = gzip.compress(guests.cpio(modules))
    return found


def _contents() -> dict[str, Files | None]:
    fstab = {
        "/etc/fstab": f"{files()['/etc/fstab']!s}UUID=0d6f0b5e-0000-4000-8000-000000000000 /srv ext4 defaults 0 2\n"
    }
    rocky = {"/etc/os-release": 'ID=rocky\nVERSION_ID="9.4"\nPRETTY_NAME="Rocky Linux 9.4"\n'}
    return {
        "good": files(),
        "no nvme": without("nvme"),
        "no ena": without("/ena/"),
        "no loader": None,
        "bad fstab": {**files(), **fstab},
        "dracut": {**without("nvme"), **rocky},
        "no initramfs": {name: one for name, one in files().items() if "/initrd" not in name},
    }


def world(folder: Path, *names: str) -> Path:
    """A seed file with the snapshots of `names`, all of them by default."""
    wanted = names or tuple(SNAPSHOTS)
    for name in wanted:
        path, content = folder / f"{SNAPSHOTS[name]}.raw", _contents()[name]
        if content is None:
            path.write_bytes(bootable())
        else:
            linux_disk(path, content, size=64)
    seed = folder / "world.yaml"
    listed = [{"id": SNAPSHOTS[name], "file": f"{SNAPSHOTS[name]}.raw"} for name in wanted]
    seed.write_text(json.dumps({"snapshots": listed}))
    return seed


def register(ec2: Any, name: str, **more: Any) -> str:
    """An AMI of one of the snapshots."""
    device = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": SNAPSHOTS[name], "DeleteOnTermination": True}}
    usual = {"Architecture": "x86_64", "VirtualizationType": "hvm", "EnaSupport": True, "RootDeviceName": "/dev/sda1"}
    answer = ec2.register_image(**{"Name": f"vm {name}", "BlockDeviceMappings": [device], **usual, **more})
    return str(answer["ImageId"])
