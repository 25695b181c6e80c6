"""What a Linux root file system says about the system on it. Frozen; None always means "could not be determined"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vmie.guest.disk_facts import Problem
from vmie.guest.network_facts import Network


class Bootloader(StrEnum):
    """What chooses the Linux kernel; `BLS` is GRUB2 reading Boot Loader Specification entries."""

    GRUB_LEGACY = "grub-legacy"
    GRUB2 = "grub2"
    BLS = "bls"
    SYSTEMD_BOOT = "systemd-boot"
    LILO = "lilo"
    EXTLINUX = "extlinux"
    NONE = "none"
    UNKNOWN = "unknown"


class DriverState(StrEnum):
    """Where the default kernel would find a driver.

    `BUILTIN` in the kernel, `INITRAMFS` there before the root is mounted, `MODULE` only on the root
    file system (too late for a disk driver), `ABSENT` nowhere.
    """

    BUILTIN = "builtin"
    INITRAMFS = "initramfs"
    MODULE = "module"
    ABSENT = "absent"
    UNKNOWN = "unknown"


#: keys of `LinuxFacts.drivers`: what EC2's disks and network need (Nitro: nvme, ena; Xen: the front ends)
DRIVERS = ("nvme", "ena", "xen-blkfront", "xen-netfront")


@dataclass(frozen=True, slots=True)
class Kernel:
    """An installed kernel: `version` as in its file name ("6.1.0-18-amd64"), `image` its path."""

    version: str
    image: str = ""
    initramfs: str = ""
    default: bool = False
    modules: bool = False

    @property
    def has_initramfs(self) -> bool:
        """True when an initramfs file for it was found."""
        return bool(self.initramfs)


@dataclass(frozen=True, slots=True)
class Initramfs:
    """The default kernel's initramfs: `readable` None when there is none or it was not opened.

    `gave_up` when it was not read to its end for its size or its kind, not for damage: others may be able to.
    """

    path: str = ""
    readable: bool | None = None
    compression: str = ""
    early_microcode: bool = False
    reason: str = ""
    gave_up: bool = False


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of fstab, or one unit of systemd that mounts: `path` says where it stands.

    `by_name` is True for a device named after hardware (/dev/sda1, by-path, by-id): EC2's is called
    otherwise. `target`: whether the device is in the image, None where that cannot be determined or
    does not apply (tmpfs). `network` is True for shares: nfs, cifs, vboxsf, vmhgfs, sshfs …
    """

    device: str
    mountpoint: str
    fstype: str = ""
    options: tuple[str, ...] = ()
    by_name: bool = False
    target: bool | None = None
    network: bool = False
    path: str = "/etc/fstab"

    @property
    def nofail(self) -> bool:
        """True when boot goes on without it.

        systemd.mount(5): what is mounted on first use or wanted by another unit is not required by local-fs.target;
        nobootwait is the word of Ubuntu's mountall.
        """
        lenient = {"nofail", "noauto", "nobootwait", "x-systemd.automount", "comment=systemd.automount"}
        return any(option in lenient or option.startswith("x-systemd.wanted-by=") for option in self.options)

    @property
    def doubtful(self) -> bool:
        """True when boot needs the device, and nothing shows whether it is in the image."""
        block = self.device.startswith("/dev/") or "=" in self.device
        return self.target is None and block and not (self.nofail or self.network or self.by_name)


class Effect(StrEnum):
    """What becomes of a boot without a device that it names.

    `STOPS` it ends at a prompt or in an emergency shell; `WAITS` it goes on after a while; `LATER` the device is
    asked for by kernels that are installed later.
    """

    STOPS = "stops"
    WAITS = "waits"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class BootDevice:
    """A device that the boot names and that is not in the image (`present` False), or may not be (None).

    `option` as written ("root=UUID=…", "search --fs-uuid …"), `where` the file, `entry` the title of the boot entry,
    `default` whether that is the one that boots by itself. `uefi`: it counts for a boot by UEFI only.
    """

    option: str
    where: str
    effect: Effect = Effect.STOPS
    present: bool | None = False
    entry: str = ""
    default: bool = True
    uefi: bool = False


@dataclass(frozen=True, slots=True)
class Sshd:
    """The SSH server; `enabled` None when it cannot be determined. `port` is the first of sshd_config.

    `password_login` None and `root_login` "" where the configuration does not say; `key_files` are its patterns.
    The lists are those of AllowUsers, DenyUsers, AllowGroups and DenyGroups outside of Match blocks.
    """

    installed: bool = False
    enabled: bool | None = None
    port: int = 22
    password_login: bool | None = None
    root_login: str = ""
    key_login: bool = True
    key_files: tuple[str, ...] = (".ssh/authorized_keys", ".ssh/authorized_keys2")
    allow_users: tuple[str, ...] = ()
    deny_users: tuple[str, ...] = ()
    allow_groups: tuple[str, ...] = ()
    deny_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CloudInit:
    """cloud-init: `disabled` says by what, "" when it runs; `datasources` None is the list built in.

    `ec2`: whether it asks EC2's metadata, and so brings keys in; where not, `why` is the file or the reason.
    `network`: whether it writes the configuration of the network. `user` is the account that it makes, "" when its
    configuration names none.
    """

    installed: bool = False
    disabled: str = ""
    datasources: tuple[str, ...] | None = None
    ec2: bool = False
    why: str = ""
    network: bool = False
    user: str = ""


@dataclass(frozen=True, slots=True)
class Firewall:
    """The firewall that starts at boot: kind firewalld, ufw, nftables, iptables, susefirewall2 or none."""

    kind: str = "none"
    active: bool | None = False
    ssh_allowed: bool | None = True
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Users:
    """Accounts that a person could log in with: counts only, no names of secrets, no hashes.

    `with_ssh_password` are those whose password SSH takes; `others` what lets people in without such an account:
    agents and directories. `shut_out` have a password or a key, and sshd's lists (AllowUsers …) keep them out;
    `cloud_shut_out` is the user that cloud-init makes, when they keep that out too.
    """

    root_password: bool | None = None
    with_password: int = 0
    with_ssh_password: int = 0
    with_keys: int = 0
    non_root: int = 0
    others: tuple[str, ...] = ()
    shut_out: int = 0
    cloud_shut_out: str = ""


@dataclass(frozen=True, slots=True)
class LinuxFacts:
    """One Linux root file system. `volume` says where it lies ("disk 0 partition 1", "vg0/root").

    `version` is the point release where a file names it ("7.9", "12.4", "15.5" for SLES 15 SP5).
    `architecture` is x86_64, i386, arm64, ppc64le, s390x, riscv64, … or "unknown". `grub_configs` are
    all the grub.cfg, grub.conf and menu.lst found, links resolved, without those that only load another;
    `grub_configs_differ` when their contents do, `grub_kernels` the kernel's file that each boots by default.
    `default_kernel` is a version, "" when no boot loader names one; `default_kernel_source` the file that did.
    `root_device` is the root= of the default command line. `free` maps mount points that hold
    files of the system to free bytes (None: cannot be determined); `free_bytes` is that of /. `dirty` is None where
    the file system does not say.
    """

    volume: str = ""
    disk: int = 0
    distribution: str = "unknown"
    version: str = ""
    pretty_name: str = ""
    architecture: str = "unknown"
    kernels: tuple[Kernel, ...] = ()
    default_kernel: str = ""
    default_kernel_source: str = ""
    bootloader: Bootloader = Bootloader.UNKNOWN
    bls: bool = False
    bls_entries: int = 0
    grubenv: bool = False
    grubenv_saved_entry: str = ""
    #: whether saved_entry names one of the Boot Loader Specification entries; None where that does not apply
    bls_default_found: bool | None = None
    grub_configs: tuple[str, ...] = ()
    grub_configs_differ: bool = False
    grub_kernels: Mapping[str, str] = field(default_factory=dict)
    grub_platforms: tuple[str, ...] = ()
    cmdline: str = ""
    root_device: str = ""
    #: root_device is a name of the old machine's hardware
    root_by_name: bool = False
    #: physical volumes that LVM's devices file knows by their old hardware: LVM uses no others
    lvm_bound: tuple[str, ...] = ()
    #: devices that the boot names and that are not in the image, or may not be
    boot_devices: tuple[BootDevice, ...] = ()
    drivers: Mapping[str, DriverState] = field(default_factory=dict)
    initramfs: Initramfs = Initramfs()
    fstab: tuple[Mount, ...] = ()
    fstab_read: bool | None = None
    network: Network = field(default_factory=Network)
    sshd: Sshd = Sshd()
    firewall: Firewall = Firewall()
    cloud_init: CloudInit | None = None
    vmware_tools: bool | None = None
    virtualbox_additions: bool | None = None
    filesystem: str = "unknown"
    filesystem_size: int | None = None
    free_bytes: int | None = None
    free: Mapping[str, int | None] = field(default_factory=dict)
    dirty: bool | None = None
    selinux: str = ""
    users: Users = Users()
    problems: tuple[Problem, ...] = ()
