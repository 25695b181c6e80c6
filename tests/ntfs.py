"""NTFS images without mounting: mkntfs makes them, ntfscp fills them, and here files become directories.

ntfscp makes files but no directories, and mounting needs /dev/fuse. So a file is made first, and its MFT
record is rewritten: $DATA goes, an empty $INDEX_ROOT named $I30 comes.
Structures: https://flatcap.github.io/linux-ntfs/ntfs/concepts/file_record.html
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

from tests.tools import need, run

_RECORD = 1024
_DATA, _INDEX_ROOT, _END = 0x80, 0x90, 0xFFFFFFFF


def make(image: Path, *, size: int = 32 << 20, offset: int = 0) -> None:
    """An empty NTFS of `size` bytes in a file of its own; `offset` is where the partition will lie (sectors)."""
    need("mkntfs", "ntfscp")
    with image.open("wb") as file:
        file.truncate(size)
    run(["mkntfs", "-q", "-F", "-c", "4096", "-p", str(offset), "-S", "63", "-H", "255", "-s", "512", str(image)])


def put(image: Path, path: str, data: bytes) -> None:
    """Write a file, with the directories on its way; `path` begins with a slash and is given as it shall be spelt."""
    parts = path.strip("/").split("/")
    for depth in range(1, len(parts)):
        folder = "/" + "/".join(parts[:depth])
        if not _there(image, folder):
            _copy(image, folder, b"")
            _become_directory(image, parts[depth - 1])
    _copy(image, path, data)


def _there(image: Path, path: str) -> bool:
    listing = run(["ntfsls", "-f", "-a", "-p", path.rsplit("/", 1)[0] or "/", str(image)]).stdout
    return path.rsplit("/", 1)[1] in listing.splitlines()


def _copy(image: Path, path: str, data: bytes) -> None:
    source = image.with_suffix(".copy")
    source.write_bytes(data)
    run(["ntfscp", "-q", "-f", str(image), str(source), path])
    source.unlink()


def _become_directory(image: Path, name: str) -> None:
    # with its length and namespace in front: $Boot is no Boot
    needle = re.compile(re.escape(bytes([len(name)])) + b"." + re.escape(name.encode("utf-16-le")), re.DOTALL)
    with image.open("r+b") as file:
        content = file.read()
        at = content.find(b"FILE")
        while at >= 0:
            record = content[at : at + _RECORD]
            if at % _RECORD == 0 and needle.search(record) and not record[22] & 2:
                file.seek(at)
                file.write(_directory(bytearray(record)))
                return
            at = content.find(b"FILE", at + 4)
    raise AssertionError(f"no MFT record of {name}")


def _directory(record: bytearray) -> bytes:
    fixups, words = struct.unpack_from("<HH", record, 4)
    for index in range(1, words):
        record[index * 512 - 2 : index * 512] = record[fixups + 2 * index : fixups + 2 * index + 2]
    at = struct.unpack_from("<H", record, 20)[0]
    kept = bytearray(record[:at])
    while True:
        kind, length = struct.unpack_from("<II", record, at)
        if kind == _END:
            break
        if kind != _DATA:
            kept += record[at : at + length]
        at += length
    instance = struct.unpack_from("<H", record, 40)[0]
    value = struct.pack("<IIIB3x", 0x30, 1, 4096, 1) + struct.pack("<IIIB3x", 16, 32, 32, 0)
    value += struct.pack("<QHHHH", 0, 16, 0, 2, 0)
    head = struct.pack("<IIBBHHHIHBB", _INDEX_ROOT, 32 + len(value), 0, 4, 24, 0, instance, len(value), 32, 0, 0)
    kept += head + "$I30".encode("utf-16-le") + value + struct.pack("<II", _END, 0)
    used = len(kept)
    kept = kept.ljust(_RECORD, b"\0")
    struct.pack_into("<HII", kept, 22, 3, used, _RECORD)
    struct.pack_into("<H", kept, 40, instance + 1)
    number = struct.unpack_from("<H", record, fixups)[0]
    for index in range(1, words):
        end = index * 512
        kept[fixups + 2 * index : fixups + 2 * index + 2] = kept[end - 2 : end]
        struct.pack_into("<H", kept, end - 2, number)
    return bytes(kept)
