"""What an AMI that is registered from a snapshot keeps of its machine, and what is lost."""

from __future__ import annotations

from typing import Any

from vmie.checks.oslist import canonical
from vmie.ops.check import CheckReport

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


def has_ena(report: CheckReport | None) -> bool:
    """Whether the AMI may say that it has ENA; what is not known is taken for a system of today."""
    return (_guest(report).get("drivers") or {}).get("ena") is not False


def losses(report: CheckReport | None) -> tuple[str, ...]:
    """What the AMI will lack, said before anything is sent."""
    system = _BILLED.get(canonical(str(_guest(report).get("distribution") or "")))
    return (*([LOST.format(system=system)] if system else []), *([] if has_ena(report) else [NO_ENA]))


def _guest(report: CheckReport | None) -> dict[str, Any]:
    return dict(report.images[0].as_json().get("guest") or {}) if report is not None and report.images else {}
