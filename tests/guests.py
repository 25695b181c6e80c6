"""Guests for tests: trees of files in memory, and disks, volume groups and archives written byte by byte."""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.tools import need, run
from vmie.guest.budget import Budget
from vmie.guest.filesystem import FileKind, FileStatus, FileSystem, FileSystemError
from vmie.guest.tree import Tree

MIB = 1 << 20


class Link(str):
    """The target of a symbolic link."""

    __slots__ = ()


class Files:
    """A `FileSystem` of a mapping: path → text, bytes, `Link`, or None for an empty directory."""

    def __init__(self, files: Mapping[str, str | bytes | Link | None], *, kind: str = "ext4", free: int = 1 << 30):
        self.kind, self.label, self.uuid, self.name = kind, "", "", ""
        self.remarks: tuple[str, ...] = ()
        self.size: int | None = 4 << 30
        self.free_bytes: int | None = free
        self.clean: bool | None = True
        self._nodes: dict[str, str | bytes | Link | None] = {"/": None}
        for path, node in files.items():
            parts = path.strip("/").split("/")
            for size in range(1, len(parts)):
                self._nodes.setdefault("/" + "/".join(parts[:size]), None)
            self._nodes["/" + "/".join(parts)] = node

    def lstat(self, path: str) -> FileStatus | None:
        if path not in self._nodes:
            return None
        node = self._nodes[path]
        if node is None:
            return FileStatus(FileKind.DIRECTORY)
        return FileStatus(FileKind.LINK if isinstance(node, Link) else FileKind.FILE, len(self._bytes(path)))

    def _bytes(self, path: str) -> bytes:
        node = self._nodes.get(path)
        if node is None:
            raise FileSystemError(f"{path} is no file")
        return node.encode() if isinstance(node, str) else node

    def mounted(self, options: Sequence[str]) -> FileSystem | None:
        return self

    def subvolumes(self) -> Sequence[FileSystem]:
        return (self,)

    def readlink(self, path: str) -> str:
        return str(self._nodes[path])

    def read(self, path: str, limit: int, offset: int = 0) -> bytes:
        return self._bytes(path)[offset : offset + limit]

    def listdir(self, path: str) -> list[str]:
        base = path.rstrip("/") + "/"
        return sorted(
            name[len(base) :]
            for name in self._nodes
            if name.startswith(base) and "/" not in name[len(base) :] and name != "/"
        )

    def close(self) -> None:
        pass


def tree(files: Mapping[str, str | bytes | Link | None], **settings: float) -> Tree:
    """A tree over `files`."""
    return Tree(Files(files), budget=Budget(**settings))  # type: ignore[arg-type]


class Bytes:
    """`Blocks` of bytes in memory."""

    def __init__(self, data: bytes | bytearray, size: int | None = None) -> None:
        self.data = data
        self.size = size or len(data)

    def read(self, offset: int, length: int) -> bytes:
        data = bytes(self.data[offset : offset + length])
        return data.ljust(max(0, min(length, self.size - offset)), b"\0")


class Disk:
    """`Blocks` of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size

    def read(self, offset: int, length: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(length)


def elf(machine: int = 0x3E, *, wide: bool = True, little: bool = True) -> bytes:
    """The head of a program for `machine`."""
    head = bytearray(64)
    head[:7] = b"\x7fELF" + bytes((2 if wide else 1, 1 if little else 2, 1))
    head[18:20] = machine.to_bytes(2, "little" if little else "big")
    return bytes(head)


def cpio(names: Iterable[str | tuple[str, bytes]]) -> bytes:
    """A "newc" archive."""
    out = []
    for item in (*names, "TRAILER!!!"):
        name, data = item if isinstance(item, tuple) else (item, b"")
        raw = name.encode() + b"\0"
        fields = (0, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        head = b"070701" + b"".join(b"%08X" % value for value in fields)
        out.append((head + raw).ljust(-(-(len(head) + len(raw)) // 4) * 4, b"\0"))
        out.append(data.ljust(-(-len(data) // 4) * 4, b"\0"))
    return b"".join(out)


def mbr_entry(kind: int, start: int, count: int, *, active: bool = False) -> bytes:
    """16 bytes of a partition table."""
    return struct.pack("<B3xB3xII", 0x80 if active else 0, kind, start, count)


def mbr(*entries: bytes, code: bytes = b"") -> bytes:
    """A first sector."""
    return code.ljust(446, b"\0") + b"".join(entries).ljust(64, b"\0") + b"\x55\xaa"


def gpt(disk: bytearray, *partitions: tuple[str, int, int], sector: int = 512) -> None:
    """Write a protective MBR and both GPT headers into `disk`; partitions are (type GUID, first byte, length)."""
    last = len(disk) // sector - 1
    table = bytearray(128 * 128)
    for index, (kind, start, length) in enumerate(partitions):
        entry = uuid.UUID(kind).bytes_le + uuid.UUID(int=index + 1).bytes_le
        entry += struct.pack("<QQ", start // sector, (start + length) // sector - 1)
        table[index * 128 : index * 128 + len(entry)] = entry
    span = -(-len(table) // sector)
    disk[:512] = mbr(mbr_entry(0xEE, 1, min(last, 0xFFFFFFFF)))
    for own, other, at in ((1, last, 2), (last, 1, last - span)):
        head = bytearray(struct.pack("<8sIIII", b"EFI PART", 0x10000, 92, 0, 0))
        head += struct.pack(
            "<QQQQ16sQIII", own, other, 2 + span, last - span - 1, bytes(15) + b"\1", at, 128, 128, zlib.crc32(table)
        )
        head[16:20] = struct.pack("<I", zlib.crc32(head))
        disk[own * sector : own * sector + 92] = head
        disk[at * sector : at * sector + len(table)] = table


def put(disk: Path, image: Path, *, at: int) -> None:
    """Copy `image` into `disk` at byte `at`."""
    run(["dd", f"if={image}", f"of={disk}", f"seek={at // MIB}", "bs=1M", "conv=notrunc,sparse"])


def ext4(path: Path, root: Path | None, *, size: int = 16 * MIB, options: Iterable[str] = ()) -> Path:
    """An ext4 file system with the files of `root`."""
    need("mke2fs")
    source = ["-d", str(root)] if root else []
    run(["mke2fs", "-q", "-F", "-t", "ext4", *options, *source, str(path), f"{size // 1024}k"])
    return path


def fill(root: Path, files: Mapping[str, str | bytes | Link | None]) -> Path:
    """Write `files` below the directory `root`."""
    for name, node in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if node is None:
            path.mkdir(exist_ok=True)
        elif isinstance(node, Link):
            path.symlink_to(node)
        else:
            path.write_bytes(node.encode() if isinstance(node, str) else node)
    return root


def md_member(
    disk: bytearray,
    minor: int | None,
    *,
    uuid: str,
    level: int = 1,
    devices: int = 2,
    events: int = 7,
    data_offset: int = 0,
    number: int = 0,
) -> None:
    """Write a software RAID's superblock of version 1.`minor`, or 0.90, into a member; `data_offset` in sectors."""
    digits, size = bytes.fromhex(uuid.replace("-", "")), len(disk)
    if minor is None:
        words = [0] * 1024
        words[:5] = [0xA92B4EFC, 0, 90, 0, 0]
        words[5], words[13:16] = int.from_bytes(digits[:4]), [int.from_bytes(digits[at : at + 4]) for at in (4, 8, 12)]
        words[7:11] = [level, (size >> 16 << 6) - 64, devices, devices]
        words[33:37] = [1, devices, devices, 0]
        words[39] = events
        words[38] = _folded(sum(words))
        at = (size & ~0xFFFF) - 0x10000
        disk[at : at + 4096] = struct.pack("<1024I", *words)
        return
    at = {0: ((size >> 9) - 16 & ~7) << 9, 1: 0, 2: 4096}[minor]
    offset = data_offset or (0 if minor == 0 else 2048)
    sectors = (at if minor == 0 else size) // 512 - offset
    block = bytearray(256 + 2 * 128)
    struct.pack_into("<II4xI", block, 0, 0xA92B4EFC, 1, 0)
    block[16:32], block[32:38] = digits, b"host:0"
    struct.pack_into("<QiIQIIi", block, 64, 0, level, 0, sectors, 0, devices, 0)
    struct.pack_into("<QQQQ", block, 128, offset, sectors, at // 512, 0)
    struct.pack_into("<II", block, 160, number, 0)
    struct.pack_into("<QQQII", block, 192, 0, events, 0, 0, 128)
    struct.pack_into("<128H", block, 256, 0, 1, *[0xFFFF] * 126)
    struct.pack_into("<I", block, 216, _folded(sum(struct.unpack("<128I", block))))
    disk[at : at + len(block)] = block


def _folded(total: int) -> int:
    return ((total & 0xFFFFFFFF) + (total >> 32)) & 0xFFFFFFFF


def crc(data: bytes) -> int:
    """LVM's checksum."""
    return zlib.crc32(data, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


PE_START = MIB


def physical_volume(uuid: str, text: str | None, *, size: int) -> bytearray:
    """A physical volume with its label in sector 1 and `text` as metadata, as pvcreate and vgcreate leave it."""
    disk = bytearray(size)
    header = uuid.replace("-", "").encode() + struct.pack("<Q", size)
    header += struct.pack("<QQQQ", PE_START, 0, 0, 0)
    header += struct.pack("<QQQQ", 4096, PE_START - 4096, 0, 0) if text is not None else bytes(16)
    label = struct.pack("<I8s", 32, b"LVM2 001") + header
    label = label.ljust(512 - 20, b"\0")
    disk[512:1024] = b"LABELONE" + struct.pack("<QI", 1, crc(label)) + label
    if text is not None:
        raw = text.encode() + b"\0"
        disk[4096 + 512 : 4096 + 512 + len(raw)] = raw
        area = b" LVM2 x[5A%r0N*>" + struct.pack("<IQQ", 1, 4096, PE_START - 4096)
        area += struct.pack("<QQII", 512, len(raw), crc(raw), 0)
        area = area.ljust(512 - 4, b"\0")
        disk[4096:4608] = struct.pack("<I", crc(area)) + area
    return disk


def group(name: str, *, pvs: Mapping[str, str], volumes: str, seqno: int = 2, extent_sectors: int = 128) -> str:
    """The metadata text of a volume group; `pvs` maps pv0, pv1 … to ids, `volumes` is the body of logical_volumes."""
    physical = "\n".join(
        f'{key} {{\nid = "{uuid}"\ndevice = "/dev/sd{"abcdef"[index]}"\n\nstatus = ["ALLOCATABLE"]\nflags = []\n'
        f"dev_size = 131072\npe_start = {PE_START // 512}\npe_count = 1000\n}}\n"
        for index, (key, uuid) in enumerate(pvs.items())
    )
    return (
        f'{name} {{\nid = "4L0Bjc-AYlU-AA9I-cvdF-rGl5-UDcf-L6S4V9"\nseqno = {seqno}\nformat = "lvm2"\n'
        f'status = ["RESIZEABLE", "READ", "WRITE"]\nflags = []\nextent_size = {extent_sectors}\n'
        f"max_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n\n"
        f"physical_volumes {{\n\n{physical}}}\n\nlogical_volumes {{\n\n{volumes}}}\n\n}}\n"
        f'# Generated by LVM2\n\ncontents = "Text Format Volume Group"\nversion = 1\n\n'
        f'description = "made \\"here\\""\n\ncreation_host = "test"\t# Linux\ncreation_time = 1795398783\t# Mon\n\n'
    )


def volume(name: str, *segments: str) -> str:
    """One visible logical volume."""
    body = "\n".join(f"segment{index} {{\n{segment}\n}}\n" for index, segment in enumerate(segments, 1))
    return (
        f'{name} {{\nid = "jS0G6Z-0ydQ-1X4q-4zB8-ddUY-OAvt-aY7YeD"\nstatus = ["READ", "WRITE", "VISIBLE"]\nflags = []\n'
        f'creation_time = 1795398855\ncreation_host = "test"\nsegment_count = {len(segments)}\n\n{body}}}\n\n'
    )


def segment(start: int, count: int, *stripes: tuple[str, int], stripe_sectors: int = 0, kind: str = "striped") -> str:
    """One segment of a linear or striped volume."""
    listed = ",\n".join(f'"{pv}", {extent}' for pv, extent in stripes)
    size = f"stripe_size = {stripe_sectors}\n" if stripe_sectors else ""
    head = f'start_extent = {start}\nextent_count = {count}\n\ntype = "{kind}"\nstripe_count = {len(stripes)}\n'
    return f"{head}{size}\nstripes = [\n{listed}\n]"
