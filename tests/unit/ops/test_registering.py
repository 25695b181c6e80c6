"""What an AMI that is registered from a snapshot loses, read from the image."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests import guests
from tests.clocks import ManualClock
from tests.linux_guest import KERNEL, files, linux_disk
from tests.tools import need
from tests.windows_guest import windows_disk
from vmie.errors import UsageError
from vmie.ops import check
from vmie.ops.check import CheckReport
from vmie.ops.import_ import after_import, registering
from vmie.options import ImportRequest


def report(path: Path) -> CheckReport:
    return check.check([path], clock=ManualClock())


def guest(tmp_path: Path, os_release: str, *, ena: bool = True) -> CheckReport:
    need("mke2fs")
    content = dict(files())
    content["/etc/os-release"] = os_release
    if not ena:
        kept = [line for line in str(content[f"/lib/modules/{KERNEL}/modules.dep"]).splitlines() if "/ena" not in line]
        content[f"/lib/modules/{KERNEL}/modules.dep"] = "\n".join(kept) + "\n"
        early = [f"usr/lib/modules/{KERNEL}/{line.rstrip(':')}" for line in kept]
        content[f"/boot/initrd.img-{KERNEL}"] = gzip.compress(guests.cpio(early))
        content[f"/boot/config-{KERNEL}"] = "CONFIG_BLK_DEV_NVME=m\nCONFIG_XEN_BLKDEV_FRONTEND=m\n"
    return report(linux_disk(tmp_path / "disk.raw", content))


@pytest.mark.parametrize(
    ("os_release", "system"),
    [
        ('ID="rhel"\nVERSION_ID="9.4"\n', "Red Hat Enterprise Linux"),
        ('ID="sles"\nVERSION_ID="15.5"\n', "SUSE Linux Enterprise Server"),
        ('ID="sles_sap"\nVERSION_ID="15.5"\n', "SUSE Linux Enterprise Server"),
    ],
)
def test_a_system_that_aws_bills(os_release: str, system: str, tmp_path: Path) -> None:
    (said,) = registering.losses(guest(tmp_path, os_release))
    assert system in said
    assert "Linux/UNIX" in said


@pytest.mark.parametrize("os_release", ['ID=debian\nVERSION_ID="12"\n', 'ID=rocky\nID_LIKE="rhel"\nVERSION_ID="9.4"\n'])
def test_a_free_one_loses_nothing(os_release: str, tmp_path: Path) -> None:
    found = guest(tmp_path, os_release)
    assert registering.losses(found) == ()
    assert registering.has_ena(found)


def test_a_windows(tmp_path: Path) -> None:
    need("mkntfs", "sfdisk", "hivexsh")
    found = report(windows_disk(tmp_path / "windows.raw"))
    assert [said for said in registering.losses(found) if "Windows" in said]
    assert not registering.has_ena(found)


def test_without_ena(tmp_path: Path) -> None:
    found = guest(tmp_path, "ID=debian\nVERSION_ID=12\n", ena=False)
    assert not registering.has_ena(found)
    (said,) = registering.losses(found)
    assert "ENA" in said


def test_what_was_not_looked_at_is_taken_for_a_system_of_today() -> None:
    assert registering.has_ena(None)
    assert registering.losses(None) == ()


@pytest.mark.parametrize(
    ("firmware", "register", "wanted"),
    [
        ("hybrid", "web", "uefi-preferred"),
        ("bios", "web", "legacy-bios"),
        ("uefi", "web", "uefi"),
        ("unknown", "web", ""),
        ("hybrid", "", ""),
        ("bios", "", ""),
        ("uefi", "", "uefi"),
    ],
)
def test_an_ami_starts_by_what_its_disk_is_made_for(firmware: str, register: str, wanted: str) -> None:
    request = ImportRequest(sources=("/disk.raw",), route="snapshot", register=register)
    filled, _ = request.filled(architecture="x86_64", platform="Linux", firmware=firmware)
    assert filled.boot_mode == wanted
    assert ImportRequest.from_json(filled.as_json()).boot_mode == wanted
    with pytest.raises(UsageError):
        ImportRequest(sources=("/disk.raw",), boot_mode="uefi-preferred")


def test_the_types_that_a_guest_has_drivers_for(tmp_path: Path) -> None:
    request = ImportRequest(sources=("/disk.raw",), route="snapshot", register="web", guard_types=True)
    lacking = after_import.guard_of(guest(tmp_path, "ID=debian\nVERSION_ID=12\n", ena=False), request)
    assert {"t2.*", "m4.*"} <= set(lacking.supported)
    assert not {"t3.*", "m5.*"} & set(lacking.supported)
    assert not lacking.unsupported
    assert after_import.guard_of(None, request) == after_import.TypeGuard()
