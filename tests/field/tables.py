"""Partition tables: images of util-linux's libblkid and of dissect.volume, and what their tests say is in them.

https://github.com/util-linux/util-linux/tree/master/tests/ts/blkid/images-pt
https://github.com/fox-it/dissect.volume/tree/main/tests/disk
"""

from __future__ import annotations

import ast
import gzip
import lzma
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from tests.field.corpora import Folder
from tests.field.judging import Case, Said
from tests.guests import Bytes
from vmie.guest.partitions import layout

NAME = "tables"
CORPORA = ("util-linux", "dissect.volume")
TOOLS = ()
#: dissect's tests read the first sectors of disks of any size
_SIZE = 4 << 40

Rows = tuple[tuple[int, int, int, str], ...]


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """One case a disk: number, first byte, length and type of each partition."""
    yield from _blkid(folders["util-linux"].root / "tests")
    yield from _dissect(folders["dissect.volume"].root / "tests")


def _blkid(tests: Path) -> Iterator[Case]:
    for packed in sorted((tests / "ts/blkid/images-pt").glob("*.img.xz")):
        name = packed.name.removesuffix(".img.xz")
        said = (tests / "expected/blkid" / f"lowprobe-pt-{name}").read_text()
        rows = []
        for number, start, size, kind, rest in re.findall(r"^#(\d+):\s+(\d+)\s+(\d+)\s+0x(\w+)(.*)$", said, re.M):
            guid = re.search(r"type='([^']+)'", rest)
            if "(" not in rest or "(dos)" in rest:  # partitions inside of a partition are not the table's
                rows.append((int(number), int(start) << 9, int(size) << 9, _type(guid[1] if guid else kind)))
        data = lzma.decompress(packed.read_bytes())
        yield Case(f"util-linux {name}", tuple(rows), partial(_read, data, len(data)))


def _dissect(tests: Path) -> Iterator[Case]:
    """A test's asserts `d.partitions[N].offset == …`; those of BSD's labels list what lies inside partitions."""
    for source in ("test_gpt.py", "test_mbr.py", "test_apm.py"):
        for test in ast.parse((tests / "disk" / source).read_text()).body:
            if not isinstance(test, ast.FunctionDef) or not test.args.args:
                continue
            image = next(tests.glob(f"_data/disk/{test.args.args[0].arg}.bin*"))
            rows = _rows(test)
            if rows and "invalid" not in test.name:
                data = image.read_bytes()
                data = gzip.decompress(data) if image.suffix == ".gz" else data
                yield Case(f"dissect {test.name}", rows, partial(_read, data, _SIZE))


def _rows(test: ast.FunctionDef) -> Rows:
    found: dict[int, dict[str, object]] = {}
    for line in ast.walk(test):
        if isinstance(line, ast.Compare):
            part = re.fullmatch(r"d\.partitions\[(\d+)\]\.(number|offset|size|type)", ast.unparse(line.left))
            if part:
                value = line.comparators[0]
                guid = isinstance(value, ast.Call)
                inner = value.args[0] if guid else value
                found.setdefault(int(part[1]), {})[part[2]] = ast.literal_eval(inner)
                found[int(part[1])]["guid"] = guid
    rows = [found[each] for each in sorted(found) if "size" in found[each]]
    gpt = any(row["guid"] for row in rows)
    # dissect counts entries of a hybrid MBR too, and a GPT partition without its last sector
    less = 0 if not gpt else 4096 if "4k" in test.name else 512
    kept = [row for row in rows if row["guid"] or not gpt]
    return tuple((row["number"], row["offset"], row["size"] + less, _type(row["type"])) for row in kept)  # type: ignore[operator, misc]


def _type(kind: object) -> str:
    return (f"{kind:02x}" if isinstance(kind, int) else str(kind)).zfill(2).lower()


def _read(data: bytes, size: int) -> object:
    found, _ = layout(Bytes(data, size))
    if found.table == "none":
        return Said.UNKNOWN
    return tuple((part.number, part.start, part.length, _type(part.type)) for part in found.partitions)
