"""`vmie repair`: the same mended disk out of every form, as qemu-img, e2fsck and debugfs see it; the source stays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Done
from tests.linux_guest import convert, files, linux_disk, ova
from tests.tools import need, run
from vmie import repair_image

Vmie = Callable[..., Done]
ROOT = "UUID=2f1ed7d2-5d0a-4c1c-9b86-2a4f0c0f9d51"
GUEST = {
    **files(),
    "/etc/fstab": "/dev/sda1 / ext4 defaults 0 1\n//nas/share /x cifs username=a,password=geheim 0 0\n",
    "/etc/network/interfaces": "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet static\n"
    " address 10.0.0.5/24\n",
    "/etc/udev/rules.d/70-persistent-net.rules": 'ATTR{address}=="00:0c:29:11:22:33", NAME="eth0"\n',
    "/boot/grub/grub.cfg": "menuentry 'a' {\n  linux /boot/vmlinuz-6.1.0-25-amd64 root=/dev/sda1 ro quiet"
    " net.ifnames=0\n  initrd /boot/initrd.img-6.1.0-25-amd64\n}\n",
}
MENDED = {"VMIE-BOOT-013", "VMIE-LNX-001", "VMIE-LNX-002", "VMIE-NET-003", "VMIE-NET-007"}


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One guest in every form."""
    folder = tmp_path_factory.mktemp("guests")
    raw = linux_disk(folder / "a.raw", GUEST, size=24)
    for kind, suffix in (("qcow2", "qcow2"), ("vpc", "vhd"), ("vhdx", "vhdx")):
        convert(raw, folder / f"a.{suffix}", kind)
    convert(raw, folder / "a.vmdk", "vmdk", "subformat=streamOptimized")
    ova(folder / "a.ova", folder / "a.vmdk")
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("a.*") if path.is_file()}


def test_every_form_mends_to_the_same_disk_and_stays_as_it_was(vmie: Vmie, guests: Path, tmp_path: Path) -> None:
    need("qemu-img", "e2fsck", "debugfs")
    before = digests(guests)
    whole = tmp_path / "whole.raw"
    done = vmie("repair", guests / "a.ova", "--out", whole)
    assert done.code == 0
    assert set(done.json["result"]["mended"]) == MENDED
    assert done.json["result"]["output"] == str(whole)
    changes = {one["path"]: one for one in done.json["result"]["changes"]}
    commented = "#//nas/share /x cifs username=a,password=… 0 0"
    assert changes["/etc/fstab"]["after"].splitlines() == [f"{ROOT} / ext4 defaults 0 1", commented]
    part = tmp_path / "part.ext4"
    run(["dd", f"if={whole}", f"of={part}", "bs=1M", "skip=1", "status=none"])
    run(["e2fsck", "-f", "-n", str(part)])
    said = run(["debugfs", "-R", "cat /etc/fstab", str(part)]).stdout
    assert said.startswith(f"{ROOT} / ext4")
    assert "password=geheim" in said
    for suffix in ("raw", "qcow2", "vhd", "vhdx", "vmdk"):
        layer = guests / f"layer-{suffix}.qcow2"
        assert vmie("repair", guests / f"a.{suffix}", "--out", layer).code == 0
        info = json.loads(run(["qemu-img", "info", "--output=json", str(layer)]).stdout)
        assert info["backing-filename"] == f"a.{suffix}"
        assert info["actual-size"] < 2 << 20
        run(["qemu-img", "check", "-q", str(layer)])
        run(["qemu-img", "compare", "-q", str(layer), str(whole)])
        again = vmie("repair", layer)
        assert (again.code, again.json["result"]["changes"]) == (0, [])
        layer.unlink()
    for suffix in ("vmdk", "vhd", "vhdx"):
        run(
            [
                "qemu-img",
                "compare",
                "-q",
                str(repair_image(guests / "a.qcow2", tmp_path / f"m.{suffix}").outputs[0]),
                whole,
            ]
        )
    mended = repair_image(guests / "a.qcow2", tmp_path / "m.ova").outputs[0]
    assert vmie("repair", mended).json["result"]["changes"] == []
    assert digests(guests) == before


def test_the_text_says_what_why_and_what_comes_next(vmie: Vmie, guests: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.qcow2"
    done = vmie("repair", guests / "a.qcow2", "--out", out, "--dry-run", "--output", "text")
    assert done.code == 0
    assert not out.exists()
    for line in ("--- /etc/fstab", f"+{ROOT} / ext4 defaults 0 1", "(VMIE-LNX-001, VMIE-LNX-002)"):
        assert line in done.out
    assert "geheim" not in done.out
    assert f"next: vmie repair {guests / 'a.qcow2'} --out {out}" in done.out
    checked = vmie("check", guests / "a.qcow2", "--output", "text")
    assert f"mends with: vmie repair {guests / 'a.qcow2'}" in checked.out


def test_no_file_of_the_source_is_written_over(vmie: Vmie, guests: Path, tmp_path: Path) -> None:
    """Not the image, nor what lies below it, whatever is forced; several disks go to as many files."""
    base, top = tmp_path / "base.raw", tmp_path / "top.qcow2"
    base.write_bytes((guests / "a.raw").read_bytes())
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", str(top)])
    before = base.read_bytes()
    for target in (base, top):
        assert vmie("repair", top, "--out", target, "--force").code == 2
    assert base.read_bytes() == before
    both = vmie("repair", base, guests / "a.vhd", "--out", tmp_path / "both.vmdk", "--only", "serial-console")
    assert both.json["result"]["outputs"] == [str(tmp_path / f"both-{number}.vmdk") for number in (1, 2)]


def test_only_what_is_asked_for(vmie: Vmie, guests: Path) -> None:
    done = vmie("repair", guests / "a.raw", "--only", "VMIE-NET-007")
    assert [one["path"] for one in done.json["result"]["changes"]] == ["/etc/udev/rules.d/70-persistent-net.rules"]
    assert {one["rule"] for one in done.json["result"]["left"]} >= MENDED - {"VMIE-NET-007"}
    unknown = vmie("repair", guests / "a.raw", "--only", "VMIE-DISK-001")
    assert unknown.code == 2
    assert "VMIE-NET-007" in unknown.json["error"]["cause"]


def test_what_still_fails_ends_with_4(vmie: Vmie, tmp_path: Path) -> None:
    """A journal that is to be replayed: nothing is written in place there, and the reason is said."""
    disk = linux_disk(tmp_path / "a.raw", GUEST | {"/boot/grub/grub.cfg": ""}, size=24)
    part = tmp_path / "part"
    run(["dd", f"if={disk}", f"of={part}", "bs=1M", "skip=1", "status=none"])
    run(["debugfs", "-w", "-R", "feature needs_recovery", str(part)])
    run(["dd", f"if={part}", f"of={disk}", "bs=1M", "seek=1", "conv=notrunc", "status=none"])
    done = vmie("repair", disk)
    assert done.code == 4
    assert not done.json["result"]["changes"]
    left = [one for one in done.json["result"]["left"] if "journal is to be replayed" in one["why"]]
    assert "blkid; ${EDITOR:-vi} /etc/fstab" in {one["by_hand"] for one in left}
    assert '"repair"' not in vmie("check", disk).out
