"""The service's own words, as its tasks end with them (aws-facts 5.2): what a rule `predicts`."""

from __future__ import annotations

VMDK_FORMAT = "ClientError: Disk validation failed [Unsupported VMDK File Format]"
FILE_FORMAT = "ClientError: Disk validation failed [Unsupported specified file format]"
CHUNKED = "ClientError: Disk validation failed [OVF file parsing error: OVA with chunked disk files is not supported]"
DISK_INVALID = "ClientError: Disk validation failed"
FOOTERS = "ClientError: Footers not identical"
UNKNOWN_OS = "ClientError: Unknown OS / Missing OS files."
NO_PARTITIONS = "ClientError: No valid partitions. Not a valid volume."
KERNEL_VERSION = "ClientError: Unsupported kernel version {version}"
NO_KERNEL_VERSION = "ClientError: Unable to determine kernel version."
EFI = "ClientError: EFI partition detected. UEFI booting is not supported in EC2."
GRUB_FILES = "ClientError: Multiple different grub/menu.lst files found."
BLS_DEFAULT = "ClientError: BLSC-style GRUB found, but unable to detect default kernel"
INITRAMFS = (
    "ClientError: We were unable to read your import's initramfs/initrd to determine what drivers "
    "your import requires to run in EC2"
)
FSTAB = "ClientError: Invalid configuration - Could not read fstab"
DIRECTORIES = "ClientError: Unsupported configuration - Multiple directories found"
LVM = "ClientError: Unsupported configuration - Logical volume group activation failed"
DOTNET = (
    "ClientError: Booter Networking failure/instance not reachable. "
    "Please retry after installation of .Net framework 3.5 SP1 or greater."
)
FIRST_BOOT = (
    "FirstBootFailure: This import request failed because the Windows instance failed to boot "
    "and establish network connectivity."
)
COMPRESSION = "ERROR: File uses unsupported compression algorithm 0"
