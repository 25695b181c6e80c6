"""The stages that a task reports: the sequences seen in the field (aws-facts 1.12, 1.13).

Times are seconds of AWS's work since the task began; `Phase` names the step at which the service
does something that can fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vmie.model import TaskKind


class Phase(Enum):
    """What the service does when it comes to a step."""

    NOTHING = "nothing"
    VALIDATE = "validate"  #: reads the source for the first time
    CONVERT = "convert"  #: has read the whole source
    ASSEMBLE = "assemble"  #: names the snapshots
    FINISH = "finish"  #: makes the result


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """From `at` on, Describe shows `message` and `progress`."""

    at: float
    message: str
    progress: str
    phase: Phase = Phase.NOTHING


_MINUTE = 60.0

IMPORT_IMAGE = (
    TimelineStep(0, "pending", "2"),
    TimelineStep(1 * _MINUTE, "validating", "3"),
    TimelineStep(3 * _MINUTE, "validated", "19", Phase.VALIDATE),
    TimelineStep(4 * _MINUTE, "converting", "28"),
    TimelineStep(12 * _MINUTE, "updating", "34", Phase.CONVERT),
    TimelineStep(18 * _MINUTE, "booting", "58"),
    TimelineStep(22 * _MINUTE, "booted", "62"),
    TimelineStep(25 * _MINUTE, "preparing ami", "76", Phase.ASSEMBLE),
    TimelineStep(30 * _MINUTE, "", "", Phase.FINISH),
)
IMPORT_SNAPSHOT = (
    TimelineStep(0, "pending", "0"),
    TimelineStep(1 * _MINUTE, "pending", "3"),
    TimelineStep(3 * _MINUTE, "downloading/converting", "19", Phase.VALIDATE),
    TimelineStep(8 * _MINUTE, "downloading/converting", "22"),
    TimelineStep(14 * _MINUTE, "downloading/converting", "75", Phase.CONVERT),
    TimelineStep(20 * _MINUTE, "", "", Phase.FINISH),
)
EXPORT_IMAGE = (
    TimelineStep(0, "validating", "0"),
    TimelineStep(2 * _MINUTE, "updating", "21", Phase.VALIDATE),
    TimelineStep(8 * _MINUTE, "converting", "80", Phase.CONVERT),
    TimelineStep(25 * _MINUTE, "", "", Phase.FINISH),
)
EXPORT_INSTANCE = (
    TimelineStep(0, "", ""),
    TimelineStep(1, "", "", Phase.VALIDATE),
    TimelineStep(5 * _MINUTE, "", "", Phase.CONVERT),
    TimelineStep(25 * _MINUTE, "", "", Phase.FINISH),
)
#: of ImportInstance and ImportVolume (aws-facts 1.5)
CONVERSION = (
    TimelineStep(0, "Pending", ""),
    TimelineStep(1 * _MINUTE, "Pending", "0", Phase.VALIDATE),
    TimelineStep(3 * _MINUTE, "Progress: 5%", "5", Phase.CONVERT),
    TimelineStep(10 * _MINUTE, "Progress: 40%", "40"),
    TimelineStep(16 * _MINUTE, "Progress: 80%", "80"),
    TimelineStep(20 * _MINUTE, "", "", Phase.FINISH),
)

OF_KIND: dict[TaskKind, tuple[TimelineStep, ...]] = {
    TaskKind.IMPORT_IMAGE: IMPORT_IMAGE,
    TaskKind.IMPORT_SNAPSHOT: IMPORT_SNAPSHOT,
    TaskKind.CONVERSION: CONVERSION,
    TaskKind.EXPORT_IMAGE: EXPORT_IMAGE,
    TaskKind.EXPORT_INSTANCE: EXPORT_INSTANCE,
}

#: how long a task that failed or was cancelled is seen in `deleting` (conversion and instance export: `cancelling`)
DELETING = 2 * _MINUTE
