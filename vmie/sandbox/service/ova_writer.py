"""A disk as an OVA: what an instance export with the container format ova leaves in S3 (DSP0243, OVF 1.1)."""

from __future__ import annotations

import tarfile

from vmie.disk.base import Disk
from vmie.disk.stream import TARGETS
from vmie.disk.stream.ova import Member, descriptor
from vmie.sandbox.storage import Blob, BlobFile


def write_ova(disk: Disk, *, name: str) -> Blob:
    """A tar of the descriptor and one stream-optimised VMDK."""
    file = BlobFile()
    for chunk in TARGETS["vmdk"].stream(disk, workers=1):
        file.append(chunk)
    vmdk = Blob.of_file(file)
    member = f"{name}-disk1.vmdk"
    ovf = descriptor(name, [Member(member, vmdk.size, disk.size)])
    pieces = [Blob.of(_header(f"{name}.ovf", len(ovf)) + ovf + _padding(len(ovf)) + _header(member, vmdk.size)), vmdk]
    # Two empty records end a tar, and its length is a multiple of twenty of them.
    used = sum(piece.size for piece in pieces) + len(_padding(vmdk.size)) + 2 * tarfile.BLOCKSIZE
    end = _padding(vmdk.size) + bytes(2 * tarfile.BLOCKSIZE + -used % tarfile.RECORDSIZE)
    return Blob.joined([*pieces, Blob.of(end)])


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    # GNU's numbers, for members over 8 GiB
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
