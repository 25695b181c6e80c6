"""What a start shows: the verdict, how far it came, and the lines that say so. The same here and in EC2."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class BootVerdict(StrEnum):
    """Whether a machine starts. `UNKNOWN` where nothing shows it: silence is no evidence."""

    BOOTS = "boots"
    FAILS = "fails"
    UNKNOWN = "unknown"


class BootStage(StrEnum):
    """How far a start came, in order: each is what was at work, or done, when it was last heard of.

    `ROOT` the root file system was mounted; `LOGIN` somebody could log in; `NETWORK` it has an address too.
    """

    FIRMWARE = "firmware"
    LOADER = "loader"
    KERNEL = "kernel"
    INITRAMFS = "initramfs"
    ROOT = "root"
    SERVICES = "services"
    LOGIN = "login"
    NETWORK = "network"

    @property
    def order(self) -> int:
        """0 for the first."""
        return _ORDER[self]


_ORDER = {stage: index for index, stage in enumerate(BootStage)}


@dataclass(frozen=True, slots=True)
class BootEvidence:
    """A line that the machine showed, at which stage, and what it means. `source` is where that is written down."""

    line: str
    stage: BootStage
    meaning: str
    source: str = ""

    def as_json(self) -> dict[str, str]:
        """One element of ``evidence[]``."""
        return {"line": self.line, "stage": self.stage.value, "meaning": self.meaning, "source": self.source}


@dataclass(frozen=True, slots=True)
class BootResult:
    """How a start ended. `stage` is None when nothing was heard at all.

    `rules` are the ids of the rules of `vmie.checks` that should have foretold a failure. `seconds` is the time on the
    clock, `cpu_seconds` that of the emulator (None in EC2). `last_lines` is what was on the console last. `screenshot`
    is the path of a picture, `address` what DHCP gave, `instance_id` that of the instance; "" where there is none.
    """

    verdict: BootVerdict
    stage: BootStage | None
    evidence: tuple[BootEvidence, ...] = ()
    rules: tuple[str, ...] = ()
    seconds: float = 0.0
    cpu_seconds: float | None = None
    last_lines: tuple[str, ...] = ()
    screenshot: str = ""
    address: str = ""
    instance_id: str = ""
    firmware: str = ""

    def as_json(self) -> dict[str, Any]:
        """The contracted shape of ``result``."""
        return {
            "verdict": self.verdict.value,
            "stage": self.stage.value if self.stage else None,
            "evidence": [one.as_json() for one in self.evidence],
            "explained_by": list(self.rules),
            "seconds": round(self.seconds, 1),
            "cpu_seconds": None if self.cpu_seconds is None else round(self.cpu_seconds, 1),
            "last_lines": list(self.last_lines),
            "screenshot": self.screenshot or None,
            "address": self.address or None,
            "instance_id": self.instance_id or None,
            "firmware": self.firmware or None,
        }
