"""The recommended route leaves no machine without boot, network or login; what is no disk has none."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import guests
from tests.clocks import ManualClock
from tests.guests import Link
from tests.linux_guest import Files, files, linux_disk
from tests.tools import need
from tests.unit.checks.subjects import BASE, LINUX, linux
from tests.windows_guest import SERVICES, SET, software, system, windows_disk
from vmie.checks import judge, left_without, recommend, verdicts
from vmie.guest.linux_facts import DriverState, Firewall, LinuxFacts, Sshd, Users
from vmie.model import Route, Verdict
from vmie.ops import check as op
from vmie.ops.check import ImageReport

IMAGE, SNAPSHOT, INSTANCE, VOLUME = Route.IMAGE, Route.SNAPSHOT, Route.INSTANCE, Route.VOLUME
ROOT = "UUID=2f1ed7d2-5d0a-4c1c-9b86-2a4f0c0f9d51 / ext4 defaults 0 1\n"
#: a distribution on which AWS's list is silent, so that a snapshot is the way if it is one
ALMA = 'ID="almalinux"\nVERSION_ID="9.3"\n'


def image(*paths: Path, **options: Any) -> ImageReport:
    (found,) = op.check(list(paths), clock=ManualClock(), **options).images
    return found


def unlisted() -> Files:
    content = {**files("5.14.0-362.8.1.el9_3.x86_64"), "/etc/os-release": ALMA}
    content.pop("/etc/debian_version")
    return content


def without_driver(name: str) -> Callable[[Files], None]:
    def change(content: Files) -> None:
        kernel = next(path for path in content if path.startswith("/boot/vmlinuz-"))[len("/boot/vmlinuz-") :]
        others = [one for one in ("nvme-core", "nvme", "ena", "xen-blkfront") if one != name]
        modules = [f"usr/lib/modules/{kernel}/kernel/{one}.ko" for one in others]
        content[f"/boot/initrd.img-{kernel}"] = gzip.compress(guests.cpio(modules))
        content[f"/lib/modules/{kernel}/modules.dep"] = "".join(f"kernel/{one}.ko:\n" for one in others)
        content[f"/boot/config-{kernel}"] = "".join(
            f"CONFIG_{option}={'n' if option.startswith(name.upper()[:3]) else 'm'}\n"
            for option in ("BLK_DEV_NVME", "ENA_ETHERNET", "XEN_BLKDEV_FRONTEND")
        )

    return change


def put(path: str, text: str | Link | None) -> Callable[[Files], None]:
    return lambda content: content.update({path: text})


def take(path: str) -> Callable[[Files], None]:
    def change(content: Files) -> None:
        del content[path]

    return change


def no_kernel(content: Files) -> None:
    for path in [path for path in content if path.startswith(("/boot/vmlinuz", "/boot/initrd", "/lib/modules"))]:
        del content[path]


STATIC = "auto eth0\niface eth0 inet static\n address 10.0.0.2/24\n"
UDEV = 'SUBSYSTEM=="net", ACTION=="add", ATTR{address}=="00:0c:29:12:34:56", NAME="eth0"\n'
CHANGES = [
    ("static address", put("/etc/network/interfaces", STATIC), "network", {SNAPSHOT}),
    ("udev name", put("/etc/udev/rules.d/70-persistent-net.rules", UDEV), "network", {SNAPSHOT}),
    ("no ENA", without_driver("ena"), "network", {SNAPSHOT}),
    ("no NVMe", without_driver("nvme"), "boot", {SNAPSHOT}),
    (
        "disk by name",
        put("/etc/fstab", f"{ROOT}/dev/sdb1 /data ext4 defaults 0 2\n"),
        "boot",
        {SNAPSHOT},
    ),
    (
        "disk absent",
        put("/etc/fstab", f"{ROOT}UUID=dead /data ext4 defaults 0 2\n"),
        "boot",
        {SNAPSHOT},
    ),
    ("no kernel", no_kernel, "boot", {IMAGE, INSTANCE, SNAPSHOT}),
    ("no DHCP client", take("/sbin/dhclient"), "network", {IMAGE, INSTANCE, SNAPSHOT}),
    ("no SSH server", take("/usr/sbin/sshd"), "login", {IMAGE, INSTANCE, SNAPSHOT}),
    ("nobody", put("/etc/shadow", "root:*:1::::::\nadmin:!:1::::::\n"), "login", {IMAGE, INSTANCE, SNAPSHOT}),
]


@pytest.mark.parametrize(
    ("change", "lack", "routes"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES]
)
def test_a_route_that_leaves_a_linux_without_something_is_not_recommended(
    tmp_path: Path, change: Callable[[Files], None], lack: str, routes: set[Route]
) -> None:
    content = unlisted()
    change(content)
    found = image(linux_disk(tmp_path / "disk.raw", content))
    lacking = {route for route, lacks in found.leaves_without.items() if lack in lacks}
    assert lacking - {VOLUME} == routes
    assert found.recommended not in lacking | {VOLUME}
    if IMAGE in routes:
        assert found.recommended is None
    else:
        assert found.recommended is IMAGE
    assert found.as_json()["leaves_without"].get("snapshot", [])[:1] == [found.leaves_without[SNAPSHOT][0]]


def test_swap_and_root_by_name_and_nofail_stop_no_boot(tmp_path: Path) -> None:
    fstab = "/dev/sda1 / ext4 defaults 0 1\n/dev/sda2 none swap sw 0 0\n/dev/sdb1 /data ext4 nofail 0 2\n"
    found = image(linux_disk(tmp_path / "disk.raw", {**unlisted(), "/etc/fstab": fstab}))
    assert "boot" not in found.leaves_without.get(SNAPSHOT, ())
    assert found.recommended is SNAPSHOT


@pytest.mark.parametrize(
    ("changes", "lack", "routes"),
    [
        ({SERVICES + r"\stornvme": {"Start": 3}}, "boot", {SNAPSHOT}),
        ({}, "network", {SNAPSHOT}),
        ({SET + r"\Control\Terminal Server": {"fDenyTSConnections": 1}}, "login", {IMAGE, INSTANCE, SNAPSHOT}),
        ({SERVICES + r"\Dhcp": {"Start": 4}}, "network", {IMAGE, INSTANCE, SNAPSHOT}),
    ],
)
def test_a_route_that_leaves_a_windows_without_something_is_not_recommended(
    tmp_path: Path, changes: dict[str, Any], lack: str, routes: set[Route]
) -> None:
    need("mkntfs", "ntfscp", "sfdisk")
    found = image(windows_disk(tmp_path / "windows.raw", software(), {**system(), **changes}))
    assert {route for route, lacks in found.leaves_without.items() if lack in lacks} - {VOLUME} == routes
    assert found.recommended not in {*found.leaves_without, VOLUME}


@pytest.mark.parametrize(
    "content", [b"hello", b"\0\1\2\3\4", b"%PDF-1.4\n" + bytes(4096), b"\x89PNG\r\n\x1a\n" + bytes(2000)]
)
@pytest.mark.parametrize("name", ["file.raw", "file.vmdk", "file.bin"])
def test_what_is_no_disk_has_no_recommended_route(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert image(path).recommended is None


def test_a_machine_that_could_not_be_looked_into_is_no_snapshot(tmp_path: Path) -> None:
    disk = linux_disk(tmp_path / "disk.raw")
    with disk.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"LUKS\xba\xbe\0\2" + bytes(4088))
    found = image(disk)
    assert found.leaves_without[SNAPSHOT] == ("boot",)
    assert found.recommended is None


def test_data_goes_as_a_snapshot(tmp_path: Path) -> None:
    disk = linux_disk(tmp_path / "disk.raw", {"/data/file": "x"})
    with disk.open("r+b") as file:
        file.write(bytes(440))
    found = image(disk)
    assert (found.recommended, found.leaves_without) == (SNAPSHOT, {})


def test_the_disks_of_one_machine_are_no_snapshots(tmp_path: Path) -> None:
    data = tmp_path / "data.raw"
    data.write_bytes(bytes(1 << 20))
    system_disk = linux_disk(tmp_path / "disk.raw", unlisted())
    assert image(system_disk).recommended is SNAPSHOT
    assert image(system_disk, data, together=True).recommended is IMAGE


DRIVER = st.sampled_from(list(DriverState))
LINUXES = st.builds(
    replace,
    st.just(LINUX),
    distribution=st.sampled_from(["debian", "almalinux", "alpine", "nixos"]),
    root_by_name=st.booleans(),
    drivers=st.fixed_dictionaries({"nvme": DRIVER, "ena": DRIVER, "xen-blkfront": DRIVER}),
    network=st.builds(
        replace,
        st.just(LINUX.network),
        static=st.booleans(),
        dhcp_client=st.sampled_from(["", "dhclient"]),
        udev_rules=st.sampled_from(["", "/etc/udev/rules.d/70-persistent-net.rules"]),
    ),
    sshd=st.builds(Sshd, installed=st.booleans(), enabled=st.sampled_from([True, False, None])),
    firewall=st.builds(
        Firewall, kind=st.just("ufw"), active=st.booleans(), ssh_allowed=st.sampled_from([True, False, None])
    ),
    users=st.builds(Users, with_keys=st.integers(0, 1), with_password=st.integers(0, 1)),
)


def boots_by_itself(root: LinuxFacts) -> bool:
    early = {DriverState.BUILTIN, DriverState.INITRAMFS}
    return root.drivers["nvme"] in early and not root.root_by_name


def gets_a_network_by_itself(root: LinuxFacts) -> bool:
    usable = {DriverState.BUILTIN, DriverState.INITRAMFS, DriverState.MODULE}
    return root.drivers["ena"] in usable and not root.network.static and not root.network.udev_rules


def lets_somebody_in(root: LinuxFacts) -> bool:
    barred = root.firewall.active and root.firewall.ssh_allowed is False
    return root.sshd.installed and root.sshd.enabled is not False and not barred and root.users.with_keys > 0


@given(root=LINUXES)
@settings(max_examples=400, deadline=None)
def test_whatever_a_linux_lacks_the_recommended_route_does_not_need_it(root: LinuxFacts) -> None:
    found = judge(replace(linux(), guest=replace(BASE.guest, roots=(root,))))
    by_route, lacks = verdicts(found), left_without(found)
    route = recommend(by_route, lacks)
    assert route is not VOLUME
    if route is not None:
        assert by_route[route] is not Verdict.FAIL
        assert lets_somebody_in(root)
        assert root.network.dhcp_client
    if route is SNAPSHOT:
        assert boots_by_itself(root)
        assert gets_a_network_by_itself(root)
