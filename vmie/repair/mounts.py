"""fstab, crypttab and units that mount: names that last, and a boot that goes on without what is not there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from vmie.guest.linux.devices import named_by_hardware
from vmie.guest.linux_facts import LinuxFacts, Mount
from vmie.guest.machine import Volume
from vmie.repair.devices import lasting_name, meant, only_swap, volume_of
from vmie.repair.files import GuestFiles, encoded
from vmie.repair.model import Edit, Left, Mend

#: what the service comments out, and what a hypervisor shares: nothing of it is in EC2
_FOREIGN = frozenset({"cifs", "smbfs", "smb3", "vboxsf", "sshfs", "fuse.sshfs", "vmhgfs", "fuse.vmhgfs-fuse"})
#: without these a system is no system, whatever its boot does
_NEEDED = frozenset({"/", "/usr", "/var", "/etc", "/opt", "/boot", "/boot/efi", "/efi"})
_FIELDS = re.compile(r"(\s*)(\S+)(\s+)(\S+)(?:(\s+)(\S+))?(?:(\s+)(\S+))?(.*)", re.DOTALL)
_WHY = "a device of the old machine is called otherwise in EC2, and boot is not to wait for what is not there"


def _fstab(files: GuestFiles) -> Iterator[Edit | Left]:
    facts = files.facts
    text = files.text("/etc/fstab")
    if not isinstance(facts, LinuxFacts):
        return
    mounts = {(one.device, one.mountpoint): one for one in facts.fstab if one.path == "/etc/fstab"}
    if text is not None:
        yield from _edited("/etc/fstab", text, lambda line: _line(files, mounts, line))
    for mount in facts.fstab:
        if mount.path != "/etc/fstab" and mount.by_name:
            yield from _unit(files, mount)
    crypttab = files.text("/etc/crypttab")
    if crypttab is not None:
        yield from _edited("/etc/crypttab", crypttab, lambda line: _renamed(files, line))


def _edited(path: str, text: str, line: Callable[[str], str | Left]) -> Iterator[Edit | Left]:
    found = [line(one) for one in text.splitlines(keepends=True)]
    yield from (one for one in found if isinstance(one, Left))
    pairs = zip(found, text.splitlines(keepends=True), strict=True)
    lines = [old if isinstance(one, Left) else one for one, old in pairs]
    if "".join(lines) != text:
        yield Edit(path, encoded("".join(lines)), _WHY)


def _line(files: GuestFiles, mounts: dict[tuple[str, str], Mount], line: str) -> str | Left:
    match = _FIELDS.fullmatch(line)
    commented = match is None or match[2].startswith("#")
    mount = None if match is None or commented else mounts.get((_plain(match[2]), _plain(match[4])))
    if match is None or mount is None:
        return line
    if mount.fstype in _FOREIGN:
        return "#" + line
    if mount.network:
        return line if mount.nofail else _lenient(files, match)
    return _local(files, mount, match) if mount.by_name or mount.target is False else line


def _local(files: GuestFiles, mount: Mount, match: re.Match[str]) -> str | Left:
    """The line of a device whose name does not last, or that is not in the image."""
    name = lasting_name(files, _found(files, mount))
    if name:
        return _with(match, device=name)
    if mount.nofail or mount.target is None:
        return match[0]
    if mount.mountpoint in _NEEDED:
        return Left("VMIE-LNX-004", f"{mount.mountpoint} ({mount.device}) is not in the image: give its disk too")
    return _lenient(files, match)


def _found(files: GuestFiles, mount: Mount) -> Volume | None:
    """The volume of the image that a line means: by its old name, else by what stands at its place."""
    volume = meant(files, mount.device) or volume_of(files, mount.mountpoint)
    return only_swap(files) if volume is None and mount.fstype == "swap" else volume


def _with(match: re.Match[str], *, device: str = "", options: str = "") -> str:
    parts = [part or "" for part in match.groups()]
    parts[1] = device or parts[1]
    if options:
        parts[4:8] = [parts[4] or "\t", parts[5] or "auto", parts[6] or "\t", options]
    return "".join(parts)


def _lenient(files: GuestFiles, match: re.Match[str]) -> str:
    """The line of a mount that boot goes on without; Ubuntu's mountall has a word of its own."""
    upstart = " nobootwait" if files.tree.first("/sbin/mountall") else ""
    words = [match[8] or "defaults", "nofail", *upstart.split()]
    return _with(match, options=",".join(words))


def _plain(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8) & 0xFF), word)


def _unit(files: GuestFiles, mount: Mount) -> Iterator[Edit | Left]:
    """A unit of systemd that mounts, or swaps on, a device by its old name."""
    text, name = files.text(mount.path), lasting_name(files, meant(files, mount.device))
    if text is None or not name:
        edit = f"systemctl edit {mount.path.rpartition('/')[2]}"
        yield Left("VMIE-LNX-001", f"{mount.path} names {mount.device}", edit)
        return
    link = "/dev/disk/by-uuid/" + name.removeprefix("UUID=")
    found = re.sub(rf"^(What\s*=\s*){re.escape(mount.device)}\s*$", rf"\g<1>{link}", text, flags=re.MULTILINE)
    if found != text:
        yield Edit(mount.path, encoded(found), _WHY)


def _renamed(files: GuestFiles, line: str) -> str:
    """A line of crypttab whose source is named after the old machine's hardware."""
    match = _FIELDS.fullmatch(line)
    if match is None or match[2].startswith("#") or not named_by_hardware(match[4]):
        return line
    name = lasting_name(files, meant(files, match[4]))
    return line[: match.start(4)] + name + line[match.end(4) :] if name else line


FSTAB = Mend(
    "fstab", ("VMIE-LNX-001", "VMIE-LNX-002", "VMIE-LNX-004", "VMIE-LNX-005"), _fstab, "blkid; ${EDITOR:-vi} /etc/fstab"
)
