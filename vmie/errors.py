"""One exception tree: what happened, why, the cure, and the exit code.

    VmieError                 1
    ├── UsageError            2   options that cannot be meant
    ├── ImageError            2   input that cannot be read as a disk
    ├── PartialFailure        3   a batch where some items failed
    ├── PreflightError        4   the image would be refused: nothing was sent
    ├── AwsRefused            5   credentials, permission, quota
    ├── TaskFailed            1   AWS took the task and gave it up
    ├── DeadlineExceeded      1   the task outlived its deadline
    └── Interrupted         130   Ctrl-C: can be resumed

Raised once, mapped to an exit code once (in `vmie.cli`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class VmieError(Exception):
    """A failure that a user can act on.

    `message` says what, `cause` why (may be ""), `cure` what to do. `code` is the service's own error
    code or ours; `request_id` is AWS's, "" where the failure did not come from AWS.
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "Failed"

    def __init__(
        self,
        message: str,
        *,
        cause: str = "",
        cure: str = "",
        code: str = "",
        request_id: str = "",
        result: dict[str, Any] | None = None,
        findings: Sequence[Any] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.cure = cure
        self.code = code or self.default_code
        self.request_id = request_id
        #: what had been reached when it failed (task id, object …): goes into the JSON's ``result``
        self.result = result or {}
        #: `model.Finding`s that led to it: go into the JSON's ``findings``
        self.findings = tuple(findings)

    def as_json(self) -> dict[str, Any]:
        """The contracted shape of ``error``."""
        return {
            "code": self.code,
            "message": self.message,
            "cause": self.cause,
            "cure": self.cure,
            "request_id": self.request_id,
        }


class UsageError(VmieError):
    """Options or arguments that cannot be meant together."""

    exit_code = 2
    default_code = "Usage"


class ImageError(VmieError):
    """Input that cannot be read as what it claims to be."""

    exit_code = 2
    default_code = "UnreadableImage"


class PartialFailure(VmieError):  # noqa: N818 - not an error of the batch as a whole
    """Some items of a batch failed."""

    exit_code = 3
    default_code = "Partial"


class PreflightError(VmieError):
    """The service would refuse this; nothing was sent."""

    exit_code = 4
    default_code = "Preflight"


class AwsRefused(VmieError):  # noqa: N818
    """AWS said no: credentials, permission, quota, or a request it will not take."""

    exit_code = 5
    default_code = "AwsRefused"


class TaskFailed(VmieError):  # noqa: N818
    """The task was accepted and then failed."""

    default_code = "TaskFailed"


class DeadlineExceeded(VmieError):  # noqa: N818
    """The task was still active when its time was up."""

    default_code = "DeadlineExceeded"


class Interrupted(VmieError):  # noqa: N818
    """The user stopped it; `cure` is the command that goes on."""

    exit_code = 130
    default_code = "Interrupted"
