"""File systems and containers by their superblocks: the images and expectations of util-linux's libblkid.

https://github.com/util-linux/util-linux/tree/master/tests/ts/blkid
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from tests.field.corpora import Folder
from tests.field.judging import Case, Said
from tests.guests import Bytes
from vmie.guest.recognise import EMPTY, UNKNOWN, recognise

NAME = "contents"
CORPORA = ("util-linux",)
TOOLS = ()
#: vmie's words for libblkid's; those that are missing here are the same
_WORDS = {
    "vfat": "fat",
    "crypto_LUKS": "luks",
    "LVM2_member": "lvm2",
    "linux_raid_member": "md",
    "zfs_member": "zfs",
    "VMFS": "vmfs",
    "VMFS_volume_member": "vmfs",
    "jbd": "ext-journal",
    "swsuspend": "swap",
}
_KEYS = ("ID_FS_TYPE", "ID_FS_LABEL_ENC", "ID_FS_UUID_ENC")


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """One case an image: kind, label and UUID."""
    tests = folders["util-linux"].root / "tests"
    for packed in sorted((tests / "ts/blkid/images-fs").glob("*.img.xz")):
        said = tests / "expected/blkid" / f"low-probe-{packed.name.removesuffix('.img.xz')}"
        if said.exists():
            lines = dict(line.split("=", 1) for line in said.read_text().splitlines() if "=" in line)
            kind, label, uuid = (_plain(lines.get(key, "")) for key in _KEYS)
            expected = (_WORDS.get(kind, kind), label, uuid)
            yield Case(packed.name, expected, partial(_recognised, packed, expected))


def _plain(text: str) -> str:
    """udev's escapes: \\x20 for a space."""
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode())
    return raw.decode(errors="replace")


def _recognised(packed: Path, expected: tuple[str, str, str]) -> object:
    found = recognise(Bytes(lzma.decompress(packed.read_bytes())))
    if found.kind in (UNKNOWN, EMPTY):
        return Said.UNKNOWN
    # A name that is not told is no wrong name: what is told has to be right. libblkid leaves a label in an old code
    # page as it is, and has no name for an array of metadata 0.90, whose number stands for it.
    compared = found.label and "\ufffd" not in expected[1] and found.kind != "md"
    return (found.kind, found.label if compared else expected[1], found.uuid or expected[2])
