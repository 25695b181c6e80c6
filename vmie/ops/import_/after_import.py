"""What becomes of an AMI once it is there: the instance types that it may be launched as, and the proof that it starts.

The import is done by then. What fails here takes nothing back: the AMI is kept, and bears what was found as a tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vmie import events
from vmie.aws import ec2, images
from vmie.boot.model import BootVerdict
from vmie.errors import Action, Resume, Run, VmieError
from vmie.model import Finding, Route, Verdict
from vmie.ops.check import CheckReport
from vmie.ops.context import Context
from vmie.ops.idempotency import JOB_TAG
from vmie.ops.import_.result import Made
from vmie.ops.prove import planning as proof_planning
from vmie.ops.prove.operation import ProofResult
from vmie.ops.prove.planning import ProofPlan
from vmie.ops.prove.prover import LaunchGrants, Prover
from vmie.options import ImportRequest

#: on an AMI: boots, fails or unknown
PROVED_TAG = "vmie:proved"
#: seconds that its instance has, and the most that it may cost in US dollars
_SECONDS, _MOST_USD = 600.0, 1.0
#: https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-nitro-instances.html#xen-instance-types
_XEN_FAMILIES = "c1 c3 c4 d2 h1 i2 i3 m1 m2 m3 m4 r3 r4 t1 t2 x1 x1e"
#: of drivers that only Nitro types need
_NITRO_RULES = ("VMIE-BOOT-008", "VMIE-BOOT-009")
_XEN = tuple(f"{one}.*" for one in _XEN_FAMILIES.split())


@dataclass(frozen=True, slots=True)
class TypeGuard:
    """Patterns of instance types that an AMI may be launched as, () for all, and of those that it may not."""

    supported: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    why: str = ""


def plan_notes(request: ImportRequest) -> tuple[str, ...]:
    """What a plan says of the proof."""
    if not request.prove:
        return ()
    return (f"the AMI is launched for {_SECONDS / 60:.0f} minutes at most, which may cost ${_MOST_USD:.2f} at most",)


def guard_of(report: CheckReport | None, request: ImportRequest) -> TypeGuard:
    """What the check says of an AMI that is registered from a snapshot: ImportImage puts drivers in by itself."""
    if not request.register or report is None or not report.images:
        return TypeGuard()
    drivers = (report.images[0].as_json().get("guest") or {}).get("drivers") or {}
    lacking = [name for name in ("nvme", "ena") if drivers.get(name) is False]
    if lacking and drivers.get("xen") is not False:
        return TypeGuard(
            supported=_XEN, why=f"the guest has no driver for {' and '.join(lacking)}, which Nitro types need"
        )
    if not lacking and drivers.get("xen") is False:
        return TypeGuard(unsupported=_XEN, why="the guest has no driver for the disks of Xen types")
    return TypeGuard()


def guard(context: Context, image_id: str, found: TypeGuard) -> None:
    """Let the AMI be launched only as what its guest has drivers for. Raises AwsRefused."""
    if not found.why and not images.new_image(context.aws, image_id, clock=context.clock).ena:
        found = TypeGuard(supported=_XEN, why="AWS found no ENA driver in the guest, which Nitro types need")
    if not found.why:
        context.reporter(events.Note(f"{image_id} may be launched as any instance type: nothing speaks against one"))
        return
    images.specify_types(context.aws, image_id, supported=found.supported, unsupported=found.unsupported)
    which = f"only as {', '.join(found.supported)}" if found.supported else f"not as {', '.join(found.unsupported)}"
    context.reporter(events.Note(f"{image_id} may be launched {which}: {found.why}"))


def proved(
    context: Context, request: ImportRequest, made: Made, found: TypeGuard, *, findings: Sequence[Finding]
) -> dict[str, Any] | None:
    """Launch the AMI, and tag it with the verdict; the contract of ``boot``.

    `findings` are those of the check in this run: where it foretold something else, that is said.

    Raises VmieError (NotProved) where it does not start or cannot be told to, AwsRefused where it cannot be launched.
    """
    image_id = made.image_id
    if image_id is None:
        return None
    xen = request.guard_types and bool(found.supported)
    try:
        proof = _prove(context, request, image_id, xen=xen)
    except VmieError as error:
        error.add_cause(_KEPT.format(image_id=image_id))
        error.result = {"image_id": image_id, "snapshot_ids": list(made.snapshot_ids), **error.result}
        raise
    tags = {JOB_TAG: context.journal.job, PROVED_TAG: proof.verdict.value}
    ec2.tag(context.aws, [image_id], tags, clock=context.clock)
    told = _compared(proof, findings, request.route, xen=xen)
    if proof.verdict is not BootVerdict.BOOTS:
        failure = _unproved(context, proof, made)
        failure.add_cause(told)
        raise failure
    if told:
        context.reporter(events.Note(told, "warning"))
    return proof.as_json()


def _compared(proof: ProofResult, findings: Sequence[Finding], route: Route, *, xen: bool) -> str:
    """What the check had said of the start, "" for nothing, and where the two agree that it starts."""
    if not findings or proof.verdict is BootVerdict.UNKNOWN:
        return ""
    spared = _NITRO_RULES if xen else ()
    stopping = [one.rule for one in findings if (route, "boot") in one.without and one.rule not in spared]
    if proof.verdict is BootVerdict.BOOTS:
        named = ", ".join(dict.fromkeys(stopping))
        return f"the check says that it does not start ({named}), and it does" if stopping else ""
    rules = proof.deciding.result.rules
    said = [one for one in findings if one.rule in rules and one.verdict is not Verdict.PASS]
    if said:
        return f"the check had said it: {said[0].rule}: {said[0].message}"
    return f"the check found nothing that stops it: {' or '.join(rules[:3]) or 'a rule'} should have foretold this"


_KEPT = "the import itself is done: {image_id} is there, and kept"


def _prove(context: Context, request: ImportRequest, image_id: str, *, xen: bool) -> ProofResult:
    types = ("t2.micro",) if xen else ()
    plan = proof_planning.plan(context, image_id, instance_types=types, seconds=_SECONDS, max_cost=_MOST_USD, new=True)
    prover = Prover(context, plan, LaunchGrants(request.subnet, tuple(request.security_groups)))
    found = ProofResult(context.journal.job, image_id, prover.prove(), plan.usd)
    prover.forget()
    return found


def _unproved(context: Context, found: ProofResult, made: Made) -> VmieError:
    result = found.deciding.result
    fails = result.verdict is BootVerdict.FAILS
    words = "does not start" if fails else "showed neither that it starts nor that it fails"
    shown = [f"{one.meaning}{f': {one.line}' if one.line else ''}" for one in result.evidence[-3:]]
    cures: list[Action] = [Run(("vmie", "explain", rule)) for rule in result.rules[:3]]
    again = Run(("vmie", "boot", found.image_id), "launches it again")
    error = VmieError(
        f"{found.image_id} {words} as {found.deciding.instance_type}",
        cause="; ".join(filter(None, (f"it came to {result.stage.value}" if result.stage else "", *shown))),
        cure=(*cures, again) if fails else (Resume(context.journal.job, "launches it again"),),
        code="NotProved",
        result={"image_id": made.image_id, "snapshot_ids": list(made.snapshot_ids), "proof": found.as_json()},
    )
    error.add_cause(_KEPT.format(image_id=found.image_id))
    return error


def ended(context: Context) -> list[str]:
    """End the instances of a proof that was begun; their ids. Raises AwsRefused."""
    return Prover(context, ProofPlan("", (), (), 0.0), LaunchGrants()).end()
