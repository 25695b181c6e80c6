"""Whole disks with guests that would not boot, be reached or let anybody in: from the bytes to each route's verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guests import (
    MIB,
    Bytes,
    Disk,
    Link,
    ext4,
    fill,
    group,
    mbr,
    mbr_entry,
    md_member,
    physical_volume,
    put,
    segment,
    volume,
)
from tests.linux_guest import KERNEL, files, linux_disk
from vmie.checks import CheckedDisk, Subject, judge, verdicts
from vmie.guest import Budget, inspect
from vmie.guest.machine import Machine
from vmie.model import Finding, Route, Verdict

STALE = "deadbeef-0000-4000-8000-000000000000"
ROOT = "UUID=2f1ed7d2-5d0a-4c1c-9b86-2a4f0c0f9d51"


def judged(path: Path) -> list[Finding]:
    disk = Disk(path)
    guest = inspect([disk], budget=Budget())
    checked = CheckedDisk(format="vmdk", variant="streamOptimized", size=disk.size, file_size=disk.size)
    return judge(Subject(disks=(checked,), guest=guest))


def found(path: Path, rule: str) -> dict[str, Verdict]:
    """The worst verdict of `rule` per route."""
    worst = verdicts(finding for finding in judged(path) if finding.rule == f"VMIE-{rule}")
    return {route.value: verdict for route, verdict in worst.items()}


def test_a_root_that_no_volume_bears_fails_every_route(tmp_path: Path) -> None:
    grub = str(files()["/boot/grub/grub.cfg"]).replace(ROOT, f"UUID={STALE}")
    path = linux_disk(tmp_path / "stale.raw", {**files(), "/boot/grub/grub.cfg": grub})
    assert found(path, "BOOT-014") == dict.fromkeys([route.value for route in Route], Verdict.FAIL)


def test_fstab_with_a_mapper_name_that_is_not_there(tmp_path: Path) -> None:
    fstab = f"{ROOT} / ext4 defaults 0 1\n/dev/mapper/vgdata-data /data xfs defaults 0 0\n"
    path = linux_disk(tmp_path / "mapper.raw", {**files(), "/etc/fstab": fstab})
    assert found(path, "LNX-004")["image"] is Verdict.WARN
    assert found(path, "BOOT-014")["image"] is Verdict.PASS


PV = "aaaaaa-0000-0000-0000-0000-0000-aaaaaa"


def lvm_disk(tmp_path: Path, options: str, *, name: str, fstab: str) -> Path:
    """A disk with the root in a logical volume of the group `name`."""
    grub = f"menuentry 'x' {{\n linux /boot/vmlinuz-{KERNEL} {options}\n initrd /boot/initrd.img-{KERNEL}\n}}\n"
    root = fill(tmp_path / "root", {**files(), "/etc/fstab": fstab, "/boot/grub/grub.cfg": grub})
    image = ext4(tmp_path / "root.img", root, size=24 * MIB)
    text = group(name, pvs={"pv0": PV}, volumes=volume("root-lv", segment(0, 384, ("pv0", 0))))
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.write(mbr(mbr_entry(0x8E, 2048, 40 * 2048, active=True), code=b"\xeb\x63" + b"GRUB "))
        file.truncate(48 * MIB)
        file.seek(MIB)
        file.write(physical_volume(PV, text, size=40 * MIB)[:MIB])
    put(path, image, at=2 * MIB)
    return path


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ("root=/dev/mapper/vg--a-root--lv rd.lvm.lv=vg-a/root-lv", Verdict.PASS),
        ("root=/dev/vg-a/root-lv rd.lvm.vg=vg-a", Verdict.PASS),
        ("root=/dev/mapper/vg--old-root--lv", Verdict.FAIL),
        ("root=/dev/mapper/vg--a-root--lv rd.lvm.lv=vg-a/swap", Verdict.FAIL),
        ("root=/dev/mapper/vg--a-root--lv resume=/dev/mapper/vg--a-swap", Verdict.WARN),
    ],
)
def test_volumes_of_a_group(tmp_path: Path, options: str, verdict: Verdict) -> None:
    path = lvm_disk(tmp_path, options, name="vg-a", fstab="/dev/mapper/vg--a-root--lv / ext4 defaults 0 1\n")
    assert found(path, "BOOT-014")["snapshot"] is verdict
    assert found(path, "LNX-004")["snapshot"] is Verdict.PASS


def mirror(tmp_path: Path, minor: int | None, *, level: int = 1, root: str, fstab: str) -> Path:
    """A disk whose only partition is a member of a software RAID that holds the root."""
    grub = f"menuentry 'x' {{\n linux /boot/vmlinuz-{KERNEL} root={root}\n initrd /boot/initrd.img-{KERNEL}\n}}\n"
    tree = fill(tmp_path / "root", {**files(), "/etc/fstab": fstab, "/boot/grub/grub.cfg": grub})
    image = ext4(tmp_path / "root.img", tree, size=24 * MIB, options=["-U", ROOT[5:]])
    member = bytearray(32 * MIB)
    at = 0 if minor in (0, None) else MIB
    member[at : at + image.stat().st_size] = image.read_bytes()
    md_member(member, minor, uuid=RAID, level=level, data_offset=at // 512)
    path = tmp_path / "disk.raw"
    entry = mbr_entry(0xFD, 2048, len(member) // 512, active=True)
    path.write_bytes(mbr(entry, code=b"\xeb\x63" + b"GRUB ").ljust(MIB, b"\0") + member + bytes(MIB))
    return path


RAID = "0a1b2c3d-0a1b-2c3d-0a1b-2c3d0a1b2c3d"


@pytest.mark.parametrize("minor", [0, 1, 2, None])
def test_a_mirror_is_read_through_one_of_its_members(tmp_path: Path, minor: int | None) -> None:
    path = mirror(
        tmp_path, minor, root="/dev/md0 rd.md.uuid=0a1b2c3d:0a1b2c3d:0a1b2c3d:0a1b2c3d", fstab=f"{ROOT} / ext4\n"
    )
    facts = inspect([Disk(path)], budget=Budget())
    name = "md 0" if minor is None else "md host:0"
    assert [(root.distribution, root.volume) for root in facts.linux] == [("debian", name)]
    assert facts.partitions[0].detail.startswith("raid1 of 2, metadata ")
    assert facts.problems == ()
    assert found(path, "BOOT-014")["image"] is Verdict.PASS
    assert found(path, "LNX-004")["image"] is Verdict.PASS
    assert found(path, "FS-005")["image"] is Verdict.UNKNOWN


def test_a_mirror_whose_root_is_named_otherwise(tmp_path: Path) -> None:
    path = mirror(tmp_path, 2, root=f"UUID={STALE}", fstab=f"{ROOT} / ext4\n")
    assert found(path, "BOOT-014")["image"] is Verdict.FAIL


def test_other_levels_are_named_and_not_read(tmp_path: Path) -> None:
    path = mirror(tmp_path, 2, level=5, root=ROOT, fstab=f"{ROOT} / ext4\n")
    facts = inspect([Disk(path)], budget=Budget())
    assert facts.roots == ()
    assert str(facts.problems[0]) == "disk 0 partition 1: md is recognised, but not read (raid5 of 2, metadata 1.2)"
    assert found(path, "FS-005")["image"] is Verdict.UNKNOWN


def test_the_newest_member_of_a_mirror_counts(tmp_path: Path) -> None:
    old, new = bytearray(8 * MIB), bytearray(8 * MIB)
    for member, name, events in ((old, "old", 5), (new, "new", 9)):
        image = ext4(tmp_path / f"{name}.img", None, size=4 * MIB, options=["-L", name])
        member[: 4 * MIB] = image.read_bytes()
        md_member(member, 0, uuid=RAID, events=events)
    disks = [mbr(mbr_entry(0xFD, 2048, 8 * 2048)).ljust(MIB, b"\0") + bytes(member) for member in (old, new)]
    machine = Machine([Bytes(disk) for disk in disks], budget=Budget())
    machine.read()
    assert [volume.content.label for volume in machine.volumes if volume.where == "md host:0"] == ["new"]
    assert machine.devices.present("LABEL=new") is True
    assert machine.devices.present("LABEL=old") is False
    assert machine.devices.present("/dev/md0") is True
    assert machine.devices.present("/dev/md127") is None


NO_NETWORK = {"image": Verdict.WARN, "instance": Verdict.WARN, "snapshot": Verdict.FAIL, "volume": Verdict.FAIL}


def without_network(**more: str) -> dict[str, str | bytes | Link | None]:
    kept = {path: node for path, node in files().items() if path != "/etc/network/interfaces"}
    return {**kept, "/usr/lib/udev/rules.d/80-net-setup-link.rules": "x\n", **more}


def test_netplan_and_ifcfg_bound_to_a_hardware_address(tmp_path: Path) -> None:
    netplan = (
        "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n      match:\n        macaddress: '52:00:00:12:34:56'\n"
    )
    path = linux_disk(tmp_path / "netplan.raw", without_network(**{"/etc/netplan/50-cloud-init.yaml": netplan}))
    assert found(path, "NET-010") == NO_NETWORK
    ifcfg = "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\nHWADDR=00:50:56:AA:BB:CC\n"
    path = linux_disk(tmp_path / "ifcfg.raw", without_network(**{"/etc/sysconfig/network-scripts/ifcfg-eth0": ifcfg}))
    assert found(path, "NET-010") == NO_NETWORK


def test_a_static_netplan_with_a_flow_mapping(tmp_path: Path) -> None:
    netplan = (
        "network:\n  ethernets:\n    ens160:\n      addresses:\n      - 10.0.0.5/24\n      gateway4: 10.0.0.1\n"
        "      nameservers: {addresses: [10.0.0.2]}\n  version: 2\n"
    )
    path = linux_disk(tmp_path / "static.raw", without_network(**{"/etc/netplan/00-installer-config.yaml": netplan}))
    assert found(path, "NET-003")["image"] is Verdict.WARN


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"/etc/cloud/cloud.cfg.d/99-dpkg.cfg": "datasource_list: [ NoCloud, VMware ]\n"}, "asks NoCloud, VMware only"),
        ({"/etc/cloud/cloud-init.disabled": ""}, "cloud-init is disabled (/etc/cloud/cloud-init.disabled)"),
        (
            {"/etc/cloud/ds-identify.cfg": "datasource: Azure\n"},
            "asks Azure only, not EC2 (/etc/cloud/ds-identify.cfg)",
        ),
        ({"/usr/bin/amazon-ssm-agent": "x", "/etc/cloud/cloud-init.disabled": ""}, ""),
        ({}, ""),
    ],
)
def test_nobody_can_log_in(tmp_path: Path, more: dict[str, str], said: str) -> None:
    nobody = {"/etc/passwd": "root:x:0:0::/root:/bin/sh\n", "/etc/shadow": "root:*:1::::::\n"}
    cloud = {
        "/usr/bin/cloud-init": "#!/usr/bin/python3\n",
        "/etc/cloud/cloud.cfg": "datasource_list: [ NoCloud, Ec2 ]\n",
    }
    path = linux_disk(tmp_path / "login.raw", {**files(), **nobody, **cloud, **more})
    told = [finding for finding in judged(path) if finding.rule == "VMIE-LNX-008"]
    assert [finding.verdict for finding in told] == [Verdict.WARN if said else Verdict.PASS]
    assert said in told[0].message
