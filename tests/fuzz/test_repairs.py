"""Guests whose file systems and files are damaged: a repair ends, and writes nothing but its layer."""

from __future__ import annotations

import datetime as dt
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_repair import GUEST
from tests.fuzz import harness
from tests.fuzz.sizes import inputs
from tests.guests import MIB, mbr, mbr_entry, put
from tests.linux_guest import linux_disk, xfs
from tests.tools import need
from vmie import disk
from vmie.checks import CheckedDisk, Subject
from vmie.disk.base import Disk
from vmie.disk.overlay import Overlay
from vmie.ops import repair as op
from vmie.ops.repair import RepairResult

_SECTOR = 512
_MOST_SEEDS = 4000
_SUBJECT = Subject((CheckedDisk(),), today=dt.date(2026, 1, 1))
#: what a text may say where something else is expected
_WORDS = (
    *(
        b"root=",
        b"/dev/sda1",
        b"UUID=",
        b"UUID=../../x",
        b"\\040",
        b"iface",
        b"address",
        b"[Match]",
        b"Name=",
        b"\n[\n",
    ),
    *(
        b"menuentry '",
        b"linux ",
        b"${kernelopts}",
        b"search --fs-uuid ",
        b"\x1b[31m",
        b"\xff\xfe",
        b"\0",
        b"#" * 99,
        b'"',
    ),
)


@dataclass(frozen=True)
class _Seed:
    """A sound guest, and the sectors of it that hold something."""

    base: Disk
    sectors: list[int]


def _seed(path: Path) -> _Seed:
    data = path.read_bytes()
    held = [match.start() for match in re.finditer(rb"(?s)[^\0]", data[: 64 * MIB])]
    sectors = sorted({at // _SECTOR for at in held})
    return _Seed(disk.open(path), sectors[:_MOST_SEEDS])


def _of_xfs(folder: Path) -> Path:
    """The same files on XFS."""
    volume, target = xfs(folder / "xfs.part", folder / "ext4.root"), folder / "xfs.raw"
    target.write_bytes(mbr(mbr_entry(0x83, 2048, 300 * 2048, active=True)))
    with target.open("r+b") as file:
        file.truncate(301 * MIB)
    put(target, volume, at=MIB)
    return target


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[_Seed]:
    need("mke2fs")
    folder = tmp_path_factory.mktemp("seeds")
    return [_seed(linux_disk(folder / "ext4.raw", GUEST, size=8)), _seed(_of_xfs(folder))]


def _make(rng: random.Random, seeds: list[_Seed]) -> Overlay:
    """A guest with some of its sectors changed."""
    seed = rng.choices(seeds, weights=(3, 1))[0]
    damaged = Overlay(seed.base)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.choice(seed.sectors) * _SECTOR + rng.randrange(_SECTOR)
        old = damaged.read(at, 8)
        new = rng.choice(
            (
                bytes([old[0] ^ 1 << rng.randrange(8)]),
                rng.randbytes(rng.choice((1, 2, 4, 8))),
                b"\xff" * rng.choice((1, 4, 8)),
                bytes(rng.choice((1, 4, _SECTOR))),
                rng.choice(_WORDS),
            )
        )
        damaged.write(at, new[: damaged.size - at])
    return damaged


def _read(damaged: Overlay) -> None:
    """Mend it; what lies below the layer is as it was, and mending the mended changes nothing that it can see."""
    before = damaged.changes()
    layer = Overlay(damaged)
    done = op.mend([layer], _SUBJECT)
    assert damaged.changes() == before
    assert all(at >= 0 and at + len(data) <= layer.size for at, data in layer.changes())
    assert bool(done.changes) == bool(layer.changes())
    result: dict[str, Any] = RepairResult((Path("guest.raw"),), done).as_json()
    text = "\n".join(line for change in done.changes for line in op.diff(change))
    harness.printed(result, text)


@pytest.mark.parametrize("count", inputs("repairs"))
def test_damaged_guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: list[_Seed], count: int) -> None:
    folder = tmp_path / "work"
    unpacked = folder / "unpacked"
    unpacked.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(unpacked))  # of large initramfs files, without names
    tally = harness.run("repairs", count, folder=folder, make=lambda rng: _make(rng, seeds), read=_read)
    print(f"\n{tally.text()}")
    assert not tally.faults, "\n\n".join(tally.faults.values())
    assert tally.results == count  # what cannot be mended is said in a result
