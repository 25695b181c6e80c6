"""An OVA: a tar of an OVF descriptor and a stream-optimised VMDK for each disk (DSP0243, OVF 1.1).

The descriptor comes first and tells the lengths of the disks, which are known last: room for it is kept.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO
from xml.sax.saxutils import escape, quoteattr

from vmie.disk.base import Disk
from vmie.disk.stream import vmdk

#: the most digits that a length has
_DIGITS = 20

_FILE = '<File ovf:id="file{number}" ovf:href={name} ovf:size="{size}"/>'
_DISK = """
    <Disk ovf:diskId="vmdisk{number}" ovf:fileRef="file{number}" ovf:capacity="{capacity}"
     ovf:capacityAllocationUnits="byte"
     ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>"""
_ITEM = """
      <Item><rasd:AddressOnParent>{place}</rasd:AddressOnParent><rasd:ElementName>Disk {number}</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/vmdisk{number}</rasd:HostResource>
        <rasd:InstanceID>{instance}</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>"""
_OVF = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References>{files}</References>
  <DiskSection>
    <Info>Virtual disks</Info>{disks}
  </DiskSection>
  <NetworkSection><Info>Networks</Info><Network ovf:name="VM Network"/></NetworkSection>
  <VirtualSystem ovf:id={identifier}>
    <Info>An exported instance</Info>
    <OperatingSystemSection ovf:id="101"><Info>The guest</Info></OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System><vssd:ElementName>Virtual hardware</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-07</vssd:VirtualSystemType></System>
      <Item><rasd:ElementName>1 CPU</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ElementName>1024 MB</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>1024</rasd:VirtualQuantity></Item>
      <Item><rasd:Address>0</rasd:Address><rasd:ElementName>SCSI 0</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>lsilogic</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>7</rasd:AddressOnParent><rasd:Connection>VM Network</rasd:Connection>
        <rasd:ElementName>Network 1</rasd:ElementName><rasd:InstanceID>4</rasd:InstanceID>
        <rasd:ResourceSubType>E1000</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>{items}
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""


@dataclass(frozen=True, slots=True)
class Member:
    """A disk in the tar: its file's name and length, and the bytes of the disk."""

    name: str
    size: int
    capacity: int


def descriptor(name: str, members: Sequence[Member]) -> bytes:
    """The OVF of a machine with these disks, boot disk first. The hardware is the least that starts anywhere."""
    numbered = list(enumerate(members, 1))
    return _OVF.format(
        files="".join(_FILE.format(number=n, name=quoteattr(one.name), size=one.size) for n, one in numbered),
        disks="".join(_DISK.format(number=n, capacity=one.capacity) for n, one in numbered),
        # address 7 of a SCSI bus is the controller's
        items="".join(_ITEM.format(number=n, place=n - 1 if n < 8 else n, instance=n + 4) for n, _ in numbered),
        identifier=quoteattr(name),
        name=escape(name),
    ).encode()


def upper_bound(disks: Iterable[Disk]) -> int:
    """No OVA of these disks takes more bytes."""
    return sum(vmdk.upper_bound(one) + 64 * 1024 for one in disks) + 64 * 1024


def save(
    disks: Sequence[Disk],
    file: BinaryIO,
    *,
    name: str,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Write an OVA of `disks`, boot disk first, to a new, empty `file`; its bytes. See `FileFormat.save`."""
    names = [f"{name}-disk{number}.vmdk" for number in range(1, len(disks) + 1)]
    room = len(descriptor(name, [Member(*one) for one in zip(names, [0] * len(disks), _sizes(disks), strict=True)]))
    room += _DIGITS * len(disks)
    file.seek(_in_records(room), os.SEEK_SET)
    members, done = [], 0
    for member, disk in zip(names, disks, strict=True):
        at = file.tell()
        file.seek(at + tarfile.BLOCKSIZE)
        size = 0
        for piece in vmdk.stream(disk, workers=workers, progress=partial(_add, progress, done)):
            size += file.write(piece)
        done += disk.allocated_size
        end = at + _in_records(size)
        file.seek(at)
        file.write(_header(member, size))
        file.seek(end)
        members.append(Member(member, size, disk.size))
    whole = -(-(file.tell() + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
    file.truncate(whole)
    file.seek(0, os.SEEK_SET)
    # white space after the last element is no part of the document
    file.write(_header(f"{name}.ovf", room) + descriptor(name, members).ljust(room, b"\n"))
    return whole


def _add(progress: Callable[[int], None], before: int, read: int) -> None:
    progress(before + read)


def _sizes(disks: Iterable[Disk]) -> list[int]:
    return [one.size for one in disks]


def _in_records(size: int) -> int:
    """Of a member with its header."""
    return tarfile.BLOCKSIZE + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    # GNU's numbers, for members over 8 GiB
    return info.tobuf(tarfile.GNU_FORMAT)
