"""Installed kernels: images and initramfs files in /boot, modules in /lib/modules, paired by version."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from vmie.guest.filesystem import FileKind
from vmie.guest.linux_facts import Kernel
from vmie.guest.tree import Tree

_MAX_KERNELS = 200
_IMAGE = re.compile(r"(?:vmlinuz|vmlinux|bzImage|kernel)-(?P<version>.+)")
_NOT_IMAGES = re.compile(r".*\.(?:old|bak|hmac|sig|gz|asc|rpmsave|dpkg-.*)")
_INITRAMFS = (
    "initrd.img-{}",
    "initramfs-{}.img",
    "initrd-{}",
    "initrd-{}.img",
    "initramfs-{}",
    "initramfs-genkernel-x86_64-{}",
    "initrd.gz-{}",
)


@dataclass(frozen=True, slots=True)
class Images:
    """What a boot entry loads: paths inside the tree, "" where there is none."""

    kernel: str = ""
    initramfs: str = ""


def kernels(tree: Tree) -> tuple[Kernel, ...]:
    """All installed kernels, newest first; rescue images last."""
    names = tree.listdir("/boot")
    present = set(names)
    found: dict[str, Kernel] = {}
    candidates = [name for name in names if _IMAGE.fullmatch(name) and not _NOT_IMAGES.fullmatch(name)]
    # the newest: a folder with thousands of them is nobody's, and each look-up goes through all of it
    candidates = sorted(candidates, key=sort_key, reverse=True)[:_MAX_KERNELS]
    for name in candidates:
        path = f"/boot/{name}"
        place = tree.file(path)
        if place is None or place.path != path:
            continue  # a link (SUSE's vmlinuz, Debian's vmlinuz.old) names a kernel that is listed itself
        version = version_of(tree, path)
        pair = _initramfs(present, name.partition("-")[2])
        found.setdefault(version, Kernel(version, path, pair, modules=_modules(tree, version)))
    for version in tree.listdir("/lib/modules")[:_MAX_KERNELS]:
        path = f"/lib/modules/{version}/vmlinuz"
        if version not in found and tree.file(path):
            found[version] = Kernel(version, path, _initramfs(present, version), modules=_modules(tree, version))
    ordered = sorted(found.values(), key=lambda kernel: sort_key(kernel.version), reverse=True)
    return tuple(ordered)


def of_images(tree: Tree, known: tuple[Kernel, ...], images: Images) -> tuple[tuple[Kernel, ...], str]:
    """Mark the kernel that `images` name as the default, adding it where it lies elsewhere (on the ESP)."""
    place = tree.file(images.kernel)
    if place is None:
        return known, ""
    initramfs = tree.file(images.initramfs) if images.initramfs else None
    version = next((kernel.version for kernel in known if _same(tree, kernel.image, place.path)), "")
    if not version:
        version = version_of(tree, place.path)
        known = (*known, Kernel(version, place.path, modules=_modules(tree, version)))
    marked = tuple(
        replace(kernel, default=True, initramfs=initramfs.path if initramfs else kernel.initramfs)
        if kernel.version == version
        else kernel
        for kernel in known
    )
    return marked, version


def _same(tree: Tree, image: str, path: str) -> bool:
    place = tree.file(image)
    return place is not None and place.path == path


def version_of(tree: Tree, path: str) -> str:
    """The version in a kernel's file name; where that holds none ("vmlinuz-linux"), the one in the image itself."""
    match = _IMAGE.fullmatch(path.rpartition("/")[2])
    version = match["version"] if match else ""
    if version[:1].isdigit():
        return version
    return version_inside(tree, path) or version or path.rpartition("/")[2]


def version_inside(tree: Tree, path: str) -> str:
    """The version that an x86 image points to: https://docs.kernel.org/arch/x86/boot.html (kernel_version)."""
    head = tree.read(path, limit=0x210) or b""
    if head[0x202:0x206] != b"HdrS":
        return ""
    at = int.from_bytes(head[0x20E:0x210], "little")
    text = tree.read(path, limit=128, offset=at + 0x200) if at else b""
    return (text or b"").split(b"\0")[0].split(b" ")[0].decode("ascii", "replace")


def _initramfs(present: set[str], version: str) -> str:
    name = next((form.format(version) for form in _INITRAMFS if form.format(version) in present), "")
    return f"/boot/{name}" if name else ""


def _modules(tree: Tree, version: str) -> bool:
    place = tree.resolve(f"/lib/modules/{version}") if version and "/" not in version else None
    return place is not None and place.entry.kind is FileKind.DIRECTORY


def sort_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Order of versions as rpm and GRUB's blscfg compare them: runs of digits as numbers, above letters.

    A name that begins with a letter or with 0 ("0-rescue-…") comes before every version.
    """
    runs = re.findall(r"\d+|[a-zA-Z]+|~", version)[:64]
    return tuple((2, int(run), "") if run[0].isdigit() else (0 if run == "~" else 1, 0, run) for run in runs)
