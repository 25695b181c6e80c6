"""Content that is no disk: what a file surely is by its own signature, and what to do with it.

Any bytes are a raw disk, so that a zip or a web page saved in place of an image would become a snapshot. What is known
to be something else is named; a partition table, or the superblock of a file system that leaves the first
sectors alone, outweighs what those sectors begin with.
"""

from __future__ import annotations

import re

from vmie.disk.base import SECTOR, Source
from vmie.errors import Action, Do, ImageError, Run

#: the code of the error about a file that is no disk
NOT_A_DISK = "NotADisk"

#: (first bytes, kind): content by its beginning
_MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"PK\x07\x08PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"LZIP\x01", "lzip"),
    (b"\x5d\x00\x00\x80\x00", "lzma"),
    (b"\x89LZO\x00\r\n\x1a\n", "lzop"),
    (b"MSCF\x00\x00\x00\x00", "cab"),
    (b"xar!\x00\x1c", "xar"),
    (b"070701", "cpio"),
    (b"070707", "cpio"),
    (b"!<arch>\n", "ar"),
    (b"\xed\xab\xee\xdb", "rpm"),
    (b"MSWIM\x00\x00\x00", "wim"),
    (b"QED\x00", "qed"),
    (b"WithoutFreeSpace", "parallels"),
    (b"WithouFreSpacExt", "parallels"),
    (b"Bochs Virtual HD Image\x00", "bochs"),
    (b"#!/bin/sh\n#V2.0 Format\n", "cloop"),
    (b"EVF\x09\x0d\x0a\xff\x00", "e01"),
    (b"EVF2\x0d\x0a\x81\x00", "ex01"),
    (b"LVF\x09\x0d\x0a\xff\x00", "e01"),
    (b"AFF10\x0d\x0a\x00", "aff"),
    (b"VMA\x00", "proxmox-vma"),
    (b"PBS-", "proxmox-backup"),
    (b"partclone-image", "partclone"),
    (b"%PDF-", "pdf"),
    (b"%!PS-", "postscript"),
    (b"{\\rtf", "text"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "office-document"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"OggS\x00", "ogg"),
    (b"fLaC\x00", "flac"),
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"SQLite format 3\x00", "sqlite"),
    (b"\x7fELF", "elf"),
    (b"\xca\xfe\xba\xbe", "java-class"),
    (b"\xcf\xfa\xed\xfe", "macho"),
    (b"LUKS\xba\xbe", "luks"),
    (b"hsqs", "squashfs"),
)
#: beginnings that are recognised by more than their first bytes
_SHAPES: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"BZh[1-9]"), "bzip2"),
    (re.compile(rb"\x1f\x9d[\x8c-\x90]"), "compress"),
    (re.compile(rb"\xff\xd8\xff[\xc0-\xfe]..(JFIF|Exif|ICC_|Adobe|\0)", re.DOTALL), "jpeg"),
    (re.compile(rb"RIFF....(WAVE|AVI |WEBP)", re.DOTALL), "riff"),
    (re.compile(rb"ID3[\x02-\x04]\0"), "mp3"),
    (re.compile(rb"#![ /][\x20-\x7e]{2,120}\n"), "script"),
)
#: what may well be a disk all the same: that is said, and it is read
_PERHAPS_A_DISK = frozenset({"luks", "squashfs", "iso9660-hybrid"})
#: shorter magics may begin boot code by chance: a boot signature outweighs them
_FIRM = 6
#: superblocks behind the first sectors, which such a file system leaves to whatever was there
_SUPERBLOCKS: tuple[tuple[int, bytes], ...] = (
    (1024 + 56, b"\x53\xef"),
    (1024, b"\x10\x20\xf5\xf2"),
    *((sector * SECTOR, b"LABELONE") for sector in range(4)),
    (4096, b"\xfc\x4e\x2b\xa9"),
    (32768, b"JFS1"),
    (65536 + 64, b"_BHRfS_M"),
    (65536 + 52, b"ReIsEr"),
    (4086, b"SWAPSPACE2"),
    (4086, b"SWAP-SPACE"),
)
#: places of a file that are looked at before all of it is called text
_SAMPLES = 32
_MIB = 1 << 20
_ISO_AT = 32768
_ISO_BLOCK = 2048
#: isohybrid and xorriso pad an image to whole cylinders, and add a backup GPT
_ISO_PADDING = 16 << 20


def facts_of(source: Source, *, whole: bool = True) -> dict[str, str | None]:
    """``looks_like``, the kind of content, and ``no_disk``, what it is in words where it is surely no disk; or None.

    `whole` False: `source` is only the beginning of the content, so that its end shows nothing.
    """
    kind = _kind(source, whole=whole)
    surely = kind not in _PERHAPS_A_DISK and (kind != "text" or (whole and _all_text(source)))
    words = _NAMES.get(kind, f"{kind} data") if kind else ""
    if kind == "text" and surely:
        words = _text_in_words(source)
    return {"looks_like": kind, "no_disk": words if kind and surely else None}


def _kind(source: Source, *, whole: bool) -> str | None:
    if whole and source.size >= SECTOR and is_dmg_end(source.pread(source.size - SECTOR, SECTOR)):
        return "dmg"
    head = source.pread(0, 4096)
    parted = is_partitioned(source)
    if source.pread(_ISO_AT + 1, 5) == b"CD001":
        return _iso(source, parted=parted, whole=whole)
    if parted or any(source.pread(offset, len(magic)) == magic for offset, magic in _SUPERBLOCKS):
        return None
    signed = head[510:512] == b"\x55\xaa"
    for magic, name in _MAGICS:
        if head.startswith(magic) and (len(magic) >= _FIRM or not signed):
            return name
    if signed:
        return None
    shaped = next((name for pattern, name in _SHAPES if pattern.match(head)), None)
    return shaped or ("windows-executable" if _is_program(head) else "text" if _as_text(head) is not None else None)


def is_dmg_end(sector: bytes) -> bool:
    """Whether a file that ends in `sector` is an Apple disk image (UDIF): its trailer, version 4, 512 bytes long."""
    return sector.startswith(b"koly\x00\x00\x00\x04\x00\x00\x02\x00")


def is_partitioned(source: Source) -> bool:
    """Whether there is a GPT, or a boot signature with an entry of an MBR that can be one."""
    head = source.pread(0, 520)
    if head[512:520] == b"EFI PART" or source.pread(4096, 8) == b"EFI PART":
        return True
    entries = (head[at : at + 16] for at in range(446, 510, 16))
    return head[510:512] == b"\x55\xaa" and any(
        entry[0] in (0, 0x80) and entry[4] and any(entry[12:16]) for entry in entries
    )


def _iso(source: Source, *, parted: bool, whole: bool) -> str | None:
    """A CD's image; one with a partition table, as for a USB stick, unless it is a rest on some other disk."""
    if not parted:
        return "iso9660"
    volume = int.from_bytes(source.pread(_ISO_AT + 80, 4), "little") * _ISO_BLOCK
    if whole and not -_ISO_PADDING <= source.size - volume <= _ISO_PADDING:
        return None
    return "iso9660" if source.name.lower().endswith(".iso") else "iso9660-hybrid"


def _is_program(head: bytes) -> bool:
    """Whether it begins as a program for DOS or Windows does: MZ, and where that says, the header of the real one."""
    at = int.from_bytes(head[60:64], "little")
    return head.startswith(b"MZ") and head[at : at + 2] in (b"PE", b"NE", b"LE", b"LX")


def _all_text(source: Source) -> bool:
    """Whether a file is text all the way, by samples: lines of it, not one letter over and over.

    Of whole mebibytes it may be a disk that somebody filled so: no text has just that length.
    """
    head = source.pread(0, 4096)
    if source.size % _MIB == 0 or (len(head) == 4096 and b"\n" not in head):
        return False
    places = range(4096, source.size, max(4096, source.size // _SAMPLES))
    return all(_as_text(source.pread(at, 4096), cut=True) is not None for at in (*places, max(0, source.size - 512)))


def _text_in_words(source: Source) -> str:
    start = (_as_text(source.pread(0, 4096)) or "").lstrip("\ufeff \t\r\n")[:1024].lower()
    if start.startswith("<!doctype html") or ("<html" in start and start.startswith("<")):
        return _NAMES["html"]
    return _NAMES["xml"] if start.startswith("<?xml") else _NAMES["text"]


def _as_text(head: bytes, *, cut: bool = False) -> str | None:
    """`head` as text, None where it is none; `cut`: it begins in the middle, perhaps of a character."""
    if cut:
        head = head.lstrip(bytes(range(0x80, 0xC0)))
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    if not head or (encoding == "utf-8" and b"\x00" in head):
        return None
    try:
        text = head.decode(encoding)
    except UnicodeDecodeError as error:
        if error.start <= len(head) - 4:
            return None  # not merely cut within a character
        text = head[: error.start].decode(encoding)
    return text if all(letter >= " " or letter in "\t\n\r\f\x1b" for letter in text) else None


# --- what it is in words, and what to do ----------------------------------------------------------------------

_NAMES = {
    "zip": "a zip archive",
    "7z": "a 7z archive",
    "rar": "a rar archive",
    "cab": "a Windows cabinet (cab)",
    "ar": "an ar archive (a .deb package?)",
    "rpm": "an rpm package",
    "iso9660": "the image of a CD or DVD (iso9660)",
    "dmg": "an Apple disk image (dmg, UDIF)",
    "e01": "an EnCase image (e01, EWF)",
    "ex01": "an EnCase image (ex01, EWF 2)",
    "aff": "an image in the Advanced Forensic Format (aff)",
    "parallels": "a Parallels disk (parallels)",
    "bochs": "a Bochs disk (bochs)",
    "qed": "a QEMU enhanced disk (qed)",
    "cloop": "a compressed loop image (cloop)",
    "wim": "a Windows imaging file (wim)",
    "partclone": "a partclone image",
    "proxmox-vma": "a Proxmox backup (vma)",
    "proxmox-backup": "an archive of Proxmox Backup Server",
    "html": "a web page (html)",
    "xml": "an XML document (text)",
    "text": "text",
    "script": "a script",
    "pdf": "a pdf document",
    "elf": "a program (elf)",
    "windows-executable": "a Windows program",
    "sqlite": "an sqlite database",
}
#: what qemu-img reads and vmie does not
_BY_QEMU = {"dmg": "dmg", "parallels": "parallels", "bochs": "bochs", "qed": "qed", "cloop": "cloop"}
#: programs that unpack a file, whatever it is called
_UNPACK: dict[str, tuple[str, ...]] = {
    "zip": ("unzip", "FILE"),
    "7z": ("7z", "x", "FILE"),
    "rar": ("unrar", "x", "FILE"),
    "cab": ("cabextract", "FILE"),
    "xar": ("xar", "-xf", "FILE"),
    "rpm": ("rpm2archive", "FILE"),
    "bzip2": ("bunzip2", "-k", "FILE"),
    "lz4": ("lz4", "-d", "FILE", "OUT"),
    "lzop": ("lzop", "-d", "FILE", "-o", "OUT"),
    "e01": ("ewfexport", "-f", "raw", "-t", "OUT", "FILE"),
    "ex01": ("ewfexport", "-f", "raw", "-t", "OUT", "FILE"),
    "aff": ("affconvert", "-r", "FILE"),
    "partclone": ("partclone.restore", "-C", "-s", "FILE", "-O", "OUT.raw"),
}
_BY_HAND = {
    "iso9660": "install a machine from it in a hypervisor, then give that machine's disk",
    _NAMES["html"]: "it was probably saved in place of the image: download that again",
    "wim": "apply it to a disk (DISM, wimlib), then give that disk",
    "proxmox-backup": "restore the machine's disk with proxmox-backup-client, then give that",
}


def expected_disk(source: Source, facts: dict[str, object]) -> None:
    """Raise ImageError, code `NOT_A_DISK`, where the facts of a raw disk say that it is surely none."""
    if words := facts.get("no_disk"):
        wrapper, named = (str(facts.get(name) or "") for name in ("wrapper", "named_as"))
        raise no_disk(source, str(facts["looks_like"]), words=str(words), inside=wrapper, named=named)


def no_disk(source: Source, kind: str, *, words: str = "", inside: str = "", named: str = "") -> ImageError:
    """The error about `source`, which is, or holds `inside` a pack, content of a `kind`.

    `words` say what it is, `named` what its name promises.
    """
    words = words or _NAMES.get(kind, f"{kind} data")
    what = f"holds, packed with {inside}, {words}" if inside else f"is {words}"
    return ImageError(
        f"{source.name} {what}: no disk that vmie reads",
        cause="its content is that of such a file" + (f"; it is not {named}, as its name says" if named else ""),
        cure=_cure(words if words == _NAMES["html"] else kind, str(source.path) if source.path and not inside else ""),
        code=NOT_A_DISK,
    )


def _cure(kind: str, path: str) -> tuple[Action, ...]:
    """The way to a disk: a command for the very file where there is one at `path`."""
    if kind in _BY_QEMU:
        by_qemu = ("qemu-img", "convert", "-f", _BY_QEMU[kind], "-O", "raw", path or "FILE", "OUT.raw")
        return (Run(by_qemu, "then give OUT.raw"),)
    if kind in _UNPACK:
        unpack = tuple(path or word if word == "FILE" else word for word in _UNPACK[kind])
        return (Run(unpack, "then give the disk image that comes out"),)
    return (Do(_BY_HAND.get(kind, "name the disk image itself, or export or download it again")),)
