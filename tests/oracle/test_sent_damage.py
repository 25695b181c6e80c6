"""Random damage to images that are sent as they are, with qemu-img as the judge of what is damage."""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.tools import find, run, sized
from vmie.errors import ImageError
from vmie.ops.payloads import FilePayload

MIB = 1 << 20
SIZE = 48 * MIB


@dataclass(frozen=True)
class Sent:
    """`format` and `options` are qemu-img's; vmie writes the image where there are no options.

    `stricter`: words of ours where the specification, or AWS, calls damage what qemu-img reads.
    """

    suffix: str
    format: str
    options: str = ""
    stricter: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.format}-{self.suffix}-{'qemu' if self.options else 'vmie'}"

    def write(self, raw: Path, folder: Path) -> Path:
        image = folder / f"image.{self.suffix}"
        if self.options:
            run(["qemu-img", "convert", "-f", "raw", "-O", self.format, "-o", self.options, raw, image])
        else:
            from vmie.ops import convert

            convert.apply(convert.plan(raw, image))
        return image


SENT = (
    Sent("vmdk", "vmdk", "subformat=streamOptimized"),
    Sent("vmdk", "vmdk"),
    # AWS's page: the two footers of a VHD must be the same; the specification: a dynamic header has a checksum
    Sent("vhd", "vpc", "subformat=dynamic,force_size=on", ("its footer", "false checksum")),
    # [MS-VHDX] 2.5.1.1: there is no state 4 or 5
    Sent("vhdx", "vhdx", "subformat=dynamic,block_size=1M", ("has state",)),
    Sent("vhd", "vpc", "subformat=fixed,force_size=on", ("false checksum",)),
)


def damage(data: bytearray, chance: random.Random, sectors: list[int]) -> None:
    base = chance.choice(sectors)
    at = chance.choice([at for at in range(base, min(base + 512, len(data))) if data[at]])
    kind = chance.choice(("flip", "random", "zeros", "copy", "cut"))
    if kind == "flip":
        data[at] ^= 1 << chance.randrange(8)
    elif kind == "random":
        data[at : at + 4] = chance.randbytes(len(data[at : at + 4]))
    elif kind == "zeros":
        data[at : at + 16] = bytes(len(data[at : at + 16]))
    elif kind == "copy":
        at = at // 4 * 4
        data[at : at + 4] = data[at + 4 : at + 8].ljust(4, b"\0")
    else:
        del data[at:]


def by_qemu(image: Path, form: str, whole: str) -> str:
    out = image.with_suffix(".out")
    program = find("qemu-img")
    assert program
    argv = [program, "convert", "-f", form, "-O", "raw", str(image), str(out)]
    if subprocess.run(argv, capture_output=True, check=False, timeout=60).returncode:
        return "error"
    return "same" if hashlib.sha256(out.read_bytes()).hexdigest() == whole else "differs"


def by_vmie(image: Path) -> tuple[str, str]:
    """Whether it would be sent, sent with a word, or refused; and the word."""
    try:
        payload = FilePayload(image, image.stat().st_size, verify=True)
        try:
            for part in payload.parts(MIB):
                part.digest("sha256")
            payload.settle()
        finally:
            payload.close()
    except ImageError as error:
        return "refused", f"{error.message}: {error.cause}"
    return ("noted", payload.notes[0]) if payload.notes else ("sent", "")


@pytest.mark.parametrize("rounds", sized(25, 200))
@pytest.mark.parametrize("sent", SENT, ids=str)
def test_what_qemu_cannot_read_is_not_sent_silently_and_what_it_reads_is_sent(
    sent: Sent, rounds: int, tmp_path: Path
) -> None:
    chance = random.Random(f"{sent}")
    raw = tmp_path / "raw"
    with raw.open("wb") as file:
        for at in (0, 5 * MIB, 40 * MIB):
            file.seek(at)
            file.write(chance.randbytes(150_016).translate(bytes(range(64)) * 4) if at else b"a text. " * 20_480)
        file.truncate(SIZE)
    whole = hashlib.sha256(raw.read_bytes()).hexdigest()
    image = sent.write(raw, tmp_path)
    sound = image.read_bytes()
    assert (by_qemu(image, sent.format, whole), by_vmie(image)) == ("same", ("sent", ""))
    # Of formats whose data has nothing by which damage would show, the tables and headers: mostly zeros.
    least = 0 if sent.format == "vmdk" else 200
    sectors = [at for at in range(0, len(sound), 512) if least <= sound[at : at + 512].count(0) < 512]
    seen: Counter[tuple[str, str]] = Counter()
    for _ in range(rounds):
        data = bytearray(sound)
        damage(data, chance, sectors)
        if data == sound:
            continue
        image.write_bytes(data)
        theirs, (ours, said) = by_qemu(image, sent.format, whole), by_vmie(image)
        seen[theirs, ours] += 1
        if theirs != "same":
            assert ours != "sent", f"qemu-img: {theirs}"
        elif ours == "refused":
            assert any(words in said for words in sent.stricter), said
    assert sum(seen[theirs, "refused"] for theirs in ("error", "differs")) > rounds // 15
