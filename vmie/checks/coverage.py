"""Every requirement and limitation of the 2016 page: the rules that check it, or why a file cannot show it.

Lines are those of the page as plain text. What concerns the caller's account is checked by other verbs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """One bullet of the page: `says` in our words, and either `rules` or `reason`."""

    line: int
    section: str
    says: str
    rules: tuple[str, ...] = ()
    reason: str = ""


_OS = "Operating systems"
_FORMAT = "Image formats"
_TYPES = "Instance types"
_VOLUMES = "Volume types and file systems"
_ACCOUNT = "Bucket, role and permissions"
_IMAGE = "Limitations of ImportImage"
_INSTANCE = "Limitations of ImportInstance"
_EXPORT = "Limitations of exports"

_WINDOWS = ("VMIE-WIN-001", "VMIE-WIN-002", "VMIE-WIN-004")
_LINUX = ("VMIE-OS-003", "VMIE-OS-004")
_NETWORK = ("VMIE-NET-001", "VMIE-NET-002", "VMIE-NET-003")
_SETUP = "not in the file: `vmie setup-role` and `vmie doctor` look at the account"
_QUOTA = "not in the file: a quota of the account; `vmie batch` keeps to it and `vmie limits` prints it"
_EXPORTS = "not about imports: `vmie export` checks it before it asks"
_LAUNCH = "not in the file: it is decided when the instance is launched"
_CONTRACT = "not in the file: terms between you, AWS and Microsoft"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(17, _OS, "Windows Server 2003 with Service Pack 1 or later", (*_WINDOWS, "VMIE-WIN-003")),
    Requirement(19, _OS, "Windows Server 2003 R2", _WINDOWS),
    Requirement(21, _OS, "Windows Server 2008", _WINDOWS),
    Requirement(23, _OS, "Windows Server 2008 R2, 64-bit", _WINDOWS),
    Requirement(25, _OS, "Windows Server 2012, 64-bit", _WINDOWS),
    Requirement(27, _OS, "Windows Server 2012 R2, 64-bit", _WINDOWS),
    Requirement(29, _OS, "Windows 7 Professional, Enterprise, Ultimate", _WINDOWS),
    Requirement(33, _OS, "Windows 7: English", ("VMIE-WIN-005",)),
    Requirement(35, _OS, "Windows 8 Professional, Enterprise", _WINDOWS),
    Requirement(39, _OS, "Windows 8: English", ("VMIE-WIN-005",)),
    Requirement(41, _OS, "Windows 8.1 Professional, Enterprise, 64-bit", _WINDOWS),
    Requirement(45, _OS, "Windows 8.1: English", ("VMIE-WIN-005",)),
    Requirement(47, _OS, "Windows 10 Home, Professional, Enterprise, Education, 64-bit", _WINDOWS),
    Requirement(51, _OS, "Windows 10: English", ("VMIE-WIN-005",)),
    Requirement(53, _OS, "Linux, 64-bit", ("VMIE-OS-007", "VMIE-OS-008")),
    Requirement(57, _OS, "the distribution's default kernel; custom ones may fail", ("VMIE-OS-006", "VMIE-BOOT-007")),
    Requirement(59, _OS, "RHEL 5.1-5.11, 6.1-6.6, 7.0-7.1", _LINUX),
    Requirement(63, _OS, "RHEL 6.0 lacks drivers", ("VMIE-OS-004",)),
    Requirement(65, _OS, "RHEL licences are brought along (Cloud Access)", ("VMIE-LIC-001",)),
    Requirement(69, _OS, "SLES 11 SP1, 2.6.32.12-0.7", (*_LINUX, "VMIE-OS-005")),
    Requirement(71, _OS, "SLES 11 SP2, 3.0.13-0.27", (*_LINUX, "VMIE-OS-005")),
    Requirement(73, _OS, "SLES 11 SP3, 3.0.76-0.11, 3.0.101-0.8, 3.0.101-0.15", (*_LINUX, "VMIE-OS-005")),
    Requirement(75, _OS, "SLES 11 SP4, 3.0.101-63", (*_LINUX, "VMIE-OS-005")),
    Requirement(77, _OS, "SLES 12, 3.12.28-4", (*_LINUX, "VMIE-OS-005")),
    Requirement(79, _OS, "SLES 12 SP1, 3.12.49-11", (*_LINUX, "VMIE-OS-005")),
    Requirement(81, _OS, "Ubuntu 12.04 to 15.04", _LINUX),
    Requirement(83, _OS, "CentOS 5.1-5.11, 6.1-6.6, 7.0-7.1", _LINUX),
    Requirement(87, _OS, "CentOS 6.0 lacks drivers", ("VMIE-OS-004",)),
    Requirement(89, _OS, "Debian 6.0.0-6.0.8, 7.0.0-7.8.0, 8.0.0", _LINUX),
    Requirement(91, _OS, "Oracle Linux 6.1-6.6, 7.0-7.1", _LINUX),
    Requirement(93, _OS, "Fedora Server 19-21", _LINUX),
    Requirement(103, _FORMAT, "raw", ("VMIE-DISK-001", "VMIE-DISK-008", "VMIE-DISK-010")),
    Requirement(105, _FORMAT, "VHD, fixed and dynamic; no VHDX", ("VMIE-DISK-001", "VMIE-DISK-003")),
    Requirement(109, _FORMAT, "exports make dynamic VHDs only", reason=_EXPORTS),
    Requirement(111, _FORMAT, "stream-optimised VMDK", ("VMIE-DISK-002",)),
    Requirement(115, _FORMAT, "VMDKs from VMware's OVF export only", ("VMIE-DISK-002",)),
    Requirement(117, _FORMAT, "OVA, also with several disks", ("VMIE-OVA-001", "VMIE-OVA-003")),
    Requirement(123, _FORMAT, "export as OVA", reason=_EXPORTS),
    Requirement(125, _FORMAT, "export as VHD", reason=_EXPORTS),
    Requirement(127, _FORMAT, "export as stream-optimised VMDK", reason=_EXPORTS),
    Requirement(131, _TYPES, "Windows BYOL runs on dedicated hardware, not on t2", reason=_LAUNCH),
    Requirement(133, _TYPES, "instance types for Linux", reason=_LAUNCH),
    Requirement(149, _VOLUMES, "Windows: NTFS on MBR, no GPT", ("VMIE-PART-001", "VMIE-PART-002", "VMIE-BOOT-001")),
    Requirement(
        153,
        _VOLUMES,
        "Linux: ext2, ext3, ext4, Btrfs, JFS, XFS on MBR, no GPT",
        ("VMIE-PART-001", "VMIE-PART-002", "VMIE-FS-004", "VMIE-FS-005"),
    ),
    Requirement(157, _ACCOUNT, "a bucket in the Region of the import", reason=_SETUP),
    Requirement(161, _ACCOUNT, "the service role vmimport with its policies", reason=_SETUP),
    Requirement(241, _ACCOUNT, "permissions of the IAM user", reason=_SETUP),
    Requirement(305, _IMAGE, "20 tasks at once, each done within 7 days", reason=_QUOTA),
    Requirement(307, _IMAGE, "the AMI is HVM, never PV; PVHVM drivers are fine", reason=_LAUNCH),
    Requirement(309, _IMAGE, "RHEL uses Cloud Access (BYOL)", ("VMIE-LIC-001",)),
    Requirement(311, _IMAGE, "no 32-bit Linux", ("VMIE-OS-008",)),
    Requirement(313, _IMAGE, "the default kernel", ("VMIE-OS-006",)),
    Requirement(315, _IMAGE, "at most 1 TiB uncompressed", ("VMIE-LIM-001",)),
    Requirement(317, _IMAGE, "250 MB free", ("VMIE-FS-001",)),
    Requirement(
        319, _IMAGE, "one network interface, address by DHCP", ("VMIE-NET-001", "VMIE-NET-002", "VMIE-NET-003")
    ),
    Requirement(321, _IMAGE, "no IPv6 addresses", ("VMIE-NET-004",)),
    Requirement(323, _IMAGE, "vSphere 4.0: no CD-ROM or ISO attached", ("VMIE-OVA-002",)),
    Requirement(
        325,
        _IMAGE,
        "no machine that came from a physical one (P2V)",
        reason="not in the file: a converted installation looks like one made in a virtual machine",
    ),
    Requirement(327, _IMAGE, "no SR-IOV drivers are installed, but for Windows Server 2012 R2", ("VMIE-NET-009",)),
    Requirement(329, _IMAGE, "Microsoft BYOL: licences through MSDN or Software Assurance", ("VMIE-LIC-002",)),
    Requirement(331, _IMAGE, "BYOL: price, Dedicated Instances, Regions, activation", reason=_LAUNCH),
    Requirement(333, _IMAGE, "BYOL: reassignment of licences between servers", reason=_CONTRACT),
    Requirement(335, _IMAGE, "BYOL: eligibility under the agreement with Microsoft, EULA", reason=_CONTRACT),
    Requirement(337, _IMAGE, "BYOL: take legal advice", reason=_CONTRACT),
    Requirement(343, _INSTANCE, "5 tasks at once, each done within 7 days", reason=_QUOTA),
    Requirement(345, _INSTANCE, "the instance is HVM, never PV; PVHVM drivers are fine", reason=_LAUNCH),
    Requirement(347, _INSTANCE, "RHEL uses Cloud Access (BYOL)", ("VMIE-LIC-001",)),
    Requirement(349, _INSTANCE, "no 32-bit Linux", ("VMIE-OS-008",)),
    Requirement(351, _INSTANCE, "the default kernel", ("VMIE-OS-006",)),
    Requirement(353, _INSTANCE, "at most 1 TiB uncompressed", ("VMIE-LIM-001",)),
    Requirement(355, _INSTANCE, "one disk; /boot and / on the same one", ("VMIE-LIM-004", "VMIE-PART-007")),
    Requirement(357, _INSTANCE, "the boot volume alone, others as volumes", ("VMIE-LIM-004", "VMIE-LIM-006")),
    Requirement(359, _INSTANCE, "VHDs are dynamic", ("VMIE-DISK-005",)),
    Requirement(361, _INSTANCE, "250 MB free", ("VMIE-FS-001",)),
    Requirement(363, _INSTANCE, "instance store volumes are there and cannot be switched off", reason=_LAUNCH),
    Requirement(365, _INSTANCE, "one network interface, address by DHCP", _NETWORK),
    Requirement(367, _INSTANCE, "no IPv6 addresses", ("VMIE-NET-004",)),
    Requirement(369, _INSTANCE, "vSphere 4.0: no CD-ROM or ISO attached", ("VMIE-OVA-002",)),
    Requirement(371, _INSTANCE, "no SR-IOV drivers on c3 and i2, but for Windows Server 2012 R2", ("VMIE-NET-009",)),
    Requirement(373, _INSTANCE, "no Windows BYOL", ("VMIE-LIC-002",)),
    Requirement(379, _EXPORT, "5 tasks at once", reason=_QUOTA),
    Requirement(381, _EXPORT, "no EBS data volumes", reason=_EXPORTS),
    Requirement(383, _EXPORT, "no more than one disk", reason=_EXPORTS),
    Requirement(385, _EXPORT, "no fixed VHD", reason=_EXPORTS),
    Requirement(387, _EXPORT, "no more than one network interface", reason=_EXPORTS),
    Requirement(389, _EXPORT, "only what was imported before", reason=_EXPORTS),
    Requirement(391, _EXPORT, "nothing shared from another account", reason=_EXPORTS),
)

#: what today's guide adds and a file cannot show either
TODAY: tuple[Requirement, ...] = (
    Requirement(0, _OS, "opt-in and China Regions take fewer Windows releases", reason=_LAUNCH),
    Requirement(
        0,
        _OS,
        "releases past the vendor's end of life are not tested",
        reason="no verdict: AWS tries them; VMIE-OS-010 notes those whose support ends",
    ),
    Requirement(0, _IMAGE, "every account has a secure password", reason="vmie reads no secrets of a guest"),
    Requirement(0, _IMAGE, "the KMS key stays enabled until the end", reason=_SETUP),
)
