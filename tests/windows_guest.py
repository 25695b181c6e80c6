"""A small Windows for tests: hives as an installation leaves them, and an NTFS image that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import hives, ntfs
from tests.tools import run
from vmie.guest.filesystem import FileKind, FileStatus

NT = r"Microsoft\Windows NT\CurrentVersion"
CURRENT = r"Microsoft\Windows\CurrentVersion"
SET = "ControlSet001"
SERVICES = SET + r"\Services"
CONFIG = "/Windows/System32/config"

Keys = dict[str, dict[str, hives.Data]]


def software(**identity: hives.Data) -> Keys:
    """The SOFTWARE hive of a Windows Server 2019; `identity` replaces values of NT\\CurrentVersion."""
    return {
        NT: {
            "ProductName": "Windows Server 2019 Datacenter",
            "EditionID": "ServerDatacenter",
            "CurrentVersion": "6.3",
            "CurrentMajorVersionNumber": 10,
            "CurrentMinorVersionNumber": 0,
            "CurrentBuild": "17763",
            "InstallationType": "Server",
            **identity,
        },
        NT + r"\Winlogon": {"AutoAdminLogon": "0"},
        CURRENT + r"\Setup\State": {"ImageState": "IMAGE_STATE_COMPLETE"},
        r"Microsoft\NET Framework Setup\NDP\v4\Full": {"Release": 528049, "Install": 1},
    }


def system(kind: str = "ServerNT", processor: str = "AMD64") -> Keys:
    """The SYSTEM hive beside it: remote desktop on, one interface by DHCP, stornvme."""
    return {
        "Select": {"Current": 1, "Default": 1, "LastKnownGood": 2},
        "Setup": {"SystemSetupInProgress": 0, "OOBEInProgress": 0},
        SET + r"\Control\ProductOptions": {"ProductType": kind},
        SET + r"\Control\Session Manager\Environment": {"PROCESSOR_ARCHITECTURE": processor},
        SET + r"\Control\Session Manager\Memory Management": {"PagingFiles": ["c:\\pagefile.sys 4096 4096"]},
        SET + r"\Control\Session Manager\Power": {"HiberbootEnabled": 0},
        SET + r"\Control\Terminal Server": {"fDenyTSConnections": 0},
        SET + r"\Control\TimeZoneInformation": {"TimeZoneKeyName": "UTC", "RealTimeIsUniversal": 1},
        SET + r"\Control\Nls\Language": {"InstallLanguage": "0409"},
        SET + r"\Control\MUI\UILanguages\en-US": {"Type": 145},
        SERVICES + r"\Tcpip\Parameters": {"Domain": ""},
        SERVICES + r"\Tcpip\Parameters\Interfaces\{0aa1}": {"EnableDHCP": 1},
        SERVICES + r"\Dhcp": {"Start": 2},
        SERVICES + r"\stornvme": {"Start": 0},
        SERVICES + r"\SharedAccess\Parameters\FirewallPolicy\FirewallRules": {
            "RemoteDesktop-UserMode-In-TCP": "v2.10|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=3389|"
        },
    }


class FakeVolume:
    """Files by their paths, standing in for an NTFS volume: exact names, as the readers have it."""

    def __init__(self, files: Mapping[str, bytes], *, free: int | None = 20 << 30, clean: bool | None = True) -> None:
        self.files = dict(files)
        self.size: int | None = 40 << 30
        self.free_bytes = free
        self.clean = clean

    def lstat(self, path: str) -> FileStatus | None:
        if path in self.files:
            return FileStatus(FileKind.FILE, len(self.files[path]))
        below = path.rstrip("/") + "/"
        return FileStatus(FileKind.DIRECTORY) if any(name.startswith(below) for name in self.files) else None

    def read(self, path: str, limit: int, offset: int = 0) -> bytes:
        return self.files[path][offset : offset + limit]

    def listdir(self, path: str) -> list[str]:
        below = path.rstrip("/") + "/"
        return sorted({name[len(below) :].split("/")[0] for name in self.files if name.startswith(below)})


def volume(soft: Keys | bytes | None = None, sys: Keys | bytes | None = None, **more: bytes) -> FakeVolume:
    """A volume with the two hives; `more` are further files by path."""
    soft, sys = (software() if soft is None else soft), (system() if sys is None else sys)
    return FakeVolume(
        {
            f"{CONFIG}/SOFTWARE": soft if isinstance(soft, bytes) else hives.build(soft),
            f"{CONFIG}/SYSTEM": sys if isinstance(sys, bytes) else hives.build(sys),
            **more,
        }
    )


def windows_disk(
    target: Path, soft: Keys | None = None, sys: Keys | None = None, *, size: int = 48 << 20, **more: Any
) -> Path:
    """A raw disk: MBR, one active NTFS partition with the hives in it, spelt as Windows spells them."""
    partition = target.with_suffix(".ntfs")
    ntfs.make(partition, size=size - (2 << 20), offset=2048)
    for path, data in volume(soft, sys, **more).files.items():
        ntfs.put(partition, path, data)
    with target.open("wb") as file:
        file.truncate(size)
    run(["sfdisk", "-q", "--no-reread", str(target)], input="label: dos\nstart=2048, type=7, bootable\n")
    with target.open("r+b") as file:
        file.write(b"\x33\xc0\x8e\xd0\xbc\x00\x7c")  # how Windows' boot code begins
        file.seek(2048 * 512)
        file.write(partition.read_bytes())
    partition.unlink()
    return target
