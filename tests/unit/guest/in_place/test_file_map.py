"""Other bytes in a file's own place: every size that fits, judged by each file system's own check and readers."""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import ntfs
from tests.guests import MIB, Disk, fill
from tests.tools import find, need, run, sized
from vmie import disk
from vmie.disk.overlay import Overlay
from vmie.guest.budget import Budget
from vmie.guest.filesystem import FileSystem, open_filesystem
from vmie.guest.in_place import NotWritable, file_map
from vmie.guest.recognise import recognise
from vmie.guest.stream import Blocks, Cached

_FILES = {"/etc/fstab": b"UUID=x / ext4 defaults 0 1\n", "/big": os.urandom(30_001), "/even": os.urandom(8192)}
_SPREAD = os.urandom(1 << 16)


def opened(blocks: Blocks) -> FileSystem:
    budget = Budget()
    cached = Cached(blocks, budget=budget)
    return open_filesystem(cached, recognise(cached), budget=budget)


def _ext(folder: Path, kind: str, *options: str) -> Path:
    need("mke2fs", "e2fsck", "debugfs")
    root = fill(folder / "root", dict(_FILES))
    image = folder / "fs.img"
    run(["mke2fs", "-q", "-F", "-t", kind, *options, "-d", str(root), str(image), "24m"])
    _in_pieces(image)
    return image


def _in_pieces(image: Path) -> None:
    """A file of every other block, so that the map has many pieces."""
    data = image.with_suffix(".data")
    data.write_bytes(_SPREAD)
    commands = [f"write {data} gap{number}" for number in range(120)]
    commands += [f"rm gap{number}" for number in range(0, 120, 2)]
    large = image.with_suffix(".large")
    large.write_bytes(_SPREAD * 100)
    listed = image.with_suffix(".cmd")
    listed.write_text("\n".join([*commands, f"write {large} spread"]))
    run(["debugfs", "-w", "-f", str(listed), str(image)])


def _xfs(folder: Path, *options: str) -> Path:
    need("mkfs.xfs", "xfs_repair", "xfs_db")
    root = fill(folder / "root", dict(_FILES))
    image = folder / "fs.img"
    with image.open("wb") as file:
        file.truncate(320 * MIB)
    lines = "\n".join(f"{name} ---644 0 0 {root / name}" for name in ("big", "even"))
    proto = folder / "proto"
    proto.write_text(f"/\n0 0\nd--755 0 0\netc d--755 0 0\nfstab ---644 0 0 {root}/etc/fstab\n$\n{lines}\n$\n")
    run(["mkfs.xfs", "-q", *options, "-p", str(proto), str(image)])
    return image


def _fat(folder: Path, width: str, size: int) -> Path:
    need("mkfs.fat", "fsck.fat", "mcopy", "mtype")
    root = fill(folder / "root", dict(_FILES))
    image = folder / "fs.img"
    with image.open("wb") as file:
        file.truncate(size * MIB)
    run(["mkfs.fat", "-F", width, str(image)])
    run(["mcopy", "-s", "-i", str(image), *map(str, sorted(root.iterdir())), "::"])
    return image


def _ntfs(folder: Path) -> Path:
    image = folder / "fs.img"
    ntfs.make(image)
    for path, data in _FILES.items():
        ntfs.put(image, path, data)
    return image


_MADE: dict[str, Callable[[Path], Path]] = {
    "ext4": lambda folder: _ext(folder, "ext4", "-O", "metadata_csum"),
    "ext4 of 1 KiB, seeded": lambda folder: _ext(
        folder, "ext4", "-b", "1024", "-O", "metadata_csum,metadata_csum_seed"
    ),
    "ext4 of small inodes": lambda folder: _ext(folder, "ext4", "-I", "128", "-O", "metadata_csum,^64bit"),
    "ext4 without checksums": lambda folder: _ext(folder, "ext4", "-O", "^metadata_csum"),
    "ext3": lambda folder: _ext(folder, "ext3", "-b", "1024"),
    "xfs": lambda folder: _xfs(folder, "-m", "reflink=1", "-i", "nrext64=1"),
    "xfs 4": lambda folder: _xfs(folder, "-m", "crc=0"),
    "fat16": lambda folder: _fat(folder, "16", 24),
    "fat32": lambda folder: _fat(folder, "32", 40),
    "ntfs": _ntfs,
}


@pytest.fixture(scope="module", params=_MADE)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _MADE[request.param](tmp_path_factory.mktemp("volume"))


def judged(image: Path) -> None:
    """The file system's own check finds nothing."""
    kind = recognise(Disk(image)).kind
    checks = {"xfs": ["xfs_repair", "-n"], "fat": ["fsck.fat", "-n"], "ntfs": ["ntfsfix", "-n"]}
    run([*checks.get(kind, ["e2fsck", "-f", "-n"]), str(image)])


def read_by_others(image: Path, path: str) -> bytes:
    """The bytes of a file as another project's tool reads them."""
    kind = recognise(Disk(image)).kind
    if kind == "xfs":
        return _by_xfs_db(image, path)
    readers = {"fat": ["mtype", "-i", image, f"::{path}"], "ntfs": ["ntfscat", "-f", image, path]}
    argv = readers.get(kind, ["debugfs", "-R", f"cat {path}", image])
    return subprocess.run([find(str(argv[0])) or "", *argv[1:]], check=True, capture_output=True).stdout


def _by_xfs_db(image: Path, path: str) -> bytes:
    said = run(["xfs_db", "-r", "-c", f"path {path}", "-c", "bmap", "-c", "print core.size", str(image)]).stdout
    said += run(["xfs_db", "-r", "-c", "sb 0", "-c", "print agblocks", "-c", "print blocksize", str(image)]).stdout
    size, each, block = (int(re.findall(rf"{key} = (\d+)", said)[0]) for key in ("core.size", "agblocks", "blocksize"))
    found = b""
    with image.open("rb") as file:
        for group, start, count in re.findall(r"startblock \d+ \((\d+)/(\d+)\) count (\d+)", said):
            file.seek((int(group) * each + int(start)) * block)
            found += file.read(int(count) * block)
    return found[:size]


def _sizes(least: int, size: int, room: int, rng: random.Random, count: int) -> Iterator[int]:
    """Smaller, the same, larger within the block, all of it; then any."""
    yield from (least, size, min(size + 1, room), room)
    yield from (rng.randint(least, room) for _ in range(count))


@pytest.mark.parametrize("count", sized(0, 40))
def test_other_bytes_of_every_size_that_fits(image: Path, tmp_path: Path, count: int) -> None:
    """What was written is what every reader reads; every other file is as it was; the check finds nothing."""
    rng = random.Random(7)
    files = opened(Disk(image))
    written = [*_FILES, *(["/spread"] if files.lstat("/spread") else [])]
    before = {path: files.read(path, 1 << 24) for path in written}
    plans = {}
    for path in written:
        found = file_map(files, path)
        assert found.least <= found.size <= found.room
        plans[path] = (found, list(_sizes(found.least, found.size, found.room, rng, count)))
    for turn in range(4 + count):
        target = tmp_path / "mended.img"
        with disk.open(image) as base:
            layer = Overlay(base)
            after = {}
            for path, (found, sizes) in plans.items():
                after[path] = rng.randbytes(sizes[turn])
                for at, data in found.patches(after[path]):
                    layer.write(at, data)
            again = opened(layer)
            assert {path: again.read(path, 1 << 24) for path in written} == after
            run(["cp", "--sparse=always", str(image), str(target)])
            with target.open("r+b") as file:
                for at, data in layer.changes():
                    file.seek(at)
                    file.write(data)
        judged(target)
        assert {path: read_by_others(target, path) for path in written} == after
    assert {path: opened(Disk(image)).read(path, 1 << 24) for path in written} == before


def test_a_size_that_has_no_room_is_refused(image: Path) -> None:
    found = file_map(opened(Disk(image)), "/big")
    for size in (found.least - 1, found.room + 1):
        with pytest.raises(NotWritable, match="do not fit where it lies"):
            found.patches(b"x" * size)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("set_inode_field /etc/fstab flags 0x80800", "unsupported inode flags"),
        ("set_inode_field /etc/fstab flags 0x180000", "unsupported inode flags"),
        ("set_inode_field /etc/fstab flags 0x10080000", "in the inode"),
        ("set_inode_field /etc/fstab size 0x400000", "holes"),
        ("feature needs_recovery", "journal is to be replayed"),
        ("set_super_value state 2", "to be checked"),
    ],
)
def test_what_cannot_be_written_in_place_is_refused_by_name(tmp_path: Path, command: str, message: str) -> None:
    path = _ext(tmp_path, "ext4")
    run(["debugfs", "-w", "-R", command, str(path)])
    with pytest.raises(NotWritable, match=message):
        file_map(opened(Disk(path)), "/etc/fstab")


def test_shared_blocks_of_xfs_are_refused(tmp_path: Path) -> None:
    path = _xfs(tmp_path, "-m", "reflink=1")
    run(["xfs_db", "-x", "-c", "path /etc/fstab", "-c", "write -d v3.flags2 2", str(path)])
    with pytest.raises(NotWritable, match="shared with another file"):
        file_map(opened(Disk(path)), "/etc/fstab")
    run(["xfs_db", "-x", "-c", "path /big", "-c", "write -c core.size 31000", str(path)])  # with a wrong checksum
    with pytest.raises(NotWritable, match="checksum of its inode"):
        file_map(opened(Disk(path)), "/big")


def test_a_windows_that_means_to_go_on_is_refused(tmp_path: Path) -> None:
    path = _ntfs(tmp_path)
    ntfs.put(path, "/hiberfil.sys", b"hibr" + bytes(4092))
    with pytest.raises(NotWritable, match="hibernated"):
        file_map(opened(Disk(path)), "/big")
