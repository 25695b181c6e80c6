"""Which bytes of a disk its file systems call free: what lies there is nobody's, and need not be sent.

`free_space` asks every file system, swap area and volume group of a machine. A range is free only where a structure
says so that can be trusted: a journal to be replayed, a count that does not match its bitmap, a feature that we do
not know, a snapshot or shadow copy that may need what is free by now, and all of it counts as in use.
`block_plan` says which blocks a snapshot needs: zeros are another matter, since a file system may rely on them.
"""

from vmie.guest.free.blocks import BlockPlan, block_plan
from vmie.guest.free.free_map import FreeSpace
from vmie.guest.free.ranges import NotKnown, Range
from vmie.guest.free.space import free_space
from vmie.guest.free.zeroed import left_out, without_free

__all__ = [
    "BlockPlan",
    "FreeSpace",
    "NotKnown",
    "Range",
    "block_plan",
    "free_space",
    "left_out",
    "without_free",
]
