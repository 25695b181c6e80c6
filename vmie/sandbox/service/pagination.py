"""Filters and pages of the Describe calls: what is unknown is refused, as AWS does."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vmie.policy.evaluate import matches
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.service.tasks import SandboxTask

PAGE = 1000


def filtered(
    tasks: Sequence[SandboxTask],
    filters: Sequence[Mapping[str, Any]],
    tags_of: Callable[[SandboxTask], Mapping[str, str]],
) -> list[SandboxTask]:
    """The tasks that all `filters` let through: task-state (aws-facts 1.3), and tag:KEY and tag-key.

    EC2 takes the two of tags for whatever it tags; Ansible's ec2_import_image finds its tasks by them.
    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html (filter resources by tag).
    """
    kept = list(tasks)
    for one in filters:
        shown = _shown_by(one.get("Name") or "", tags_of)
        wanted = [str(value) for value in one.get("Values") or ()]
        kept = [task for task in kept if any(matches(value, has) for value in wanted for has in shown(task))]
    return kept


def _shown_by(name: str, tags_of: Callable[[SandboxTask], Mapping[str, str]]) -> Callable[[SandboxTask], Sequence[str]]:
    """What a filter of that name compares its values with; raises ApiError for one that there is not."""
    key = name.removeprefix("tag:")
    if name == "task-state":
        return lambda task: [task.state.value]
    if name == "tag-key":
        return lambda task: list(tags_of(task))
    if key and key != name:
        return lambda task: [value for tag, value in tags_of(task).items() if tag == key]
    raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")


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
