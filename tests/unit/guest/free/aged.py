"""Disks of machines that have lived: files came, and some of them went."""

from __future__ import annotations

import random
from pathlib import Path

from tests.guests import MIB, mbr, mbr_entry, put
from tests.tools import need, run

#: in every block of a file that is deleted
DELETED = b"this was deleted"


def aged(path: Path, *, mib: int = 64, files: int = 30, deleted: int = 20) -> Path:
    """An ext4 of `mib` MiB behind a table, with `files` of 512 KiB each of which `deleted` were removed again."""
    need("mke2fs", "debugfs")
    folder = path.with_name("files")
    folder.mkdir()
    mixed = random.Random(11)
    for number in range(files):
        going = number < deleted
        data = DELETED * 256 if going else mixed.randbytes(4096)
        (folder / f"file{number:02}").write_bytes((data + mixed.randbytes(4096)) * 64)
    part = path.with_name("part")
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", folder, part, f"{mib}m"])
    commands = path.with_name("commands")
    commands.write_text("".join(f"rm file{number:02}\n" for number in range(deleted)))
    run(["debugfs", "-w", "-f", commands, part])
    path.write_bytes(mbr(mbr_entry(0x83, 2048, mib * 2048)))
    with path.open("r+b") as file:
        file.truncate((mib + 2) * MIB)
    put(path, part, at=MIB)
    for one in (part, commands, *folder.iterdir()):
        one.unlink()
    folder.rmdir()
    return path
