"""What a range of a disk holds, recognised by its superblock alone: no file system is opened here.

Offsets and magics: util-linux's libblkid documents most of them in its superblock probers
(https://github.com/util-linux/util-linux/tree/master/libblkid/src/superblocks); the on-disk
descriptions of each format say the same.
"""

from __future__ import annotations

import importlib
import struct
import uuid as uuids
from dataclasses import dataclass

from vmie.guest import encryption, fat_label, md
from vmie.guest.stream import Blocks

UNKNOWN = "unknown"
EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Content:
    """What was recognised: `kind` as in `facts.Partition.content`."""

    kind: str
    label: str = ""
    uuid: str = ""
    detail: str = ""


#: (kind, offset, magic): the first that fits is it. Containers stand before what they may contain.
_MAGICS: tuple[tuple[str, int, bytes], ...] = (
    ("luks", 0, b"LUKS\xba\xbe"),
    ("bitlocker", 3, b"-FVE-FS-"),
    ("bitlocker", 3, b"MSWIN4.1-FVE"),
    ("ntfs", 3, b"NTFS    "),
    ("exfat", 3, b"EXFAT   "),
    ("refs", 3, b"ReFS\0"),
    ("xfs", 0, b"XFSB"),
    ("squashfs", 0, b"hsqs"),
    ("erofs", 1024, b"\xe2\xe1\xf5\xe0"),
    ("storage-spaces", 0, b"SPACEDB "),
    ("storage-spaces", 4096, b"SPACEDB "),
    ("vmfs", 0x100000, b"\x0d\xd0\x01\xc0"),
    ("bcache", 4096 + 24, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")),
    ("bcachefs", 4096 + 24, bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef")),
    ("f2fs", 1024, b"\x10\x20\xf5\xf2"),
    ("hfsplus", 1024, b"H+\x00\x04"),
    ("hfsplus", 1024, b"HX\x00\x05"),
    ("apfs", 32, b"NXSB"),
    ("ufs", 8192 + 1372, b"\x54\x19\x01\x00"),
    ("ufs", 65536 + 1372, b"\x19\x01\x54\x19"),
    ("drbd", 4096 + 60, b"\x83\x74\x02\x6b"),
)
#: mke2fs leaves these of an older file system in place: asked only where there is no ext superblock
_BEHIND: tuple[tuple[str, int, bytes], ...] = (
    ("jfs", 32768, b"JFS1"),
    ("btrfs", 65536 + 64, b"_BHRfS_M"),
    ("reiserfs", 65536 + 52, b"ReIsEr"),
    ("reiser4", 65536, b"ReIsEr4"),
    ("iso9660", 32769, b"CD001"),
    ("udf", 32769, b"BEA01"),
)
#: two bytes are little proof: asked only when nothing else fits
_WEAK: tuple[tuple[str, int, bytes], ...] = (
    ("hfs", 1024, b"BD"),
    ("nilfs2", 1024 + 6, b"\x34\x34"),
    ("minix", 1024 + 16, b"\x8f\x13"),
)
_HEAD = 128 << 10
#: where the descriptors of a disc begin, each of 2048 bytes
_DISC, _DISC_DESCRIPTORS = 32768, 32


def recognise(blocks: Blocks) -> Content:
    """What `blocks` hold. Raises ImageError (the image is damaged there) and OverBudget."""
    head = blocks.read(0, min(_HEAD, blocks.size))
    for probe in (_lvm, _md, _magic, _ext, _behind, _swap, _fat, _ldm, _zfs, _weak):
        if found := probe(blocks, head):
            return found
    if any(head):
        return Content(UNKNOWN)
    return Content(EMPTY)


def signatures(blocks: Blocks) -> frozenset[str]:
    """Every kind whose signature `blocks` bear: more than one where an older content was not wiped, or is mapped.

    Raises ImageError and OverBudget.
    """
    head = blocks.read(0, min(_HEAD, blocks.size))
    probed = (probe(blocks, head) for probe in (_lvm, _md, _ext, _swap, _fat, _ldm, _zfs))
    listed = (_listed((one,), blocks, head) for one in (*_MAGICS, *_BEHIND))
    return frozenset(content.kind for content in (*probed, *listed) if content is not None)


def _magic(blocks: Blocks, head: bytes) -> Content | None:
    return _listed(_MAGICS, blocks, head)


def _behind(blocks: Blocks, head: bytes) -> Content | None:
    return _listed(_BEHIND, blocks, head)


def _listed(magics: tuple[tuple[str, int, bytes], ...], blocks: Blocks, head: bytes) -> Content | None:
    for kind, offset, magic in magics:
        found = head[offset : offset + len(magic)]
        if offset + len(magic) > len(head):
            found = blocks.read(offset, len(magic))
        if found == magic:
            details = _DETAILS.get(kind)
            return details(blocks, head) if details else Content(kind)
    return None


def _weak(_blocks: Blocks, head: bytes) -> Content | None:
    for kind, offset, magic in _WEAK:
        if head[offset : offset + len(magic)] == magic:
            return Content(kind)
    return None


def _luks(blocks: Blocks, head: bytes) -> Content:
    version = int.from_bytes(head[6:8], "big")
    label = _text(head[24:72]) if version == 2 else ""
    detail = _opened(f"LUKS{version}", (encryption.luks2 if version == 2 else encryption.luks1)(blocks, head))
    return Content("luks", label=label, uuid=_text(head[168:208]), detail=detail)


def _bitlocker(blocks: Blocks, head: bytes) -> Content:
    ways = encryption.bitlocker(blocks, head)
    return Content("bitlocker", detail=_opened("BitLocker", ways) if ways else "")


def _opened(what: str, ways: tuple[str, ...]) -> str:
    return f"{what}, opened by {' or '.join(ways)}" if ways else what


def _disc(_blocks: Blocks, head: bytes) -> Content:
    """ISO 9660, or UDF beside it: of a disc that is both, systems mount the UDF (ECMA-167 2/9.1: NSR02, NSR03)."""
    for at in range(_DISC, min(_DISC + _DISC_DESCRIPTORS * 2048, len(head) - 6), 2048):
        name = head[at + 1 : at + 6]
        if name in (b"NSR02", b"NSR03"):
            return Content("udf")
        if name not in (b"CD001", b"BEA01", b"BOOT2", b"CDW02"):
            break
    return Content("iso9660")


def _ntfs(_blocks: Blocks, head: bytes) -> Content:
    return Content("ntfs", uuid=head[0x48:0x50][::-1].hex().upper())


def _xfs(_blocks: Blocks, head: bytes) -> Content:
    version = int.from_bytes(head[100:102], "big") & 0xF
    return Content("xfs", label=_text(head[108:120]), uuid=_uuid(head[32:48]), detail=f"version {version}")


def _btrfs(blocks: Blocks, head: bytes) -> Content:
    at = 65536
    count = importlib.import_module("vmie.guest.btrfs.subvolumes").count(blocks)
    detail = "" if count is None else f"{count} subvolume{'' if count == 1 else 's'}" if count else "top level only"
    return Content(
        "btrfs", label=_text(head[at + 0x12B : at + 0x22B]), uuid=_uuid(head[at + 0x20 : at + 0x30]), detail=detail
    )


def _jfs(_blocks: Blocks, head: bytes) -> Content:
    at = 32768
    return Content("jfs", label=_text(head[at + 152 : at + 168]), uuid=_uuid(head[at + 136 : at + 152]))


def _bcache(_blocks: Blocks, head: bytes) -> Content:
    """bcachefs took over bcache's magic: only where each keeps the place of its superblock differs."""
    at = 4096
    if head[at + 8 : at + 16] != b"\x08" + bytes(7) and head[at + 104 : at + 112] == b"\x08" + bytes(7):
        return _bcachefs(_blocks, head)
    return Content("bcache", uuid=_uuid(head[at + 40 : at + 56]))


def _bcachefs(_blocks: Blocks, head: bytes) -> Content:
    at = 4096
    return Content("bcachefs", label=_text(head[at + 72 : at + 104]), uuid=_uuid(head[at + 56 : at + 72]))


_DETAILS = {
    "iso9660": _disc,
    "bcache": _bcache,
    "bcachefs": _bcachefs,
    "bitlocker": _bitlocker,
    "luks": _luks,
    "ntfs": _ntfs,
    "xfs": _xfs,
    "btrfs": _btrfs,
    "jfs": _jfs,
}


def _lvm(_blocks: Blocks, head: bytes) -> Content | None:
    """The label is in one of the first four sectors: https://github.com/libyal/libvslvm/ (format documentation)."""
    for at in range(0, 2048, 512):
        if head[at : at + 8] == b"LABELONE" and head[at + 24 : at + 32] == b"LVM2 001":
            return Content("lvm2", uuid=lvm_uuid(_text(head[at + 32 : at + 64])))
    return None


def lvm_uuid(text: str) -> str:
    """LVM's 32 characters with dashes where its tools put them."""
    if len(text) != 32:
        return text
    parts = (text[:6], text[6:10], text[10:14], text[14:18], text[18:22], text[22:26], text[26:])
    return "-".join(parts)


def _md(blocks: Blocks, _head: bytes) -> Content | None:
    found = md.member(blocks)
    return Content("md", label=found.name, uuid=found.uuid, detail=found.detail) if found else None


_JOURNAL, _DEVICE_JOURNAL = 0x4, 0x8
#: extents, 64bit, mmp, flex_bg, ea_inode, csum_seed, largedir, inline_data, encrypt, casefold
_EXT4_INCOMPAT = 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
#: huge_file, gdt_csum, dir_nlink, extra_isize, quota, bigalloc, metadata_csum, project, verity
_EXT4_RO = 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x8000


def _ext(_blocks: Blocks, head: bytes) -> Content | None:
    """ext2/3/4 by its feature flags: https://docs.kernel.org/filesystems/ext4/super.html."""
    at = 1024
    if head[at + 56 : at + 58] != b"\x53\xef" or int.from_bytes(head[at + 24 : at + 28], "little") > 6:
        return None
    compat, incompat, read_only = struct.unpack_from("<III", head, at + 92)
    if incompat & _DEVICE_JOURNAL:
        kind = "ext-journal"
    elif incompat & _EXT4_INCOMPAT or read_only & _EXT4_RO:
        kind = "ext4"
    else:
        kind = "ext3" if compat & _JOURNAL else "ext2"
    return Content(kind, label=_text(head[at + 120 : at + 136]), uuid=_uuid(head[at + 104 : at + 120]))


def _swap(_blocks: Blocks, head: bytes) -> Content | None:
    for page in (4096, 8192, 16384, 65536):
        magic = head[page - 10 : page]
        if magic in (b"SWAPSPACE2", b"SWAP-SPACE"):
            return Content("swap", label=_text(head[1052:1068]), uuid=_uuid(head[1036:1052]))
        if magic in (b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0") or magic.startswith(b"LINHIB0001"):
            return Content("swap", uuid=_uuid(head[1036:1052]), detail="suspended")
    return None


def _fat(blocks: Blocks, head: bytes) -> Content | None:
    """A BIOS parameter block whose numbers agree with each other; the text "FAT" in it is only informative."""
    if len(head) < 512 or head[0] not in (0xEB, 0xE9) or head[510:512] != b"\x55\xaa":
        return None
    sector, cluster, reserved, fats = struct.unpack_from("<HBHB", head, 11)
    if sector not in (512, 1024, 2048, 4096) or cluster == 0 or cluster & (cluster - 1):
        return None
    if not reserved or fats not in (1, 2) or head[21] < 0xF0:
        return None
    wide = int.from_bytes(head[22:24], "little") == 0
    at = 67 if wide else 39
    serial = int.from_bytes(head[at : at + 4], "little")
    return Content(
        "fat",
        label=fat_label.label(blocks, head, wide=wide),
        uuid=f"{serial >> 16:04X}-{serial & 0xFFFF:04X}",
        detail="FAT32" if wide else _text(head[54:62]).strip(),
    )


def _ldm(blocks: Blocks, head: bytes) -> Content | None:
    """Windows' Logical Disk Manager: a private header in sector 6, or at the start of its GPT metadata partition."""
    if head[6 * 512 : 6 * 512 + 8] == b"PRIVHEAD" or head[:8] == b"PRIVHEAD":
        return Content("ldm")
    if blocks.size >= 1 << 20 and blocks.read(blocks.size - 512, 8) == b"PRIVHEAD":
        return Content("ldm")
    return None


def _zfs(blocks: Blocks, head: bytes) -> Content | None:
    """An uberblock in the first label (offset 128 KiB, 1 KiB apart)."""
    if blocks.size < 64 << 20:
        return None
    ring = blocks.read(128 << 10, 128 << 10)
    for at in range(0, len(ring), 1024):
        if ring[at : at + 8] in (b"\x0c\xb1\xba\x00\0\0\0\0", b"\0\0\0\0\x00\xba\xb1\x0c"):
            return Content("zfs")
    return None


def _text(raw: bytes) -> str:
    text = raw.split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in text)


def _uuid(raw: bytes) -> str:
    return str(uuids.UUID(bytes=raw)) if len(raw) == 16 and any(raw) else ""
