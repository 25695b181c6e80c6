"""Services of another hypervisor's tools are masked.

A mask is a link, which is not made in place: the kernel's option systemd.mask= is the same until it is taken away
(https://www.freedesktop.org/software/systemd/man/latest/systemd-debug-generator.html). The tools stay installed.
"""

from __future__ import annotations

from collections.abc import Iterator

from vmie.guest.linux import services
from vmie.guest.linux_facts import LinuxFacts
from vmie.repair import kernel_options
from vmie.repair.files import GuestFiles
from vmie.repair.kernel_options import OptionScope
from vmie.repair.model import Edit, Left, Mend

_RULE = "VMIE-LNX-009"
#: what enables them, and how the packages are called
_SERVICES = {
    "open-vm-tools": ("open-vm-tools", "vmtoolsd", "vgauthd", "vmware-tools"),
    "virtualbox-guest-utils": ("vboxadd", "vboxadd-service", "virtualbox-guest-utils", "vboxservice"),
    "hyperv-daemons": (
        *("hypervkvpd", "hypervvssd", "hypervfcopyd"),
        *("hv-kvp-daemon", "hv-vss-daemon", "hv-fcopy-daemon", "hv_kvp_daemon", "hv_vss_daemon", "hv_fcopy_daemon"),
    ),
}


def _apply(files: GuestFiles) -> Iterator[Edit | Left]:
    if not isinstance(files.facts, LinuxFacts):
        return
    started: list[str] = []
    for package, names in _SERVICES.items():
        found = [name for name in names if services.enabled(files.tree, name)]
        started += found
        if found:
            why = f"{package} stays installed: a package is not taken out of an image"
            yield Left(_RULE, why, f"apt-get purge {package} || dnf remove {package}")
    if not started:
        return
    if not files.tree.first(*services.SYSTEMD):
        yield Left(
            _RULE, f"{', '.join(started)}: only systemd masks by the kernel's options", f"chkconfig {started[0]} off"
        )
        return
    wanted = [f"systemd.mask={name}.service" for name in started]

    def masked(words: list[str], scope: OptionScope) -> list[str]:
        return words + [word for word in wanted if scope is OptionScope.WHOLE and word not in words]

    yield from kernel_options.changed(
        files, masked, f"services of another hypervisor do not start: {', '.join(started)}"
    )


HYPERVISOR_SERVICES = Mend("hypervisor-services", (), _apply, "systemctl mask vmtoolsd vboxadd-service hypervkvpd")
