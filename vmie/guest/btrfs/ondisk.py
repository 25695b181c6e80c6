"""Numbers and structures that several modules share: keys, kinds of items, identifiers of trees."""

from __future__ import annotations

import struct

#: objectid, kind, offset: the order of keys is that of these tuples
Key = tuple[int, int, int]
KEY = struct.Struct("<QBQ")

INODE_ITEM, INODE_REF, DIR_ITEM, DIR_INDEX, EXTENT_DATA = 1, 12, 84, 96, 108
ROOT_ITEM, ROOT_BACKREF, ROOT_REF = 132, 144, 156
BLOCK_GROUP_ITEM, CHUNK_ITEM = 192, 228

EXTENT_TREE, TOP_LEVEL, BLOCK_GROUP_TREE = 2, 5, 11
#: subvolumes have identifiers in this range, as inodes have; the first is also every subvolume's own directory
FIRST_FREE, LAST_FREE = 256, (1 << 64) - 256
MAX_OFFSET = (1 << 64) - 1


class BtrfsError(Exception):
    """Something is damaged there or of a kind that is not read; `str` says what."""
