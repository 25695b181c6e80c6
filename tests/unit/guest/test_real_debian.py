"""A real Debian: every fact as its installer left it, in well under a second and little memory."""

from __future__ import annotations

import sys

from tests.debian import FS_UUID, debian_disk
from tests.guests import Disk
from tests.tools import ROOT, run
from vmie.guest import inspect
from vmie.guest.budget import Budget
from vmie.guest.disk_facts import Table
from vmie.guest.facts import Firmware
from vmie.guest.linux_facts import Bootloader, DriverState


def test_a_real_debian_tells_everything() -> None:
    facts = inspect([Disk(debian_disk())], budget=Budget())
    assert (facts.table, facts.firmware, facts.problems) == (Table.MBR, Firmware.BIOS, ())
    found = facts.linux[0]
    assert (found.distribution, found.architecture, found.filesystem) == ("debian", "x86_64", "ext4")
    assert found.version.startswith("12.")
    assert (found.bootloader, len(found.kernels)) == (Bootloader.GRUB2, 1)
    kernel = found.kernels[0]
    assert kernel.version.startswith("6.1.0-")
    assert (kernel.default, kernel.has_initramfs, kernel.modules) == (True, True, True)
    assert found.default_kernel == kernel.version
    assert found.initramfs.readable
    assert set(found.drivers.values()) == {DriverState.INITRAMFS}
    assert found.root_device == f"UUID={FS_UUID}"
    assert [(m.mountpoint, m.target, m.by_name) for m in found.fstab if m.mountpoint == "/"] == [("/", True, False)]
    assert (found.sshd.installed, found.sshd.enabled) == (True, True)
    assert found.cloud_init is not None
    assert (found.cloud_init.installed, found.cloud_init.disabled, found.cloud_init.ec2) == (True, "", True)
    assert (found.network.dhcp, found.network.static, found.network.dhcp_client) == (True, False, "dhclient")
    assert (found.vmware_tools, found.dirty, found.firewall.kind) == (False, False, "none")
    assert found.free_bytes is not None
    assert found.free_bytes > 512 << 20
    assert found.problems == ()


def test_it_takes_little_processor_time_and_memory() -> None:
    program = (
        "import re, sys, time\nfrom pathlib import Path\nfrom tests.guests import Disk\n"
        "from vmie.guest import Budget, inspect\n"
        "facts = inspect([Disk(Path(sys.argv[1]))], budget=Budget())\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(len(facts.roots), time.process_time(), int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) // 1024)\n"
    )
    shown = run([sys.executable, "-c", program, str(debian_disk())], cwd=ROOT).stdout.split()
    assert shown[0] == "1"
    assert float(shown[1]) < 2  # benchmarks/bench_check.py has the figure; other tests run beside this one
    assert int(shown[2]) < 150
