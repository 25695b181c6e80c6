"""What an AMI that is registered from a snapshot keeps of its machine, and what is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmie import events
from vmie.aws import ec2
from vmie.aws.ec2_requests import RegisterImage
from vmie.checks.oslist import canonical
from vmie.ops import waiting
from vmie.ops.check import CheckReport
from vmie.ops.context import Context
from vmie.options import ImportRequest

#: systems that AWS bills by the AMI, and which RegisterImage does not make such
_BILLED = {"rhel": "Red Hat Enterprise Linux", "sles": "SUSE Linux Enterprise Server", "windows": "Windows"}
#: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/creating-an-ami-ebs.html#creating-launching-ami-from-snapshot
LOST = (
    "an AMI registered from a snapshot is Linux/UNIX to AWS: {system} runs in it with a licence of your own only, and "
    "no update server of AWS takes it; with `image` as its route ImportImage keeps platform and licence"
)
NO_ENA = (
    "the image has no ENA driver, so the AMI is registered without ENA: it starts on instance types of the Xen "
    "generations only (t2, m4, c4 …)"
)


#: the devices of the disks after the first: those that AWS's guide recommends for EBS volumes, then the other ones
#: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html
DATA_DEVICES = tuple(f"/dev/sd{letter}" for letter in "fghijklmnopqrstuvwxyzbcde")


def register(
    context: Context, request: ImportRequest, snapshot_ids: Sequence[str], *, ena: bool, tags: Mapping[str, str]
) -> str:
    """The AMI made of the snapshots, boot disk first; found by its name when it is there already."""
    # RegisterImage knows no platform, and has an architecture of its own where none is known.
    known = request.described().items()
    guest: dict[str, Any] = {name: said for name, said in known if said and name != "platform"}
    for snapshot_id in snapshot_ids:
        waiting.snapshot_ready(context, snapshot_id)
    made = ec2.register_image(
        context.aws,
        RegisterImage(
            name=request.register,
            snapshot_id=snapshot_ids[0],
            data_snapshots=dict(zip(DATA_DEVICES, snapshot_ids[1:], strict=False)),
            description=request.description,
            volume_type=request.volume_type,
            imds_v2=request.imds_v2,
            ena=ena,
            **guest,
            tags=tags,
        ),
        clock=context.clock,
    )
    if platform := ec2.platform_of(context.aws, made, clock=context.clock):
        context.reporter(events.Note(f"to AWS {made} is {platform}"))
    return made


def has_ena(report: CheckReport | None) -> bool:
    """Whether the AMI may say that it has ENA; what is not known is taken for a system of today."""
    return (_guest(report).get("drivers") or {}).get("ena") is not False


def losses(report: CheckReport | None) -> tuple[str, ...]:
    """What the AMI will lack, said before anything is sent."""
    system = _BILLED.get(canonical(str(_guest(report).get("distribution") or "")))
    return (*([LOST.format(system=system)] if system else []), *([] if has_ena(report) else [NO_ENA]))


def _guest(report: CheckReport | None) -> dict[str, Any]:
    return dict(report.images[0].as_json().get("guest") or {}) if report is not None and report.images else {}
