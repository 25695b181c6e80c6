"""Disk images that other programs wrote, from the tests of QEMU and COT. The judge is qemu-img.

https://gitlab.com/qemu-project/qemu/-/tree/master/tests/qemu-iotests/sample_images
"""

from __future__ import annotations

import bz2
import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from tests.field.corpora import Folder
from tests.field.judging import Case, Said
from tests.tools import find
from vmie import library
from vmie.model import Verdict

NAME = "disks"
CORPORA = ("qemu", "cot")
TOOLS = ("qemu-img",)
_SAME, _READ = "identical", "read"


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """Two cases an image: converted to raw, it is what qemu-img reads in it; and `vmie check` reads it, or says not.

    What qemu-img refuses is to be refused.
    """
    found = [
        *sorted((folders["qemu"].root / "tests/qemu-iotests/sample_images").glob("*.bz2")),
        *sorted((folders["cot"].root / "COT/tests").glob("*.vmdk")),
    ]
    for packed in found:
        data = packed.read_bytes()
        image = work / packed.name.removesuffix(".bz2")
        image.write_bytes(bz2.decompress(data) if packed.suffix == ".bz2" else data)
        read = _read(image)
        yield Case(image.name, (_SAME, read[1]) if read else Said.REFUSED, partial(_converted, image, read))
        yield Case(f"{image.name} checked", _READ if read else Said.REFUSED, partial(_checked, image))


def _img(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    program = find("qemu-img") or "qemu-img"
    return subprocess.run([program, *map(str, argv)], capture_output=True, text=True, timeout=120, check=False)


def _read(image: Path) -> tuple[str, int] | None:
    """Format and size as qemu-img has them, None for what it cannot read to its end."""
    done = _img("info", "--output=json", image)
    if done.returncode != 0:
        return None
    info = json.loads(done.stdout)
    target = image.with_suffix(".judge")
    read = _img("convert", "-f", info["format"], "-O", "raw", image, target)
    target.unlink(missing_ok=True)
    return (info["format"], info["virtual-size"]) if read.returncode == 0 else None


def _converted(image: Path, read: tuple[str, int] | None) -> tuple[str, int]:
    target = image.with_suffix(".out.raw")
    library.convert(image, target)
    done = _img("compare", "-f", read[0] if read else "raw", "-F", "raw", image, target)
    size = target.stat().st_size
    target.unlink()
    return (_SAME if done.returncode == 0 else done.stdout.strip() + done.stderr.strip(), size)


def _checked(image: Path) -> object:
    found = library.check(image).images[0]
    if found.error is None:
        return _READ
    assert set(found.verdict.values()) == {Verdict.FAIL}
    return Said.REFUSED
