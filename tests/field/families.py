"""The families, and how one is run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.field import (
    btrfs,
    cloud_network,
    config_files,
    contents,
    corpora,
    disks,
    ds_identify,
    ext,
    hives,
    netplan,
    os_release,
    ovf,
    systemd,
    tables,
    volumes,
)
from tests.field.corpora import Folder, MissingError
from tests.field.judging import Case, Tally, tally
from tests.tools import find


class Family(Protocol):
    """A module: its name, what it reads, the programs it asks, and its cases. `work` is a folder for its own files."""

    NAME: str
    CORPORA: tuple[str, ...]
    TOOLS: tuple[str, ...]

    def cases(self, folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
        """All of them, in a steady order."""


FAMILIES: tuple[Family, ...] = (
    disks,
    ovf,
    tables,
    volumes,
    contents,
    ext,
    btrfs,
    hives,
    os_release,
    netplan,
    cloud_network,
    ds_identify,
    config_files,
    systemd,
)
#: those of `make test`: small downloads, and together a few seconds
SLICE: tuple[Family, ...] = (contents, os_release, netplan, cloud_network, ds_identify, config_files)


def chosen(names: Sequence[str]) -> list[Family]:
    """The families of these names; none is all."""
    unknown = set(names) - {family.NAME for family in FAMILIES}
    if unknown:
        raise SystemExit(f"no such family: {', '.join(sorted(unknown))}")
    return [family for family in FAMILIES if not names or family.NAME in names]


def run(family: Family) -> Tally:
    """Judge a family's cases; what cannot be had is named in `missing`, and nothing is judged then."""
    folders, missing = {}, []
    for name in family.CORPORA:
        try:
            folders[name] = corpora.folder(name)
        except MissingError as error:
            missing.append(str(error))
    missing += [f"the program {name}" for name in family.TOOLS if find(name) is None]
    if missing:
        return Tally(family.NAME, missing=missing)
    begin = time.process_time()
    with tempfile.TemporaryDirectory(prefix="vmie-field-") as work:
        done = tally(family.NAME, family.cases(folders, Path(work)))
    done.seconds = time.process_time() - begin
    return done
