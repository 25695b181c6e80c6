"""What a Windows volume says about the system on it. Frozen; `None` always means "could not be determined"."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class InterfaceFacts:
    """One TCP/IP interface of the control set: `dhcp` as configured, static addresses where there are any."""

    id: str
    dhcp: bool | None = None
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WindowsFacts:
    """One Windows installation, read from its registry hives and file names; never a secret of it.

    `product` is the registry's own name ("Windows Server 2019 Datacenter"), `release` the short one of
    AWS's list ("2019", "2012 R2", "10"), "" when the version is not known to us. `edition` is EditionID.
    `kind` is ProductType: workstation, server or domain-controller, "" when unknown. `languages` are
    installed UI languages, default first ("en-US").
    """

    volume: str = ""
    disk: int = 0
    root: str = "Windows"
    filesystem: str = "ntfs"
    filesystem_size: int | None = None
    free_bytes: int | None = None
    product: str = ""
    release: str = ""
    edition: str = ""
    version: str = ""
    build: int | None = None
    service_pack: int | None = None
    kind: str = ""
    architecture: str = ""
    languages: tuple[str, ...] = ()
    nano: bool = False

    rdp_enabled: bool | None = None
    rdp_firewall_open: bool | None = None
    interfaces: tuple[InterfaceFacts, ...] = ()
    dhcp_service: bool | None = None

    time_zone: str = ""
    universal_time: bool | None = None
    sysprep_state: str = ""
    setup_in_progress: bool | None = None
    pending_reboot: tuple[str, ...] = ()
    dotnet: tuple[str, ...] = ()

    hyperv_role: bool | None = None
    page_files: tuple[str, ...] = ()
    page_file_managed: bool | None = None
    hibernated: bool | None = None
    fast_startup: bool | None = None
    dirty_volume: bool | None = None
    autologon: bool | None = None
    ems: bool | None = None

    domain: str = ""
    ad_database: str = ""
    #: drivers that start without being asked for (boot, system, automatic): service names as registered, lower case
    drivers: frozenset[str] = frozenset()
    #: disk drivers that the boot loader loads (Start 0, no StartOverride), and those that it does not, with the reason
    boot_drivers: frozenset[str] = frozenset()
    late_drivers: tuple[str, ...] = ()
    #: filter drivers of disks and volumes that are not there
    missing_filters: tuple[str, ...] = ()
    vmware_tools: bool = False
    security_products: tuple[str, ...] = ()
    utf16_language_packs: tuple[str, ...] = ()
    #: policies against the installation of the devices that EC2 has
    driver_restrictions: tuple[str, ...] = ()

    dirty_hives: tuple[str, ...] = ()
    #: why something above is None or "": one sentence each
    unknown: tuple[str, ...] = field(default=())

    @property
    def has_nvme(self) -> bool:
        """True when an NVMe driver (Windows' own stornvme counts) and the PCI bus that it needs are there at boot."""
        bus = not any(driver.startswith("pci ") for driver in self.late_drivers)
        return bus and bool(self.boot_drivers & {"stornvme", "awsnvme", "nvme", "nvmedrv"})

    @property
    def has_ena(self) -> bool:
        """True when Amazon's Elastic Network Adapter driver is installed."""
        return "ena" in self.drivers

    @property
    def has_xen(self) -> bool:
        """True when Citrix or AWS PV disk drivers are there at boot."""
        return bool(self.boot_drivers & {"xenvbd", "xenbus", "rhelscsi"})

    @property
    def static_addresses(self) -> tuple[str, ...]:
        """Addresses that some interface is given without DHCP."""
        return tuple(address for nic in self.interfaces if nic.dhcp is False for address in nic.addresses)
