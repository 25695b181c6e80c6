"""Proxmox backups: every drive byte for byte, whatever the order of its clusters; damage found, bounds kept."""

from __future__ import annotations

import gzip
import io
import lzma
import random
import struct
from pathlib import Path

import pytest
import zstandard

from tests.unit.disk.contents import MIB, outcome
from tests.unit.disk.vma_writer import BLOCK, CLUSTER, write
from vmie import disk
from vmie.errors import ImageError
from vmie.model import ExtentKind
from vmie.ops import ingest
from vmie.options import ImportRequest

_RANDOM = random.Random(8)


def content(size: int, *islands: int) -> bytes:
    data = bytearray(size)
    for at in islands:
        data[at : at + 5000] = _RANDOM.randbytes(5000)
    return bytes(data[:size])


BOOT = content(5 * MIB + 512, 0, 70_000, MIB - 100, 3 * MIB, 5 * MIB - 1000)
DATA = content(2 * MIB, 10, CLUSTER - 2500, MIB + 7 * BLOCK)
EFI = content(528 * 1024, 0)
CONF = """\
boot: order=scsi1;ide2;net0
bios: ovmf
cores: 2
efidisk0: local-lvm:vm-100-disk-0,efitype=4m,pre-enrolled-keys=1,size=4M
ide2: local:iso/debian.iso,media=cdrom,size=600M
memory: 4096
name: web-1
net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1
ostype: l26
scsi0: local-lvm:vm-100-disk-2,size=2M
scsi1: local-lvm:vm-100-disk-1,iothread=1,size=5M
scsihw: virtio-scsi-single
sockets: 2
#qmdump#map:scsi1:drive-scsi1:local-lvm:raw:

[before-the-update]
name: older
"""
DRIVES = {"drive-efidisk0": EFI, "drive-scsi0": DATA, "drive-scsi1": BOOT}


@pytest.fixture
def vma(tmp_path: Path) -> Path:
    path = tmp_path / "vzdump-qemu-100.vma"
    path.write_bytes(write(DRIVES, CONF))
    return path


def test_the_machine_s_drives_are_its_disks_boot_disk_first(vma: Path) -> None:
    with disk.open(vma) as boot, disk.open(vma, index=1) as data:
        assert (boot.size, boot.read(0, boot.size)) == (len(BOOT), BOOT)
        assert (data.size, data.read(0, data.size)) == (len(DATA), DATA)
        facts = boot.facts["appliance"]
    assert [row["id"] for row in facts["disks"]] == ["drive-scsi1", "drive-scsi0"]
    assert (facts["name"], facts["firmware"], facts["secure_boot"], facts["cpus"]) == ("web-1", "efi", True, 4)
    assert (facts["memory_mib"], facts["package"]) == (4096, "vma")
    assert facts["nics"] == [{"name": "net0", "network": "vmbr0", "type": "virtio", "mac": "BC:24:11:00:00:01"}]
    assert facts["cdroms"][0]["file"] == "local:iso/debian.iso"
    with pytest.raises(ImageError, match="no disk 2"):
        disk.open(vma, index=2)
    assert disk.open(vma, machine="web-1").size == len(BOOT)
    with pytest.raises(ImageError, match="no machine 'db'"):
        disk.open(vma, machine="db")


@pytest.mark.parametrize("order", ["interleaved", "sequential", "shuffled"])
@pytest.mark.parametrize("per_extent", [1, 7, 59])
def test_clusters_may_come_in_any_order(order: str, per_extent: int) -> None:
    data = write(DRIVES, CONF, order=order, per_extent=per_extent, numbers=(3, 200, 255))
    with disk.open(io.BytesIO(data)) as opened:
        assert opened.read(0, opened.size) == BOOT
        for offset, length in ((1, 3), (4095, 2), (65_535, 70_000), (MIB - 200, 4096), (opened.size - 5, 99)):
            assert opened.read(offset, length) == BOOT[offset : offset + length]


def test_blocks_that_are_not_stored_are_zeros_and_cost_nothing(vma: Path) -> None:
    with disk.open(vma) as opened:
        extents = list(opened.extents())
        assert sum(one.length for one in extents) == opened.size
        stored = [one for one in extents if one.kind is ExtentKind.ALLOCATED]
        assert {one.kind for one in extents} == {ExtentKind.ALLOCATED, ExtentKind.ZERO}
        assert 0 < sum(one.length for one in stored) <= opened.allocated_size < 100_000
        rest = bytearray(BOOT)
        for one in stored:
            rest[one.offset : one.end] = bytes(one.length)
        assert not any(rest)


@pytest.mark.parametrize(
    ("conf", "order"),
    [
        ("bootdisk: virtio1\nvirtio0: a\nvirtio1: b\nsata0: c\n", ["virtio1", "sata0", "virtio0"]),
        ("boot: cdn\nvirtio0: a\nvirtio1: b\nsata0: c\n", ["sata0", "virtio0", "virtio1"]),
        ("boot: order=net0;virtio1\n", ["virtio1", "sata0", "virtio0"]),
        ("", ["sata0", "virtio0", "virtio1"]),
    ],
)
def test_the_boot_disk_as_the_configuration_says(conf: str, order: list[str]) -> None:
    drives = {f"drive-{slot}": content(CLUSTER, 0) for slot in ("virtio0", "virtio1", "sata0")}
    with disk.open(io.BytesIO(write(drives, conf))) as opened:
        assert [row["file"] for row in opened.facts["appliance"]["disks"]] == order


def test_states_are_no_disks() -> None:
    drives = {"drive-tpmstate0-backup": content(CLUSTER, 0), "vmstate": content(CLUSTER, 0), "drive-ide0": DATA}
    with disk.open(io.BytesIO(write(drives))) as opened:
        assert opened.read(0, len(DATA)) == DATA
        assert len(opened.facts["appliance"]["disks"]) == 1
    with pytest.raises(ImageError, match="without disks"):
        disk.open(io.BytesIO(write({"drive-efidisk0": EFI})))


@pytest.mark.parametrize("pack", ["zst", "gz", "xz"])
def test_as_vzdump_packs_it(vma: Path, pack: str) -> None:
    packers = {"zst": zstandard.ZstdCompressor().compress, "gz": gzip.compress, "xz": lzma.compress}
    path = vma.with_name(f"{vma.name}.{pack}")
    path.write_bytes(packers[pack](vma.read_bytes()))  # type: ignore[operator]
    with disk.open(path) as opened, disk.open(path, index=1) as data:
        assert opened.read(0, opened.size) == BOOT
        assert data.read(0, data.size) == DATA
    look = ingest.look(path, ImportRequest(path))
    assert (look.disks, ingest.choose(look).method) == (2, "vmdk")


def test_lzo_is_refused_with_a_way_to_the_disk(tmp_path: Path) -> None:
    from vmie.disk.foreign import expected_disk

    path = tmp_path / "vzdump.vma.lzo"
    path.write_bytes(b"\x89LZO\x00\r\n\x1a\n" + bytes(4000))
    opened = disk.open(path)
    with pytest.raises(ImageError, match="lzop") as caught:
        expected_disk(opened.source, opened.facts)
    assert f"lzop -d {path}" in caught.value.cure


# --- damage -------------------------------------------------------------------------------------------------------


def reads(data: bytes) -> str:
    def opened() -> disk.Disk:
        found = disk.open(io.BytesIO(data))
        list(found.extents())
        return found

    return outcome(opened)


def test_cut_short_anywhere_it_is_an_image_error() -> None:
    data = write({"drive-scsi0": DATA}, CONF)
    for length in [*range(8, 13_000, 517), *range(13_000, len(data), 4099), len(data) - 1]:
        assert reads(data[:length]) != "read", length


def test_a_header_that_lies_is_found_by_its_checksum() -> None:
    data = bytearray(write({"drive-scsi0": DATA}, CONF))
    for at in (20, 48, 52, 56, 2047, 3071, 4096 + 32, 4096 + 47, 12_300):
        damaged = bytearray(data)
        damaged[at] ^= 0x41
        assert reads(bytes(damaged)) != "read", at


def patched(data: bytes, at: int, value: bytes) -> bytes:
    """With an extent's checksum made true again."""
    import hashlib

    out = bytearray(data)
    out[at : at + len(value)] = value
    start = data.index(b"VMAE")
    head = out[start : start + 24] + bytes(16) + out[start + 40 : start + 512]
    out[start + 24 : start + 40] = hashlib.md5(head).digest()
    return bytes(out)


def test_extents_that_lie_are_found() -> None:
    data = write({"drive-scsi0": DATA}, CONF)
    start = data.index(b"VMAE")
    assert reads(patched(data, start + 40, data[start + 40 : start + 48])) == "read"
    first = struct.unpack_from(">Q", data, start + 40)[0]
    for value, why in (
        (first | 7 << 32, "no drive"),
        (first | 0xFFFFFF, "no drive"),
        (first | 0xFFFF << 48, "blocks"),
    ):
        assert why in reads(patched(data, start + 40, struct.pack(">Q", value)))
    twice = struct.pack(">QQ", first, first & ((1 << 48) - 1) | 1 << 48)
    assert reads(patched(data, start + 40, twice)) != "read"
    assert "checksum" in reads(data[: start + 24] + bytes(16) + data[start + 40 :])
    assert "extent of this archive" in reads(data[:start] + b"XXXX" + data[start + 4 :])


def test_a_drive_of_impossible_size_is_refused() -> None:
    import hashlib

    data = bytearray(write({"drive-scsi0": DATA}, CONF))
    struct.pack_into(">Q", data, 4096 + 32 + 8, 1 << 62)
    (size,) = struct.unpack_from(">I", data, 56)
    data[32:48] = hashlib.md5(bytes(data[:32]) + bytes(16) + bytes(data[48:size])).digest()
    assert "64 TiB" in reads(bytes(data))
