"""Files of Btrfs through `FileSystem`: as mkfs.btrfs and btrfs restore have them, and what cannot be read."""

from __future__ import annotations

import hashlib
import os
import random
import re
from pathlib import Path

import pytest

from tests.btrfs_image import LZO, ZLIB, ZSTD, File, Sub, btrfs, check
from tests.btrfs_reading import Patched, contents, on_disk, opened
from tests.guests import MIB, Bytes, Disk, Link, fill
from tests.tools import need, run
from vmie.disk.crc32c import crc32c
from vmie.guest.budget import OverBudget
from vmie.guest.filesystem import FileKind, FileSystem, FileSystemError
from vmie.guest.recognise import recognise

TEXT = "ID=fedora\n"
LARGE = os.urandom(1024) * 1200
#: compresses to a third, in extents of 128 KiB
LINES = b"".join(
    b"line %d: %s\n" % (index, hashlib.sha256(b"%d" % index).hexdigest()[:12].encode() * 2) for index in range(9000)
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = fill(
        tmp_path_factory.mktemp("files"),
        {
            "/etc/os-release": TEXT,
            "/etc/large": LARGE,
            "/etc/lines": LINES,
            "/etc/empty": "",
            "/link": Link("/etc/os-release"),
            "/ÄÖ/x": "y",
            "/empty": None,
        },
    )
    for number in range(400):
        (root / "etc" / f"a-file-with-a-long-name-{number:04}").write_text(str(number) * (number % 50))
    return root


_KINDS = {
    "default": (),
    "4 KiB nodes": ("-n", "4096"),
    "64 KiB nodes": ("-n", "65536"),
    "mixed": ("-M",),
    "dup": ("-d", "dup", "-m", "dup"),
    "old": ("-O", "^skinny-metadata,^no-holes,^extref", "-R", "^free-space-tree"),
    "xxhash": ("--csum", "xxhash"),
    "sha256": ("--csum", "sha256"),
    "blake2": ("--csum", "blake2"),
}


@pytest.mark.parametrize("kind", _KINDS)
def test_every_file_of_mkfs(tmp_path: Path, files: Path, kind: str) -> None:
    need("mkfs.btrfs")
    path = tmp_path / "fs.img"
    with path.open("wb") as file:
        file.truncate(128 * MIB)
    run(["mkfs.btrfs", "-q", "-L", "top", *_KINDS[kind], "--rootdir", str(files), str(path)])
    found = opened(Disk(path))
    assert contents(found) == on_disk(files)
    status = found.lstat("/etc/os-release")
    assert status is not None
    assert (status.kind, status.size, status.mode) == (FileKind.FILE, len(TEXT), 0o644)
    assert found.read("/etc/large", 5000, 1_034_567) == LARGE[1_034_567 : 1_034_567 + 5000]
    assert found.read("/etc/os-release", 3, 3) == TEXT[3:6].encode()
    assert found.read("/etc/os-release", 10, 1000) == b""
    for nothing in ("/nope", "/etc/nope", "/nope/nope", "/etc/os-release/x", "/" + "x" * 300):
        assert found.lstat(nothing) is None
    with pytest.raises(FileSystemError, match="does not exist"):
        found.read("/nope", 10)
    assert (found.label, found.clean, found.size, found.name) == ("top", True, path.stat().st_size, "/")
    assert [one.name for one in found.subvolumes()] == ["/"]


@pytest.mark.parametrize("kind", ["zlib", "lzo", "zstd"])
def test_what_a_newer_mkfs_compresses(tmp_path: Path, files: Path, kind: str) -> None:
    need("mkfs.btrfs")
    told = run(["mkfs.btrfs", "--help"])
    if "--compress" not in told.stdout + told.stderr:
        pytest.skip("needs mkfs.btrfs 6.13 or newer")
    path = tmp_path / "fs.img"
    with path.open("wb") as file:
        file.truncate(256 * MIB)
    options = ("--compress", kind, "--subvol", "default:etc", "--rootdir", str(files))
    run(["mkfs.btrfs", "-q", *options, str(path)])
    found = opened(Disk(path))
    assert (found.name, found.lstat("/os-release") is not None) == ("/etc", True)
    top = found.mounted(["subvolid=5"])
    assert top is not None
    assert contents(top) == on_disk(files)


SPARSE = b"a" * 8192 + bytes(40_960) + b"b" * 5000
TREE: dict[str, str | bytes | Link | File | None] = {
    "/etc/os-release": TEXT,
    "/etc/alias": Link("os-release"),
    "/zlib": File(LINES, ZLIB),
    "/lzo": File(LINES, LZO),
    "/zstd": File(LINES, ZSTD),
    "/small/zlib": File(LINES[:1500], ZLIB),
    "/small/lzo": File(LINES[:1500], LZO),
    "/small/zstd": File(LINES[:1500], ZSTD),
    "/hole": File(SPARSE, holes=((8192, 49_152),)),
    "/allocated": File(SPARSE, preallocated=((8192, 49_152),)),
    "/packed-hole": File(SPARSE, ZSTD, holes=((8192, 49_152),)),
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "fs.img"
    subs = (
        Sub(256, "@", TREE),
        Sub(257, "@/.snapshots", {"/1/info.xml": "<snapshot/>"}),
        Sub(
            258,
            "@/.snapshots/1/snapshot",
            {"/etc/os-release": "old", "/var": None},
            snapshot_of=256,
            ghosts={"/.snapshots": 257},
        ),
        Sub(259, "home", {"/u/x": "y"}, read_only=True),
    )
    btrfs(path, Sub(5, "", {"/here": "top", "/plain/directory": None}), *subs, default=258, options=("-n", "4096"))
    check(path)
    return path


def test_every_extent_is_what_was_stored(image: Path, tmp_path: Path) -> None:
    found = opened(Disk(image)).mounted(["subvol=@"])
    assert found is not None
    for path, node in TREE.items():
        if isinstance(node, File):
            assert found.read(path, 1 << 30) == node.data, path
            for at, length in ((0, 100), (8000, 300), (131_000, 200), (49_000, 8_000)):
                assert found.read(path, length, at) == node.data[at : at + length], path
    run(["btrfs", "restore", "-S", "-r", "256", str(image), str(tmp_path)])
    mine = {path: told for path, told in contents(found).items() if "/snapshot" not in path[1:].partition("/")[2]}
    assert mine == {path: told for path, told in on_disk(tmp_path).items() if path in mine}
    assert set(mine) <= set(on_disk(tmp_path)) | {"/.snapshots"}


def test_subvolumes_are_mounted_as_linux_mounts_them(image: Path) -> None:
    found = opened(Disk(image))
    assert (found.name, found.read("/etc/os-release", 9)) == ("/@/.snapshots/1/snapshot", b"old")
    names = {
        (): "/@/.snapshots/1/snapshot",
        ("rw", "compress=zstd:1"): "/@/.snapshots/1/snapshot",
        ("subvol=@",): "/@",
        ("subvol=/@",): "/@",
        ("subvolid=256",): "/@",
        ("subvolid=0x100", "subvol=@"): "/@",
        ("subvolid=5",): "/",
        ("subvolid=0",): "/",
        ("subvol=/",): "/",
        ("subvol=@/.snapshots",): "/@/.snapshots",
    }
    for options, name in names.items():
        one = found.mounted(options)
        assert one is not None, options
        assert one.name == name
    assert found.mounted(()) is found
    for options in (("subvol=nope",), ("subvol=plain/directory",), ("subvol=@", "subvolid=257"), ("subvolid=999",)):
        assert found.mounted(options) is None
    # the default, the top level, originals, then snapshots; not what is read-only
    assert [one.number for one in found.subvolumes()] == [258, 5, 256, 257]


def test_a_default_that_is_not_there_is_the_top_level(tmp_path: Path) -> None:
    found = opened(Disk(btrfs(tmp_path / "fs.img", Sub(256, "@", {"/x": "y"}), default=300)))
    assert (found.name, found.mounted(()), [one.number for one in found.subvolumes()]) == ("/", None, [5, 256])
    assert found.mounted(["subvol=@"]) is not None


def test_other_subvolumes_show_in_their_place_only(image: Path) -> None:
    found = opened(Disk(image))
    top = found.mounted(["subvolid=5"])
    assert top is not None
    assert top.listdir("/") == ["@", "here", "home", "plain"]
    assert top.read("/@/.snapshots/1/snapshot/etc/os-release", 9) == b"old"
    # in a snapshot of it, Linux shows an empty directory
    status = found.lstat("/.snapshots")
    assert status is not None
    assert (status.kind, found.listdir("/.snapshots")) == (FileKind.DIRECTORY, [])
    assert found.lstat("/.snapshots/1") is None


def test_free_space_is_that_of_the_block_groups(image: Path) -> None:
    told = run(["btrfs", "inspect-internal", "dump-tree", str(image)]).stdout
    groups = re.findall(r"BLOCK_GROUP_ITEM (\d+)\).*?\n\s+block group used (\d+).*?flags (\S+)", told)
    chunks = sum(int(length) for length, _, _ in groups)
    data = sum(int(length) - int(used) for length, used, flags in groups if flags.startswith("DATA"))
    assert opened(Disk(image)).free_bytes == 128 * MIB - chunks + data


def test_limits(image: Path, files: Path, tmp_path: Path) -> None:
    assert opened(Disk(image), entries=2).mounted(["subvol=@"]).listdir("/") != []  # type: ignore[union-attr]
    assert len(opened(Disk(image), entries=2).listdir("/")) == 2
    with pytest.raises(OverBudget, match="had to be read"):
        opened(Disk(image), read_bytes=400_000).mounted(["subvol=@"]).read("/zlib", 1 << 30)  # type: ignore[union-attr]
    ticks = iter(range(0, 10_000, 5))
    with pytest.raises(OverBudget, match="within"):
        opened(Disk(image), clock=lambda: next(ticks))  # type: ignore[arg-type]


def test_a_log_that_must_be_replayed(image: Path) -> None:
    raw = bytearray(image.read_bytes()[: 16 * MIB])
    raw[65536 + 0x60 : 65536 + 0x68] = (30_408_704).to_bytes(8, "little")
    raw[65536 : 65536 + 4] = crc32c(bytes(raw[65536 + 32 : 65536 + 4096])).to_bytes(4, "little")
    whole = Bytes(raw, size=128 * MIB)
    assert recognise(whole).detail == "4 subvolumes"
    assert opened(whole).clean is False


def test_the_second_copy_is_read_where_the_first_is_damaged(tmp_path: Path, files: Path) -> None:
    need("mkfs.btrfs")
    path = tmp_path / "fs.img"
    with path.open("wb") as file:
        file.truncate(128 * MIB)
    run(["mkfs.btrfs", "-q", "-m", "dup", "--rootdir", str(files), str(path)])
    raw = bytearray(path.read_bytes())
    own, seen = bytes(raw[65536 + 0x20 : 65536 + 0x30]), set[bytes]()
    for at in range(0, len(raw), 4096):
        if raw[at + 32 : at + 48] == own and at != 65536 and (address := bytes(raw[at + 48 : at + 56])) not in seen:
            seen.add(address)
            raw[at + 200] ^= 0xFF
    assert contents(opened(Bytes(raw))) == on_disk(files)


def test_damaged_files_end_in_an_error(image: Path) -> None:
    """Nodes and compressed data with random bytes in them, checksums put right again: nothing but FileSystemError."""
    raw = image.read_bytes()[: 32 * MIB]
    own = raw[65536 + 0x20 : 65536 + 0x30]
    nodes = [at for at in range(0, len(raw), 4096) if raw[at + 32 : at + 48] == own and at != 65536]
    data = [at for at in range(0, len(raw), 4096) if raw[at : at + 2] in (b"\x78\x9c", b"\x28\xb5")]
    failed = 0
    for seed in range(60):
        noise, changed = random.Random(seed), {}
        for at in noise.sample(nodes, 6):
            page, place = bytearray(raw[at : at + 4096]), noise.randrange(97, 4088)
            page[place : place + 4] = noise.choice((b"\xff" * 4, bytes(4), noise.randbytes(4)))
            changed[at] = crc32c(bytes(page[32:])).to_bytes(4, "little") + page[4:4096]
        for at in noise.sample(data, 3):
            changed[at] = raw[at : at + 50] + noise.randbytes(9) + raw[at + 59 : at + 4096]
        try:
            found = opened(Patched(raw, changed, size=128 * MIB), seconds=10)
            failed += sum(_faults(one) for one in found.subvolumes())
        except FileSystemError:
            failed += 1
    assert failed > 30


def _faults(found: FileSystem) -> int:
    failed = 0
    for path in TREE:
        try:
            status = found.lstat(path)
            assert status is None or len(found.read(path, 20_000)) <= 20_000
            found.listdir("/")
        except FileSystemError:
            failed += 1
    return failed
