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
class Step:
    """From `at` on, Describe shows `message` and `progress`."""

    at: float
    message: str
    progress: str
    phase: Phase = Phase.NOTHING


_MINUTE = 60.0

IMPORT_IMAGE = (
    Step(0, "pending", "2"),
    Step(1 * _MINUTE, "validating", "3"),
    Step(3 * _MINUTE, "validated", "19", Phase.VALIDATE),
    Step(4 * _MINUTE, "converting", "28"),
    Step(12 * _MINUTE, "updating", "34", Phase.CONVERT),
    Step(18 * _MINUTE, "booting", "58"),
    Step(22 * _MINUTE, "booted", "62"),
    Step(25 * _MINUTE, "preparing ami", "76", Phase.ASSEMBLE),
    Step(30 * _MINUTE, "", "", Phase.FINISH),
)
IMPORT_SNAPSHOT = (
    Step(0, "pending", "0"),
    Step(1 * _MINUTE, "pending", "3"),
    Step(3 * _MINUTE, "downloading/converting", "19", Phase.VALIDATE),
    Step(8 * _MINUTE, "downloading/converting", "22"),
    Step(14 * _MINUTE, "downloading/converting", "75", Phase.CONVERT),
    Step(20 * _MINUTE, "", "", Phase.FINISH),
)
EXPORT_IMAGE = (
    Step(0, "validating", "0"),
    Step(2 * _MINUTE, "updating", "21", Phase.VALIDATE),
    Step(8 * _MINUTE, "converting", "80", Phase.CONVERT),
    Step(25 * _MINUTE, "", "", Phase.FINISH),
)
EXPORT_INSTANCE = (
    Step(0, "", ""),
    Step(1, "", "", Phase.VALIDATE),
    Step(5 * _MINUTE, "", "", Phase.CONVERT),
    Step(25 * _MINUTE, "", "", Phase.FINISH),
)
#: of ImportInstance and ImportVolume (aws-facts 1.5)
CONVERSION = (
    Step(0, "Pending", ""),
    Step(1 * _MINUTE, "Pending", "0", Phase.VALIDATE),
    Step(3 * _MINUTE, "Progress: 5%", "5", Phase.CONVERT),
    Step(10 * _MINUTE, "Progress: 40%", "40"),
    Step(16 * _MINUTE, "Progress: 80%", "80"),
    Step(20 * _MINUTE, "", "", Phase.FINISH),
)

OF_KIND: dict[TaskKind, tuple[Step, ...]] = {
    TaskKind.IMPORT_IMAGE: IMPORT_IMAGE,
    TaskKind.IMPORT_SNAPSHOT: IMPORT_SNAPSHOT,
    TaskKind.CONVERSION: CONVERSION,
    TaskKind.EXPORT_IMAGE: EXPORT_IMAGE,
    TaskKind.EXPORT_INSTANCE: EXPORT_INSTANCE,
}

#: how long a task that failed or was cancelled is seen in `deleting` (conversion and instance export: `cancelling`)
DELETING = 2 * _MINUTE
