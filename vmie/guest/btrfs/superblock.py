"""The superblock: where the trees begin, what the file system demands of a reader, how its nodes are checksummed."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass

from vmie.disk.crc32c import crc32c
from vmie.guest.btrfs.ondisk import BtrfsError
from vmie.guest.btrfs.xxhash64 import xxhash64
from vmie.guest.stream import Blocks

_OFFSET, _SIZE = 65536, 4096
_COPIES = (64 << 20, 256 << 30)
_MAGIC = b"_BHRfS_M"
_MAX_SYSTEM_CHUNKS = 2048

_METADATA_UUID = 0x400
#: mixed back references, default subvolume, mixed groups, lzo, zstd, big metadata, extended inode references, RAID5/6,
#: skinny metadata, no holes, metadata UUID, RAID1 of 3 and 4 copies, simple quotas
_READ = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x100 | 0x200 | _METADATA_UUID | 0x800 | 0x10000
_NAMES = {0x1000: "zoned", 0x2000: "extent-tree-v2", 0x4000: "raid-stripe-tree", 0x20000: "remap-tree"}
_BLOCK_GROUP_TREE = 0x8


def _crc32c(data: bytes) -> bytes:
    return crc32c(data).to_bytes(4, "little")


def _blake2b(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


def _xxhash64(data: bytes) -> bytes:
    return xxhash64(data).to_bytes(8, "little")


#: by the superblock's number
_CHECKSUMS: dict[int, Callable[[bytes], bytes]] = {
    0: _crc32c,
    1: _xxhash64,
    2: lambda data: hashlib.sha256(data).digest(),
    3: _blake2b,
}


@dataclass(frozen=True, slots=True)
class Superblock:
    """The fields that a reader needs; addresses are logical, sizes bytes. `fsid` is the one that nodes carry."""

    uuid: bytes
    fsid: bytes
    generation: int
    root: int
    root_level: int
    chunk_root: int
    chunk_root_level: int
    chunk_root_generation: int
    log_root: int
    root_directory: int
    total_bytes: int
    devices: int
    sector_size: int
    node_size: int
    device: int
    block_group_tree: bool
    system_chunks: bytes
    checksum: int

    def sound(self, data: bytes) -> bool:
        """Whether the checksum at the start of a node or superblock fits what follows its 32 bytes."""
        return _sound(self.checksum, data)


def _sound(kind: int, data: bytes) -> bool:
    wanted = _CHECKSUMS[kind](data[32:])
    return data[: len(wanted)] == wanted


def superblock(blocks: Blocks) -> Superblock:
    """The superblock of `blocks`. Raises BtrfsError where Linux would not mount it either, or we do not read it.

    Only the first of three copies counts: Linux mounts by no other.
    """
    raw = blocks.read(_OFFSET, _SIZE)
    if len(raw) < _SIZE or raw[64:72] != _MAGIC:
        raise BtrfsError("it has no superblock")
    checksum, root_level, chunk_level = struct.unpack_from("<HBB", raw, 0xC4)
    if checksum not in _CHECKSUMS:
        raise BtrfsError(f"its checksums are of the unknown kind {checksum}")
    if not _sound(checksum, raw):
        more = "; a copy of it is sound, `btrfs rescue super-recover` writes it back" if _copied(blocks) else ""
        raise BtrfsError(f"the checksum of its superblock is wrong{more}")
    incompat = int.from_bytes(raw[0xBC:0xC4], "little")
    if incompat & ~_READ:
        names = [_NAMES.get(1 << bit, f"{1 << bit:#x}") for bit in range(64) if incompat & ~_READ & 1 << bit]
        raise BtrfsError(f"it uses features that are not read: {', '.join(names)}")
    generation, root, chunk_root, log_root = struct.unpack_from("<QQQQ", raw, 0x48)
    total, _, root_directory, devices = struct.unpack_from("<QQQQ", raw, 0x70)
    sector, node = struct.unpack_from("<II", raw, 0x90)
    system, chunk_generation = struct.unpack_from("<IQ", raw, 0xA0)
    if sector not in (4096, 8192, 16384, 32768, 65536) or node < sector or node > 65536 or node & (node - 1):
        raise BtrfsError(f"its superblock claims sectors of {sector} bytes and nodes of {node}")
    if system > _MAX_SYSTEM_CHUNKS:
        raise BtrfsError("its list of system chunks is longer than its place")
    return Superblock(
        uuid=raw[0x20:0x30],
        fsid=raw[0x23B:0x24B] if incompat & _METADATA_UUID else raw[0x20:0x30],
        generation=generation,
        root=root,
        root_level=root_level,
        chunk_root=chunk_root,
        chunk_root_level=chunk_level,
        chunk_root_generation=chunk_generation,
        log_root=log_root,
        root_directory=root_directory,
        total_bytes=total,
        devices=devices,
        sector_size=sector,
        node_size=node,
        device=int.from_bytes(raw[0xC9:0xD1], "little"),
        block_group_tree=bool(int.from_bytes(raw[0xB4:0xBC], "little") & _BLOCK_GROUP_TREE),
        system_chunks=raw[0x32B : 0x32B + system],
        checksum=checksum,
    )


def _copied(blocks: Blocks) -> bool:
    for at in _COPIES:
        raw = blocks.read(at, _SIZE) if at + _SIZE <= blocks.size else b""
        kind = int.from_bytes(raw[0xC4:0xC6], "little")
        if raw[64:72] == _MAGIC and raw[48:56] == at.to_bytes(8, "little") and kind in _CHECKSUMS and _sound(kind, raw):
            return True
    return False
