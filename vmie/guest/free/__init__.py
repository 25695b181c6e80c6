"""Which bytes of a disk its file systems call free: what lies there is nobody's, and need not be sent.

`free_space` asks every file system, swap area and volume group of a machine. A range is free only where a structure
says so that can be trusted: a journal to be replayed, a count that does not match its bitmap, a feature that we do
not know, and all of it counts as in use. Zeros are another matter: a file system may rely on them.
"""

from vmie.guest.free.ranges import NotKnown, Range
from vmie.guest.free.space import FreeSpace, free_space

__all__ = ["FreeSpace", "NotKnown", "Range", "free_space"]
