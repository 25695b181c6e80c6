"""Where the default kernel would find EC2's drivers: in itself, in its initramfs, or only among its modules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from vmie.guest.budget import OverBudget
from vmie.guest.filesystem import FileSystemError
from vmie.guest.linux.initramfs import names
from vmie.guest.linux.unpack import GaveUpError, UnpackError
from vmie.guest.linux_facts import DRIVERS, DriverState, Initramfs, Kernel
from vmie.guest.tree import Tree

#: what each driver's module has been called; xen-vbd and xen-vnif are RHEL 5's and SLES 11's
_MODULES: dict[str, tuple[str, ...]] = {
    "nvme": ("nvme",),
    "ena": ("ena",),
    "xen-blkfront": ("xen-blkfront", "xen-vbd", "xenblk"),
    "xen-netfront": ("xen-netfront", "xen-vnif", "xennet"),
}
_CONFIG = {
    "nvme": "CONFIG_BLK_DEV_NVME",
    "ena": "CONFIG_ENA_ETHERNET",
    "xen-blkfront": "CONFIG_XEN_BLKDEV_FRONTEND",
    "xen-netfront": "CONFIG_XEN_NETDEV_FRONTEND",
}
_BY_MODULE = {module.replace("-", "_"): driver for driver, modules in _MODULES.items() for module in modules}
_FILE = re.compile(r"(?:.*/)?([\w-]+)\.ko(?:\.(?:gz|xz|zst|bz2|lzma))?")
_IN_LIST = re.compile(
    r"(?:^|[/\s])(" + "|".join(sorted(re.escape(m) for ms in _MODULES.values() for m in ms)) + r")\.ko\b", re.MULTILINE
)
_MAX_LIST = 8 << 20
#: without modules.dep: where the kernels' own build puts the modules
_PATHS = {
    "nvme": ("kernel/drivers/nvme/host/nvme", "kernel/drivers/block/nvme"),
    "ena": ("kernel/drivers/net/ethernet/amazon/ena/ena",),
    "xen-blkfront": ("kernel/drivers/block/xen-blkfront",),
    "xen-netfront": ("kernel/drivers/net/xen-netfront",),
}
_ENDINGS = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")


def drivers(tree: Tree, kernel: Kernel | None) -> tuple[Mapping[str, DriverState], Initramfs]:
    """The state of each of `facts.DRIVERS` for `kernel`, and what its initramfs looks like. Raises OverBudget."""
    if kernel is None:
        return dict.fromkeys(DRIVERS, DriverState.UNKNOWN), Initramfs()
    builtin, configured = _built_in(tree, kernel.version)
    early, initramfs = _in_initramfs(tree, kernel, set(DRIVERS) - builtin)
    modules = _on_root(tree, kernel.version)
    found = {}
    for driver in DRIVERS:
        if driver in builtin:
            found[driver] = DriverState.BUILTIN
        elif driver in early:
            found[driver] = DriverState.INITRAMFS
        elif initramfs.readable is False:
            found[driver] = DriverState.UNKNOWN
        elif driver in modules:
            found[driver] = DriverState.MODULE
        else:
            # no list of modules and no configuration: nothing says that it is not built in
            found[driver] = DriverState.ABSENT if kernel.modules or configured else DriverState.UNKNOWN
    return found, initramfs


def _built_in(tree: Tree, version: str) -> tuple[set[str], bool]:
    """Drivers that are part of the kernel, from modules.builtin and the kernel's configuration."""
    found = _listed(tree.text(f"/lib/modules/{version}/modules.builtin", limit=_MAX_LIST))
    config = None
    for path in (f"/boot/config-{version}", f"/lib/modules/{version}/config", f"/usr/lib/modules/{version}/config"):
        config = config or tree.text(path)
    for driver, option in _CONFIG.items():
        if config and f"\n{option}=y" in config:
            found.add(driver)
    return found, bool(config)


def _listed(text: str | None) -> set[str]:
    return {_BY_MODULE[name.replace("-", "_")] for name in _IN_LIST.findall((text or "").replace("_", "-"))}


def _on_root(tree: Tree, version: str) -> set[str]:
    base = f"/lib/modules/{version}"
    text = tree.text(f"{base}/modules.dep", limit=_MAX_LIST)
    if text:
        return _listed(text)
    return {
        driver
        for driver, paths in _PATHS.items()
        if tree.first(*(f"{base}/{path}{ending}" for path in paths for ending in _ENDINGS))
    }


@dataclass
class _Search:
    """Listens to the names of an initramfs until all wanted modules were heard.

    dracut and initramfs-tools sort their archives: once the folder of modules is over there are no more.
    """

    wanted: set[str]
    found: set[str] = field(default_factory=set)
    _last: str = ""
    _sorted: bool = True
    _folder: str = ""

    def __call__(self, name: str) -> bool:
        self._sorted = self._sorted and self._last <= name
        self._last = name
        if self._folder and self._sorted and not name.startswith(self._folder):
            return True
        match = _FILE.fullmatch(name)
        if match is None:
            return False
        head, folder, _ = name.partition("lib/modules/")
        self._folder = self._folder or (head + folder if folder else "")
        driver = _BY_MODULE.get(match[1].replace("-", "_"))
        if driver:
            self.found.add(driver)
        return self.wanted <= self.found


def _in_initramfs(tree: Tree, kernel: Kernel, wanted: set[str]) -> tuple[set[str], Initramfs]:
    place = tree.file(kernel.initramfs) if kernel.initramfs else None
    if place is None:
        return set(), Initramfs()
    search = _Search(wanted)
    try:
        listing = names(place, budget=tree.budget, seen=search)
    except (UnpackError, FileSystemError, OverBudget) as error:
        tree.problem(place.path, "the initramfs cannot be read", str(error))
        gave_up = isinstance(error, (GaveUpError, OverBudget))
        return search.found, Initramfs(place.path, readable=False, reason=str(error), gave_up=gave_up)
    return search.found, Initramfs(
        place.path,
        readable=True,
        compression=listing.compression,
        early_microcode=listing.early_microcode,
    )
