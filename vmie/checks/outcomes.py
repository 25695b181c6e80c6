"""What the service did with systems that its list does not name, as people reported in public: row by row."""

from __future__ import annotations

from dataclasses import dataclass

from vmie.checks import predicted_messages
from vmie.checks.oslist import canonical, parse
from vmie.checks.sources import Evidence, seen
from vmie.model import Verdict


@dataclass(frozen=True, slots=True)
class Outcome:
    """ImportImage of one distribution, of its major version `major` or, with None, of any.

    `predicts` is what it was refused with, "" where an AMI was made or nobody reported the words.
    """

    distribution: str
    major: int | None
    evidence: Evidence
    predicts: str = ""
    taken: bool = False


_GITHUB = "https://github.com"

OUTCOMES: tuple[Outcome, ...] = (
    Outcome(
        "almalinux",
        8,
        seen(
            f"{_GITHUB}/AlmaLinux/cloud-images/issues/23",
            "the AMIs of AlmaLinux 8 were made by ImportImage",
            allows=Verdict.WARN,
        ),
        taken=True,
    ),
    Outcome(
        "photon",
        4,
        seen(f"{_GITHUB}/vmware/photon/issues/1351", "Unsupported kernel version 5.10.83-4.ph4-aws"),
        predicted_messages.KERNEL_VERSION,
    ),
    Outcome(
        "photon",
        5,
        seen(f"{_GITHUB}/vmware/photon/issues/1489", "the import of 5.0 fails"),
    ),
    Outcome(
        "nixos",
        None,
        seen(
            f"{_GITHUB}/NixOS/nixpkgs/issues/71770",
            "Unable to find an etc directory with fstab; with one, the task never ends",
        ),
        predicted_messages.NO_FSTAB,
    ),
    Outcome(
        "kylin",
        None,
        seen(
            "https://gist.github.com/peteristhegreat/e498d22bca2c87da1d11bdc2e7d1e1ca",
            "Unsupported kernel version 4.19.90-23.8.v2101.ky10.x86_64",
        ),
        predicted_messages.KERNEL_VERSION,
    ),
    Outcome(
        "clear-linux-os",
        None,
        seen(f"{_GITHUB}/clearlinux/distribution/issues/1428", "Unknown OS / Missing OS files"),
        predicted_messages.UNKNOWN_OS,
    ),
)


def outcome(distribution: str, version: str) -> Outcome | None:
    """What became of a distribution's version, None where nobody reported it."""
    wanted, numbers = canonical(distribution), parse(version)
    return next(
        (one for one in OUTCOMES if one.distribution == wanted and (one.major is None or numbers[:1] == (one.major,))),
        None,
    )
