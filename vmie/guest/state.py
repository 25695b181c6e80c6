"""Size, free space and cleanliness of a file system, from its superblock: the readers of files do not tell them.

Every function answers None where the structure does not say, and raises ImageError or OverBudget only
when the disk itself cannot be read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from vmie.guest.stream import Blocks


@dataclass(frozen=True, slots=True)
class FileSystemState:
    """`size` and `free` in bytes; `clean` is False when the journal must be replayed or a check is due."""

    size: int | None = None
    free: int | None = None
    clean: bool | None = None


def state(blocks: Blocks, kind: str) -> FileSystemState:
    """The state of the file system of `kind` on `blocks`."""
    known = _KINDS.get(kind)
    return known(blocks) if known else FileSystemState()


def _ext(blocks: Blocks) -> FileSystemState:
    """The superblock as https://docs.kernel.org/filesystems/ext4/super.html has it."""
    raw = blocks.read(1024, 1024)
    if len(raw) < 1024:
        return FileSystemState()
    count, _, free = struct.unpack_from("<III", raw, 4)
    shift = int.from_bytes(raw[24:28], "little")
    flags = int.from_bytes(raw[58:60], "little")
    incompat = int.from_bytes(raw[96:100], "little")
    if incompat & 0x80:
        count |= int.from_bytes(raw[0x150:0x154], "little") << 32
        free |= int.from_bytes(raw[0x158:0x15C], "little") << 32
    block = 1024 << min(shift, 6)
    needs_recovery = bool(incompat & 0x4)
    return FileSystemState(count * block, free * block, not needs_recovery and flags & 3 == 1)


def _xfs(blocks: Blocks) -> FileSystemState:
    """XFS Algorithms & Data Structures, "Superblocks" and "Journaling Log"."""
    raw = blocks.read(0, 512)
    if len(raw) < 512:
        return FileSystemState()
    block = int.from_bytes(raw[4:8], "big")
    count, free = int.from_bytes(raw[8:16], "big"), int.from_bytes(raw[144:152], "big")
    return FileSystemState(count * block, free * block, _xfs_log_clean(blocks, raw))


_LOG_MAGIC = b"\xfe\xed\xba\xbe"
_LOG_UNMOUNT = 0x20
#: a record is at most 256 KiB and its header 4 KiB (XLOG_MAX_RECORD_BSIZE)
_LOG_BACK = (256 + 4) * 2


def _xfs_log_clean(blocks: Blocks, raw: bytes) -> bool | None:
    """Whether the last record of the log is the unmount record, as the kernel's xlog_find_tail asks."""
    block = int.from_bytes(raw[4:8], "big")
    start, per_group = int.from_bytes(raw[48:56], "big"), int.from_bytes(raw[84:88], "big")
    shift = raw[124]
    count = int.from_bytes(raw[96:100], "big") * block // 512
    if not start or not 0 < shift < 64 or count < 4:
        return None  # an external log is not in the image's partition
    base = ((start >> shift) * per_group + (start & ((1 << shift) - 1))) * block
    if base + count * 512 > blocks.size:
        return None

    def cycle(number: int) -> int:
        data = blocks.read(base + number * 512, 8)
        return int.from_bytes(data[4:] if data[:4] == _LOG_MAGIC else data[:4], "big")

    head = _first_other(cycle, count)
    low = max(0, head - _LOG_BACK)
    tail = blocks.read(base + low * 512, (head - low) * 512)
    at = len(tail) - 512
    while at >= 0 and tail[at : at + 4] != _LOG_MAGIC:
        at -= 512
    if at < 0:
        return None
    version, length = struct.unpack_from(">II", tail, at + 8)
    operations, size = int.from_bytes(tail[at + 40 : at + 44], "big"), int.from_bytes(tail[at + 320 : at + 324], "big")
    headers = max(1, -(-size // 32768)) if version & 2 else 1
    body = at + headers * 512
    if body + 12 > len(tail) or body + length < len(tail) - 511:
        return False
    return operations == 1 and bool(tail[body + 9] & _LOG_UNMOUNT)


def _first_other(cycle: Callable[[int], int], count: int) -> int:
    """The first block whose cycle is not that of block 0 (they fall once, somewhere), else `count`."""
    first = cycle(0)
    if cycle(count - 1) == first:
        return count
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) // 2
        if cycle(middle) == first:
            low = middle
        else:
            high = middle
    return high


def _fat(blocks: Blocks) -> FileSystemState:
    """Microsoft's FAT specification 1.03: the second FAT entry holds the clean-shutdown bit, FSInfo the free count."""
    raw = blocks.read(0, 512)
    if len(raw) < 512:
        return FileSystemState()
    sector, cluster, reserved = struct.unpack_from("<HBH", raw, 11)
    small, per_fat16 = struct.unpack_from("<H", raw, 19)[0], struct.unpack_from("<H", raw, 22)[0]
    count = small or int.from_bytes(raw[32:36], "little")
    table = blocks.read(reserved * sector, 8)
    if len(table) < 8:
        return FileSystemState(count * sector)
    if per_fat16:
        known = raw[54:59] == b"FAT16"
        return FileSystemState(count * sector, None, bool(table[3] & 0x80) if known else None)
    info = blocks.read(int.from_bytes(raw[48:50], "little") * sector, 512)
    free = int.from_bytes(info[488:492], "little") if info[484:488] == b"rrAa" else 0xFFFFFFFF
    return FileSystemState(
        count * sector,
        None if free * cluster * sector > count * sector else free * cluster * sector,
        bool(table[7] & 0x08),
    )


def _ntfs(blocks: Blocks) -> FileSystemState:
    """Flags of $VOLUME_INFORMATION in MFT record 3 (bit 0: dirty). Free space is counted by the reader of files."""
    raw = blocks.read(0, 512)
    if len(raw) < 512:
        return FileSystemState()
    sector, cluster = struct.unpack_from("<HB", raw, 11)
    count, mft = struct.unpack_from("<QQ", raw, 40)
    per_record = struct.unpack_from("<b", raw, 64)[0]
    unit = sector * (cluster if cluster <= 128 else 1 << (256 - cluster))
    size = 1 << -per_record if per_record < 0 else per_record * unit
    if not 512 <= size <= 65536 or sector not in (512, 1024, 2048, 4096):
        return FileSystemState(count * sector or None)
    record = bytearray(blocks.read(mft * unit + 3 * size, size))
    return FileSystemState(count * sector, None, _ntfs_clean(record))


def _ntfs_clean(record: bytearray) -> bool | None:
    if record[:4] != b"FILE" or len(record) < 512:
        return None
    fixups, words = struct.unpack_from("<HH", record, 4)
    for index in range(1, min(words, len(record) // 512 + 1)):
        place = index * 512 - 2
        record[place : place + 2] = record[fixups + 2 * index : fixups + 2 * index + 2]
    at = int.from_bytes(record[20:22], "little")
    while at + 24 <= len(record):
        kind, length = struct.unpack_from("<II", record, at)
        if kind == 0x70:
            content = at + int.from_bytes(record[at + 20 : at + 22], "little")
            return not record[content + 10] & 1 if content + 12 <= len(record) else None
        if kind == 0xFFFFFFFF or length < 16:
            return None
        at += length
    return None


_KINDS: dict[str, Callable[[Blocks], FileSystemState]] = {
    "ext2": _ext,
    "ext3": _ext,
    "ext4": _ext,
    "xfs": _xfs,
    "fat": _fat,
    "ntfs": _ntfs,
}
