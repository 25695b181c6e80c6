"""Which formats could be a file's, by what it begins with: the modules of the others need not be loaded.

A raw disk begins as no other format does, and is recognised without any. The modules' own `probe` has the last
word: what is said here may be too much, never too little.
"""

from __future__ import annotations

from vmie.disk.base import Source

_SIGNS: dict[str, tuple[tuple[int, bytes], ...]] = {
    "vhdx": ((0, b"vhdxfile"),),
    "qcow2": ((0, b"QFI\xfb"),),
    "vdi": ((64, b"\x7f\x10\xda\xbe"),),
    "vmdk": ((0, b"KDMV"), (0, b"COWD"), (0, b"\xbe\xba\xfe\xca")),
    "zip": ((0, b"PK"),),
    "vma": ((0, b"VMA\0"),),
    # gzip, xz, zstd and its skippable frames
    "wrapper": ((0, b"\x1f\x8b"), (0, b"\xfd7zXZ"), (0, b"\x28\xb5\x2f\xfd"), (1, b"\x2a\x4d\x18")),
}
#: formats that are text: what comes first in them, behind blanks, byte order marks and the zeros of UTF-16
_TEXT = {"vmdk": b"#vV", "ovf": b"<"}
_BLANKS = b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"
_HEAD = 512
#: where a tar header has its checksum, in octal digits
_TAR_SUM = slice(148, 156)


def possible(source: Source) -> frozenset[str]:
    """Formats that the first bytes of `source` do not rule out; those that show otherwise are always among them."""
    head = source.pread(0, _HEAD)
    found = {name for name, signs in _SIGNS.items() if any(head.startswith(sign, at) for at, sign in signs)}
    text = head.lstrip(_BLANKS)[:1]
    # Nothing but blanks: what follows them is not known.
    found |= {name for name, first in _TEXT.items() if (text in first if text else head.strip(b"\0"))}
    if head[_TAR_SUM].strip(b" \0").isdigit():
        found.add("ova")
    return frozenset(found | {"vhd", "raw"})
