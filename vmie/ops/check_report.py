"""What a check found, as values and as the contracted JSON (docs/reference/json.md)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmie import checks
from vmie.checks import Subject
from vmie.errors import ImageError, Set, says
from vmie.guest.linux_facts import LinuxFacts
from vmie.guest.windows_facts import WindowsFacts
from vmie.model import Finding, Profile, Route, Verdict
from vmie.ops import check_shapes


@dataclass(frozen=True, slots=True)
class ImageReport:
    """One machine, or one disk: `path` is that of its first file. `everything` holds passes too, worst first.

    `verdicts` are over all four routes whatever was asked for; `leaves_without` is what a machine would be without by
    each. `error` is set when it cannot be read. `blocks_read` counts the blocks of snapshots that were read, None for
    files.
    """

    path: str
    paths: tuple[str, ...]
    subject: Subject
    everything: tuple[Finding, ...]
    verdicts: dict[Route, Verdict]
    recommended: Route | None
    leaves_without: Mapping[Route, tuple[str, ...]] = field(default_factory=dict)
    container: str = ""
    error: ImageError | None = None
    blocks_read: int | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What tripped: everything but the passes."""
        return tuple(finding for finding in self.everything if finding.verdict is not Verdict.PASS)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What speaks against nothing, and is worth knowing."""
        return tuple(finding for finding in self.everything if finding.note)

    @property
    def root(self) -> LinuxFacts | WindowsFacts | None:
        """The first system found."""
        return next(iter(self.subject.guest.roots), None)

    @property
    def guest_family(self) -> str:
        """linux, windows or unknown."""
        return self.subject.guest.family.value

    @property
    def architecture(self) -> str:
        """x86_64, i386, arm64, … or unknown."""
        return (self.root.architecture if self.root else "") or "unknown"

    @property
    def firmware(self) -> str:
        """bios, uefi, hybrid or unknown."""
        return self.subject.guest.firmware.value

    @property
    def format(self) -> str:
        """The container as a file: ova and ovf for appliances, else the disk's format."""
        return self.container or self.subject.disks[0].format

    @property
    def variant(self) -> str:
        """Of the first disk's format: streamOptimized, dynamic, …."""
        return self.subject.disks[0].variant

    @property
    def virtual_size(self) -> int | None:
        """Bytes of all disks; None where one is unknown."""
        return _total(disk.size for disk in self.subject.disks)

    @property
    def allocated_size(self) -> int | None:
        """Bytes in use of all disks; None where one is unknown."""
        return _total(disk.allocated_size for disk in self.subject.disks)

    @property
    def partition_table(self) -> str:
        """mbr, gpt or none."""
        return self.subject.guest.table.value

    @property
    def disks(self) -> list[dict[str, Any]]:
        """Each disk with its partitions, as in the JSON."""
        return [check_shapes.disk(disk, index, self.subject.guest) for index, disk in enumerate(self.subject.disks)]

    @property
    def guest(self) -> dict[str, Any]:
        """The first system found, as in the JSON."""
        root = self.root
        if root is None:
            return check_shapes.NO_GUEST
        return check_shapes.linux(root) if isinstance(root, LinuxFacts) else check_shapes.windows(root)

    @property
    def verdict(self) -> dict[str, str]:
        """pass, warn, fail or unknown for each route."""
        return {route.value: verdict.value for route, verdict in self.verdicts.items()}

    def as_json(self) -> dict[str, Any]:
        """One element of ``result.images[]``."""
        shape = {name: getattr(self, name) for name in _KEYS}
        shape["notes"] = [{"rule": one.rule, "message": one.message, "source": one.source} for one in self.notes]
        shape["leaves_without"] = {route.value: list(lacks) for route, lacks in self.leaves_without.items()}
        if self.blocks_read is not None:
            shape["blocks_read"] = self.blocks_read
        return {**shape, "paths": list(self.paths), "recommended": self.recommended.value if self.recommended else None}


_KEYS = (
    "path",
    "paths",
    "format",
    "variant",
    "virtual_size",
    "allocated_size",
    "partition_table",
    "firmware",
    "disks",
    "guest",
    "verdict",
    "recommended",
)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All that was checked. `strict` makes warnings and unknowns block."""

    images: tuple[ImageReport, ...]
    profile: Profile = Profile.CURRENT
    strict: bool = False
    as_is: bool = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What tripped, image by image, worst first."""
        return tuple(finding for image in self.images for finding in image.findings)

    @property
    def everything(self) -> tuple[Finding, ...]:
        """The findings with all passes."""
        return tuple(finding for image in self.images for finding in image.everything)

    @property
    def unreadable(self) -> ImageError | None:
        """The first error over a file that cannot be read."""
        return next((image.error for image in self.images if image.error), None)

    def as_json(self) -> dict[str, Any]:
        """The contracted ``result``."""
        return {"profile": self.profile.value, "images": [image.as_json() for image in self.images]}


def blocking(
    report: CheckReport, route: Route, *, skip: Collection[str] = (), strict: bool | None = None
) -> list[Finding]:
    """The findings that stop `route`, worst first: failures, with `strict` warnings and unknowns too.

    What the import mends on its way stops nothing.

    `skip` names rules to pass over; "all" passes over every one.
    """
    if "all" in skip:
        return []
    tight = report.strict if strict is None else strict
    stops = {Verdict.FAIL, Verdict.UNKNOWN, Verdict.WARN} if tight else {Verdict.FAIL}
    found = [
        finding
        for finding in report.findings
        if finding.verdict in stops and not finding.mended and route in finding.routes and finding.rule not in skip
    ]
    return sorted(found, key=lambda finding: checks.SEVERITY.index(finding.verdict))


def named(stops: Sequence[Finding]) -> tuple[str, str]:
    """All that blocks, as the message and the cause of one error: the first finding, AWS's words on it, the others."""
    lines = list(
        dict.fromkeys(
            (f"{one.rule} {one.message}", f"AWS would say: {one.predicts}" if one.predicts else "") for one in stops
        )
    )
    (message, words), *others = lines
    more = f" (and {len(others)} more)" if others else ""
    causes = [words, *("; ".join(filter(None, one)) for one in others)]
    return f"{message}{more}", "\n".join(filter(None, causes))


_AS_IT_IS = says("with {as_is}, to send the bytes all the same")


def skipping(stops: Sequence[Finding]) -> tuple[Set, ...]:
    """The options with which an import passes over what blocks; none where that would lead nowhere."""
    rules = dict.fromkeys(one.rule for one in stops if one.rule not in checks.INDISPENSABLE)
    return tuple(
        Set("skip_check", rule, _AS_IT_IS if rule == checks.CONTENT else "to go on all the same") for rule in rules
    )


def _total(sizes: Any) -> int | None:
    listed = list(sizes)
    return sum(listed) if all(listed) else None
