"""What is surely no disk is told by name; disks that only begin like something else are left alone."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import shutil
import sqlite3
import struct
import subprocess
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from tests.tools import need, run
from vmie import disk
from vmie.disk.base import FileSource, ObjectSource
from vmie.disk.foreign import NOT_A_DISK, expected_disk, no_disk
from vmie.errors import ImageError, Run

MIB = 1 << 20
NOISE = random.Random(9).randbytes(70_000)


def zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("readme.txt", NOISE)
    return held.getvalue()


def iso(*, size: int = MIB, volume: int = 0, table: bytes = b"") -> bytes:
    """A CD's image, with a boot sector of `table` where one is given; the volume says `volume` bytes."""
    data = bytearray(size)
    data[32768:32775] = b"\x01CD001\x01"
    struct.pack_into("<I", data, 32768 + 80, (volume or size) // 2048)
    data[: len(table)] = table
    return bytes(data)


def parted(*, head: bytes = b"", kind: int = 0x83, start: int = 2048, sectors: int = 4096) -> bytes:
    """A boot sector with one partition."""
    sector = bytearray(512)
    sector[: len(head)] = head
    struct.pack_into("<B3xB3xII", sector, 446, 0x80, kind, start, sectors)
    sector[510:] = b"\x55\xaa"
    return bytes(sector)


def dmg() -> bytes:
    return NOISE + struct.pack(">4sII", b"koly", 4, 512).ljust(512, b"\0")


def program() -> bytes:
    return (b"MZ".ljust(60, b"\0") + struct.pack("<I", 128)).ljust(128, b"\0") + b"PE\0\0" + NOISE


NO_DISKS: dict[str, bytes] = {
    "cut zip": zipped()[:60_000],
    "7z": b"7z\xbc\xaf\x27\x1c" + NOISE,
    "rar": b"Rar!\x1a\x07\x01\x00" + NOISE,
    "bzip2": bz2.compress(NOISE),
    "lz4": b"\x04\x22\x4d\x18" + NOISE,
    "lzop": b"\x89LZO\x00\r\n\x1a\n" + NOISE,
    "compress": b"\x1f\x9d\x90" + NOISE,
    "dmg": dmg(),
    "e01": b"EVF\x09\x0d\x0a\xff\x00\x01" + NOISE,
    "ex01": b"EVF2\x0d\x0a\x81\x00" + NOISE,
    "aff": b"AFF10\x0d\x0a\x00" + NOISE,
    "parallels": b"WithoutFreeSpace" + NOISE,
    "bochs": b"Bochs Virtual HD Image\x00".ljust(32, b"\0") + NOISE,
    "qed": b"QED\0" + NOISE,
    "cloop": b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n" + NOISE,
    "wim": b"MSWIM\x00\x00\x00" + NOISE,
    "partclone": b"partclone-image" + NOISE,
    "png": b"\x89PNG\r\n\x1a\n" + NOISE,
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + NOISE,
    "pdf": b"%PDF-1.7\n" + NOISE,
    "html": b"<!DOCTYPE html>\n<html><body>403 Forbidden</body></html>\n",
    "elf": b"\x7fELF\x02\x01\x01" + NOISE,
    "program": program(),
    "text": b"hello",
    "long text": b"one line after the other\n" * 3000,
    "utf-16": "eine Zeile, größer\n".encode("utf-16") * 1,
    "script": b"#!/bin/sh\nexit 0\n" + NOISE,
    "iso9660": iso(),
    "iso with a boot signature": iso(table=bytes(510) + b"\x55\xaa"),
    "proxmox": b"PBS-CAT1" + NOISE,
    "rpm": b"\xed\xab\xee\xdb" + NOISE,
    "deb": b"!<arch>\ndebian-binary" + NOISE,
}


#: told by their first bytes alone
BY_BEGINNING = [kind for kind in NO_DISKS if kind not in ("dmg", "iso9660", "iso with a boot signature")]


def looked(data: bytes, name: str = "disk.ova") -> disk.Disk:
    return disk.open_source(ObjectSource(io.BytesIO(data), name=name))


def read_as_a_disk(data: bytes) -> None:
    opened = looked(data)
    expected_disk(opened.source, opened.facts)
    opened.read(0, opened.size)  # the trailer of a dmg is at its end


@pytest.mark.parametrize(
    ("kind", "pack"),
    # only the beginning of a pack is looked at, and that is no proof for text
    [(kind, pack) for kind in NO_DISKS for pack in ("", "gzip", "xz", "zstd") if not pack or kind != "long text"],
)
def test_what_is_no_disk_is_refused_also_inside_a_pack(kind: str, pack: str) -> None:
    data = NO_DISKS[kind]
    packed = {"gzip": gzip.compress, "xz": lzma.compress, "zstd": zstandard.ZstdCompressor().compress}
    if pack:
        data = packed[pack](data)  # type: ignore[operator]
    with pytest.raises(ImageError) as caught:
        read_as_a_disk(data)
    assert caught.value.code == NOT_A_DISK
    assert caught.value.cure
    assert "no disk that vmie reads" in caught.value.message
    assert (pack or "holds") in caught.value.message or not pack


def test_a_database_is_none(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.raw")) as db, db:
        db.execute("create table t (a)")
    assert disk.open(tmp_path / "x.raw").facts["no_disk"] == "an sqlite database"


@pytest.mark.parametrize("kind", sorted({*BY_BEGINNING} - {"html", "text", "utf-16"}))
def test_a_partition_table_outweighs_any_beginning(kind: str) -> None:
    head = NO_DISKS[kind][:440]
    opened = looked(parted(head=head) + NO_DISKS[kind][512:].ljust(MIB, b"\0"))
    assert (opened.format, opened.facts["no_disk"], opened.facts["looks_like"]) == ("raw", None, None)


@pytest.mark.parametrize("kind", BY_BEGINNING)
def test_so_does_a_file_system_that_leaves_the_first_sectors_alone(kind: str, tmp_path: Path) -> None:
    need("mke2fs")
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(4 * MIB)
    run(["mke2fs", "-q", "-t", "ext4", path])
    with path.open("r+b") as file:
        file.write(NO_DISKS[kind][:1024])
    assert disk.open(path).facts["no_disk"] is None


@pytest.mark.parametrize(
    "content",
    [
        bytes(MIB),
        NOISE,
        b"1" * MIB,
        b"a line\n" * 512 * 1024 + bytes(MIB),
        b"MZ" + NOISE,
        b"BM" + NOISE,
        b"PK" + NOISE,
        b"\x1f\x8b\x00" + NOISE,
        b"LUKS\xba\xbe" + NOISE,
        b"hsqs" + NOISE,
        b"\xff\xd8\xff" + NOISE,
        b"\xeb\x63\x90".ljust(510, b"\0") + b"\x55\xaa" + NOISE,
        b"MZ".ljust(510, b"\0") + b"\x55\xaa" + NOISE,
        b"PK\x03\x04".ljust(510, b"\0") + b"\x55\xaa" + NOISE,
        NOISE[:700] + b"PK\x03\x04" + NOISE,
        bytes(512) + b"%PDF-1.7\n" + NOISE,
        bytes(512) + b"LABELONE" + NOISE,
        b"%PDF-1.7\n".ljust(4086, b"\0") + b"SWAPSPACE2" + NOISE,
    ],
)
def test_what_may_be_a_disk_is_not_refused(content: bytes) -> None:
    opened = looked(content, "disk.raw")
    expected_disk(opened.source, opened.facts)


def test_an_iso_with_a_partition_table_is_a_disk_unless_its_name_says_what_it_is() -> None:
    table = parted(kind=0x17, start=0)
    stick = looked(iso(table=table), "live.img")
    assert (stick.facts["looks_like"], stick.facts["no_disk"]) == ("iso9660-hybrid", None)
    assert looked(iso(table=table), "debian-12-netinst.iso").facts["no_disk"] is not None
    over = looked(iso(size=64 * MIB, volume=MIB, table=parted()), "disk.img")  # what is left of a CD on a disk
    assert over.facts["looks_like"] is None


@pytest.mark.parametrize("form", ["parallels", "qed"])
def test_the_cure_works_on_that_very_file(tmp_path: Path, form: str) -> None:
    need("qemu-img")
    raw, path = tmp_path / "in.raw", tmp_path / "odd name.ova"
    raw.write_bytes(NOISE.ljust(MIB, b"\0"))
    run(["qemu-img", "convert", "-f", "raw", "-O", form, raw, path])
    opened = disk.open(path)
    with pytest.raises(ImageError) as caught:
        expected_disk(opened.source, opened.facts)
    (cure,) = caught.value.actions
    assert isinstance(cure, Run)
    subprocess.run(cure.argv, cwd=tmp_path, check=True)
    assert (tmp_path / "OUT.raw").read_bytes() == raw.read_bytes()


@pytest.mark.parametrize("kind", ["zip", "bzip2", "lz4"])
def test_the_cure_unpacks_that_very_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd name.img"
    content = zipped() if kind == "zip" else NOISE
    path.write_bytes(content)
    if kind != "zip":
        need(kind)
        path.write_bytes(subprocess.run([kind, "-c", path], check=True, capture_output=True).stdout)
    (cure,) = no_disk(FileSource(path), kind).actions
    assert isinstance(cure, Run)
    need(cure.argv[0])
    before = {one.name for one in tmp_path.iterdir()}
    subprocess.run(cure.argv, cwd=tmp_path, check=True, capture_output=True)
    (made,) = {one.name for one in tmp_path.iterdir()} - before
    assert (tmp_path / made).read_bytes() == NOISE
    assert shutil.which(cure.argv[0])
