"""How a start is told: the verdict first, then how far it came, what shows it, and what the check had said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vmie.escaping import visible

if TYPE_CHECKING:
    from vmie.boot.model import BootResult
    from vmie.ops.boot import BootReport
    from vmie.ops.prove import ProofResult

_WORDS = {"boots": "starts", "fails": "does not start", "unknown": "showed neither that it starts nor that it fails"}
#: lines of evidence, and of the end of the console where nothing else tells
_SHOWN = 12
_LAST = 5


def planned(told: dict[str, Any]) -> str:
    """What would be started, in a line."""
    disks = "1 disk" if told["disks"] == 1 else f"{told['disks']} disks"
    how = f"by {told['firmware'].upper()}, {'with' if told['accelerator'] == 'kvm' else 'without'} KVM"
    mended = told["repaired"]
    changed = f"; {len(mended['changes'])} files changed in memory" if mended else ""
    return f"would start {told['source']} ({disks}) {how}{changed}; the check says: {told['check']}"


def verdict(name: str, result: BootResult) -> str:
    """The first line."""
    return f"{name} {_WORDS[result.verdict.value]}"


def shown(result: BootResult) -> Iterator[str]:
    """What there is to say of a start, line by line."""
    if result.stage:
        given = f", address {result.address} by DHCP" if result.address else ""
        yield f"  came to   {result.stage.value}{given}"
    for one in result.evidence[-_SHOWN:]:
        yield f"  {one.stage.value:10}{one.meaning}{f': {one.line}' if one.line else ''}"
    if result.verdict.value != "boots":
        for line in result.last_lines[-_LAST:]:
            yield f"  last      {line}"
    if result.screenshot:
        yield f"  screen    {result.screenshot}"


def here(report: BootReport) -> Iterator[str]:
    """A start in QEMU, beside the check."""
    result = report.result
    yield verdict(report.plan.source, result)
    yield from map(visible, shown(result))
    for finding in report.explained_by[:3]:
        yield visible(f"  because   {finding.rule}: {finding.message}")
    if report.disagreement:
        yield f"  DISAGREES {report.disagreement}"
    elif report.agrees:
        yield "  check     agrees"
    if report.plan.repaired:
        changed = ", ".join(change.path for change in report.plan.repaired.changes)
        yield visible(f"  mended    in memory: {changed or 'nothing'}")
    used = "" if result.cpu_seconds is None else f", {result.cpu_seconds:.0f} CPU seconds"
    yield f"  took      {result.seconds:.0f} s{used}, by {result.firmware.upper()}"


def there(found: ProofResult) -> Iterator[str]:
    """Launches in EC2, one after the other."""
    from vmie.ops.prove.planning import dollars

    for one in found.proofs:
        yield verdict(f"{found.image_id} as {one.instance_type}", one.result)
        if one.refused:
            yield visible(f"  refused   {one.refused}")
            continue
        yield from map(visible, shown(one.result))
        if one.result.rules:
            yield f"  see       {', '.join(f'vmie explain {rule}' for rule in one.result.rules[:3])}"
        yield f"  took      {one.result.seconds:.0f} s, {one.result.instance_id} is ended"
    yield f"  job       {found.job}, at most {dollars(found.usd)}"
