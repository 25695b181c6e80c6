"""Repairs through every layer below a file: XFS, a logical volume over two disks, an EFI system partition."""

from __future__ import annotations

from pathlib import Path

from tests.guests import MIB, fill, gpt, group, mbr, mbr_entry, physical_volume, put, segment, volume
from tests.linux_guest import files, linux_disk, xfs
from tests.tools import need, run
from tests.unit.guest.in_place.test_file_map import judged, read_by_others
from vmie import disk
from vmie.disk.overlay import Overlay
from vmie.repair import apply
from vmie.repair.console import SERIAL_CONSOLE
from vmie.repair.mounts import FSTAB

_BOTH = b"console=tty0 console=ttyS0,115200"
_BLS = {
    **files(),
    "/etc/os-release": 'ID="rhel"\nVERSION_ID="9.4"\n',
    "/etc/fstab": "/dev/sda1 / xfs defaults 0 0\n",
    "/boot/grub2/grub.cfg": 'set default="${saved_entry}"\nblscfg\n',
    "/boot/grub2/grubenv": "# GRUB Environment Block\nsaved_entry=a\nkernelopts=root=/dev/sda1 ro quiet\n".ljust(
        1024, "#"
    ),
    "/boot/loader/entries/a.conf": "title A\nlinux /boot/vmlinuz-6.1.0-25-amd64\noptions $kernelopts\n",
}


def written(layer: Overlay, target: Path) -> Path:
    """The mended disk as a file."""
    with target.open("wb") as file:
        file.truncate(layer.size)
        for extent in layer.extents():
            if extent.kind.value == "allocated":
                file.seek(extent.offset)
                file.write(layer.read(extent.offset, extent.length))
    return target


def part(source: Path, target: Path, *, start: int, size: int) -> Path:
    run(["dd", f"if={source}", f"of={target}", "bs=1M", f"skip={start // MIB}", f"count={size // MIB}", "conv=sparse"])
    return target


def test_a_root_on_xfs(tmp_path: Path) -> None:
    """As RHEL has it: entries that share their options in a block of 1024 bytes."""
    root = fill(tmp_path / "root", _BLS)
    source = tmp_path / "a.raw"
    source.write_bytes(mbr(mbr_entry(0x83, 2048, 300 * 2048, active=True)).ljust(301 * MIB, b"\0"))
    put(source, xfs(tmp_path / "xfs", root), at=MIB)
    with disk.open(source) as base:
        layer = Overlay(base)
        assert not apply([layer], (FSTAB, SERIAL_CONSOLE)).left
        mended = written(layer, tmp_path / "mended.raw")
    volume_ = part(mended, tmp_path / "part", start=MIB, size=300 * MIB)
    judged(volume_)
    assert read_by_others(volume_, "/etc/fstab").startswith(b"UUID=")
    block = read_by_others(volume_, "/boot/grub2/grubenv")
    assert len(block) == 1024
    assert b"kernelopts=root=/dev/sda1 ro " + _BOTH + b"\n#" in block


def test_a_root_on_a_logical_volume_of_two_disks(tmp_path: Path) -> None:
    need("e2fsck", "debugfs")
    one, two = ("AAAAAA-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa1", "AAAAAA-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa2")
    data = tmp_path / "lv"
    linux_disk(tmp_path / "plain.raw", {**files(), "/etc/fstab": "/dev/sda1 / ext4 defaults 0 1\n"}, size=17)
    part(tmp_path / "plain.raw", data, start=MIB, size=16 * MIB)
    content, extent = data.read_bytes(), 65536
    # every other extent lies on the other disk
    stripes = [segment(index, 1, (f"pv{index % 2}", index // 2)) for index in range(len(content) // extent)]
    text = group("rhel", pvs={"pv0": one, "pv1": two}, volumes=volume("root", *stripes))
    sources = []
    for number, uuid in enumerate((one, two)):
        held = physical_volume(uuid, text, size=20 * MIB)
        for index in range(number, len(content) // extent, 2):
            at = MIB + index // 2 * extent
            held[at : at + extent] = content[index * extent : (index + 1) * extent]
        sources.append(tmp_path / f"pv{number}.raw")
        sources[-1].write_bytes(held)
    with disk.open(sources[0]) as first, disk.open(sources[1]) as second:
        layers = [Overlay(first), Overlay(second)]
        done = apply(layers, (FSTAB, SERIAL_CONSOLE))
        assert {change.where for change in done.changes} == {"rhel/root"}
        pieces = [layer.read(MIB, 8 * MIB) for layer in layers]
    mended = tmp_path / "mended"
    slices = (pieces[index % 2][index // 2 * extent :][:extent] for index in range(len(content) // extent))
    mended.write_bytes(b"".join(slices))
    judged(mended)
    assert read_by_others(mended, "/etc/fstab").startswith(b"UUID=2f1ed7d2")
    assert _BOTH in read_by_others(mended, "/boot/grub/grub.cfg")


def test_entries_on_an_efi_system_partition(tmp_path: Path) -> None:
    """As systemd-boot has them: the files are FAT's, and so is the note of their size."""
    need("mkfs.fat", "mcopy")
    esp, entry = tmp_path / "esp", "title A\nlinux /vmlinuz\noptions root=PARTUUID=x quiet\n"
    with esp.open("wb") as file:
        file.truncate(36 * MIB)
    run(["mkfs.fat", "-F", "32", str(esp)])
    root = fill(tmp_path / "esp.root", {"/loader/entries/arch.conf": entry, "/loader/loader.conf": "timeout 60\n"})
    run(["mcopy", "-s", "-i", str(esp), *map(str, sorted(root.iterdir())), "::"])
    linux_disk(tmp_path / "plain.raw", {**files(), "/boot/grub/grub.cfg": ""}, size=17)
    system = part(tmp_path / "plain.raw", tmp_path / "system", start=MIB, size=16 * MIB)
    source = tmp_path / "a.raw"
    whole = bytearray(56 * MIB)
    kinds = ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "0FC63DAF-8483-4772-8E79-3D69D8477DE4")
    gpt(whole, (kinds[0], MIB, 36 * MIB), (kinds[1], 38 * MIB, 16 * MIB))
    source.write_bytes(whole)
    put(source, esp, at=MIB)
    put(source, system, at=38 * MIB)
    with disk.open(source) as base:
        layer = Overlay(base)
        done = apply([layer], (SERIAL_CONSOLE,))
        mended = written(layer, tmp_path / "mended.raw")
    assert {change.path for change in done.changes} >= {"/boot/efi/loader/entries/arch.conf"}
    volume_ = part(mended, tmp_path / "part", start=MIB, size=36 * MIB)
    judged(volume_)
    assert read_by_others(volume_, "/loader/entries/arch.conf").endswith(b"root=PARTUUID=x " + _BOTH + b"\n")
    assert read_by_others(volume_, "/loader/loader.conf") == b"timeout 5\n".ljust(len(b"timeout 5\n"))
