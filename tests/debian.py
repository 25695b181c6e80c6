"""A real Debian on a real disk image: MBR, one bootable ext4 partition, GRUB, cloud-init, OpenSSH.

Made once from the machine's own apt mirror (about two minutes), then kept in `cache`; a lock
keeps parallel test workers from making it twice. Nothing is mounted: mke2fs fills the file system.
`python -m tests.debian` makes it: `make test` does so while it lints.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools import ROOT, need, run

CACHE = ROOT / ".cache"
SUITE = "bookworm"
PACKAGES = (
    "linux-image-amd64,grub-pc,openssh-server,cloud-init,systemd-sysv,udev,ifupdown,isc-dhcp-client,"
    "sudo,ca-certificates,iproute2,less,nano"
)
HOSTNAME = "debian-guest"
FS_UUID = "6f1ed7d2-5d0a-4c1c-9b86-2a4f0c0f9d51"
FIRST_SECTOR = 2048
GIB = 1024**3

_RECIPE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


def debian_disk(cache: Path = CACHE, *, size: int = 2 * GIB) -> Path:
    """A sparse raw disk of `size` bytes (at least 2 GiB). Shared by everyone: never write to it."""
    target = cache / f"debian-{size // 1024**2}M-{_RECIPE}.raw"
    with _lock(cache):
        if not target.exists():
            root = debian_root(cache)
            with tempfile.TemporaryDirectory(dir=cache, prefix="debian-") as work:
                made = Path(work) / "disk.raw"
                _build(root, made, size=size, work=Path(work))
                made.rename(target)
            for stale in cache.glob(f"debian-{size // 1024**2}M-*.raw"):
                if stale != target:
                    stale.unlink()
    return target


def debian_root(cache: Path = CACHE) -> Path:
    """The root file system as a tar, as mmdebstrap makes it. Call it through `debian_disk` or under no concurrency."""
    need("mmdebstrap")
    packages = hashlib.sha256(f"{SUITE} {PACKAGES}".encode()).hexdigest()[:12]
    target = cache / f"debian-root-{packages}.tar"
    if not target.exists():
        made = cache / f"debian-root-{packages}.making.tar"
        made.unlink(missing_ok=True)
        argv = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", *_QUICK, *_proxy(), SUITE]
        run([*argv, str(made), *_mirror()], stdin=subprocess.DEVNULL, timeout=1200)
        made.rename(target)
    return target


#: no fsync for each file; and one initramfs at the end, where the packages would make it twice
_QUICK = (
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=force-confold",
    '--essential-hook=mkdir -p "$1/etc/initramfs-tools"',
    '--essential-hook=echo update_initramfs=no >"$1/etc/initramfs-tools/update-initramfs.conf"',
    '--customize-hook=echo update_initramfs=yes >"$1/etc/initramfs-tools/update-initramfs.conf"',
    '--customize-hook=rm -f "$1"/boot/initrd.img-*; chroot "$1" update-initramfs -c -k all',
)


@contextmanager
def _lock(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "debian.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _mirror() -> list[str]:
    """The mirror that the machine's apt uses for our suite; none named means mmdebstrap's default."""
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in listing.stdout.splitlines():
        address, _, release = line.partition(" ")
        if release == SUITE and "/debian" in address and "security" not in address:
            return [address]
    return []


def _proxy() -> list[str]:
    """The machine's apt proxy, which mmdebstrap's own apt would not see."""
    asked = subprocess.run(
        ["apt-config", "shell", "proxy", "Acquire::http::Proxy"], capture_output=True, text=True, check=False
    )
    value = asked.stdout.strip().removeprefix("proxy=").strip("'")
    return [f'--aptopt=Acquire::http::Proxy "{value}"'] if value else []


def _build(root_tar: Path, disk: Path, *, size: int, work: Path) -> None:
    """Fill the partition's file system from the tar, then write table and boot loader around it."""
    need("sfdisk", "mke2fs", "tar", *([] if os.geteuid() == 0 else ["fakeroot"]))
    wrap = [] if os.geteuid() == 0 else ["fakeroot", "-s", str(work / "ids"), "-i", str(work / "ids"), "--"]
    (work / "ids").touch()
    tree = work / "root"
    tree.mkdir()
    run([*wrap, "tar", "-x", "-p", "--numeric-owner", "--xattrs", "-C", str(tree), "-f", str(root_tar)])
    _configure(tree)
    with disk.open("wb") as made:
        made.truncate(size)
    table = f"label: dos\nlabel-id: 0x6f1ed7d2\nstart={FIRST_SECTOR}, type=83, bootable\n"
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", str(disk)], input=table)
    blocks = (size - FIRST_SECTOR * 512) // 4096
    extended = f"offset={FIRST_SECTOR * 512},hash_seed={FS_UUID},nodiscard"
    mke2fs = ["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-U", FS_UUID, "-L", "root", "-E", extended]
    run([*wrap, *mke2fs, "-d", str(tree), str(disk), str(blocks)])
    _boot_loader(tree, disk)
    shutil.rmtree(tree, ignore_errors=True)


def _configure(tree: Path) -> None:
    """What an installer would have written."""
    kernel = max(path.name.removeprefix("vmlinuz-") for path in (tree / "boot").glob("vmlinuz-*"))
    files = {
        "etc/fstab": f"UUID={FS_UUID} / ext4 errors=remount-ro 0 1\n",
        "etc/hostname": f"{HOSTNAME}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {HOSTNAME}\n::1 localhost ip6-localhost ip6-loopback\n",
        "etc/network/interfaces": "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n",
        "etc/default/grub": (
            "GRUB_DEFAULT=0\nGRUB_TIMEOUT=1\nGRUB_DISTRIBUTOR=Debian\n"
            f'GRUB_CMDLINE_LINUX_DEFAULT=""\nGRUB_CMDLINE_LINUX="{_KERNEL_OPTIONS}"\n'
        ),
        "boot/grub/grub.cfg": _grub_cfg(kernel),
    }
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copytree(tree / "usr/lib/grub/i386-pc", tree / "boot/grub/i386-pc", dirs_exist_ok=True)


_KERNEL_OPTIONS = "net.ifnames=0 biosdevname=0 console=tty0 console=ttyS0,115200n8"


def _grub_cfg(kernel: str) -> str:
    """The parts of what update-grub writes that matter to a boot and to a reader of it."""
    boot = f"""	load_video
	insmod gzio
	insmod part_msdos
	insmod ext2
	search --no-floppy --fs-uuid --set=root {FS_UUID}
	echo	'Loading Linux {kernel} ...'
	linux	/boot/vmlinuz-{kernel} root=UUID={FS_UUID} ro {_KERNEL_OPTIONS}
	echo	'Loading initial ramdisk ...'
	initrd	/boot/initrd.img-{kernel}
"""
    simple = f"$menuentry_id_option 'gnulinux-simple-{FS_UUID}'"
    version = f"$menuentry_id_option 'gnulinux-{kernel}-advanced-{FS_UUID}'"
    return f"""#
# DO NOT EDIT THIS FILE
#
# It is automatically generated by grub-mkconfig using templates
# from /etc/grub.d and settings from /etc/default/grub
#
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
set default="0"
menuentry_id_option="--id"
export menuentry_id_option
function load_video {{
  insmod all_video
}}
terminal_output console
set timeout=1
menuentry 'Debian GNU/Linux' --class debian --class gnu-linux --class gnu --class os {simple} {{
{boot}}}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-{FS_UUID}' {{
menuentry 'Debian GNU/Linux, with Linux {kernel}' --class debian --class gnu-linux --class os {version} {{
{boot}}}
}}
"""


def _boot_loader(tree: Path, disk: Path) -> None:
    """GRUB for BIOS as grub-install embeds it: boot.img into the MBR, core.img from sector 1 on.

    core.img as made expects itself to go on at sector 2, so no block list needs mending.
    """
    modules = ["biosdisk", "part_msdos", "ext2", "normal", "search", "search_fs_uuid", "linux", "configfile", "gzio"]
    core = tree / "boot/grub/i386-pc/core.img"
    libraries = tree / "usr/lib/x86_64-linux-gnu"
    run(
        [
            *(libraries / "ld-linux-x86-64.so.2", "--library-path", libraries, tree / "usr/bin/grub-mkimage"),
            *("-d", tree / "usr/lib/grub/i386-pc", "-O", "i386-pc", "-o", core),
            *("-p", "(hd0,msdos1)/boot/grub", *modules),
        ]
    )
    code = core.read_bytes()
    if len(code) > (FIRST_SECTOR - 1) * 512:
        raise AssertionError(f"GRUB's core image of {len(code)} bytes does not fit before the partition")
    with disk.open("r+b") as made:
        made.write((tree / "usr/lib/grub/i386-pc/boot.img").read_bytes()[:440])
        made.seek(512)
        made.write(code)


if __name__ == "__main__":
    debian_disk()
