"""What setting up a role would change, and what it changed."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from vmie.errors import PreflightError, Set
from vmie.model import Change
from vmie.ops.change_step import Step
from vmie.policy import Document


@dataclass(frozen=True, slots=True)
class RolePlan:
    """What `apply` would do, in order. `trust` and `document` are the role's documents afterwards."""

    role_name: str
    role_arn: str
    created: bool
    trust: Document
    document: Document
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """What is to change, or cannot without `force`."""
        return tuple(step.change for step in self.steps if step.change.action != "keep")

    @property
    def kept(self) -> tuple[Change, ...]:
        """What was looked at and stays."""
        return tuple(step.change for step in self.steps if step.change.action == "keep")

    @property
    def conflicts(self) -> tuple[Change, ...]:
        """What somebody else wrote and would have to change."""
        return tuple(change for change in self.changes if change.action == "conflict")

    def check(self) -> None:
        """Raises PreflightError (exit 4) when something of somebody else's is in the way."""
        if not self.conflicts:
            return
        first = self.conflicts[0]
        raise PreflightError(
            f"the {first.resource} was edited by somebody else: it is kept, and nothing was changed",
            cause=f"{first.detail}\n{diff(first)}".rstrip(),
            cure=("make the change by hand, or let vmie replace the document:", Set("force")),
            code="EditedByHand",
            result=self.as_json(),
        )

    def as_json(self) -> dict[str, Any]:
        """The contracted result, as it would be."""
        return {
            "role_arn": self.role_arn,
            "created": self.created,
            "changes": [change.as_json() for change in self.changes],
            "kept": [change.as_json() for change in self.kept],
        }


@dataclass(frozen=True, slots=True)
class RoleResult:
    """The role as it is now, and what was changed to get there (nothing on a second run)."""

    role_arn: str
    created: bool
    changes: tuple[Change, ...]
    kept: tuple[Change, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The contracted ``result``."""
        return {
            "role_arn": self.role_arn,
            "created": self.created,
            "changes": [change.as_json() for change in self.changes],
            "kept": [change.as_json() for change in self.kept],
        }


def diff(change: Change) -> str:
    """A unified diff of the document that `change` replaces; "" when it holds none."""
    if change.before == change.after:
        return ""
    lines = unified_diff(change.before.splitlines(), change.after.splitlines(), "now", "then", lineterm="", n=3)
    return "\n".join(lines)
