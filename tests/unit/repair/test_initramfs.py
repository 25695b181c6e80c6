"""Drivers that are added to an initramfs: cpio and kmod say what is in it then, and every other byte is as it was."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tests.guests import Link, cpio, tree
from tests.tools import need
from tests.unit.guest.linux.test_initramfs import lz4_legacy
from tests.unit.repair.linux_files import guest
from vmie import disk
from vmie.disk.overlay import Overlay
from vmie.guest import Budget, opened
from vmie.guest.linux.drivers import drivers
from vmie.guest.linux.unpack import UnpackError
from vmie.guest.linux_facts import DriverState, Kernel
from vmie.repair import apply, kernel_modules
from vmie.repair.initramfs import INITRAMFS_DRIVERS, repacked

V = "6.1.0-25-amd64"
KERNEL = Kernel(V, f"/boot/vmlinuz-{V}", "/boot/initrd", default=True)
EARLY = cpio([("kernel", b""), ("kernel/x86/microcode/GenuineIntel.bin", random.Random(1).randbytes(5000))])
#: what depends on what in a kernel as Debian's is
DEPENDS = {
    "kernel/drivers/nvme/host/nvme": ["kernel/drivers/nvme/host/nvme-core", "kernel/block/t10-pi"],
    "kernel/drivers/nvme/host/nvme-core": ["kernel/block/t10-pi"],
    "kernel/block/t10-pi": [],
    "kernel/crypto/crct10dif_generic": [],
    "kernel/drivers/net/ethernet/amazon/ena/ena": [],
    "kernel/drivers/block/xen-blkfront": [],
    "kernel/drivers/net/xen-netfront": [],
    "kernel/drivers/block/virtio_blk": ["kernel/drivers/virtio/virtio"],
    "kernel/drivers/virtio/virtio": [],
    "kernel/fs/ext4/ext4": [],
}
ALIASES = (
    "alias pci:v*d*sv*sd*bc01sc08i02* nvme\nalias pci:v00001D0Fd0000EC20sv*sd*bc*sc*i* ena\n"
    "alias xen:vbd xen-blkfront\nalias crct10dif crct10dif_generic\nalias virtio:d00000002v* virtio_blk\n"
)
TOLD = {
    "nvme": "nvme.ko",
    "pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02": "nvme.ko",
    "xen:vbd": "xen-blkfront.ko",
}


def content(path: str) -> bytes:
    return b"\x7fELF" + path.encode() + random.Random(path).randbytes(700)


def modules(pack: Callable[[bytes], bytes] = bytes, ending: str = "") -> dict[str, str | bytes | Link | None]:
    """/lib/modules of the guest, packed as distributions pack them."""
    base = f"/lib/modules/{V}"
    dep = "".join(
        f"{path}.ko{ending}: {' '.join(f'{needed}.ko{ending}' for needed in needs)}\n"
        for path, needs in DEPENDS.items()
    )
    files: dict[str, str | bytes | Link | None] = {
        f"{base}/modules.dep": dep,
        f"{base}/modules.alias": ALIASES,
        f"{base}/modules.softdep": "softdep t10-pi pre: crct10dif\n",
        f"{base}/modules.builtin": "kernel/drivers/virtio/virtio_pci.ko\n",
    }
    return files | {f"{base}/{path}.ko{ending}": pack(content(path)) for path in DEPENDS}


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bzip2": bz2.compress,
    "lz4": lz4_legacy,
    "none": bytes,
}
UNPACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": lambda data: gzip.decompress(data.rstrip(b"\0") + bytes(8)),
    b"\xfd7": lambda data: lzma.LZMADecompressor().decompress(data),
    b"\x5d\0": lambda data: lzma.LZMADecompressor().decompress(data),
    b"\x28\xb5": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}
#: what an initramfs without NVMe holds: sorted, as dracut and initramfs-tools leave it
BODY: list[tuple[str, bytes]] = [
    ("init", b"#!/bin/sh\n"),
    ("usr/bin/tool", random.Random(2).randbytes(3000) * 5),
    (f"usr/lib/modules/{V}/kernel/fs/ext4/ext4.ko", content("kernel/fs/ext4/ext4")),
    (f"usr/lib/modules/{V}/modules.alias", b"alias fs-ext4 ext4\n"),
    (f"usr/lib/modules/{V}/modules.dep", b"kernel/fs/ext4/ext4.ko:\n"),
    ("usr/lib/systemd/systemd-udevd", b"\x7fELF"),
    ("zzz", b"the last"),
]


def added(
    archive: bytes, files: dict[str, str | bytes | Link | None] | None = None, *, room: int = 0, unpacked: int = 1 << 30
) -> bytes | None:
    """The initramfs `archive` of a guest with `files`, with its drivers."""
    inside = tree({"/boot/initrd": archive, **(modules() if files is None else files)})
    lists = kernel_modules.folder(inside, V)
    assert lists is not None
    return repacked(inside, KERNEL, lists, room=room or len(archive) + 20_000, budget=Budget(unpacked=unpacked))


def extracted(main: bytes, folder: Path) -> Path:
    """`main` by GNU cpio."""
    need("cpio")
    packed = next((reader for magic, reader in UNPACK.items() if main.startswith(magic)), bytes)(main)
    folder.mkdir()
    command = ["cpio", "-idu", "--quiet", "--no-absolute-filenames"]
    subprocess.run(command, input=packed, cwd=folder, check=True, stderr=subprocess.PIPE)
    return folder


def loaded(root: Path, name: str) -> list[str]:
    """The files that kmod would load for `name` in `root`, in their order."""
    need("modprobe")
    if not (root / "lib").exists():
        (root / "lib").symlink_to("usr/lib")
    command = ["modprobe", "-S", V, "-d", str(root), "-D", name]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return [word.rpartition("/")[2] for word in told if word.endswith(".ko")]


@pytest.mark.parametrize("packer", PACKERS)
def test_drivers_are_found_by_kmod_and_the_rest_is_as_it_was(packer: str, tmp_path: Path) -> None:
    archive = EARLY + PACKERS[packer](cpio(BODY))
    after = added(archive)
    assert after
    assert after.startswith(EARLY)
    assert len(after) >= len(archive)
    root = extracted(after[len(EARLY) :], tmp_path / "x")
    folder = root / f"usr/lib/modules/{V}"
    assert all((root / name).read_bytes() == data for name, data in BODY if "modules." not in name)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.ko")} == {f"{path}.ko" for path in DEPENDS}
    assert all((folder / f"{path}.ko").read_bytes() == content(path) for path in DEPENDS)
    if packer in ("gzip", "none"):
        for alias, last in TOLD.items():
            assert loaded(root, alias)[-1] == last
        assert loaded(root, "nvme") == ["crct10dif_generic.ko", "t10-pi.ko", "nvme-core.ko", "nvme.ko"] or loaded(
            root, "nvme"
        )[-3:] == ["t10-pi.ko", "nvme-core.ko", "nvme.ko"]
        assert loaded(root, "fs-ext4") == ["ext4.ko"]
    assert added(archive) == after
    assert added(after) is None


def test_what_the_check_reads_of_it() -> None:
    after = added(PACKERS["zstd"](cpio(BODY)))
    found, _ = drivers(tree({"/boot/initrd": after or b"", **modules()}), KERNEL)
    assert set(found.values()) == {DriverState.INITRAMFS}


@pytest.mark.parametrize(
    ("ending", "pack"),
    [(".xz", PACKERS["xz"]), (".zst", PACKERS["zstd"]), (".gz", PACKERS["gzip"])],
    ids=["xz", "zst", "gz"],
)
def test_compressed_modules_are_unpacked_and_those_there_keep_their_names(
    ending: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    base = f"lib/modules/{V}"
    there = (f"{base}/kernel/block/t10-pi.ko{ending}", pack(content("kernel/block/t10-pi")))
    old = f"kernel/block/t10-pi.ko{ending}:\n".encode()
    body = [("init", b""), there, (f"{base}/modules.dep", old), ("sbin/udevd", b"")]
    after = added(gzip.compress(cpio(body)), modules(pack, ending))
    assert after
    root = extracted(after, tmp_path / "x")
    assert (root / base / "kernel/drivers/nvme/host/nvme.ko").read_bytes() == content("kernel/drivers/nvme/host/nvme")
    assert not (root / base / "kernel/block/t10-pi.ko").exists()
    lines = (root / base / "modules.dep").read_text().splitlines()
    nvme = "kernel/drivers/nvme/host/nvme"
    assert f"{nvme}.ko: {nvme}-core.ko kernel/block/t10-pi.ko{ending}" in lines


@pytest.mark.parametrize(
    ("config", "magic"),
    [
        ("CONFIG_RD_GZIP=y\nCONFIG_RD_XZ=y\nCONFIG_RD_ZSTD=y\n", b"\x28\xb5\x2f\xfd"),
        ("CONFIG_RD_GZIP=y\nCONFIG_RD_XZ=y\n# CONFIG_RD_ZSTD is not set\n", b"\x1f\x8b"),
        ("# CONFIG_RD_GZIP is not set\nCONFIG_RD_XZ=y\n", b"\xfd7zXZ"),
        ("CONFIG_RD_LZMA=y\n", b"\x5d\0\0"),
        (None, b"\x1f\x8b"),
    ],
)
def test_only_what_the_kernel_can_unpack(config: str | None, magic: bytes) -> None:
    """Without a configuration it is what the initramfs was packed with before."""
    files = modules() | ({} if config is None else {f"/boot/config-{V}": config})
    after = added(gzip.compress(cpio(BODY)), files)
    assert after
    assert after.startswith(magic)


def test_dear_levels_and_fewer_drivers_before_none_at_all() -> None:
    """What is best and does not fit is left; drivers that a boot does not need give way to those that it does."""
    archive = lzma.compress(cpio(BODY), check=lzma.CHECK_CRC32)
    every = added(archive, room=len(archive) + 20_000) or b""
    assert len(every.rstrip(b"\0")) > len(archive)
    fewer = added(archive, room=len(every.rstrip(b"\0")) - 200) or b""
    inside = lzma.LZMADecompressor().decompress(fewer)
    assert content("kernel/drivers/nvme/host/nvme") in inside
    assert content("kernel/drivers/block/virtio_blk") not in inside
    assert added(archive, room=len(archive)) == b""


def test_plain_archives_in_front_are_kept_and_their_modules_known() -> None:
    """Ubuntu keeps modules in a plain archive between microcode and a compressed main archive."""
    base = f"usr/lib/modules/{V}"
    plain = EARLY + cpio([(f"{base}/kernel/block/t10-pi.ko", content("kernel/block/t10-pi"))]) + bytes(512)
    after = added(plain + PACKERS["zstd"](cpio(BODY)))
    assert after
    assert after.startswith(plain)
    inside = UNPACK[b"\x28\xb5"](after[len(plain) :])
    assert content("kernel/block/t10-pi") not in inside
    assert content("kernel/drivers/nvme/host/nvme") in inside


def test_several_archives_stay_apart() -> None:
    """Hard links are told by numbers that count within one archive."""
    both = gzip.compress(cpio(BODY)) + bytes(100) + gzip.compress(cpio([("etc/late", b"1")]))
    inside = gzip.decompress((added(both) or b"").rstrip(b"\0") + bytes(8))
    assert inside.count(b"TRAILER!!!") == 2
    assert inside.index(b"etc/late") > inside.index(b"TRAILER!!!")


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (gzip.compress(cpio([("init", b"#!/bin/nash\ninsmod /lib/sd_mod.ko\n")])), "fixed list"),
        (gzip.compress(cpio(BODY)) + b"#BOOTCONFIG\n", "no archive"),
        (gzip.compress(cpio(BODY))[:-30], "early"),
        (gzip.compress(cpio(BODY)[:-200]), "early"),
        (cpio([("kernel/x86/microcode/AuthenticAMD.bin", b"x")]), "microcode"),
        (gzip.compress(cpio([("lib/modules/5.10.0-1/kernel/x.ko", b""), ("sbin/udevd", b"")])), "another kernel"),
        (
            gzip.compress(cpio([*BODY, (f"usr/lib/modules/{V}/modules.dep.bin", b"\xb0\x07\xf4\x57" * 9)])),
            "damaged|index",
        ),
        (b"\x89LZO" + bytes(range(90)), "lzop"),
        (b"", "nothing"),
    ],
)
def test_what_is_not_understood_is_left_alone(archive: bytes, why: str) -> None:
    with pytest.raises((UnpackError, ValueError), match=why):
        added(archive)


def test_a_bomb_ends_at_the_budget() -> None:
    with pytest.raises(UnpackError, match="unpacks to more"):
        added(gzip.compress(cpio([("big", bytes(8 << 20))])), unpacked=4 << 20)


def test_on_a_disk_for_every_kernel_that_may_boot(tmp_path: Path) -> None:
    """Two kernels: both are mended where they lie, once; the second says that its modules are not there."""
    need("mke2fs")
    other = "5.10.0-9-amd64"
    body = [(name, data) for name, data in BODY if "modules" not in name]
    # gzip looks back 32 KiB, zstd further: that is the room
    roomy = [*BODY, ("zzz-firmware", random.Random(3).randbytes(50_000) * 2)]
    files = modules() | {
        f"/boot/initrd.img-{V}": EARLY + gzip.compress(cpio(roomy)),
        f"/boot/vmlinuz-{other}": b"",
        f"/boot/initrd.img-{other}": gzip.compress(cpio(body)),
        f"/lib/modules/{other}/modules.dep": "kernel/fs/ext4/ext4.ko:\n",
        f"/boot/config-{V}": "CONFIG_RD_ZSTD=y\nCONFIG_BLK_DEV_NVME=m\n",
        "/usr/share/initramfs-tools/init": "",
    }
    with disk.open(guest(tmp_path, files)) as base:
        layer = Overlay(base)
        done = apply([layer], [INITRAMFS_DRIVERS])
        assert [(one.path, len(one.after) == len(one.before)) for one in done.changes] == [
            (f"/boot/initrd.img-{V}", True)
        ]
        assert [(one.rule, other in one.why) for one in done.left] == [("VMIE-BOOT-008", True)]
        with opened([layer], budget=Budget()) as found:
            facts = found.facts.linux[0]
        assert facts.drivers["nvme"] is DriverState.INITRAMFS
        assert not apply([layer], [INITRAMFS_DRIVERS]).changes
