"""Where the bytes of a file lie, and how to write others there without moving anything.

Data blocks carry no checksum on ext4, XFS, NTFS and FAT, so bytes in them may be replaced; a size that changes within
the last block is noted in the inode (ext4, XFS: with its checksum), the MFT record or the directory entry. Blocks are
neither taken nor given back: no bitmap, no tree and no journal is touched.
"""

from __future__ import annotations

from vmie.guest.filesystem import FileSystem, FileSystemError
from vmie.guest.free.ranges import NotKnown
from vmie.guest.in_place import ext, fat, ntfs, xfs
from vmie.guest.in_place.file_map import MOST, FileMap, NotWritable, Patch
from vmie.guest.libyal import Numbered

__all__ = ["MOST", "FileMap", "NotWritable", "Patch", "file_map"]

_KINDS = {"ext2": ext.file_map, "ext3": ext.file_map, "ext4": ext.file_map, "xfs": xfs.file_map, "fat": fat.file_map}


def file_map(filesystem: FileSystem, path: str) -> FileMap:
    """Where the file at `path` of `filesystem` (absolute, without links) lies, checked against its reader.

    Raises NotWritable, by name: a journal to be replayed, a kind without a writer, inline, compressed, encrypted or
    shared data, holes, blocks that were never written; ImageError and OverBudget as reading does.
    """
    if not isinstance(filesystem, Numbered):
        raise NotWritable(f"{filesystem.kind} has checksums over data: nothing is written in place there")
    try:
        if filesystem.kind == "ntfs":
            found = ntfs.file_map(filesystem, path)
        else:
            found = _KINDS[filesystem.kind](filesystem.blocks, filesystem.number(path))
        if found.size > MOST:
            raise NotWritable(f"it is larger than {MOST >> 20} MiB")
        if found.read(filesystem.blocks) != filesystem.read(path, found.size):
            raise NotWritable("where its bytes lie could not be confirmed")
    except (NotKnown, FileSystemError) as error:
        raise NotWritable(str(error)) from error
    return found
