"""fstab: what is mounted at boot, by which name, and whether that device is in the image."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from vmie.guest.linux_facts import Mount
from vmie.guest.tree import Tree

_MAX_MOUNTS = 500
_SHARES = (
    "nfs nfs4 cifs smbfs smb3 vboxsf sshfs fuse.sshfs vmhgfs fuse.vmhgfs-fuse prl_fs ceph glusterfs 9p virtiofs afs "
    "ncpfs davfs davfs2 fuse.s3fs s3fs fuse.glusterfs lustre beegfs gfs2 ocfs2"
)
_NETWORK = frozenset(_SHARES.split())
_BY_NAME = re.compile(
    r"/dev/(?:(?:s|h|v|xv|ub)d[a-z]{1,2}\d*|nvme\d+n\d+(?:p\d+)?|mmcblk\d+(?:p\d+)?|cciss/\S+|disk/by-path/\S+"
    r"|disk/by-id/(?!dm-|lvm-|md-)\S+)"
)
_DISK = re.compile(r"/dev/(?:s|h|v|xv)d([a-z]{1,2})(\d*)|/dev/nvme(\d+)n1(?:p(\d+))?")
_TAGS = {"UUID": "uuid", "LABEL": "label", "PARTUUID": "partuuid", "PARTLABEL": "partlabel"}


@dataclass(slots=True)
class Devices:
    """Every name by which the image's own partitions and volumes can be found, lower case, with what it names.

    `names` maps "uuid=…", "label=…" (labels keep their case), "partuuid=…", "partlabel=…" and
    "/dev/vg/lv" to an index of the caller's; `disks` says how many disks there are, `partitions` maps
    (disk, number) to such an index.
    """

    names: dict[str, int] = field(default_factory=dict)
    partitions: dict[tuple[int, int], int] = field(default_factory=dict)
    disks: int = 1
    #: containers that were not opened (md, LUKS): a name that is not found may be inside one
    opaque: bool = False

    def add(self, index: int, names: Iterable[str]) -> None:
        """Let `names` mean `index`; the first one to claim a name keeps it."""
        for name in names:
            self.names.setdefault(name, index)

    def find(self, device: str) -> int | None:
        """The index that fstab's or root='s `device` means, None if it is not in the image."""
        tag, equals, value = device.partition("=")
        if equals and tag.upper() in _TAGS:
            return self.names.get(_key(_TAGS[tag.upper()], value.strip("\"'")))
        for folder, kind in (
            ("uuid", "uuid"),
            ("label", "label"),
            ("partuuid", "partuuid"),
            ("partlabel", "partlabel"),
        ):
            prefix = f"/dev/disk/by-{folder}/"
            if device.startswith(prefix):
                return self.names.get(_key(kind, _unescape_udev(device.removeprefix(prefix))))
        if device in self.names:
            return self.names[device]
        match = _DISK.fullmatch(device)
        if match is None:
            return None
        disk = int(match[3]) if match[3] else _letters(match[1] or "a")
        return self.partitions.get((disk, int(match[2] or match[4] or 0)))


def _key(kind: str, value: str) -> str:
    return f"{kind}={value if kind in ('label', 'partlabel') else value.lower()}"


def _letters(text: str) -> int:
    """a → 0, z → 25, aa → 26."""
    number = 0
    for letter in text:
        number = number * 26 + ord(letter) - ord("a") + 1
    return number - 1


def _unescape_udev(text: str) -> str:
    return re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), text)


def names_of(*, uuid: str = "", label: str = "", partuuid: str = "", partlabel: str = "") -> list[str]:
    """The keys for `Devices.add`."""
    pairs = (("uuid", uuid), ("label", label), ("partuuid", partuuid), ("partlabel", partlabel))
    return [_key(kind, value) for kind, value in pairs if value]


def names_of_volume(group: str, name: str) -> list[str]:
    """The paths of a logical volume; device-mapper doubles dashes inside names."""
    return [f"/dev/{group}/{name}", f"/dev/mapper/{group.replace('-', '--')}-{name.replace('-', '--')}"]


def read(tree: Tree, devices: Devices) -> tuple[tuple[Mount, ...], bool | None]:
    """The lines of /etc/fstab and whether it could be read (None: there is none)."""
    text = tree.text("/etc/fstab")
    if text is None:
        return (), False if tree.there("/etc/fstab") else None
    found: list[Mount] = []
    for raw in text.splitlines():
        line = raw.strip()
        words = line.split()
        if not line or line.startswith("#") or len(words) < 2:
            continue
        if len(found) >= _MAX_MOUNTS:
            tree.problem("/etc/fstab", "was read in part only", f"it has more than {_MAX_MOUNTS} lines")
            break
        words += ["", "", ""]
        found.append(_mount(tree, devices, [_unescape(word) for word in words[:4]]))
    return tuple(found), True


def _mount(tree: Tree, devices: Devices, words: list[str]) -> Mount:
    device, mountpoint, fstype, options = words
    network = fstype in _NETWORK or device.startswith("//") or bool(re.match(r"[\w.\[\]:-]+:/", device))
    return Mount(
        device=device,
        mountpoint=mountpoint,
        fstype=fstype,
        options=tuple(option for option in options.split(",") if option),
        by_name=bool(_BY_NAME.fullmatch(device)),
        target=None if network else _target(tree, devices, device),
        network=network,
    )


def _target(tree: Tree, devices: Devices, device: str) -> bool | None:
    if "=" not in device and not device.startswith("/"):
        return None  # proc, tmpfs, none
    if not device.startswith("/dev/") and device.startswith("/"):
        return tree.exists(device)  # a swap file, a loop image
    if devices.find(device) is not None:
        return True
    if devices.opaque or re.match(r"/dev/(?:disk/by-(?:id|path)/|md|root$|dm-|mapper/)", device):
        return None
    return False


def _unescape(word: str) -> str:
    """``\\040`` is a space (fstab(5))."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8) & 0xFF), word)


def root_device(cmdline: str) -> str:
    """The last root= of a kernel command line."""
    return next((word[5:].strip('"') for word in reversed(cmdline.split()) if word.startswith("root=")), "")
