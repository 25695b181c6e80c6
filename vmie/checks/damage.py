"""Damage of a container as hits: what was met when it was read, and what its tables say that cannot be so."""

from __future__ import annotations

from collections.abc import Iterator

from vmie.checks import predicted_messages
from vmie.checks.rule import Hit
from vmie.checks.sources import follows
from vmie.checks.subject import CheckedDisk
from vmie.disk.tables import TableFault
from vmie.errors import Run
from vmie.model import Verdict

_VERIFY = Run(("vmie", "check", "--verify", "FILE"), "reads all of it")


def hits(disk: CheckedDisk, *, index: int, as_is: bool) -> Iterator[Hit]:
    """The hits of the disk at `index`, which could be opened. `as_is`: nothing is converted."""
    if disk.damaged:
        yield Hit(disk.damaged[:400], cure=disk.damaged_cure or None, predicts=_predicts(disk))
    for fault in disk.faults:
        yield _hit(disk, fault, index=index, as_is=as_is)


def _hit(disk: CheckedDisk, fault: TableFault, *, index: int, as_is: bool) -> Hit:
    verdict = fault.as_is if fault.as_is and as_is else fault.verdict
    return Hit(
        fault.text,
        verdict,
        cure=_VERIFY if verdict is Verdict.UNKNOWN else None,
        predicts=predicted_messages.FOOTERS if fault.as_is else _predicts(disk),
        evidence=(follows(fault.source, "the format places nothing there", allows=verdict),),
        disk=index,
    )


def _predicts(disk: CheckedDisk) -> str:
    """What AWS says of a damaged disk of this format."""
    return predicted_messages.CORRUPTED if disk.format == "vmdk" else predicted_messages.DISK_INVALID
