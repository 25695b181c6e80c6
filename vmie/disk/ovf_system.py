"""A VirtualSystem of an OVF descriptor: which one is meant, what it runs, its firmware, properties and boot order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vmie.disk.appliance_model import OsSection
from vmie.disk.ovf_xml import attribute, clean, is_section, local, named, number
from vmie.errors import Do, ImageError, Set, says

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

#: the code of an appliance that holds several machines, of which none was chosen
SEVERAL_MACHINES = "SeveralMachines"
#: machines that an error names
_SHOWN = 20
_DISK_ON_BUS = re.compile(r"(ide|sata|scsi|nvme)(\d{1,3}):(\d{1,3})")


def systems_of(root: Element) -> list[Element]:
    """Every machine of a descriptor, in its order, those of nested collections too."""
    return [element for element in root.iter() if is_section(element, "VirtualSystem", "Content")]


def name_of(system: Element) -> str:
    """The machine's name, else its id."""
    stated = next((clean(child.text) for child in system if local(child.tag) == "Name"), "")
    return stated or attribute(system, "id") or next((clean(e.text) for e in named(system, "Name")), "")


def key_of(system: Element) -> str:
    """The machine's id, by which it can be chosen; its name where it has none."""
    return attribute(system, "id") or name_of(system)


def chosen(systems: Sequence[Element], machine: str, *, source: str) -> Element | None:
    """The system that `machine` names by its id or Name, "" for the only one; None when there is none at all.

    Raises ImageError when several fit (code `SEVERAL_MACHINES`) or none does.
    """
    if not machine:
        if len(systems) > 1:
            raise _several(systems, source)
        return systems[0] if systems else None
    fitting = [system for system in systems if attribute(system, "id") == machine]
    fitting = fitting or [system for system in systems if name_of(system) == machine]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ImageError(
            f"{source} holds {len(fitting)} machines of the name {machine!r}",
            cause=_listed(fitting),
            cure=Set("machine", key_of(fitting[0]), "or another one's id"),
            code=SEVERAL_MACHINES,
            fields=("machine",),
        )
    raise ImageError(
        f"{source} holds no machine {machine[:80]!r}",
        cause=_listed(systems) if systems else "its descriptor names none",
        cure=Set("machine", key_of(systems[0]), "or another one") if len(systems) > 1 else Do(_LEAVE_OUT),
        code="NoSuchMachine",
        fields=("machine",),
    )


_LEAVE_OUT = says("leave {machine} out")


def _several(systems: Sequence[Element], source: str) -> ImageError:
    return ImageError(
        f"{source} holds {len(systems)} machines: {_listed(systems)}",
        cause="one machine is made of one machine's disks, so that it has to be said which one is meant",
        cure=Set("machine", key_of(systems[0]), "takes that one with its own disks; one command, or plan item, each"),
        code=SEVERAL_MACHINES,
        fields=("machine",),
    )


def _listed(systems: Sequence[Element]) -> str:
    names = [f"{key_of(one)} ({name_of(one)})" if name_of(one) != key_of(one) else key_of(one) for one in systems]
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *more])


def configuration_of(root: Element) -> str:
    """The deployment option in force: the default one, else the first, "" where there is none."""
    options = list(named(root, "Configuration"))
    default = next((option for option in options if attribute(option, "default") in ("true", "1")), None)
    return attribute(default if default is not None else (options[0] if options else None), "id")


def properties_of(root: Element, system: Element, configuration: str) -> dict[str, str]:
    """The values of properties by key, and by ``class.key.instance``: the machine's own before those of others."""
    found: dict[str, str] = {}
    for owner in (system, root):
        for section in owner.iter():
            if not is_section(section, "ProductSection"):
                continue
            parts = attribute(section, "class"), attribute(section, "instance")
            for element in named(section, "Property"):
                key, value = attribute(element, "key"), _value(element, configuration)
                if value:
                    whole = ".".join(filter(None, (parts[0], key, parts[1])))
                    for name in (key, whole):
                        found.setdefault(name, value)
    return found


def _value(element: Element, configuration: str) -> str:
    for value in named(element, "Value"):
        if configuration and attribute(value, "configuration") == configuration:
            return attribute(value, "value")
    return attribute(element, "value") or attribute(element, "defaultValue")


def boot_order(system: Element) -> list[str]:
    """The devices in the order in which VMware's sections boot them: instances, or places such as ``scsi0:1``."""
    order = [attribute(element, "instanceId") for element in named(system, "BootOrderSection")]
    for key, value in _settings(system):
        if key == "bios.hddorder":
            order += [match[0] for match in _DISK_ON_BUS.finditer(value)]
    return order


def os_section(system: Element) -> OsSection | None:
    """What the machine is said to run, None where nothing says so."""
    for element in system.iter():
        if is_section(element, "OperatingSystemSection"):
            return OsSection(
                id=number(attribute(element, "id")),
                version=attribute(element, "version"),
                os_type=attribute(element, "osType"),
                description=next((clean(child.text) for child in named(element, "Description", "OSType")), ""),
            )
    return None


def _settings(system: Element) -> Iterator[tuple[str, str]]:
    """VMware's vmw:Config and vmw:ExtraConfig, keys and values in lower case."""
    for element in named(system, "Config", "ExtraConfig"):
        yield attribute(element, "key").lower(), attribute(element, "value").lower()


def firmware(system: Element) -> str:
    """Bios, efi or unknown."""
    for key, value in _settings(system):
        if key == "firmware" and value in ("bios", "efi"):
            return value
    for element in named(system, "BiosType"):  # oVirt: 1, 2 SeaBIOS; 3, 4 OVMF
        return {"1": "bios", "2": "bios", "3": "efi", "4": "efi"}.get(clean(element.text), "unknown")
    for element in named(system, "Firmware"):  # VirtualBox: EFI, EFI32, EFI64, EFIDUAL, BIOS
        kind = attribute(element, "type").lower()
        if kind:
            return "efi" if kind.startswith("efi") else "bios"
    # a machine in VirtualBox's own words that names no firmware has a BIOS
    return "bios" if next(named(system, "Machine"), None) is not None else "unknown"


def secure_boot(system: Element) -> bool:
    """Whether Secure Boot is on."""
    keys = ("bootoptions.efisecurebootenabled", "uefi.secureboot.enabled")
    if any(key in keys and value == "true" for key, value in _settings(system)):
        return True
    if any(attribute(element, "enabled") == "true" for element in named(system, "SecureBoot")):
        return True
    return any(clean(element.text) == "4" for element in named(system, "BiosType"))
