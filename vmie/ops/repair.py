"""`vmie repair`: what a check finds, mended in a layer over disks that are never written.

paths ──► disks ──► an overlay over each ──► repair.repair ──► Repaired ──► repair_output.write
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vmie import checks, events
from vmie.checks import Subject
from vmie.disk.base import Disk
from vmie.disk.overlay import Overlay
from vmie.errors import ImageError, Run, UsageError
from vmie.guest.budget import Budget
from vmie.guest.facts import GuestFacts
from vmie.model import Finding, Route, Verdict
from vmie.ops.check_inputs import expand, open_machine
from vmie.poll import Clock
from vmie.repair import FileChange, Repair, repair
from vmie.repair.mends import MENDABLE, MENDS

#: characters of a file that a result shows, before and after
_SHOWN = 64 << 10
#: read of the disks for each look: file systems' structures, initramfs files, kernels' modules
_BYTES = 16 << 30
#: passwords and hashes of them: in fstab, grub.cfg, profiles of networks, cloud-init's users
_SECRET = re.compile(
    r"(?i)(\b[\w-]*(?:passw(?:or)?d|psk|secret|token)[\w-]*)([ \t]*[=:][ \t]*|[ \t]+\S+[ \t]+)[^\s,#]+"
)


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What was done to the machine of `paths`; `outputs` are the files that were written."""

    paths: tuple[Path, ...]
    done: Repair
    outputs: tuple[Path, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a check of the mended disks finds, passes left out."""
        return tuple(one for one in self.done.findings if one.verdict is not Verdict.PASS)

    def failing(self, route: Route) -> list[Finding]:
        """What still blocks `route`."""
        return [one for one in self.done.findings if one.verdict is Verdict.FAIL and route in one.routes]

    def as_json(self) -> dict[str, Any]:
        """The contracted ``result``."""
        written = [str(path) for path in self.outputs]
        return {**statement(self.done), "output": written[0] if written else None, "outputs": written}


def statement(done: Repair) -> dict[str, Any]:
    """All that was changed, why, and what stays: the shape of `repair`, and of `boot` with it."""
    return {
        "changes": [_change(change) for change in done.changes],
        "mended": list(done.mended),
        "left": [{"rule": one.rule, "why": one.why, "by_hand": one.by_hand} for one in done.left],
    }


@dataclass(frozen=True, slots=True)
class Repaired:
    """Mended disks, open: `layers` in the machine's order, and what was done."""

    paths: tuple[Path, ...]
    layers: tuple[Overlay, ...]
    done: Repair


@contextmanager
def repaired(
    paths: Sequence[Path],
    *,
    clock: Clock,
    only: Sequence[str] = (),
    machine: str = "",
    empty_disks: bool = False,
    reporter: events.Reporter = events.silent,
) -> Iterator[Repaired]:
    """Mend the machine of `paths`, an appliance or its disks, in memory; open until the end of the block.

    `only` narrows to rules, or to mends by their names. Raises UsageError for a rule that nothing mends, ImageError
    for what cannot be read.
    """
    _known(only)
    with ExitStack() as stack:
        opened = stack.enter_context(open_machine(expand(paths), machine=machine, empty_disks=empty_disks))
        if opened.error is not None:
            raise opened.error
        reporter(events.Stage("repair", ", ".join(map(str, opened.paths))))
        subject = Subject(tuple(opened.images), GuestFacts(), opened.machine, today=clock.now().date())
        layers = [layer(one) for one in opened.disks]
        done = mend(layers, subject, only=only, path=str(opened.paths[0]))
        yield Repaired(opened.paths, tuple(layers), done)


def layer(disk: Disk) -> Overlay:
    """An overlay over `disk`. Raises ImageError for one that is read forwards only."""
    if disk.facts.get("forward_only"):
        raise ImageError(
            f"{disk.source.name} is packed: what is in it cannot be looked into",
            cause="every look backwards would unpack it again",
            cure=Run(("vmie", "convert", disk.source.name, "unpacked.qcow2"), "then repair that"),
        )
    return Overlay(disk)


def mend(layers: Sequence[Overlay], subject: Subject, *, only: Sequence[str] = (), path: str = "") -> Repair:
    """Mend `layers`, the disks of one machine; `subject` is what is known of it but for the guest."""

    def judge(guest: GuestFacts) -> list[Finding]:
        return checks.judge(replace(subject, guest=guest), path=path)

    return repair(layers, MENDS, judge=judge, only=only, budget=_budget)


def _budget() -> Budget:
    """Bounds that the content alone decides, and no clock: a repair that is made again must come to the same."""
    return Budget(seconds=math.inf, read_bytes=_BYTES)


def _known(only: Sequence[str]) -> None:
    names = {mend.name for mend in MENDS}
    unknown = [one for one in only if one not in MENDABLE and one not in names]
    if unknown:
        raise UsageError(
            f"nothing mends {unknown[0]!r}",
            cause=f"rules with a mend: {', '.join(sorted(MENDABLE))}; mends by name: {', '.join(sorted(names))}",
            cure=Run(("vmie", "explain", unknown[0]), "if it is a rule: what to do in the guest"),
            fields=("only",),
        )


def _change(change: FileChange) -> dict[str, Any]:
    return {
        "path": change.path,
        "where": change.where,
        "rule": next(iter(change.rules), ""),
        "reasons": [{"why": one.why, "rules": list(one.rules)} for one in change.reasons],
        "before": _content(change.before),
        "after": _content(change.after),
    }


def _content(data: bytes) -> str | dict[str, Any]:
    """A text as it is; of anything else its size and its digest."""
    text = as_text(data)
    if text is not None:
        return text
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def as_text(data: bytes) -> str | None:
    """`data` as a text of a size to be shown, without its passwords; None where it is none."""
    if len(data) > _SHOWN or b"\0" in data:
        return None
    try:
        return _SECRET.sub(r"\1\2…", data.decode())
    except UnicodeDecodeError:
        return None


def diff(change: FileChange) -> list[str]:
    """The change as a unified diff; of what is no text the sizes."""
    before, after = as_text(change.before), as_text(change.after)
    if before is None or after is None:
        return [
            f"--- {change.path}",
            f"+++ {change.path}",
            f"@@ {len(change.before):,} bytes, now {len(change.after):,} @@",
        ]
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), fromfile=change.path, tofile=change.path, lineterm="", n=1
    )
    return list(lines)
