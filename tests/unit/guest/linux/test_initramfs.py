"""initramfs files as every distribution packs them, and the drivers in them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import time
from collections.abc import Callable

import lz4.block
import lz4.frame
import pytest
import zstandard

from tests.guests import cpio, tree
from vmie.guest.linux.drivers import drivers
from vmie.guest.linux_facts import DRIVERS, DriverState, Initramfs, Kernel

VERSION = "6.1.0-18-amd64"
MODULES = f"usr/lib/modules/{VERSION}/kernel/drivers"
NAMES = (
    "bin/busybox",
    f"{MODULES}/block/xen-blkfront.ko",
    f"{MODULES}/net/ethernet/amazon/ena/ena.ko.xz",
    f"{MODULES}/net/xen-netfront.ko.zst",
    f"{MODULES}/nvme/host/nvme.ko.gz",
)
EARLY = cpio([("kernel/x86/microcode/GenuineIntel.bin", b"\x01" * 5000)])
KERNEL = Kernel(VERSION, f"/boot/vmlinuz-{VERSION}", "/boot/initrd", default=True, modules=True)


def lz4_legacy(data: bytes) -> bytes:
    out = b"\x02\x21\x4c\x18"
    for at in range(0, len(data), 8 << 20):
        block = lz4.block.compress(data[at : at + (8 << 20)], store_size=False)
        out += len(block).to_bytes(4, "little") + block
    return out


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "zstd": zstandard.ZstdCompressor().compress,
    "bzip2": bz2.compress,
    "lz4": lz4_legacy,
    "lz4-frame": lz4.frame.compress,
    "none": bytes,
}


def look(
    archive: bytes, files: dict[str, str] | None = None, **budget: float
) -> tuple[dict[str, DriverState], Initramfs]:
    found, initramfs = drivers(tree({"/boot/initrd": archive, **(files or {})}, **budget), KERNEL)
    return dict(found), initramfs


@pytest.mark.parametrize("early", [b"", EARLY, EARLY + bytes(512) + EARLY + bytes(1000)], ids=["plain", "early", "two"])
@pytest.mark.parametrize("packer", PACKERS)
def test_every_compression_with_and_without_microcode(packer: str, early: bytes) -> None:
    body = [(name, b"x" * 3000) for name in NAMES]
    found, initramfs = look(early + PACKERS[packer](cpio(body)))
    assert found == dict.fromkeys(DRIVERS, DriverState.INITRAMFS)
    assert initramfs.readable is True
    assert initramfs.early_microcode is bool(early)


@pytest.mark.parametrize("packer", PACKERS)
def test_drivers_that_are_not_inside(packer: str) -> None:
    found, initramfs = look(PACKERS[packer](cpio(["bin/sh", f"{MODULES}/block/loop.ko", "usr/sbin/x"])))
    assert found == dict.fromkeys(DRIVERS, DriverState.ABSENT)
    assert initramfs.readable is True
    assert initramfs.compression == {"lz4-frame": "lz4"}.get(packer, packer)


def test_modules_in_an_uncompressed_archive_before_the_compressed_one() -> None:
    """Ubuntu 24.04 and Debian 13: microcode, then modules, then the rest."""
    found, initramfs = look(EARLY + cpio([(name, b"y" * 100_000) for name in NAMES]) + PACKERS["zstd"](cpio(["init"])))
    assert set(found.values()) == {DriverState.INITRAMFS}
    assert initramfs.readable


def test_several_compressed_archives() -> None:
    found, _ = look(gzip.compress(cpio(["init"])) + bytes(100) + gzip.compress(cpio(NAMES)))
    assert set(found.values()) == {DriverState.INITRAMFS}


def test_built_in_drivers_need_no_initramfs() -> None:
    lists = {
        f"/lib/modules/{VERSION}/modules.builtin": "kernel/drivers/nvme/host/nvme.ko\nkernel/fs/ext4/ext4.ko\n",
        f"/boot/config-{VERSION}": "# x\nCONFIG_XEN_BLKDEV_FRONTEND=y\nCONFIG_ENA_ETHERNET=m\n",
    }
    found, _ = look(gzip.compress(cpio(["init"])), lists)
    assert (found["nvme"], found["xen-blkfront"], found["ena"]) == (
        DriverState.BUILTIN,
        DriverState.BUILTIN,
        DriverState.ABSENT,
    )


def test_modules_on_the_root_only() -> None:
    listed = "kernel/drivers/net/ethernet/amazon/ena/ena.ko.xz:\nkernel/drivers/block/xen_blkfront.ko: kernel/x.ko\n"
    found, _ = look(gzip.compress(cpio(["init"])), {f"/lib/modules/{VERSION}/modules.dep": listed})
    assert (found["ena"], found["xen-blkfront"], found["nvme"]) == (
        DriverState.MODULE,
        DriverState.MODULE,
        DriverState.ABSENT,
    )


def test_modules_without_a_list_of_them() -> None:
    found, _ = look(gzip.compress(cpio(["init"])), {f"/lib/modules/{VERSION}/kernel/drivers/net/xen-netfront.ko": ""})
    assert found["xen-netfront"] is DriverState.MODULE


def test_modules_of_old_red_hat_and_suse_kernels() -> None:
    found, _ = look(gzip.compress(cpio(["lib/xen-vbd.ko", "lib/xen-vnif.ko"])))
    assert (found["xen-blkfront"], found["xen-netfront"]) == (DriverState.INITRAMFS, DriverState.INITRAMFS)


def test_a_similar_name_is_another_module() -> None:
    found, _ = look(gzip.compress(cpio([f"{MODULES}/nvme/host/nvme-core.ko", f"{MODULES}/x/athena.ko", "nvme.ko.txt"])))
    assert found["nvme"] is DriverState.ABSENT
    assert found["ena"] is DriverState.ABSENT


def test_no_initramfs_at_all() -> None:
    found, initramfs = drivers(tree({}), Kernel(VERSION, modules=True))
    assert initramfs == Initramfs()
    assert found["nvme"] is DriverState.ABSENT
    found, _ = drivers(tree({}), None)
    assert found["nvme"] is DriverState.UNKNOWN


GOOD = gzip.compress(cpio([("bin/sh", bytes(range(256)) * 4000)]))


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        bytes(5000),
        b"not an archive at all",
        GOOD[: len(GOOD) // 2],
        GOOD[:100] + b"\xff" * 50 + GOOD[150:],
        b"\x89LZO\x00" + bytes(100),
        gzip.compress(b"no cpio in here" * 100),
        cpio(["init"])[:-60],
        b"070701" + b"Z" * 200,
        b"070701" + b"F" * 104,
        PACKERS["xz"](cpio(NAMES))[:-40][:60],
        PACKERS["zstd"](cpio([("a", bytes(1000))]))[:30],
        PACKERS["lz4"](cpio([("a", bytes(1000))]))[:30],
        b"\x02\x21\x4c\x18\xff\xff\x7f\x00" + bytes(100),
        b"\x5d\x00\x00\xff\xff\xff\xff" + b"\xff" * 100,
        b"BZh9" + bytes(100),
    ],
)
def test_what_cannot_be_read_is_unknown_with_a_reason(archive: bytes) -> None:
    found, initramfs = look(archive)
    assert set(found.values()) == {DriverState.UNKNOWN}
    assert initramfs.readable is False
    assert initramfs.reason


@pytest.mark.parametrize("packer", ["gzip", "xz", "zstd", "bzip2", "lz4", "lz4-frame"])
def test_a_bomb_is_left_alone(packer: str) -> None:
    bomb = PACKERS[packer](cpio([("big", bytes(24 << 20))]))
    begin = time.process_time()
    _, initramfs = look(bomb, unpacked=16 << 20)
    assert "more than 16 MiB" in initramfs.reason
    assert time.process_time() - begin < 10
    assert initramfs.gave_up  # too large for us, not damaged


def test_a_plain_archive_with_giant_files_is_passed_over() -> None:
    head = bytearray(cpio(["big"]))
    head[54:62] = b"F0000000"
    _, initramfs = look(bytes(head))
    assert initramfs.readable is False


def test_no_time_left_is_said_so() -> None:
    ticks = iter(range(10_000))
    found = tree({"/boot/initrd": gzip.compress(cpio([("big", bytes(8 << 20))]))}, seconds=3, clock=lambda: next(ticks))  # type: ignore[arg-type]
    _, initramfs = drivers(found, KERNEL)
    assert "not finished within" in initramfs.reason
