"""Every format and sub-format that qemu-img writes, and contents to write into them: one table for all oracle tests."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.tools import run
from vmie.disk import Disk
from vmie.model import ExtentKind

PIECE = 64 << 10
MIB = 1 << 20


@dataclass(frozen=True)
class Written:
    """``qemu-img convert -O format -o options``; `opened_as` is vmie's (format, variant);
    a `thick` one stores holes too, and is spared the largest content."""

    name: str
    format: str
    options: str
    opened_as: tuple[str, str]
    compressed: bool = False
    suffix: str = ""
    thick: bool = False

    def write(self, raw: Path, folder: Path) -> Path:
        image = folder / f"{self.name}{self.suffix or '.' + self.format}"
        compress = ["-c"] if self.compressed else []
        options = ["-o", self.options] if self.options else []
        run(["qemu-img", "convert", "-f", "raw", "-O", self.format, *compress, *options, raw, image])
        return image

    def read_back(self, image: Path) -> Path:
        """What qemu-img itself reads from `image`, as a raw file."""
        raw = image.with_name(image.name + ".by-qemu")
        run(["qemu-img", "convert", "-f", self.format, "-O", "raw", image, raw])
        return raw


def _vmdk(subformat: str, **more: str) -> Written:
    options = ",".join([f"subformat={subformat}", *(f"{key}={value}" for key, value in more.items())])
    name = "-".join(["vmdk", subformat, *more])
    return Written(name, "vmdk", options, ("vmdk", subformat))


def _qcow2(name: str, options: str, *, version: str = "v3", compressed: bool = False, thick: bool = False) -> Written:
    return Written(f"qcow2-{name}", "qcow2", options, ("qcow2", version), compressed=compressed, thick=thick)


FORMATS = (
    Written("raw", "raw", "", ("raw", "raw"), suffix=".img"),
    _vmdk("monolithicSparse"),
    _vmdk("monolithicSparse", zeroed_grain="on"),
    _vmdk("monolithicFlat"),
    _vmdk("twoGbMaxExtentSparse"),
    _vmdk("twoGbMaxExtentFlat"),
    _vmdk("streamOptimized"),
    _vmdk("streamOptimized", adapter_type="lsilogic"),
    Written("vhd-dynamic", "vpc", "subformat=dynamic", ("vhd", "dynamic"), suffix=".vhd"),
    Written("vhd-dynamic-exact", "vpc", "subformat=dynamic,force_size=on", ("vhd", "dynamic"), suffix=".vhd"),
    Written("vhd-fixed", "vpc", "subformat=fixed", ("vhd", "fixed"), suffix=".vhd"),
    Written("vhd-fixed-exact", "vpc", "subformat=fixed,force_size=on", ("vhd", "fixed"), suffix=".vhd"),
    Written("vhd-fixed-unnamed", "vpc", "subformat=fixed,force_size=on", ("vhd", "fixed"), suffix=".bin"),
    Written("vhdx-dynamic", "vhdx", "subformat=dynamic", ("vhdx", "dynamic")),
    Written("vhdx-dynamic-1M", "vhdx", "subformat=dynamic,block_size=1M", ("vhdx", "dynamic")),
    Written("vhdx-dynamic-64M", "vhdx", "subformat=dynamic,block_size=64M", ("vhdx", "dynamic"), thick=True),
    Written("vhdx-dynamic-zero-off", "vhdx", "subformat=dynamic,block_state_zero=off", ("vhdx", "dynamic")),
    Written("vhdx-fixed", "vhdx", "subformat=fixed", ("vhdx", "fixed")),
    _qcow2("v2", "compat=0.10", version="v2"),
    _qcow2("v3", "compat=1.1"),
    _qcow2("512", "cluster_size=512"),
    _qcow2("4k", "cluster_size=4k"),
    _qcow2("2M", "cluster_size=2M"),
    _qcow2("extended-l2", "extended_l2=on,cluster_size=128k"),
    _qcow2("metadata", "preallocation=metadata", thick=True),
    _qcow2("zlib", "compression_type=zlib", compressed=True),
    _qcow2("zlib-4k", "cluster_size=4k", compressed=True),
    _qcow2("zlib-v2", "compat=0.10", version="v2", compressed=True),
    _qcow2("zstd", "compression_type=zstd", compressed=True),
    _qcow2("zstd-2M", "compression_type=zstd,cluster_size=2M", compressed=True),
    Written("vdi-dynamic", "vdi", "", ("vdi", "dynamic")),
    Written("vdi-fixed", "vdi", "static=on", ("vdi", "fixed"), thick=True),
)


def _hole(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 * MIB)


def _sector(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(512))


def _odd(path: Path) -> None:
    path.write_bytes(random.Random(2).randbytes(1_000_003))


def _zero(path: Path) -> None:
    path.write_bytes(bytes(2 * MIB + 512))


def _dense(path: Path) -> None:
    path.write_bytes(random.Random(3).randbytes(5 * MIB + 3 * 512))


def _text(path: Path) -> None:
    lines = (b"line %d of something that compresses well\n" % number for number in range(120_000))
    path.write_bytes(b"".join(lines))


def _islands(path: Path) -> None:
    """Data on both sides of every border there is: sectors, grains, blocks, tables, 2 GiB extents."""
    chance = random.Random(4)
    with path.open("wb") as file:
        file.truncate(2200 * MIB + 512 * 7)
        borders = (512, 4096, PIECE, 2 * MIB, 32 * MIB, 512 * MIB, 2047 * MIB, 2048 * MIB, 2200 * MIB)
        for border in borders:
            file.seek(border - 512)
            file.write(chance.randbytes(1536))
        for _ in range(24):
            file.seek(chance.randrange(2100 * MIB // 512) * 512)
            file.write(chance.randbytes(chance.choice((512, 4096, 70_144, 1_048_576))))
        file.seek(700 * MIB)
        file.write(bytes(MIB))


def _ext4(path: Path) -> None:
    folder = path.with_suffix(".tree")
    (folder / "etc").mkdir(parents=True)
    (folder / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    (folder / "big").write_bytes(random.Random(5).randbytes(3 * MIB) + b"text " * MIB)
    run(["mke2fs", "-q", "-t", "ext4", "-d", folder, path, "48M"])


CONTENTS: dict[str, Callable[[Path], None]] = {
    "hole": _hole,
    "sector": _sector,
    "odd": _odd,
    "zero": _zero,
    "dense": _dense,
    "text": _text,
    "islands": _islands,
    "ext4": _ext4,
}


def print_of_file(path: Path) -> tuple[int, str]:
    """Size, and SHA-256 over (place, bytes) of every 64 KiB piece that is not all zeros."""
    size = path.stat().st_size

    def pieces() -> Iterator[tuple[int, bytes]]:
        with path.open("rb") as file:
            position = 0
            while position < size:
                try:
                    data = os.lseek(file.fileno(), position, os.SEEK_DATA)
                except OSError:
                    return
                end = os.lseek(file.fileno(), data, os.SEEK_HOLE)
                for at in range(data // PIECE * PIECE, end, PIECE):
                    if at >= position // PIECE * PIECE:
                        yield at, os.pread(file.fileno(), PIECE, at)
                position = -(-end // PIECE) * PIECE

    return size, _digest(pieces())


def print_of_disk(disk: Disk) -> tuple[int, str]:
    """The same of what vmie reads: zeros and holes are believed, so a false one shows as a difference."""

    def pieces() -> Iterator[tuple[int, bytes]]:
        piece = bytearray(PIECE)
        current = 0
        position = 0
        for extent in disk.extents():
            assert extent.offset == position, "extents must follow each other"
            position = extent.end
            if extent.kind is not ExtentKind.ALLOCATED:
                continue
            at = extent.offset
            while at < extent.end:
                length = min(PIECE - at % PIECE, extent.end - at)
                if at // PIECE != current:
                    yield current * PIECE, bytes(piece)
                    piece, current = bytearray(PIECE), at // PIECE
                data = disk.read(at, length)
                assert len(data) == length
                piece[at % PIECE : at % PIECE + length] = data
                at += length
        yield current * PIECE, bytes(piece[: disk.size - current * PIECE])
        assert position == disk.size, "extents must cover the disk"

    return disk.size, _digest(pieces())


def _digest(pieces: Iterator[tuple[int, bytes]]) -> str:
    digest = hashlib.sha256()
    for at, data in pieces:
        if data.count(0) != len(data):
            digest.update(at.to_bytes(8, "big"))
            digest.update(data)
    return digest.hexdigest()
