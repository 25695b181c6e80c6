"""What `vmie check` says about real disks: made by the ordinary tools, opened in the ordinary way."""

from __future__ import annotations

import gzip
import hashlib
import random
import shutil
import tarfile
from pathlib import Path

import pytest

from tests import guests
from tests.clocks import ManualClock
from tests.debian import debian_disk
from tests.linux_guest import KERNEL, convert, files, linux_disk, ova
from tests.tools import need, run
from tests.windows_guest import SERVICES, SET, software, system, windows_disk
from vmie import disk
from vmie.errors import UsageError
from vmie.model import Profile, Route, Verdict
from vmie.ops import check as op
from vmie.ops.check import CheckReport, ImageReport

PASS, WARN, UNKNOWN, FAIL = Verdict.PASS, Verdict.WARN, Verdict.UNKNOWN, Verdict.FAIL
MIB = 1 << 20


@pytest.fixture(scope="module")
def linux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linux_disk(tmp_path_factory.mktemp("linux") / "linux.raw")


@pytest.fixture(scope="module")
def stream(linux: Path) -> Path:
    return convert(linux, linux.with_suffix(".vmdk"), "vmdk", "subformat=streamOptimized")


def check(*paths: Path, **options: object) -> CheckReport:
    return op.check(list(paths), clock=ManualClock(), **options)  # type: ignore[arg-type]


def image(*paths: Path, **options: object) -> ImageReport:
    report = check(*paths, **options)
    assert len(report.images) == 1
    return report.images[0]


def rules(found: ImageReport, *verdicts: Verdict) -> set[str]:
    return {f.rule.removeprefix("VMIE-") for f in found.findings if not verdicts or f.verdict in verdicts}


def changed(tmp_path: Path, **more: object) -> ImageReport:
    """A Linux with other files: double underscores in names are slashes, None takes a file away."""
    content = files()
    for name, value in more.items():
        path = "/" + name.replace("__", "/").replace("KERNEL", KERNEL)
        if value is None:
            content.pop(path)
        else:
            content[path] = value  # type: ignore[assignment]
    return image(linux_disk(tmp_path / "changed.raw", content))


def test_a_linux_as_it_should_be_passes(linux: Path) -> None:
    found = image(linux)
    assert found.verdicts[Route.IMAGE] is PASS
    assert found.verdicts[Route.SNAPSHOT] is WARN
    assert found.recommended is Route.IMAGE
    assert rules(found) == {"OS-009"}


def test_the_contracted_json(stream: Path) -> None:
    shown = image(stream).as_json()
    assert (shown["path"], shown["format"], shown["variant"]) == (str(stream), "vmdk", "streamOptimized")
    assert shown["virtual_size"] == 640 * MIB
    assert 0 < shown["allocated_size"] < 640 * MIB
    assert (shown["partition_table"], shown["firmware"]) == ("mbr", "bios")
    assert [part["content"] for part in shown["disks"][0]["partitions"]] == ["ext4"]
    assert shown["guest"]["family"] == "linux"
    assert (shown["guest"]["distribution"], shown["guest"]["version"]) == ("debian", "12.7")
    assert shown["guest"]["architecture"] == "x86_64"
    assert shown["guest"]["kernels"] == [KERNEL]
    assert shown["guest"]["default_kernel"] == KERNEL
    assert shown["guest"]["root_filesystem"] == "ext4"
    assert shown["guest"]["free_bytes"] > 500 * MIB
    assert shown["guest"]["drivers"] == {"nvme": True, "ena": True, "xen": True}
    assert shown["guest"]["network"]["dhcp"] is True
    assert shown["verdict"] == {"image": "pass", "snapshot": "warn", "instance": "pass", "volume": "warn"}
    assert shown["recommended"] == "image"


@pytest.mark.parametrize(
    ("kind", "options", "rule"),
    [
        ("qcow2", (), "DISK-001"),
        ("vdi", (), "DISK-001"),
        ("vmdk", ("subformat=monolithicSparse",), "DISK-002"),
        ("vmdk", ("subformat=monolithicFlat",), "DISK-002"),
    ],
)
def test_other_formats_warn_and_fail_as_they_are(
    linux: Path, tmp_path: Path, kind: str, options: tuple[str, ...], rule: str
) -> None:
    path = convert(linux, tmp_path / f"disk.{kind}", kind, *options)
    assert rules(image(path), WARN) >= {rule}
    assert image(path).verdicts[Route.IMAGE] is WARN
    assert rules(image(path, as_is=True), FAIL) == {rule}
    assert rule in rules(image(path, profile=Profile.Y2016), FAIL)


def test_vhd_and_vhdx_on_the_legacy_route(linux: Path, tmp_path: Path) -> None:
    fixed = image(convert(linux, tmp_path / "fixed.vhd", "vpc", "subformat=fixed"), as_is=True)
    assert (fixed.verdicts[Route.IMAGE], fixed.verdicts[Route.INSTANCE]) == (PASS, UNKNOWN)
    assert "DISK-005" in rules(image(tmp_path / "fixed.vhd", profile=Profile.Y2016), FAIL)
    vhdx = image(convert(linux, tmp_path / "disk.vhdx", "vhdx"), as_is=True)
    assert (vhdx.verdicts[Route.IMAGE], vhdx.verdicts[Route.INSTANCE]) == (PASS, FAIL)
    assert "DISK-003" in rules(image(tmp_path / "disk.vhdx", profile=Profile.Y2016), FAIL)


def test_2016_knows_no_debian_12(linux: Path) -> None:
    found = image(linux, profile=Profile.Y2016)
    assert rules(found, FAIL) == {"OS-004"}
    assert found.recommended is Route.SNAPSHOT


def test_gpt_in_both_profiles(linux: Path, tmp_path: Path) -> None:
    need("sgdisk")
    path = tmp_path / "gpt.raw"
    shutil.copyfile(linux, path)
    with path.open("r+b") as file:
        file.truncate(641 * MIB)
    run(["sgdisk", "-g", str(path)])
    now, then = image(path), image(path, profile=Profile.Y2016)
    assert now.as_json()["partition_table"] == "gpt"
    assert "PART-003" in rules(now, FAIL)
    assert now.verdicts[Route.IMAGE] is not FAIL
    assert "PART-002" in rules(then, FAIL)


def test_an_unlisted_kernel_is_named_in_the_services_words(tmp_path: Path) -> None:
    found = image(linux_disk(tmp_path / "k.raw", files("6.6.13+bpo-amd64")))
    fail = next(f for f in found.findings if f.rule == "VMIE-OS-005")
    assert fail.verdict is FAIL
    assert fail.predicts == "ClientError: Unsupported kernel version 6.6.13+bpo-amd64"
    assert found.recommended is Route.SNAPSHOT


@pytest.mark.parametrize(
    ("release", "kernel", "verdict", "recommended"),
    [
        ('ID="almalinux"\nVERSION_ID="8.4"\n', "4.18.0-305.el8.x86_64", WARN, Route.IMAGE),
        ('ID="almalinux"\nVERSION_ID="9.3"\n', "5.14.0-362.8.1.el9_3.x86_64", UNKNOWN, Route.SNAPSHOT),
        ('ID="rocky"\nVERSION_ID="8.9"\n', "4.18.0-513.el8.x86_64", UNKNOWN, Route.SNAPSHOT),
        ('ID="rocky"\nVERSION_ID="9.3"\n', "5.14.0-362.8.1.el9_3.x86_64", PASS, Route.IMAGE),
        ('ID="centos"\nVERSION_ID="10"\n', "6.12.0-30.el10.x86_64", UNKNOWN, Route.SNAPSHOT),
        ('ID="fedora"\nVERSION_ID=44\n', "6.19.8-300.fc44.x86_64", UNKNOWN, Route.SNAPSHOT),
        ('ID="opensuse-leap"\nVERSION_ID="15.6"\n', "6.4.0-150600.23-default", UNKNOWN, Route.SNAPSHOT),
        ('ID="amzn"\nVERSION_ID="2018.03"\n', "4.14.336-180.562.amzn1.x86_64", UNKNOWN, Route.SNAPSHOT),
        ("ID=debian\nVERSION_ID=13\n", "6.12.41+deb13-amd64", UNKNOWN, Route.SNAPSHOT),
        ("ID=ubuntu\nVERSION_ID=24.10\n", "6.11.0-8-generic", UNKNOWN, Route.SNAPSHOT),
        ("ID=alpine\nVERSION_ID=3.19.1\n", "6.6.7-0-lts", UNKNOWN, Route.SNAPSHOT),
        ("ID=photon\nVERSION_ID=4.0\n", "5.10.83-4.ph4-aws", FAIL, Route.SNAPSHOT),
    ],
)
def test_a_system_on_which_the_list_is_silent(
    tmp_path: Path, release: str, kernel: str, verdict: Verdict, recommended: Route
) -> None:
    content = {**files(kernel), "/etc/os-release": release}
    content.pop("/etc/debian_version")
    found = image(linux_disk(tmp_path / "disk.raw", content))
    assert found.verdicts[Route.IMAGE] is verdict
    assert found.recommended is recommended
    about = [f for f in found.findings if f.rule in {"VMIE-OS-003", "VMIE-OS-004"}]
    assert [f.verdict for f in about] == [verdict] * (verdict is not PASS)
    assert all(f.source.startswith("https://") for f in about)


MENU = """default 0
timeout 0
title Ubuntu
root (hd0)
kernel {kernel} root=LABEL=cloudimg-rootfs ro console=hvc0
initrd /boot/initrd.img
"""


@pytest.mark.parametrize(
    ("menu", "verdict"),
    [
        (MENU.format(kernel=f"/boot/vmlinuz-{KERNEL}"), WARN),
        (MENU.format(kernel=f"(hd0,0)/vmlinuz-{KERNEL}"), WARN),
        (MENU.format(kernel="/vmlinuz"), WARN),
        (MENU.format(kernel="/boot/vmlinuz-4.4.0-31-generic"), FAIL),
        ("default 0\ntitle Chainload into GRUB 2\nroot (hd0)\nkernel /boot/grub/i386-pc/core.img\n", WARN),
    ],
)
def test_a_menu_lst_beside_grub_cfg_is_judged_by_the_kernels_that_they_name(
    tmp_path: Path, menu: str, verdict: Verdict
) -> None:
    content = {**files(), "/boot/grub/menu.lst": menu, "/vmlinuz": guests.Link(f"boot/vmlinuz-{KERNEL}")}
    found = image(linux_disk(tmp_path / "disk.raw", content))
    (finding,) = [f for f in found.findings if f.rule == "VMIE-BOOT-004"]
    assert finding.verdict is verdict
    assert finding.predicts == "ClientError: Multiple different grub/menu.lst files found."
    assert found.verdicts[Route.IMAGE] is verdict
    assert ("4.4.0-31-generic" in finding.message) is (verdict is FAIL)


def test_a_torn_initramfs(tmp_path: Path) -> None:
    found = changed(tmp_path, **{"boot__initrd.img-KERNEL": gzip.compress(guests.cpio(["a" * 5000]))[:-40]})
    assert "BOOT-006" in rules(found, FAIL)


def test_an_initramfs_without_drivers_warns(tmp_path: Path) -> None:
    found = changed(tmp_path, **{"boot__initrd.img-KERNEL": gzip.compress(guests.cpio(["bin/busybox"]))})
    assert "BOOT-008" in rules(found, WARN)
    assert found.as_json()["guest"]["drivers"]["nvme"] is False


def test_fstab_by_name_static_addresses_shares_and_no_ssh(tmp_path: Path) -> None:
    found = changed(
        tmp_path,
        etc__fstab="/dev/sda1 / ext4 defaults 0 1\n//nas/x /mnt cifs defaults 0 0\nUUID=dead /d ext4 defaults 0 2\n",
        etc__network__interfaces="auto eth0\niface eth0 inet static\n address 10.0.0.2/24\n",
        usr__sbin__sshd=None,
    )
    assert rules(found, WARN) >= {"LNX-001", "LNX-002", "LNX-004", "LNX-006", "NET-003"}


def test_a_32_bit_linux_and_an_arm_one(tmp_path: Path) -> None:
    for number, (elf, rule) in enumerate(((guests.elf(3, wide=False), "OS-008"), (guests.elf(0xB7), "OS-007"))):
        content = files()
        content.update(
            {name: elf for name, node in content.items() if isinstance(node, bytes) and node[:4] == b"\x7fELF"}
        )
        assert rule in rules(image(linux_disk(tmp_path / f"{number}.raw", content)), FAIL)


def test_data_without_a_table(tmp_path: Path) -> None:
    need("mke2fs")
    path = guests.ext4(tmp_path / "data.raw", None)
    found = image(path)
    assert rules(found, FAIL) == {"OS-001", "PART-001"}
    assert found.verdicts[Route.SNAPSHOT] is PASS
    assert found.recommended is Route.SNAPSHOT
    assert "No valid partitions" in {f.rule: f for f in found.findings}["VMIE-PART-001"].predicts


def test_an_ova_is_one_machine(stream: Path, tmp_path: Path) -> None:
    found = image(ova(tmp_path / "vm.ova", stream, nics=2, cdrom="tools.iso"))
    assert found.format == "ova"
    assert rules(found, WARN) >= {"NET-001", "OVA-002", "OVA-003"}
    assert found.verdicts[Route.IMAGE] is WARN
    assert image(tmp_path / "vm.ova", as_is=True).verdicts[Route.INSTANCE] is FAIL


def test_an_ova_with_two_disks(stream: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.raw"
    data.write_bytes(bytes(MIB))
    second = convert(data, tmp_path / "data.vmdk", "vmdk", "subformat=streamOptimized")
    found = image(ova(tmp_path / "vm.ova", stream, second))
    assert len(found.as_json()["disks"]) == 2
    assert found.as_json()["virtual_size"] == 641 * MIB
    assert "LIM-004" in rules(found, FAIL)
    assert found.verdicts[Route.IMAGE] is WARN


def test_files_together_are_one_machine(linux: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.raw"
    data.write_bytes(bytes(MIB))
    assert len(check(linux, data).images) == 2
    assert len(check(linux, data, together=True).images) == 1


def test_a_folder_lists_each_disk_once(linux: Path, tmp_path: Path) -> None:
    convert(linux, tmp_path / "split.vmdk", "vmdk", "subformat=twoGbMaxExtentFlat")
    (tmp_path / "deeper").mkdir()
    convert(linux, tmp_path / "deeper" / "two.qcow2", "qcow2")
    (tmp_path / "notes.txt").write_text("no disk")
    names = [Path(found.path).name for found in check(tmp_path).images]
    assert names == ["two.qcow2", "split.vmdk"]


def test_a_folder_without_disks_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no disk image"):
        check(tmp_path)


def test_what_cannot_be_read_is_a_failed_image(linux: Path, stream: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.vmdk"
    torn.write_bytes(stream.read_bytes()[: stream.stat().st_size // 2])
    found = check(torn, linux)
    assert found.unreadable is not None
    assert rules(found.images[0], FAIL) == {"DISK-007"}
    assert found.images[1].verdicts[Route.IMAGE] is PASS


def test_a_differencing_image_is_named_as_one(linux: Path, tmp_path: Path) -> None:
    need("qemu-img")
    child = tmp_path / "child.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(linux), "-F", "raw", str(child)])
    assert rules(image(child), FAIL) == {"DISK-006"}


def test_a_packed_disk_is_not_looked_into(linux: Path, tmp_path: Path) -> None:
    path = tmp_path / "disk.raw.gz"
    with linux.open("rb") as plain:
        path.write_bytes(gzip.compress(plain.read(8 * MIB), 1))
    found = image(path)
    assert rules(found, WARN) >= {"DISK-011"}
    assert rules(found, UNKNOWN) == {"OS-001"}
    assert rules(found) == {"DISK-011", "OS-001"}
    assert found.as_json()["virtual_size"] is None


def test_blocking_skip_and_strict(tmp_path: Path) -> None:
    report = check(linux_disk(tmp_path / "k.raw", files("6.6.13-amd64")))
    assert [f.rule for f in op.blocking(report, Route.IMAGE)] == ["VMIE-OS-005"]
    assert op.blocking(report, Route.SNAPSHOT) == []
    assert op.blocking(report, Route.IMAGE, skip=("VMIE-OS-005",)) == []
    assert op.blocking(report, Route.IMAGE, skip=("all",), strict=True) == []
    assert [f.rule for f in op.blocking(report, Route.SNAPSHOT, strict=True)] == ["VMIE-OS-009"]


def test_routes_narrow_the_findings_not_the_verdicts(linux: Path) -> None:
    found = image(linux, routes=(Route.IMAGE,))
    assert rules(found) == set()
    assert found.verdicts[Route.SNAPSHOT] is WARN


def spoil(path: Path, to: Path, at: int) -> Path:
    data = bytearray(path.read_bytes())
    data[at : at + 32] = b"\xa5" * 32
    to.write_bytes(data)
    return to


def test_verify_reads_what_a_check_leaves_alone(tmp_path: Path) -> None:
    raw = tmp_path / "data.raw"
    raw.write_bytes(random.Random(4).randbytes(2 * MIB).translate(bytes(range(16)) * 16) + b"text " * MIB)
    made = {
        "data.vmdk": convert(raw, tmp_path / "data.vmdk", "vmdk", "subformat=streamOptimized"),
        "data.raw.gz": tmp_path / "data.raw.gz",
        "data.qcow2": tmp_path / "data.qcow2",
    }
    made["data.raw.gz"].write_bytes(gzip.compress(raw.read_bytes(), 1))
    run(["qemu-img", "convert", "-c", "-O", "qcow2", raw, made["data.qcow2"]])
    for name, path in made.items():
        assert "DISK-007" not in rules(image(path, verify=True), FAIL), name
        spoiled = spoil(path, tmp_path / f"spoiled.{name}", path.stat().st_size - 300_000)
        assert "DISK-007" not in rules(image(spoiled), FAIL), name
        assert "DISK-007" in rules(image(spoiled, verify=True), FAIL), name


def test_verify_compares_an_appliance_with_its_manifest(stream: Path, tmp_path: Path) -> None:
    path = ova(tmp_path / "vm.ova", stream)
    assert "OVA-007" not in rules(image(path, verify=True), *Verdict)
    with tarfile.open(path) as tar:
        members = {one.name: tar.extractfile(one) for one in tar}
        lines = {name: hashlib.sha256(file.read()).hexdigest() for name, file in members.items() if file}
    descriptor = next(name for name in lines if name.endswith(".ovf"))
    for verdict, false in ((PASS, ""), (FAIL, descriptor), (WARN, "gone.iso")):
        listed = tmp_path / "vm.mf"
        digests = {**lines, false: "0" * 64} if false else lines
        listed.write_text("".join(f"SHA256({name})= {digest}\n" for name, digest in digests.items()))
        whole = tmp_path / f"{verdict.value}.ova"
        shutil.copy(path, whole)
        with tarfile.open(whole, "a") as tar:
            tar.add(listed, descriptor.replace(".ovf", ".mf"))
        found = image(whole, verify=True)
        assert [one.verdict for one in found.everything if one.rule == "VMIE-OVA-007"] == [verdict]
        assert "OVA-007" not in rules(image(whole), *Verdict)


def test_a_false_table_fails_every_route_and_is_what_the_service_would_say(stream: Path, tmp_path: Path) -> None:
    data = bytearray(stream.read_bytes())
    directory = int.from_bytes(data[56:64], "little") * 512
    table = int.from_bytes(data[directory : directory + 4], "little") * 512
    data[table : table + 4] = (1 << 30).to_bytes(4, "little")
    path = tmp_path / "false.vmdk"
    path.write_bytes(data)
    found = image(path)
    assert set(found.verdicts.values()) == {FAIL}
    (finding,) = [one for one in found.findings if one.rule == "VMIE-DISK-007"]
    assert finding.message.startswith(f"entry 0 of its grain table 0, at byte {table:,}, places a grain at byte")
    assert finding.predicts == "ClientError: Provided image file was corrupted."
    assert finding.source.startswith("VMware, Virtual Disk Format 5.0")
    with disk.open(path) as opened:
        assert op.predict([opened], route=Route.SNAPSHOT) == finding.predicts


@pytest.mark.parametrize(
    ("kernel", "said"), [(KERNEL, None), ("6.6.13-amd64", "ClientError: Unsupported kernel version 6.6.13-amd64")]
)
def test_the_prediction_for_the_sandbox(tmp_path: Path, kernel: str, said: str | None) -> None:
    path = linux_disk(tmp_path / "disk.raw", files(kernel))
    with disk.open(path) as opened:
        assert op.predict([opened]) == said
        assert op.predict([opened], route=Route.SNAPSHOT) is None
    other = convert(path, tmp_path / "disk.vmdk", "vmdk", "subformat=monolithicSparse")
    with disk.open(other) as opened:
        assert op.predict([opened]) == "ClientError: Disk validation failed [Unsupported VMDK File Format]"


def test_a_windows_disk(tmp_path: Path) -> None:
    need("mkntfs", "ntfscp", "sfdisk")
    sys = {**system(), SET + r"\Control\Terminal Server": {"fDenyTSConnections": 1}, SERVICES + r"\vmms": {"Start": 2}}
    found = image(windows_disk(tmp_path / "windows.raw", software(), sys))
    assert rules(found, FAIL) == {"FS-003", "WIN-007"}
    assert "WIN-013" in rules(found, WARN)
    guest = found.as_json()["guest"]
    assert (guest["family"], guest["version"], guest["root_filesystem"]) == ("windows", "2019", "ntfs")
    assert guest["drivers"] == {"nvme": True, "ena": False, "xen": False}
    assert (found.guest_family, found.architecture, found.firmware) == ("windows", "x86_64", "bios")


def test_a_real_debian() -> None:
    found = image(debian_disk())
    guest = found.as_json()["guest"]
    assert (guest["distribution"], guest["architecture"], guest["bootloader"]) == ("debian", "x86_64", "grub2")
    assert guest["version"].startswith("12.")
    assert guest["default_kernel"].startswith("6.1.0-")
    assert guest["drivers"] == {"nvme": True, "ena": True, "xen": True}
    assert (guest["cloud_init"], guest["ssh_server"], guest["network"]["dhcp"]) == (True, True, True)
    assert rules(found, FAIL, UNKNOWN) == set()
    assert rules(found, WARN) == {"OS-009"}
    assert found.verdicts[Route.IMAGE] is PASS


def test_one_torn_disk_of_several_is_named_alone(linux: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.vmdk"
    torn.write_bytes(b"KDMV" + bytes(600))
    found = image(linux, torn, together=True)
    assert [f.rule for f in found.findings] == ["VMIE-DISK-007"]
    assert found.findings[0].message.startswith(str(torn))
    assert found.findings[0].path == str(torn)


def test_a_finding_about_the_second_disk_carries_its_path(linux: Path, tmp_path: Path) -> None:
    second = tmp_path / "data.raw"
    second.write_bytes(bytes(MIB + 100))
    found = image(linux, second, together=True)
    about = {finding.path for finding in found.findings if finding.message.startswith(f"{second}: ")}
    assert about == {str(second)}
    assert {finding.path for finding in found.findings} == {str(linux), str(second)}


def test_a_container_that_turns_out_to_be_damaged_fails_every_route(linux: Path, tmp_path: Path) -> None:
    path = convert(linux, tmp_path / "cut.qcow2", "qcow2")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    found = image(path)
    (finding,) = [f for f in found.findings if f.rule == "VMIE-DISK-007"]
    assert (finding.verdict, set(finding.routes)) == (FAIL, set(Route))
    assert finding.predicts == "ClientError: Disk validation failed"
    assert finding.path == str(path)
    assert "beyond the end" in finding.message
    with disk.open(path) as opened:
        assert op.predict([opened])


def test_a_raw_image_that_was_cut_short(linux: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.raw"
    shutil.copy(linux, path)
    with path.open("r+b") as file:
        file.truncate(300 * MIB)
    found = image(path)
    assert "PART-009" in rules(found, FAIL)
    # what is beyond the cut could not be looked at
    assert found.verdicts[Route.SNAPSHOT] is UNKNOWN
    assert found.recommended is None


def test_a_refusal_names_every_rule(tmp_path: Path) -> None:
    content = {name: data for name, data in files("6.6.13-amd64").items() if name != "/etc/fstab"}
    report = check(linux_disk(tmp_path / "two.raw", content))
    stops = op.blocking(report, Route.IMAGE)
    assert {stop.rule for stop in stops} == {"VMIE-OS-005", "VMIE-LNX-003"}
    message, cause = op.named(stops)
    assert message.startswith(("VMIE-LNX-003 ", "VMIE-OS-005 "))
    assert message.endswith("(and 1 more)")
    told = f"{message}\n{cause}"
    assert [told.count(stop.message) for stop in stops] == [1, 1]
    assert "AWS would say: ClientError: Unsupported kernel version 6.6.13-amd64" in told
    assert "AWS would say: ClientError: Unable to find an etc directory with fstab." in told
    skip = tuple(one.value for one in op.skipping(stops))
    assert op.blocking(report, Route.IMAGE, skip=skip) == []
