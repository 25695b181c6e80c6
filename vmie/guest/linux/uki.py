"""What is inside a unified kernel image: sections of a PE file, ``.cmdline`` and ``.osrel``.

https://uapi-group.org/specifications/specs/unified_kernel_image/
"""

from __future__ import annotations

import struct

from vmie.guest.tree import Tree

_HEAD = 4096
_MAX_SECTIONS = 96
_MAX_TEXT = 8192


def cmdline(tree: Tree, path: str) -> str:
    """The options of the image at `path`, "" where it has none or is no such image."""
    return section(tree, path, ".cmdline").strip()


def section(tree: Tree, path: str, name: str) -> str:
    """A section of the image at `path` as text, "" where there is none."""
    head = tree.read(path, limit=_HEAD) or b""
    if head[:2] != b"MZ" or len(head) < 64:
        return ""
    at = int.from_bytes(head[60:64], "little")
    if head[at : at + 4] != b"PE\0\0" or len(head) < at + 24:
        return ""
    count, optional = struct.unpack_from("<H12xH", head, at + 6)
    for number in range(min(count, _MAX_SECTIONS)):
        entry = head[at + 24 + optional + 40 * number :][:40]
        if len(entry) == 40 and entry[:8].rstrip(b"\0") == name.encode():
            virtual, _, size, offset = struct.unpack_from("<IIII", entry, 8)
            text = tree.read(path, limit=min(virtual or size, size, _MAX_TEXT), offset=offset) or b""
            return text.rstrip(b"\0").decode("utf-8", "replace")
    return ""
