"""One exception tree: what happened, why, the cures as actions, and the exit code.

    VmieError                 1
    ├── UsageError            2   options that cannot be given, or not together
    ├── ImageError            2   input that cannot be read as a disk
    ├── PartialFailure        3   a batch where some items failed
    ├── PreflightError        4   the image would be refused: nothing was sent
    ├── AwsRefused            5   credentials, permission, quota
    ├── TaskFailed            1   AWS took the task and gave it up
    ├── DeadlineExceeded      1   the task outlived its deadline
    └── Interrupted         130   Ctrl-C: can be resumed

Raised once, mapped to an exit code once (in `vmie.cli`). What it says and its cures are data: see `vmie.cures`, whose
names can be imported from here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from vmie.cures import (
    PYTHON,
    Action,
    Cancel,
    Cure,
    Do,
    Drop,
    Message,
    PythonTerms,
    Resume,
    Run,
    Set,
    Terms,
    Words,
    actions,
    lines_of,
    says,
    text_of,
)

# fmt: off
__all__ = [
    "PYTHON", "Action", "AwsRefused", "Cancel", "Cure", "DeadlineExceeded", "Do", "Drop", "ImageError",
    "Interrupted", "Message", "PartialFailure", "PreflightError", "PythonTerms", "Resume", "Run", "Set",
    "TaskFailed", "Terms", "UsageError", "VmieError", "Words", "actions", "lines_of", "says", "text_of",
]
# fmt: on


class VmieError(Exception):
    """A failure that a user can act on.

    `message` says what, `cause` why (may be ""), `cure` what to do, as actions. `code` is the service's own error code
    or ours, `reason` what the service names under it ("INVALID_BLOCK"), "" for most; `request_id` is AWS's, "" where
    the failure did not come from AWS. `passing` says that the same call may succeed when it is made again: a throttle,
    a fault of AWS, a connection that broke. `fields` are the options that the mistake is about, by their names in
    `vmie.options`.
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "Failed"

    def __init__(
        self,
        message: Words,
        *,
        cause: Words = "",
        cure: Cure = (),
        code: str = "",
        reason: str = "",
        request_id: str = "",
        passing: bool = False,
        fields: Sequence[str] = (),
        result: dict[str, Any] | None = None,
        findings: Sequence[Any] = (),
    ) -> None:
        super().__init__(text_of(message))
        self.what: Words = message
        self.why: tuple[Words, ...] = (cause,) if cause else ()
        self.actions = actions(cure)
        self.code = code or self.default_code
        self.reason = reason
        self.request_id = request_id
        self.passing = passing
        self.fields = tuple(fields) or (message.fields if isinstance(message, Message) else ())
        #: what had been reached when it failed (task id, object …): goes into the JSON's ``result``
        self.result = result or {}
        #: `model.Finding`s that led to it: go into the JSON's ``findings``
        self.findings = tuple(findings)

    @property
    def message(self) -> str:
        """What happened, in the library's own terms."""
        return text_of(self.what)

    @property
    def cause(self) -> str:
        """Why, in the library's own terms: one line each."""
        return self.cause_text(PYTHON)

    @property
    def cure(self) -> str:
        """What to do, in the library's own terms: one line each."""
        return self.cure_text(PYTHON)

    def cause_text(self, terms: Terms) -> str:
        """The causes as one place writes them, one line each."""
        return "\n".join(text_of(one, terms) for one in self.why)

    def cure_text(self, terms: Terms) -> str:
        """The actions as one place writes them, one line each."""
        return lines_of(self.actions, terms)

    def add_cause(self, *causes: Words) -> None:
        """Say more of why."""
        self.why = (*self.why, *(one for one in causes if one))

    def add_cure(self, cure: Cure) -> None:
        """Say more of what can be done."""
        self.actions = (*self.actions, *actions(cure))

    def as_json(self, terms: Terms = PYTHON) -> dict[str, Any]:
        """The contracted shape of ``error``."""
        return {
            "code": self.code,
            "message": text_of(self.what, terms),
            "cause": self.cause_text(terms),
            "cure": self.cure_text(terms),
            "request_id": self.request_id,
        }


class UsageError(VmieError):
    """Options or arguments that cannot be given, or not together."""

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
    """The user stopped it; the cure is the command that goes on."""

    exit_code = 130
    default_code = "Interrupted"
