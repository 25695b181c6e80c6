"""A repair on the way of an import: each disk is opened with a layer over it, the same each time.

A layer rests on nothing but the content of the machine's disks: what goes on after an interruption makes it again, and
sees by its digest that it is the one that was begun with.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from vmie.checks import Subject
from vmie.disk.base import Disk
from vmie.disk.overlay import Overlay
from vmie.errors import ImageError
from vmie.guest.facts import GuestFacts
from vmie.ops.check_inputs import Opened, open_machine
from vmie.ops.file_identity import FileIdentity
from vmie.ops.repair import diff, layer, mend, statement
from vmie.repair import Repair

#: of an import's results
TAG = "vmie:repaired"
#: characters of a tag's value
_TAG_MOST = 256
#: the code of a layer that is not the one that was begun with
LAYER_CHANGED = "LayerChanged"
_Changes = list[tuple[int, bytes]]


class Mended(Protocol):
    """What is sent: the local files of the machine that is mended, () for none, and which machine of them it is."""

    @property
    def repair_of(self) -> tuple[str, ...]:
        """The paths."""

    @property
    def machine(self) -> str:
        """Its id or name, "" for the only one."""

    @property
    def empty_disks(self) -> bool:
        """Whether disks without a file are made."""


@dataclass(frozen=True, slots=True)
class MachineRepair:
    """What mending a machine comes to: `layers` by the name of each disk."""

    done: Repair
    layers: Mapping[str, _Changes]

    def digest(self, path: Path, index: int | None) -> str:
        """Of the layer over a disk, "" where nothing of it is changed."""
        return _digest(self.layers[_name(path, index)])

    def as_json(self) -> dict[str, Any]:
        """The statement that a journal and an import's result keep: changes as diffs, where `repair` has contents."""
        return {
            **statement(self.done),
            "changes": [
                {
                    "path": one.path,
                    "where": one.where,
                    "rules": list(one.rules),
                    "why": [reason.why for reason in one.reasons],
                    "diff": diff(one),
                }
                for one in self.done.changes
            ],
        }


def of(selected: Mended) -> MachineRepair:
    """Mend the machine, in memory. Raises ImageError."""
    identities = tuple(FileIdentity.of(Path(one)) for one in selected.repair_of)
    return _mended(selected.repair_of, identities, selected.machine, selected.empty_disks)


@lru_cache(maxsize=2)
def _mended(
    paths: tuple[str, ...],
    _identities: tuple[FileIdentity, ...],
    machine: str,
    empty_disks: bool,
) -> MachineRepair:
    """What mending files of these identities comes to.

    Kept for the next look at the same machine: its check, its plan and each disk that is sent ask for it, and an
    initramfs that is compressed anew takes a minute.
    """
    with open_machine([Path(one) for one in paths], machine=machine, empty_disks=empty_disks) as opened:
        if opened.error is not None:
            raise opened.error
        # The day decides about support that ended, which nothing mends: a layer rests on the content alone.
        subject = Subject(tuple(opened.images), GuestFacts(), opened.machine, today=dt.date(2026, 1, 1))
        layers = [layer(one) for one in opened.disks]
        done = mend(layers, subject, path=paths[0])
        found = {image.path: one.changes() for image, one in zip(opened.images, layers, strict=True)}
    return MachineRepair(done, found)


def apply_layers(opened: Opened, *, machine: str, empty_disks: bool) -> None:
    """Put the layers over the disks of an open machine. Raises ImageError."""
    paths = tuple(map(str, opened.paths))
    made = _mended(paths, tuple(map(FileIdentity.of, opened.paths)), machine, empty_disks)
    opened.disks = [
        _with_changes(one, made.layers[image.path]) for image, one in zip(opened.images, opened.disks, strict=True)
    ]


def layered(identity: FileIdentity, path: Path, index: int | None, repaired: MachineRepair | None) -> FileIdentity:
    """The identity of a disk that is sent with its layer."""
    return identity if repaired is None else replace(identity, layer=repaired.digest(path, index))


def over(disk: Disk, path: Path, index: int | None, selected: Mended, *, expected: str | None) -> Overlay:
    """`disk` with its layer; `expected` is the digest of the one that was begun with, None where that is not known.

    Raises ImageError (LayerChanged).
    """
    changes = of(selected).layers[_name(path, index)]
    if expected is not None and _digest(changes) != expected:
        raise ImageError(
            f"the repair of {path} comes to other changes than the import began with",
            cause="what was sent of it holds those of another version of vmie",
            cure="cancel the job, then begin anew",
            code=LAYER_CHANGED,
        )
    return _with_changes(disk, changes)


def _with_changes(disk: Disk, changes: Sequence[tuple[int, bytes]]) -> Overlay:
    found = layer(disk)
    for offset, data in changes:
        found.write(offset, data)
    return found


def _name(path: Path, index: int | None) -> str:
    """As `check_inputs` names the disks of a machine."""
    return f"{path}#{index}" if index else str(path)


def _digest(changes: Sequence[tuple[int, bytes]]) -> str:
    if not changes:
        return ""
    digest = hashlib.sha256()
    for offset, data in changes:
        digest.update(b"%d %d " % (offset, len(data)))
        digest.update(data)
    return digest.hexdigest()


def tags(statement: Mapping[str, Any]) -> dict[str, str]:
    """The tag that says which rules were mended, as many as fit; none where nothing was changed."""
    if not statement.get("changes"):
        return {}
    value = ""
    for rule in statement["mended"] or ["yes"]:
        longer = f"{value} {rule}".strip()
        if len(longer) > _TAG_MOST:
            break
        value = longer
    return {TAG: value}
