"""What is called free can be overwritten: each file system's own checker and its files are none the worse for it."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import struct
from pathlib import Path

import pytest

from tests import ntfs
from tests.guests import MIB, PE_START, Bytes, group, mbr, mbr_entry, physical_volume, segment, volume
from tests.tools import need, run
from vmie.guest.budget import Budget
from vmie.guest.filesystem import open_filesystem
from vmie.guest.free import FreeSpace, free_space
from vmie.guest.recognise import recognise
from vmie.guest.stream import Cached

EXT = [
    "-t ext2",
    "-t ext3",
    "-t ext4",
    "-t ext4 -b 1024",
    "-t ext4 -O ^64bit,^flex_bg",
    "-t ext4 -O meta_bg,^resize_inode",
    "-t ext4 -O bigalloc -C 16384",
    "-t ext4 -O bigalloc -b 4096 -C 65536",
    "-t ext4 -O sparse_super2",
    "-t ext4 -O ^sparse_super,^metadata_csum,^resize_inode,uninit_bg -g 8192",
    "-t ext4 -O ^metadata_csum,^uninit_bg",
    "-t ext4 -b 65536",
    "-t ext4 -O metadata_csum_seed,flex_bg -G 4",
]
XFS = ["", "-m crc=0", "-m reflink=1,rmapbt=1", "-b size=1024", "-d agcount=9", "-b size=65536", "-i sparse=1"]


class OnFile:
    """A disk in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size

    def read(self, offset: int, length: int) -> bytes:
        with self._path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), length, offset)


def asked(path: Path) -> FreeSpace:
    (found,) = free_space([OnFile(path)])
    return found


def overwrite(path: Path, free: FreeSpace) -> None:
    """Garbage wherever it is free."""
    noise = random.Random(3).randbytes(MIB)
    with path.open("r+b") as file:
        for start, end in free.ranges():
            for at in range(start, end, MIB):
                file.seek(at)
                file.write(noise[: min(MIB, end - at)])


def contents(path: Path) -> dict[str, str]:
    """Path → hash of all files."""
    budget = Budget()
    blocks = Cached(OnFile(path), budget=budget)
    files = open_filesystem(blocks, recognise(blocks), budget=budget)
    names = [f"/{name}" for name in files.listdir("/") if name.startswith("file")]
    return {name: hashlib.sha256(files.read(name, 1 << 30)).hexdigest() for name in names}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    mixed = random.Random(1)
    for number in range(40):
        (root / f"file{number:02}").write_bytes(mixed.randbytes(mixed.randrange(900_000)))
    return root


def dumped(image: Path) -> dict[str, str]:
    """Name → hash of all files, as e2fsprogs reads them."""
    folder = image.with_name("dumped")
    folder.mkdir()
    run(["debugfs", "-R", f"rdump / {folder}", image])
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("file*")}
    shutil.rmtree(folder)
    return found


def _number(listed: str, what: str) -> int:
    return next(int(line.split()[-1]) for line in listed.splitlines() if line.startswith(f"{what}:"))


@pytest.mark.parametrize("options", EXT)
def test_ext(options: str, folder: Path, tmp_path: Path) -> None:
    need("mke2fs", "debugfs", "e2fsck", "dumpe2fs")
    image = tmp_path / "fs.img"
    run(["mke2fs", "-q", "-F", *options.split(), "-d", folder, image, "300m"])
    for number in range(0, 40, 3):
        run(["debugfs", "-w", "-R", f"rm file{number:02}", image])
    run(["e2fsck", "-fy", image])
    before, free = dumped(image), asked(image)
    assert len(before) == 26
    counted, block = (_number(run(["dumpe2fs", "-h", image]).stdout, what) for what in ("Free blocks", "Block size"))
    whole = counted * block
    assert 0.9 * whole < free.size <= whole, free.unknown
    overwrite(image, free)
    run(["e2fsck", "-fn", image])
    assert dumped(image) == before


def test_groups_that_were_never_begun_keep_what_lies_in_them(tmp_path: Path) -> None:
    need("mke2fs", "e2fsck", "dumpe2fs")
    image = tmp_path / "fs.img"
    run(["mke2fs", "-q", "-F", "-t", "ext4", image, "40g"])
    free = asked(image)
    listed = run(["dumpe2fs", image]).stdout
    assert "BLOCK_UNINIT" in listed
    blocks = _number(listed, "Free blocks")
    assert 0.995 * blocks * 4096 < free.size <= blocks * 4096
    with image.open("r+b") as file:
        for start, end in free.ranges():
            for at in (start, (start + end) // 2 & ~0xFFF, end - 4096):
                file.seek(at)
                file.write(b"\xa5" * 4096)
    run(["e2fsck", "-fn", image])


@pytest.mark.parametrize("options", XFS)
def test_xfs(options: str, folder: Path, tmp_path: Path) -> None:
    need("mkfs.xfs", "xfs_repair", "xfs_db")
    image, proto = tmp_path / "fs.img", tmp_path / "proto"
    listed = "\n".join(f"{path.name} ---644 0 0 {path}" for path in sorted(folder.iterdir()))
    proto.write_text(f"/dev/null\n0 0\nd--755 0 0\n{listed}\n$\n")
    run(["truncate", "-s", "700m", image])
    run(["mkfs.xfs", "-q", *options.split(), "-p", proto, image])
    before, free = contents(image), asked(image)
    assert len(before) == 40
    summary = run(["xfs_db", "-r", "-c", "freesp -s", image]).stdout
    block = int(options.partition("size=")[2] or 4096)
    whole = int(summary.split("total free blocks")[1].split()[0]) * block
    assert 0.95 * whole < free.size <= whole, free.unknown
    overwrite(image, free)
    run(["xfs_repair", "-n", image])
    assert contents(image) == before


def test_ntfs(folder: Path, tmp_path: Path) -> None:
    need("mkntfs", "ntfscp", "ntfsfix", "ntfsinfo")
    image = tmp_path / "fs.img"
    ntfs.make(image, size=96 * MIB)
    for path in sorted(folder.iterdir())[:12]:
        ntfs.put(image, f"/{path.name}", path.read_bytes())
    before, free = contents(image), asked(image)
    assert len(before) == 12
    assert free.size > 70 * MIB, free.unknown
    overwrite(image, free)
    run(["ntfsfix", "-n", image])
    run(["ntfsinfo", "-m", image])
    assert contents(image) == before


@pytest.mark.parametrize("width", ["16", "32"])
def test_fat(width: str, folder: Path, tmp_path: Path) -> None:
    need("mkfs.fat", "mcopy", "mdel", "fsck.fat")
    image = tmp_path / "fs.img"
    run(["truncate", "-s", "100m", image])
    run(["mkfs.fat", "-F", width, "-s", "2" if width == "32" else "4", image])
    run(["mcopy", "-i", image, *sorted(folder.iterdir()), "::/"])
    run(["mdel", "-i", image, "::/file03", "::/file04", "::/file20"])
    before, free = contents(image), asked(image)
    assert len(before) == 37
    assert free.size > 75 * MIB, free.unknown
    overwrite(image, free)
    run(["fsck.fat", "-n", image])
    assert contents(image) == before


def test_partitions_swap_and_what_lies_between(tmp_path: Path) -> None:
    need("mke2fs", "mkswap")
    disk, part = tmp_path / "disk.img", tmp_path / "part"
    run(["mke2fs", "-q", "-F", "-t", "ext4", part, "64m"])
    swap = tmp_path / "swap"
    run(["truncate", "-s", "16m", swap])
    run(["mkswap", swap])
    with disk.open("wb") as file:
        file.write(mbr(mbr_entry(0x83, 2048, 65 * 2048), mbr_entry(0x82, 70 * 2048, 16 * 2048)))
        file.seek(MIB)
        file.write(part.read_bytes())
        file.seek(70 * MIB)
        file.write(swap.read_bytes())
        file.truncate(100 * MIB)
    free = asked(disk)
    assert free.covers(70 * MIB + (64 << 10), 86 * MIB)
    assert not free.covers(70 * MIB, 70 * MIB + 4096)
    for between in (0, 65 * MIB + 4096, 69 * MIB, 90 * MIB):
        assert not free.covers(between, between + 512), "nobody calls that free"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param(0x3A, b"\0\0", id="not clean"),
        pytest.param(0x3A, b"\3\0", id="with errors"),
        pytest.param(0x60, b"\xc6\2\0\0", id="journal to be replayed"),
        pytest.param(0x60, b"\xc2\2\0\x40", id="unknown feature"),
        pytest.param(0x64, b"\x6b\4\0\x40", id="unknown feature that forbids writing"),
        pytest.param(0x20, b"\0\0\0\0", id="no blocks in a group"),
        pytest.param(0x04, b"\xff\xff\xff\x7f", id="larger than its disk"),
        pytest.param(0xFE, b"\x07\0", id="odd descriptors"),
    ],
)
def test_what_cannot_be_trusted_is_in_use(field: int, value: bytes, tmp_path: Path) -> None:
    need("mke2fs")
    image = tmp_path / "fs.img"
    run(["mke2fs", "-q", "-F", "-t", "ext4", image, "64m"])
    with image.open("r+b") as file:
        file.seek(1024 + field)
        file.write(value)
    free = asked(image)
    assert free.size == 0
    assert free.unknown


def test_a_group_whose_bitmap_disagrees_with_its_count_is_in_use(tmp_path: Path) -> None:
    need("mke2fs", "dumpe2fs")
    image = tmp_path / "fs.img"
    run(["mke2fs", "-q", "-F", "-t", "ext2", "-b", "1024", image, "32m"])
    before = asked(image).size
    with image.open("r+b") as file:
        file.seek(2048 + 12)
        free = struct.unpack("<H", file.read(2))[0]
        file.seek(2048 + 12)
        file.write(struct.pack("<H", free - 1))
    assert before - 8 * MIB <= asked(image).size < before


def test_extents_that_no_volume_has() -> None:
    extent = 128 * 512
    size = PE_START + 1000 * extent + MIB
    text = group(
        "vg0",
        pvs={"pv0": "jdTN3x-MGxS-j2Uq-wqE6-Vaeg-TN91-9zddNd"},
        volumes=volume("root", segment(0, 5, ("pv0", 5))) + volume("var", segment(0, 3, ("pv0", 12))),
    )
    disk = physical_volume("jdTN3x-MGxS-j2Uq-wqE6-Vaeg-TN91-9zddNd", text, size=size)
    (free,) = free_space([Bytes(disk)])
    place = [(start - PE_START) // extent for start, _ in free.ranges()]
    assert place[:3] == [0, 10, 15], "between and behind the volumes"
    assert all((start - PE_START) % extent == 0 for start, _ in free.ranges())


def test_damaged_structures_end_in_an_answer(tmp_path: Path, folder: Path) -> None:
    need("mke2fs", "mkfs.xfs")
    mixed = random.Random(9)
    for make in (["mke2fs", "-q", "-F", "-t", "ext4"], ["mkfs.xfs", "-q"]):
        image = tmp_path / f"{make[0]}.img"
        run(["truncate", "-s", "320m", image])
        run([*make, image])
        with image.open("rb") as file:
            whole = file.read(MIB)
        for _ in range(150):
            damaged = bytearray(whole)
            for _ in range(mixed.randrange(1, 6)):
                damaged[mixed.randrange(8192)] = mixed.randrange(256)
            with image.open("r+b") as file:
                file.write(damaged)
            assert asked(image).size <= 320 * MIB
