"""Nothing in a guest can hurt: bounded time and memory, `unknown` with the reason, never an exception."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest

from tests.btrfs_image import LZO, File, Sub, btrfs
from tests.btrfs_reading import Patched
from tests.guests import (
    MIB,
    Bytes,
    Disk,
    Link,
    ext4,
    fill,
    group,
    mbr,
    mbr_entry,
    physical_volume,
    put,
    segment,
    volume,
)
from tests.tools import ROOT as REPOSITORY
from tests.tools import run
from vmie.disk.crc32c import crc32c
from vmie.guest import inspect
from vmie.guest.budget import Budget
from vmie.guest.linux_facts import LinuxFacts

HEAD = mbr(mbr_entry(0x83, 2048, 16 * 2048, active=True), code=b"GRUB")
PLAIN = {
    "/etc/os-release": 'ID="debian"\nVERSION_ID="12"\n',
    "/etc/fstab": "UUID=1 / ext4 defaults 0 1\n",
    "/boot/grub/grub.cfg": "menuentry 'x' {\n linux /boot/vmlinuz-6.1.0 ro\n initrd /boot/initrd.img-6.1.0\n}\n",
    "/boot/vmlinuz-6.1.0": "k",
    "/boot/initrd.img-6.1.0": b"070701" + b"0" * 104 + bytes(64),
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\n",
}


def image(tmp_path: Path, files: dict[str, str | bytes | Link | None]) -> Path:
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "disk.raw"
    path.write_bytes(HEAD)
    with path.open("r+b") as file:
        file.truncate(18 * MIB)
    put(path, ext4(tmp_path / "fs.img", fill(tmp_path / "root", files)), at=MIB)
    return path


def look(path: Path) -> LinuxFacts:
    begin = time.process_time()
    facts = inspect([Disk(path)], budget=Budget(seconds=20))
    assert time.process_time() - begin < 10
    return facts.linux[0]


def test_a_sparse_os_release_of_100_gb(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", PLAIN)
    with (root / "etc/os-release").open("r+b") as file:
        file.truncate(100 << 30)
    with (root / "boot/grub/grub.cfg").open("r+b") as file:
        file.truncate(1 << 40)
    with (root / "boot/initrd.img-6.1.0").open("wb") as file:
        file.truncate(1 << 40)
    path = tmp_path / "disk.raw"
    path.write_bytes(HEAD)
    with path.open("r+b") as file:
        file.truncate(18 * MIB)
    put(path, ext4(tmp_path / "fs.img", root), at=MIB)
    begin = time.process_time()
    found = inspect([Disk(path)], budget=Budget(seconds=2)).linux[0]
    assert time.process_time() - begin < 10
    assert found.distribution == "debian"
    assert found.default_kernel == "6.1.0"
    assert found.initramfs.readable is False
    assert any("in part" in problem.what for problem in found.problems)


def test_loops_and_absolute_links_in_a_real_file_system(tmp_path: Path) -> None:
    loops = {
        "/etc/os-release": Link("/etc/loop-a"),
        "/etc/loop-a": Link("loop-b"),
        "/etc/loop-b": Link("/etc/loop-a"),
        "/etc/debian_version": Link("/../../../../data/version"),
        "/data/version": "12.4\n",
        "/boot/grub": Link("/boot"),
        "/boot/boot": Link("."),
        "/etc/shadow": Link("/proc/self/root/etc/shadow"),
        "/bin": Link("/bin"),
        "/lib": Link("//lib/"),
    }
    files = {name: data for name, data in PLAIN.items() if name.split("/")[1] != "boot" and name != "/etc/os-release"}
    found = look(image(tmp_path, files | loops))
    assert (found.distribution, found.version, found.architecture) == ("debian", "12.4", "unknown")
    assert any("loop" in problem.why for problem in found.problems)


def test_files_where_directories_belong_and_the_other_way_round(tmp_path: Path) -> None:
    odd = {"/etc/os-release": "ID=debian\n", "/boot": "file", "/lib": "file", "/usr": "file", "/etc/network": "file"}
    assert look(image(tmp_path, odd)).distribution == "debian"
    folders = dict.fromkeys(("/etc/os-release", "/etc/fstab", "/boot/grub/grub.cfg", "/etc/shadow", "/bin/sh"), None)
    found = look(image(tmp_path / "b", {**folders, "/etc/debian_version": "12.1"}))
    assert (found.distribution, found.version) == ("debian", "12.1")


def test_random_bytes_in_every_configuration_file(tmp_path: Path) -> None:
    noise = random.Random(5)
    names = [
        *PLAIN,
        *("/etc/shadow", "/etc/default/grub", "/etc/ssh/sshd_config", "/etc/selinux/config", "/etc/ufw/ufw.conf"),
        *("/etc/netplan/a.yaml", "/etc/network/interfaces", "/etc/sysconfig/network-scripts/ifcfg-e", "/etc/lilo.conf"),
        *("/etc/NetworkManager/system-connections/x", "/etc/systemd/network/x.network", "/boot/grub/grubenv"),
        *("/boot/loader/entries/x.conf", "/etc/SuSE-release", "/etc/redhat-release", "/boot/grub/menu.lst"),
    ]
    assert look(image(tmp_path, {name: noise.randbytes(5000) for name in names} | {"/usr/sbin/sshd": ""}))


def _damaged(raw: bytes, seed: int) -> bytearray:
    noise = random.Random(seed)
    data = bytearray(raw)
    pages = [at for at in range(0, len(raw), 4096) if any(raw[at : at + 4096])]
    for _ in range(noise.choice((1, 5, 40))):
        at = noise.choice(pages) + noise.randrange(4096 - 16)
        data[at : at + 4] = noise.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", noise.randbytes(4)))
    return data


@pytest.mark.parametrize("kind", ["plain", "lvm"])
def test_damage_anywhere_ends_in_facts(tmp_path: Path, kind: str) -> None:
    raw = image(tmp_path, PLAIN).read_bytes()
    if kind == "lvm":
        one = "jdTN3x-MGxS-j2Uq-wqE6-Vaeg-TN91-9zddNd"
        text = group("g", pvs={"pv0": one}, volumes=volume("root", segment(0, 256, ("pv0", 0))))
        disk = physical_volume(one, text, size=18 * MIB)
        disk[MIB : 17 * MIB] = raw[MIB : 17 * MIB]
        raw = bytes(disk)
    for seed in range(25):
        begin = time.process_time()
        inspect([Bytes(_damaged(raw, seed))], budget=Budget(seconds=2))
        assert time.process_time() - begin < 10, seed


def _resealed(raw: bytes, nodes: list[int], seed: int) -> Patched:
    """A Btrfs of 4 KiB nodes, some of them changed and their checksums right again."""
    noise = random.Random(seed)
    pages = {}
    for at in noise.sample(nodes, noise.choice((1, 2, 8, 30))):
        page = bytearray(raw[at : at + 4096])
        place = noise.choice((noise.randrange(32, 110), noise.randrange(101, 1500), noise.randrange(2000, 4088)))
        page[place : place + 4] = noise.choice((b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f", noise.randbytes(4)))
        pages[at] = crc32c(bytes(page[32:])).to_bytes(4, "little") + page[4:4096]
    return Patched(raw, pages)


def test_a_btrfs_with_damage_under_right_checksums_ends_in_facts(tmp_path: Path) -> None:
    files = {**PLAIN, "/etc/fstab": "UUID=1 / btrfs subvol=@ 0 1\n", "/etc/group": File(b"root:x:0:\n" * 2000, LZO)}
    many = {f"/usr/lib/modules/6.1.0/{number}": str(number) for number in range(200)}
    subs = (Sub(256, "@", {**files, **many}), Sub(257, "@/snap", files, snapshot_of=256), Sub(258, "@home", {}))
    raw = btrfs(tmp_path / "fs.img", *subs, options=("-n", "4096")).read_bytes()
    own = raw[65536 + 0x20 : 65536 + 0x30]
    nodes = [at for at in range(0, 48 * MIB, 4096) if raw[at + 32 : at + 48] == own]
    assert len(nodes) > 40
    roots = 0
    for seed in range(80):
        begin = time.process_time()
        roots += len(inspect([_resealed(raw, nodes, seed)], budget=Budget(seconds=20)).roots)
        assert time.process_time() - begin < 10, seed
    assert 10 < roots < 80


def test_memory_stays_small(tmp_path: Path) -> None:
    """A directory of 3000 names, an initramfs bomb and a giant text: under 150 MB for the whole process."""
    import gzip

    from tests.guests import cpio

    bomb = gzip.compress(cpio([("big", bytes(200 << 20))]), compresslevel=1)
    files = {**PLAIN, "/boot/initrd.img-6.1.0": bomb, "/etc/shadow": "x" * (3 << 20)}
    root = fill(tmp_path / "root", files)
    for number in range(3000):
        (root / "boot" / f"vmlinuz-{number}").symlink_to("x")
    path = tmp_path / "disk.raw"
    path.write_bytes(mbr(mbr_entry(0x83, 2048, 64 * 2048, active=True)))
    with path.open("r+b") as file:
        file.truncate(66 * MIB)
    options = ["-N", "6000", "-I", "128"]
    put(path, ext4(tmp_path / "fs.img", root, size=64 * MIB, options=options), at=MIB)
    program = (
        "import re, sys\nfrom pathlib import Path\nfrom tests.guests import Disk\n"
        "from vmie.guest import Budget, inspect\n"
        "facts = inspect([Disk(Path(sys.argv[1]))], budget=Budget())\n"
        "status = Path('/proc/self/status').read_text()  # ru_maxrss would count the parent before exec\n"
        "print(facts.linux[0].distribution, int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) // 1024)\n"
    )
    name, megabytes = run([sys.executable, "-c", program, str(path)], cwd=REPOSITORY).stdout.split()
    assert name == "debian"
    assert int(megabytes) < 150
