"""Filters and pages of the Describe calls: what is unknown is refused, as AWS does."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from vmie.policy.evaluate import matches
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.service.tasks import SandboxTask

PAGE = 1000


def filtered(tasks: Sequence[SandboxTask], filters: Sequence[Mapping[str, Any]]) -> list[SandboxTask]:
    """The tasks that all `filters` let through; task-state is the only one there is (aws-facts 1.3)."""
    kept = list(tasks)
    for one in filters:
        name = one.get("Name") or ""
        if name != "task-state":
            raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
        wanted = [str(value) for value in one.get("Values") or ()]
        kept = [task for task in kept if any(matches(value, task.state.value) for value in wanted)]
    return kept


def page(
    tasks: Sequence[SandboxTask], *, max_results: int | None, token: str | None, most: int = PAGE
) -> tuple[list[SandboxTask], str | None]:
    """One page and the token of the next; tasks come in the order they were made, so new ones do not disturb."""
    if max_results is not None and not 1 <= max_results <= most:
        raise ApiError("InvalidMaxResults", f"Value ({max_results}) for parameter maxResults is invalid.")
    after = _read(token) if token else 0
    rest = [task for task in tasks if task.serial > after]
    size = max_results or most
    shown = rest[:size]
    return shown, _write(shown[-1].serial) if len(rest) > size else None


def _write(serial: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"after": serial}).encode()).decode()


def _read(token: str) -> int:
    try:
        return int(json.loads(base64.urlsafe_b64decode(token.encode()))["after"])
    except (ValueError, KeyError, TypeError) as error:
        raise ApiError("InvalidNextToken", f"The token '{token}' is invalid") from error
