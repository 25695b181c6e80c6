"""What a volume of the image is called on any machine."""

from __future__ import annotations

from vmie.guest.linux.devices import named_by_hardware
from vmie.guest.machine import Volume
from vmie.repair.files import GuestFiles


def root_volume(files: GuestFiles) -> Volume | None:
    """The volume that the system lies on."""
    where = files.facts.volume
    return next((volume for volume in files.guest.machine.volumes if volume.where == where), None)


def volume_of(files: GuestFiles, mountpoint: str) -> Volume | None:
    """The volume that stands at `mountpoint` in the guest's files, None where none of its own does."""
    filesystem = files.tree.root if mountpoint == "/" else files.tree.mounts.get(mountpoint)
    volumes = files.guest.machine.volumes
    return next((volume for volume in volumes if filesystem is not None and volume.filesystem is filesystem), None)


def lasting_name(files: GuestFiles, volume: Volume | None) -> str:
    """``UUID=…`` of what is on `volume`, "" where it has none that means it alone."""
    if volume is None or not volume.content.uuid:
        return ""
    name = f"UUID={volume.content.uuid}"
    return name if files.guest.machine.find(name) is volume else ""


def logical_name(files: GuestFiles, volume: Volume | None) -> str:
    """``group/name`` of a logical volume, "" for any other."""
    known = {f"{one.group}/{one.name}" for one in files.guest.machine.logical}
    return volume.where if volume is not None and volume.where in known else ""


def only_swap(files: GuestFiles) -> Volume | None:
    """The swap of the image, None where there is none or more than one."""
    found = [volume for volume in files.guest.machine.volumes if volume.content.kind == "swap"]
    return found[0] if len(found) == 1 else None


def meant(files: GuestFiles, device: str) -> Volume | None:
    """The volume that a name after the old machine's hardware means, None for any other name."""
    return files.guest.machine.find(device) if named_by_hardware(device) else None
