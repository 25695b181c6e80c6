"""What a rule rests on: a source, the kind of evidence that it is, and the most that may be said on its ground."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from vmie.model import Profile, Verdict

GUIDE = "https://docs.aws.amazon.com/vm-import/latest/userguide"

PREREQUISITES = f"{GUIDE}/prerequisites.html"
LIMITATIONS = f"{GUIDE}/limitations-image-importing.html"
PREPARE = f"{GUIDE}/prepare-vm-image.html"
CHANGES = f"{GUIDE}/import-modify-vm.html"
LICENCES = f"{GUIDE}/licensing.html"
TROUBLE = f"{GUIDE}/vmimport-troubleshooting.html"
OVF = "https://www.dmtf.org/sites/default/files/standards/documents/DSP0243_2.1.1.pdf"
API = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference"
EC2_GUIDE = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide"
KERNEL = "https://docs.kernel.org"
SYSTEMD = "https://www.freedesktop.org/software/systemd/man/latest"


class EvidenceKind(StrEnum):
    """How it is known."""

    DOCUMENTED = "documented"
    SEEN = "seen in the field"
    FOLLOWS = "follows from how the boot works"


@dataclass(frozen=True, slots=True)
class Evidence:
    """`source` says or shows `says`; `allows` is the worst verdict that it bears.

    FAIL: the service refuses it, or the guest cannot start. WARN: it may. What holds in some `profiles` only bears
    nothing in the others.
    """

    kind: EvidenceKind
    source: str
    says: str
    allows: Verdict = Verdict.FAIL
    profiles: tuple[Profile, ...] = tuple(Profile)

    @property
    def line(self) -> str:
        """For a reader: its kind, what it says, and where."""
        bears = "" if self.allows is Verdict.FAIL else " (bears a warning)"
        return f"{self.kind.value.capitalize()}{bears}: {self.says}. {self.source}"

    def as_json(self) -> dict[str, str]:
        """One element of ``rule.evidence[]``."""
        return {"kind": self.kind.value, "source": self.source, "says": self.says, "allows": self.allows.value}


def refused(page: str, says: str) -> Evidence:
    """AWS's page, or a standard, says that it is not taken, or is demanded."""
    return Evidence(EvidenceKind.DOCUMENTED, page, says)


def advised(page: str, says: str) -> Evidence:
    """AWS's page says that it may go wrong, what changes, or what is better."""
    return Evidence(EvidenceKind.DOCUMENTED, page, says, Verdict.WARN)


def seen(thread: str, says: str, *, allows: Verdict = Verdict.FAIL) -> Evidence:
    """Somebody met it, and reported in public what the service answered."""
    return Evidence(EvidenceKind.SEEN, thread, says, allows)


def follows(manual: str, says: str, *, allows: Verdict = Verdict.FAIL) -> Evidence:
    """The kernel, the firmware or the loader works so."""
    return Evidence(EvidenceKind.FOLLOWS, manual, says, allows)


def seed(*lines: int, says: str = "the page of that year, to the letter") -> Evidence:
    """Lines of the 2016 page "VM Import/Export の前提条件" as plain text; they bear verdicts of that profile alone."""
    page = f"VM Import/Export prerequisites, 2016, line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}"
    return Evidence(EvidenceKind.DOCUMENTED, page, says, profiles=(Profile.Y2016,))


def bears(evidence: Iterable[Evidence], verdict: Verdict, profile: Profile) -> bool:
    """Whether `verdict` may be given in `profile` on the ground of `evidence`."""
    if verdict is not Verdict.FAIL:
        return True
    return any(one.allows is Verdict.FAIL and profile in one.profiles for one in evidence)
