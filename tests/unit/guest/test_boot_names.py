"""Whole disks whose boot names what is not on them: from the bytes to the verdict of each route."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guests import (
    MIB,
    Bytes,
    Disk,
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
