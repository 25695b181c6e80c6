"""The four readers of files through one protocol, on file systems made by their own tools."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from tests.guests import MIB, Bytes, Disk, Link, ext4, fill
from tests.tools import need, run
from vmie.guest.budget import Budget, OverBudget
from vmie.guest.filesystem import FileKind, FileSystem, FileSystemError, open_filesystem
from vmie.guest.recognise import recognise
from vmie.guest.stream import Blocks, Cached

TEXT = "ID=debian\n"
LARGE = os.urandom(1024) * 3000


def opened(blocks: Blocks, **settings: float) -> FileSystem:
    budget = Budget(**settings)  # type: ignore[arg-type]
    cached = Cached(blocks, budget=budget)
    return open_filesystem(cached, recognise(cached), budget=budget)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = fill(
        tmp_path_factory.mktemp("files"),
        {
            "/etc/os-release": TEXT,
            "/etc/large": LARGE,
            "/etc/empty": "",
            "/link": Link("/etc/os-release"),
            "/ÄÖ/x": "y",
        },
    )
    for number in range(300):
        (root / "etc" / f"a-file-with-a-long-name-{number:04}").write_text(str(number))
    return root


@pytest.fixture(
    scope="module",
    params=[
        "ext2",
        "ext3",
        "ext4",
        "ext4 -O inline_data",
        "ext4 -b 1024",
        "ext4 -O ^64bit,^extents",
        "xfs",
        "xfs -i nrext64=1",
    ],
)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, files: Path) -> Path:
    kind, *options = request.param.split()
    path = tmp_path_factory.mktemp("image") / "fs.img"
    if kind != "xfs":
        need("mke2fs")
        run(["mke2fs", "-q", "-F", "-t", kind, "-L", "top", *options, "-d", str(files), str(path), "16m"])
        return path
    need("mkfs.xfs")
    with path.open("wb") as file:
        file.truncate(320 * MIB)
    proto = path.with_name("proto")
    proto.write_text(_proto(files))
    run(["mkfs.xfs", "-q", "-L", "top", *options, "-p", str(proto), str(path)])
    return path


def _proto(root: Path) -> str:
    """mkfs.xfs(8), "-p protofile"."""

    def folder(path: Path) -> str:
        out = ""
        for entry in sorted(path.iterdir()):
            if entry.is_symlink():
                out += f"{entry.name} l--777 0 0 {entry.readlink()}\n"
            elif entry.is_dir():
                out += f"{entry.name} d--755 0 0\n{folder(entry)}$\n"
            else:
                out += f"{entry.name} ---644 0 0 {entry}\n"
        return out

    return f"/\n0 0\nd--755 0 0\n{folder(root)}$\n$\n"


def test_files_directories_and_links(image: Path) -> None:
    found = opened(Disk(image))
    entry = found.lstat("/etc/os-release")
    assert entry is not None
    assert (entry.kind, entry.size, entry.mode) == (FileKind.FILE, len(TEXT), 0o644)
    assert found.read("/etc/os-release", 100) == TEXT.encode()
    assert found.read("/etc/os-release", 3, 3) == TEXT[3:6].encode()
    assert found.read("/etc/os-release", 10, 1000) == b""
    assert found.read("/etc/large", 1 << 30) == LARGE
    assert found.read("/etc/large", 5000, 1_234_567) == LARGE[1_234_567 : 1_234_567 + 5000]
    assert found.read("/etc/empty", 10) == b""
    link = found.lstat("/link")
    assert link is not None
    assert link.kind is FileKind.LINK
    assert found.readlink("/link") == "/etc/os-release"
    folder = found.lstat("/etc")
    assert folder is not None
    assert folder.kind is FileKind.DIRECTORY
    assert len(found.listdir("/etc")) == 303
    assert "ÄÖ" in found.listdir("/")
    assert found.read("/ÄÖ/x", 9) == b"y"
    assert found.read("/etc/a-file-with-a-long-name-0299", 9) == b"299"
    for nothing in ("/nope", "/etc/nope", "/nope/nope"):
        assert found.lstat(nothing) is None
    with pytest.raises(FileSystemError, match="does not exist"):
        found.read("/nope", 10)
    found.close()


def test_label_size_free_space_and_cleanliness(image: Path) -> None:
    found = opened(Disk(image))
    assert (found.label, found.clean) == ("top", True)
    if found.kind == "xfs":
        told = run(["xfs_db", "-r", "-c", "sb 0", "-c", "p dblocks fdblocks blocksize", str(image)]).stdout
        count, free, block = (int(line.split()[-1]) for line in told.splitlines())
    else:
        told = run(["dumpe2fs", "-h", str(image)]).stdout
        fields = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
        count, free, block = (int(fields[name]) for name in ("Block count", "Free blocks", "Block size"))
    assert (found.size, found.free_bytes) == (count * block, free * block)


def test_a_listing_is_cut_at_the_budget(image: Path) -> None:
    assert len(opened(Disk(image), entries=10).listdir("/etc")) == 10


def test_bytes_and_time_are_counted(image: Path) -> None:
    with pytest.raises(OverBudget, match="had to be read"):
        opened(Disk(image), read_bytes=200_000).read("/etc/large", 1 << 30)
    ticks = iter(range(0, 10_000, 5))
    with pytest.raises(OverBudget, match="within"):
        opened(Disk(image), clock=lambda: next(ticks)).listdir("/etc")  # type: ignore[arg-type]


def test_a_journal_that_must_be_replayed(tmp_path: Path) -> None:
    path = ext4(tmp_path / "fs.img", None)
    raw = bytearray(path.read_bytes())
    incompat = struct.unpack_from("<I", raw, 1024 + 96)[0]
    for change, clean in ((incompat | 4, False), (incompat, True)):
        struct.pack_into("<I", raw, 1024 + 96, change)
        raw[1024 + 58] = 1
        assert opened(Bytes(raw)).clean is clean
    raw[1024 + 58] = 0
    assert opened(Bytes(raw)).clean is False


def test_an_xfs_log_without_unmount_record(tmp_path: Path) -> None:
    need("mkfs.xfs", "xfs_db")
    path = tmp_path / "fs.img"
    with path.open("wb") as file:
        file.truncate(320 * MIB)
    run(["mkfs.xfs", "-q", str(path)])
    assert opened(Disk(path)).clean is True
    told = run(["xfs_db", "-r", "-c", "convert fsblock 0 byte", "-c", "sb 0", "-c", "p logstart", str(path)]).stdout
    logstart = int(told.split()[-1])
    told = run(["xfs_db", "-r", "-c", f"convert fsblock {logstart} byte", str(path)]).stdout
    at = int(told.split("(")[-1].split(")")[0])
    with path.open("r+b") as file:
        file.seek(at)
        assert file.read(4) == bytes.fromhex("feedbabe")
        file.seek(at + 512 + 9)
        assert file.read(1) == b"\x20"
        file.seek(at + 512 + 9)
        file.write(b"\x01")
    assert opened(Disk(path)).clean is False


def test_fat_and_ntfs(tmp_path: Path) -> None:
    need("mkfs.fat", "mmd", "mcopy", "mkntfs", "ntfscp")
    source = tmp_path / "loader"
    source.write_bytes(LARGE[:100_000])
    fat = tmp_path / "fat.img"
    run(["mkfs.fat", "-C", "-F", "32", "-n", "ESP", str(fat), "40960"])
    run(["mmd", "-i", str(fat), "::/EFI", "::/EFI/BOOT"])
    run(["mcopy", "-i", str(fat), str(source), "::/EFI/BOOT/BOOTX64.EFI"])
    found = opened(Disk(fat))
    assert (
        found.read("/EFI/BOOT/BOOTX64.EFI", 1 << 20) == found.read("/efi/boot/bootx64.efi", 1 << 20) == LARGE[:100_000]
    )
    assert [found.lstat(path).kind for path in ("/", "/EFI")] == [FileKind.DIRECTORY] * 2  # type: ignore[union-attr]
    assert (found.label, found.clean, found.listdir("/EFI")) == ("ESP", True, ["BOOT"])
    assert found.free_bytes is not None
    assert 40 * MIB - 2 * MIB < found.free_bytes < 40 * MIB
    ntfs = tmp_path / "ntfs.img"
    with ntfs.open("wb") as file:
        file.truncate(40 * MIB)
    run(["mkntfs", "-q", "-F", "-L", "win", str(ntfs)])
    run(["ntfscp", str(ntfs), str(source), "loader.bin"])
    found = opened(Disk(ntfs))
    assert found.read("/LOADER.BIN", 1 << 20) == LARGE[:100_000]
    assert found.lstat("/nope") is None
    assert (found.lstat("/").kind, found.clean) == (FileKind.DIRECTORY, True)  # type: ignore[union-attr]
    told = run(["ntfsinfo", "-m", "-f", str(ntfs)]).stdout
    clusters = int(next(line for line in told.splitlines() if "Free Clusters" in line).split(":")[1].split()[0])
    assert found.free_bytes == clusters * 4096


def test_a_dirty_fat_and_a_dirty_ntfs(tmp_path: Path) -> None:
    need("mkfs.fat", "mkntfs")
    fat = tmp_path / "fat.img"
    run(["mkfs.fat", "-C", "-F", "32", str(fat), "40960"])
    raw = bytearray(fat.read_bytes())
    raw[int.from_bytes(raw[14:16], "little") * 512 + 7] &= ~0x08
    assert opened(Bytes(raw)).clean is False
    ntfs = tmp_path / "ntfs.img"
    with ntfs.open("wb") as file:
        file.truncate(8 * MIB)
    run(["mkntfs", "-q", "-F", str(ntfs)])
    raw = bytearray(ntfs.read_bytes())
    record = int.from_bytes(raw[48:56], "little") * raw[13] * 512 + 3 * 1024
    at = record + int.from_bytes(raw[record + 20 : record + 22], "little")
    while int.from_bytes(raw[at : at + 4], "little") != 0x70:
        at += int.from_bytes(raw[at + 4 : at + 8], "little")
    raw[at + 24 + 10] |= 1
    assert opened(Bytes(raw)).clean is False


def test_features_that_are_not_read_are_said_so(tmp_path: Path) -> None:
    path = ext4(tmp_path / "fs.img", None, options=["-O", "large_dir"])
    with pytest.raises(FileSystemError, match="unsupported incompatible features"):
        opened(Disk(path))


def test_what_has_no_reader_is_said_so() -> None:
    raw = bytearray(MIB)
    raw[32768:32772] = b"JFS1"
    with pytest.raises(FileSystemError, match="no reader for jfs"):
        opened(Bytes(raw))
