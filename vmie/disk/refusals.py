"""What is whole and still not read: kinds of image that need another file, a key, or an impossible size."""

from __future__ import annotations

from vmie.disk.base import Source
from vmie.disk.reading import damaged
from vmie.errors import Cure, ImageError

#: The largest virtual disk any reader takes: what VHDX allows, and four times what EBS does.
MAX_DISK = 64 << 40


def refused(source: Source, what: str, *, cause: str, cure: Cure, code: str = "") -> ImageError:
    """The error for a container of a kind, named by `what`, that cannot be read on its own."""
    return ImageError(f"{source.name} is {what}", cause=cause, cure=cure, code=code)


def plausible_size(source: Source, size: int, *, multiple: int = 1) -> int:
    """`size` if a disk can have it (up to 64 TiB, a multiple of `multiple`), else ImageError."""
    if size < 0 or size > MAX_DISK:
        raise damaged(source, f"it declares a disk of {size:,} bytes; at most {MAX_DISK:,} (64 TiB) are read")
    if size % multiple:
        raise damaged(source, f"its disk size of {size:,} bytes is no multiple of {multiple}")
    return size
