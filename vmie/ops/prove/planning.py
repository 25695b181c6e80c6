"""What a proof will launch, and what that may cost: known before anything is launched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vmie.aws import images, instance_prices
from vmie.aws.images import ImageFacts, TypeFacts
from vmie.errors import PreflightError, Set, says
from vmie.model import Finding
from vmie.ops.context import Context

#: seconds that an instance may be there beyond its time: to be launched, and to end
GRACE = 120.0
#: what AWS bills Windows' licence for; RunInstances:0800 is the owner's own (aws-facts 3.9)
_LICENSED = "Windows"


@dataclass(frozen=True, slots=True)
class PlannedLaunch:
    """One instance; `usd` at most."""

    instance_type: str
    nitro: bool
    usd: float


@dataclass(frozen=True, slots=True)
class ProofPlan:
    """The launches of an AMI; `devices` are its EBS devices, `seconds` the time that each instance has."""

    image_id: str
    launches: tuple[PlannedLaunch, ...]
    devices: tuple[str, ...]
    seconds: float
    windows: bool = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        """See `Plan.findings`: an AMI is not looked into."""
        return ()

    @property
    def usd(self) -> float:
        """US dollars at most."""
        return sum(one.usd for one in self.launches)

    @property
    def summary(self) -> str:
        """What is done, and what it may cost, in a sentence."""
        types = ", ".join(one.instance_type for one in self.launches)
        lasts = f"{self.seconds / 60:.0f} minutes" if self.seconds >= 120 else f"{self.seconds:.0f} s"
        return f"{self.image_id} as {types}, for {lasts} at most: at most {dollars(self.usd)}"

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        return {
            "call": "RunInstances",
            "image_id": self.image_id,
            "instance_types": [one.instance_type for one in self.launches],
            "seconds": self.seconds,
            "costs_usd_at_most": round(self.usd, 4),
        }


def dollars(usd: float) -> str:
    """A sum, rounded up to cents: it is a bound."""
    return f"${math.ceil(usd * 100) / 100:.2f}"


def plan(
    context: Context,
    image_id: str,
    *,
    instance_types: Sequence[str] = (),
    seconds: float,
    max_cost: float,
    new: bool = False,
) -> ProofPlan:
    """Look at the AMI and the types; `new`: it was made a moment ago, and may not be shown yet.

    Raises PreflightError where they do not go together or cost too much, AwsRefused.
    """
    found = images.new_image(context.aws, image_id, clock=context.clock) if new else None
    image = found or images.image(context.aws, image_id)
    if image.state not in ("available", "pending"):
        raise PreflightError(f"{image_id} is {image.state}", cause="EC2 launches an AMI that is available")
    names = tuple(instance_types) or (usual(image),)
    known = images.types(context.aws, names)
    wrong = [why for name in names if name in known and (why := known[name].refuses(image))]
    if wrong:
        raise PreflightError(
            f"{image_id} cannot be launched: {'; '.join(wrong)}",
            cause="EC2 would refuse it",
            cure=Set("instance_types", usual(image), "or other types that the AMI can be launched as"),
            code="TypeUnfit",
        )
    launches = tuple(_launch(context, image, known[name], seconds) for name in names if name in known)
    made = ProofPlan(image_id, launches, image.devices, seconds, image.windows)
    if made.usd > max_cost:
        raise PreflightError(
            f"{made.summary}, and ${max_cost:g} is allowed",
            cause="prices of us-east-1 before discounts, twice that elsewhere",
            cure=(
                Set("max_cost", dollars(made.usd)[1:], "allows it"),
                says("choose other {instance_types}, or less {timeout}"),
            ),
            code="TooDear",
        )
    return made


def usual(image: ImageFacts) -> str:
    """The type that an AMI is launched as where none is named. Raises PreflightError where there is none."""
    if image.architecture == "arm64":
        return "t4g.micro"
    if image.ena and image.architecture == "x86_64":
        return "t3.medium" if image.windows else "t3.micro"
    if image.firmware == "uefi":
        raise PreflightError(
            f"no instance type can start {image.id}",
            cause="UEFI is there on Nitro types only, and these need ENA, which the AMI is registered without",
            cure="add the ENA driver to the guest, and import it again",
            code="TypeUnfit",
        )
    return "t2.medium" if image.windows else "t2.micro"


def _launch(context: Context, image: ImageFacts, kind: TypeFacts, seconds: float) -> PlannedLaunch:
    licensed = kind.vcpus if image.platform.startswith(_LICENSED) and "BYOL" not in image.platform else 0
    usd = instance_prices.at_most(
        kind.name,
        seconds=seconds + GRACE,
        gib=image.size_gib,
        region=context.aws.region,
        windows_vcpus=licensed,
    )
    if usd is None:
        raise PreflightError(
            f"what {kind.name} costs is not known here",
            cause="no ceiling can be kept without a price",
            cure=Set("instance_types", usual(image), "or another one of t2, t3, t4g, m4, m5, m6i, m7i, c4, c5, r5"),
            code="PriceUnknown",
        )
    return PlannedLaunch(kind.name, kind.nitro, usd)
