"""Which subvolume of a Btrfs is the system: snapper's layout, named subvolumes, copies, and what boots instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.btrfs_guest import FEDORA_KERNEL, SUSE_KERNEL, UUID, fedora, fedora_files, on_disk, suse, ubuntu
from tests.btrfs_image import Sub
from tests.guests import Disk
from vmie.checks import CheckedDisk, Subject, judge
from vmie.guest import inspect
from vmie.guest.budget import Budget
from vmie.guest.facts import GuestFacts
from vmie.guest.linux_facts import LinuxFacts
from vmie.model import Finding


def look(path: Path) -> GuestFacts:
    return inspect([Disk(path)], budget=Budget())


def only(facts: GuestFacts) -> LinuxFacts:
    assert len(facts.linux) == 1
    return facts.linux[0]


def findings(path: Path, facts: GuestFacts) -> dict[str, Finding]:
    size = path.stat().st_size
    disk = CheckedDisk(format="vmdk", variant="streamOptimized", size=size, file_size=size)
    return {one.rule.removeprefix("VMIE-"): one for one in judge(Subject(disks=(disk,), guest=facts))}


def test_snapper_s_default_snapshot_is_the_system(tmp_path: Path) -> None:
    path = suse(tmp_path / "suse.raw")
    facts = look(path)
    found = only(facts)
    assert (found.distribution, found.version, found.filesystem) == ("sles", "15.5", "btrfs")
    assert (found.default_kernel, found.grub_platforms) == (SUSE_KERNEL, ("i386-pc",))
    assert found.initramfs.readable
    assert {mount.mountpoint: mount.target for mount in found.fstab} == dict.fromkeys(
        ("/", "/var", "/home", "/root", "/.snapshots"), True
    )
    assert found.users.with_keys == 1
    assert (facts.problems, found.problems) == ((), ())
    judged = findings(path, facts)
    assert judged["FS-005"].verdict.value == "fail"
    assert "8 subvolumes" in judged["FS-005"].message
    assert {"image", "instance"} == {route.value for route in judged["FS-005"].routes}
    assert judged["FS-004"].verdict.value == judged["FS-009"].verdict.value == "pass"


def test_fedora_s_subvolumes_beside_its_boot(tmp_path: Path) -> None:
    found = only(look(fedora(tmp_path / "fedora.raw")))
    assert (found.distribution, found.version, found.bls_entries) == ("fedora", "38", 1)
    assert (found.default_kernel, found.users.with_keys) == (FEDORA_KERNEL, 1)
    assert found.initramfs.path == f"/boot/initramfs-{FEDORA_KERNEL}.img"
    assert [mount.target for mount in found.fstab] == [True, True, True]
    assert (found.boot_devices, found.problems) == ((), ())


def test_a_root_subvolume_that_is_not_there_stops_the_boot(tmp_path: Path) -> None:
    path = fedora(tmp_path / "fedora.raw", options="rootflags=subvol=system")
    facts = look(path)
    assert [(one.option, one.present) for one in only(facts).boot_devices] == [("rootflags=subvol=system", False)]
    assert findings(path, facts)["BOOT-014"].verdict.value == "fail"


def test_grub_s_paths_from_the_top_level_and_a_writable_snapshot(tmp_path: Path) -> None:
    found = only(look(ubuntu(tmp_path / "ubuntu.raw")))
    assert (found.distribution, found.version) == ("ubuntu", "22.04")
    assert (found.default_kernel, found.kernels[0].image) == (FEDORA_KERNEL, f"/boot/vmlinuz-{FEDORA_KERNEL}")
    assert found.initramfs.readable
    assert (found.users.with_keys, found.problems) == (1, ())


def test_a_mount_of_a_subvolume_that_is_not_there(tmp_path: Path) -> None:
    fstab = (
        f"UUID={UUID} / btrfs subvol=@ 0 1\nUUID={UUID} /home btrfs subvol=@home 0 2\n"
        f"UUID={UUID} /srv btrfs subvol=@srv 0 2\nUUID={UUID} /opt btrfs subvol=@home,subvolid=257 0 2\n"
    )
    found = only(look(ubuntu(tmp_path / "ubuntu.raw", extra={"/etc/fstab": fstab})))
    assert [mount.target for mount in found.fstab] == [True, True, False, False]


def test_two_systems_are_two(tmp_path: Path) -> None:
    other = Sub(270, "second", fedora_files(subvolume="second"))
    assert [root.version for root in look(ubuntu(tmp_path / "two.raw", more=(other,))).linux] == ["22.04", "38"]


def test_rootflags_decide_where_no_fstab_does(tmp_path: Path) -> None:
    """The kernel mounts what rootflags= names, whatever the subvolume that GRUB's configuration lies in says."""
    other = Sub(270, "newer", {**fedora_files(subvolume="newer"), "/etc/fstab": ""})
    config = (
        f"menuentry 'x' {{\n linux /@/boot/vmlinuz-{FEDORA_KERNEL} root=UUID={UUID} rootflags=subvol=newer\n"
        f" initrd /@/boot/initrd.img-{FEDORA_KERNEL}\n}}\n"
    )
    path = ubuntu(tmp_path / "other.raw", extra={"/boot/grub/grub.cfg": config}, more=(other,))
    assert only(look(path)).distribution == "fedora"


def test_several_that_nothing_tells_apart_are_said(tmp_path: Path) -> None:
    bare = {"/etc/os-release": "ID=debian\n", "/etc/passwd": "root:x:0:0::/root:/bin/sh\n"}
    facts = look(on_disk(tmp_path / "two.raw", Sub(256, "a", bare), Sub(257, "b", bare)))
    assert only(facts).distribution == "debian"
    assert [(one.what, one.why) for one in facts.problems] == [
        ("of its subvolumes with a Linux only /a is read", "/a, /b")
    ]


def test_an_ostree_in_a_subvolume_is_said(tmp_path: Path) -> None:
    facts = look(on_disk(tmp_path / "ostree.raw", Sub(256, "root", {"/ostree/deploy/fedora/x": "y"})))
    assert facts.roots == ()
    assert [one.what for one in facts.problems] == ["holds an ostree deployment, which is not read"]


@pytest.mark.parametrize("subvolumes", [0, 1])
def test_a_data_disk_has_no_root(tmp_path: Path, subvolumes: int) -> None:
    path = on_disk(
        tmp_path / "data.raw", *(Sub(256 + number, f"d{number}", {"/x": "y"}) for number in range(subvolumes))
    )
    facts = look(path)
    assert (facts.roots, facts.problems) == ((), ())
