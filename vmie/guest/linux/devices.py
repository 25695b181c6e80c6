"""By which names a Linux finds its disks, and whether what a name means is in the image: the one resolver.

    fstab · root= · rd.lvm.lv= · crypttab · GRUB's search ──► Devices.present(name) ──► True | False | None

None is an honest "cannot be determined": something could not be read, and the name may be inside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

_BY_NAME = re.compile(
    r"/dev/(?:(?:s|h|v|xv|ub)d[a-z]{1,2}\d*|nvme\d+n\d+(?:p\d+)?|mmcblk\d+(?:p\d+)?|cciss/\S+|disk/by-path/\S+"
    r"|disk/by-id/(?!dm-|lvm-|md-)\S+|mapper/mpath[a-z]+(?:-part|p)?\d*|mapper/[0-9a-f]{17,33}(?:-part|p)?\d*)"
)
_DISK = re.compile(r"/dev/(?:s|h|v|xv)d([a-z]{1,2})(\d*)|/dev/nvme(\d+)n1(?:p(\d+))?")
_TAGS = {"UUID": "uuid", "LABEL": "label", "PARTUUID": "partuuid", "PARTLABEL": "partlabel"}
#: how a device is named by a tag of its contents or of its partition
TAGS = tuple(f"{tag}=" for tag in _TAGS)
#: names that are made from hardware, by rules of their own or at the moment of boot: none of them is in a table
_UNLISTED = re.compile(
    r"/dev/(?:disk/by-(?:id/(?!dm-name-|dm-uuid-LVM-|md-|lvm-pv-uuid-)|path/|diskseq/|loop-\w+/)|root$|gpt-auto-root|nfs$|ram\d|mmcblk|cciss/|ubd"
    r"|zvol/|stratis/|drbd|bcache|nbd|vx/|mapper/(?:mpath|[0-9a-f]{17,33}|isw_|ddf1_|nvidia_|pdc_|sil_|via_|jmicron_|asr_|hpt))"
)
#: md's own names: the number is chosen when the array is assembled
_ARRAY = re.compile(r"/dev/(?:md[\d_]\w*|md/.+|disk/by-id/md-(?:name|uuid)-.+)")
#: block devices by their major numbers: https://docs.kernel.org/admin-guide/devices.html
_MAJORS = {8: ("sd", 16), 3: ("hd", 64), 202: ("xvd", 16)}
_GRUB_DISK = re.compile(r"hd(\d{1,3})(?:,(?:msdos|gpt|apple|bsd)?(\d{1,4}))?(?:,\w+)?")
_MAX_STEPS = 4


@dataclass(slots=True)
class Devices:
    """Every name by which the image's own partitions and volumes can be found, lower case, with what it names.

    `names` maps "uuid=…", "label=…" (labels keep their case), "partuuid=…", "partlabel=…" and
    "/dev/vg/lv" to an index of the caller's; `disks` says how many disks there are, `partitions` maps
    (disk, number) to such an index. `mapped` are the names that crypttab or the kernel's options give to
    what they open ("/dev/mapper/data" → its source).
    """

    names: dict[str, int] = field(default_factory=dict)
    partitions: dict[tuple[int, int], int] = field(default_factory=dict)
    disks: int = 1
    groups: set[str] = field(default_factory=set)
    mapped: Mapping[str, str] = field(default_factory=dict)
    #: containers that were not opened (md, LUKS), or what was not recognised: a name may be inside one
    opaque: bool = False
    #: members of software RAID were seen
    arrays: bool = False
    #: file systems whose label is not read (NTFS)
    unlabelled: bool = False
    #: logical volumes: so many /dev/dm-N there are at least
    logical: int = 0
    #: whether what an index means lacks the subvolume that the options of a mount name
    lacks: Callable[[int, Sequence[str]], bool] = lambda _index, _options: False

    def add(self, index: int, names: Iterable[str]) -> None:
        """Let `names` mean `index`; the first one to claim a name keeps it."""
        for name in names:
            self.names.setdefault(name, index)

    def opening(self, mapped: Mapping[str, str]) -> Devices:
        """The same devices in a system that opens `mapped` too."""
        return replace(self, mapped={**self.mapped, **mapped}) if mapped else self

    def find(self, device: str) -> int | None:
        """The index that fstab's or root='s `device` means, None if it is not in the image or not readable."""
        device = spelled(device)
        tag, equals, value = device.partition("=")
        if equals and tag.upper() in _TAGS:
            return self.names.get(_key(_TAGS[tag.upper()], value.strip("\"'")))
        for kind in ("uuid", "label", "partuuid", "partlabel"):
            prefix = f"/dev/disk/by-{kind}/"
            if device.startswith(prefix):
                return self.names.get(_key(kind, _unescape_udev(device.removeprefix(prefix))))
        if device.startswith("/dev/disk/by-id/dm-name-"):
            device = "/dev/mapper/" + device.removeprefix("/dev/disk/by-id/dm-name-")
        if device in self.names:
            return self.names[device]
        match = _DISK.fullmatch(device)
        if match is None:
            return None
        disk = int(match[3]) if match[3] else _letters(match[1] or "a")
        return self.partitions.get((disk, int(match[2] or match[4] or 0)))

    def present(self, device: str, options: Sequence[str] = ()) -> bool | None:
        """Whether `device`, with the subvolume in the `options` of its mount, is there when the image boots.

        None when that cannot be determined.
        """
        for _ in range(_MAX_STEPS):
            device = self.mapped.get(device, device)
        device = spelled(device)
        if device.startswith("/dev/mapper/luks-") and device not in self.names:
            # what dracut and systemd call an encrypted volume without a name of its own
            return self.present("UUID=" + device.removeprefix("/dev/mapper/luks-"))
        index = self.find(device)
        if index is not None:
            return not self.lacks(index, options)
        return None if self._unknowable(device) else False

    def _unknowable(self, device: str) -> bool:
        """Whether no table shows that `device` is absent."""
        if not device.startswith("/dev/") and device.partition("=")[0].upper() not in _TAGS:
            return True  # a share, a pool, a file
        if self.opaque or _UNLISTED.match(device) or (self.arrays and _ARRAY.fullmatch(device)):
            return True
        if self.unlabelled and re.match(r"LABEL=|/dev/disk/by-label/", device, re.IGNORECASE):
            return True
        number = re.fullmatch(r"/dev/dm-(\d{1,4})", device)
        return number is not None and int(number[1]) < self.logical + len(self.mapped)

    def group(self, name: str) -> bool | None:
        """Whether the volume group `name` is in the image."""
        return True if name in self.groups else None if self.opaque else False

    def encrypted(self, uuid: str) -> bool | None:
        """Whether a volume has this UUID, or one that holds it: dracut matches parts of them."""
        wanted = uuid.lower().removeprefix("luks-")
        if any(name.startswith("uuid=") and wanted in name for name in self.names):
            return True
        return None if self.opaque else False

    def array(self, uuid: str) -> bool | None:
        """Whether members of the software RAID with this UUID are in the image, however it is grouped."""
        if f"md-uuid={_digits(uuid)}" in self.names:
            return True
        return None if self.opaque and not self.arrays else False

    def grub(self, device: str) -> bool | None:
        """Whether what GRUB calls `device` is there: ``hd0,msdos1``, ``hd0,gpt2``, ``lvm/vg-lv``, ``mduuid/…``."""
        kind, slash, name = device.strip("()").partition("/")
        if slash and kind == "lvm":
            return self.present(f"/dev/mapper/{name}")
        if slash and kind == "mduuid":
            return self.array(name)
        if slash and kind == "cryptouuid":
            return self.encrypted(name)
        match = _GRUB_DISK.fullmatch(kind) if not slash else None
        if match is None:
            return None
        if int(match[1]) >= self.disks:
            return False
        # firmware's first disk is the one that boots, whatever its place among the files
        there = match[2] is None or any(number == int(match[2]) for _, number in self.partitions)
        return True if there else None if self.opaque else False


def named_by_hardware(device: str) -> bool:
    """Whether `device` is called after the machine's hardware, and so otherwise on EC2."""
    device = spelled(device)
    return bool(_BY_NAME.fullmatch(device))


def spelled(device: str) -> str:
    """`device` without quotes and prefixes, and a device number (``0801``, ``8:1``) as the name it stands for.

    https://docs.kernel.org/admin-guide/kernel-parameters.html (root=) and block/early-lookup.c.
    """
    device = device.strip("\"'").removeprefix("block:")
    device = re.sub(r"(?i)^(PARTUUID=[^/]+)/PARTNROFF=.*", r"\1", device)
    if match := re.fullmatch(r"(\d{1,3}):(\d{1,5})", device):
        major, minor = int(match[1]), int(match[2])
    elif match := re.fullmatch(r"(?:0x)?([0-9a-fA-F]{3,4})", device):
        major, minor = int(match[1], 16) >> 8, int(match[1], 16) & 0xFF
    else:
        return device
    kind, each = _MAJORS.get(major, ("", 0))
    if not kind:
        return device
    disk, number = divmod(minor, each)
    return f"/dev/{kind}{chr(ord('a') + disk)}{number or ''}" if disk < 26 else device


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


def _digits(uuid: str) -> str:
    return "".join(char for char in uuid.lower() if char in "0123456789abcdef")


def names_of(*, uuid: str = "", label: str = "", partuuid: str = "", partlabel: str = "") -> list[str]:
    """The keys for `Devices.add`."""
    pairs = (("uuid", uuid), ("label", label), ("partuuid", partuuid), ("partlabel", partlabel))
    return [_key(kind, value) for kind, value in pairs if value]


def names_of_volume(group: str, name: str, *, uuids: tuple[str, str] | None = None) -> list[str]:
    """The paths of a logical volume; device-mapper doubles dashes inside names. `uuids` are the group's and its own."""
    paths = [f"/dev/{group}/{name}", f"/dev/mapper/{group.replace('-', '--')}-{name.replace('-', '--')}"]
    if uuids and all(uuids):
        joined = "".join(uuid.replace("-", "") for uuid in uuids)
        paths.append(f"/dev/disk/by-id/dm-uuid-LVM-{joined}")
    return paths


def names_of_array(uuid: str, label: str) -> list[str]:
    """The names of a software RAID: its UUID however grouped, and by its ``host:name``."""
    found = [f"md-uuid={_digits(uuid)}"] if uuid else []
    name = label.rpartition(":")[2]
    if name and "/" not in name:
        found += [f"/dev/md/{name}", f"/dev/disk/by-id/md-name-{label}"]
        found += [f"/dev/md{name}"] if name.isdecimal() else []
    return found
