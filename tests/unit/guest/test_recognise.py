"""What superblocks say, each made by the format's own tool where there is one."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from tests.guests import MIB, Bytes, Disk, md_member
from tests.tools import need, run
from vmie.guest.recognise import Content, recognise


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


UUID = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("argv", "size", "kind", "names"),
    [
        (["mke2fs", "-q", "-F", "-t", "ext2", "-L", "top", "-U", UUID], 8, "ext2", ("top", UUID)),
        (["mke2fs", "-q", "-F", "-t", "ext3", "-L", "top", "-U", UUID], 8, "ext3", ("top", UUID)),
        (["mke2fs", "-q", "-F", "-t", "ext4", "-L", "top", "-U", UUID], 8, "ext4", ("top", UUID)),
        (["mkfs.xfs", "-q", "-L", "top", "-m", f"uuid={UUID}"], 320, "xfs", ("top", UUID)),
        (["mkfs.btrfs", "-q", "-L", "top", "-U", UUID], 128, "btrfs", ("top", UUID)),
        (["mkfs.jfs", "-q", "-L", "top"], 32, "jfs", ("top", None)),
        (["mkfs.fat", "-n", "TOP", "-i", "12345678"], 8, "fat", ("TOP", "1234-5678")),
        (["mkfs.fat", "-F", "32", "-n", "TOP", "-i", "12345678"], 40, "fat", ("TOP", "1234-5678")),
        (["mkntfs", "-q", "-F", "-L", "top"], 8, "ntfs", ("", None)),
        (["mkswap", "-q", "-L", "top", "-U", UUID], 8, "swap", ("top", UUID)),
    ],
)
def test_file_systems(tmp_path: Path, argv: list[str], size: int, kind: str, names: tuple[str, str | None]) -> None:
    label, uuid = names
    need(argv[0])
    path = sparse(tmp_path / "fs.img", size * MIB)
    run([*argv, str(path)])
    found = recognise(Disk(path))
    assert (found.kind, found.label) == (kind, label)
    if uuid is not None:
        assert found.uuid == uuid
    else:
        assert found.uuid


@pytest.mark.parametrize("version", [1, 2])
def test_luks(tmp_path: Path, version: int) -> None:
    need("cryptsetup")
    path = sparse(tmp_path / "luks.img", 32 * MIB)
    fast = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
    argv = ["cryptsetup", "luksFormat", "-q", "--type", f"luks{version}", "--uuid", UUID, *fast, str(path), "-"]
    run(argv, input="secret")
    assert recognise(Disk(path)) == Content("luks", uuid=UUID, detail=f"LUKS{version}")


@pytest.mark.parametrize("minor", [0, 1, 2])
def test_software_raid_superblocks_at_either_end(minor: int) -> None:
    size = 4 * MIB + 12345 * 512
    raw = bytearray(size)
    md_member(raw, minor, uuid=UUID)
    found = recognise(Bytes(raw))
    assert found == Content("md", label="host:0", uuid=UUID, detail=f"raid1 of 2, metadata 1.{minor}")


@pytest.mark.parametrize("minor", [0, 1, 2, None])
def test_mdadm_says_the_same_of_our_superblocks(tmp_path: Path, minor: int | None) -> None:
    need("mdadm")
    raw = bytearray(4 * MIB)
    md_member(raw, minor, uuid=UUID)
    path = tmp_path / "member.img"
    path.write_bytes(raw)
    told = run(["mdadm", "--examine", str(path)]).stdout
    found = recognise(Disk(path))
    assert "Checksum : " in told
    assert " - correct" in told
    (uuid,) = re.findall(r"UUID : ([0-9a-f:]{35})", told.replace("Device UUID", "Device"))
    assert found.uuid.replace("-", "") == uuid.replace(":", "")
    assert f"Version : {found.detail.rpartition(' ')[2]}" in told
    assert "Raid Level : raid1" in told


def test_software_raid_0_90() -> None:
    raw = bytearray(4 * MIB)
    md_member(raw, None, uuid=UUID, level=5, devices=3)
    assert recognise(Bytes(raw)) == Content("md", label="0", uuid=UUID, detail="raid5 of 3, metadata 0.90")


def test_a_fat_label_that_was_changed_later(tmp_path: Path) -> None:
    need("mkfs.fat", "mlabel")
    for bits, size in ((12, 2), (16, 16), (32, 40)):
        path = sparse(tmp_path / f"fat{bits}.img", size * MIB)
        run(["mkfs.fat", "-F", str(bits), "-n", "OLD", "-i", "12345678", str(path)])
        run(["mlabel", "-i", str(path), "::NEW NAME"])
        with path.open("r+b") as file:  # mlabel writes both places, Windows the directory's alone
            file.seek(71 if bits == 32 else 43)
            file.write(b"OLD        ")
        assert recognise(Disk(path)).label == "NEW NAME"


def test_a_fat_without_an_entry_has_the_label_of_its_boot_sector(tmp_path: Path) -> None:
    need("mkfs.fat", "mlabel")
    path = sparse(tmp_path / "fat.img", 16 * MIB)
    run(["mkfs.fat", "-F", "16", str(path)])
    assert recognise(Disk(path)).label == ""
    with path.open("r+b") as file:
        file.seek(43)
        file.write(b"BOOT       ")
    assert recognise(Disk(path)).label == "BOOT"


def test_a_fat_whose_numbers_lead_nowhere_is_still_fat() -> None:
    head = bytearray(MIB)
    head[:3], head[510:512] = b"\xeb\x3c\x90", b"\x55\xaa"
    struct.pack_into("<HBHB", head, 11, 512, 1, 65535, 2)
    head[21] = 0xF8
    struct.pack_into("<I4xI", head, 36, 0xFFFFFFFF, 0x0FFFFFF6)
    assert recognise(Bytes(head)).kind == "fat"


def bcache_like(*, magic: str, offset_at: int) -> Content:
    raw = bytearray(2 * MIB)
    raw[4096 + 24 : 4096 + 40] = bytes.fromhex(magic)
    raw[4096 + offset_at] = 8
    raw[4096 + 40 : 4096 + 56] = bytes([1] * 16)
    raw[4096 + 56 : 4096 + 72] = bytes.fromhex(UUID.replace("-", ""))
    raw[4096 + 72 : 4096 + 75] = b"top"
    return recognise(Bytes(raw))


def test_bcachefs_is_not_bcache() -> None:
    shared, own = "c68573f64e1a45ca8265f57f48ba6d81", "c68573f666ce90a9d96a60cf803df7ef"
    assert bcache_like(magic=shared, offset_at=8) == Content("bcache", uuid="01010101-0101-0101-0101-010101010101")
    assert bcache_like(magic=shared, offset_at=104) == Content("bcachefs", label="top", uuid=UUID)
    assert bcache_like(magic=own, offset_at=104) == Content("bcachefs", label="top", uuid=UUID)


@pytest.mark.parametrize(
    ("at", "magic", "kind"),
    [
        (3, b"-FVE-FS-", "bitlocker"),
        (3, b"ReFS\0\0\0\0", "refs"),
        (3, b"EXFAT   ", "exfat"),
        (0, b"SPACEDB ", "storage-spaces"),
        (6 * 512, b"PRIVHEAD", "ldm"),
        (MIB, b"\x0d\xd0\x01\xc0", "vmfs"),
        (4096 + 24, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81"), "bcache"),
        (0, b"hsqs", "squashfs"),
        (32769, b"CD001", "iso9660"),
        (1024, b"\x10\x20\xf5\xf2", "f2fs"),
        (1024, b"H+\x00\x04", "hfsplus"),
        (1024, b"BD", "hfs"),
        (65536 + 52, b"ReIsEr2Fs", "reiserfs"),
        (128 * 1024 + 4096, b"\x0c\xb1\xba\x00\0\0\0\0", "zfs"),
        (4086, b"S1SUSPEND\0", "swap"),
    ],
)
def test_other_magics(at: int, magic: bytes, kind: str) -> None:
    raw = bytearray(64 * MIB if kind == "zfs" else 2 * MIB)
    raw[at : at + len(magic)] = magic
    assert recognise(Bytes(raw)).kind == kind


def test_zeros_are_empty_and_noise_is_unknown() -> None:
    assert recognise(Bytes(bytes(MIB))).kind == "empty"
    assert recognise(Bytes(b"\x01\x02\x03" * 100_000)).kind == "unknown"
    assert recognise(Bytes(b"")).kind == "empty"


def test_a_label_with_control_characters_is_made_harmless() -> None:
    raw = bytearray(MIB)
    raw[:4] = b"XFSB"
    raw[108:114] = b"\x1b[2Jab"
    assert recognise(Bytes(raw)).label == "?[2Jab"


def test_ext4_over_an_older_btrfs_is_ext4(tmp_path: Path) -> None:
    path = sparse(tmp_path / "fs.img", 64 * MIB)
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", str(path)])
    with path.open("r+b") as file:
        file.seek(65536 + 64)
        file.write(b"_BHRfS_M")
    assert recognise(Disk(path)).kind == "ext4"
