"""The service's refusals, in its own words (aws-facts 5.1).

`Refusal` is raised by every part of the sandbox that knows nothing of moto; `actions` turns it into
the error document of the EC2 protocol.
"""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - the service's answer, not a fault of ours
    """An API error: `code`, `message` and HTTP `status`."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def missing_parameter(name: str) -> Refusal:
    """A required parameter is absent."""
    return Refusal("MissingParameter", f"The request must contain the parameter {name}")


def invalid_parameter(message: str) -> Refusal:
    """What VM Import/Export says of nearly everything it does not like."""
    return Refusal("InvalidParameter", message)


def role_refused(role: str) -> Refusal:
    """One text for an absent role, a wrong trust policy, a missing right and a change not yet propagated."""
    return invalid_parameter(f"The service role {role} provided does not exist or does not have sufficient permissions")


def dry_run() -> Refusal:
    """How EC2 says that a request with DryRun would have been taken."""
    return Refusal("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", status=412)


def too_many_imports(limit: int) -> Refusal:
    """The quota of active ImportImage and ImportSnapshot tasks is used up."""
    return Refusal("ResourceCountLimitExceeded", f"You have reached the limit of {limit} active import tasks.")


def too_many_conversions(limit: int) -> Refusal:
    """The quota of ImportInstance/ImportVolume, and of exports."""
    return Refusal("ResourceLimitExceeded", f"Task failed to initialize - conversion task limit ({limit}) exceeded.")


def token_mismatch() -> Refusal:
    """A ClientToken that came before with other parameters."""
    return Refusal(
        "IdempotentParameterMismatch",
        "The request uses the same client token as a previous, but non-identical request.",
    )


def unknown_import(task_id: str) -> Refusal:
    """An import task that is not there, not there yet, or older than seven days (aws-facts 1.3)."""
    if not task_id.startswith("import-"):
        return Refusal("InvalidConversionTaskId.Malformed", f'Invalid id: "{task_id}"')
    return Refusal("InvalidConversionTaskId", f"The conversion task ID '{task_id}' does not exist")


def unknown_export(task_id: str) -> Refusal:
    """The same for exports."""
    if not task_id.startswith("export-"):
        return Refusal("InvalidExportTaskID.Malformed", f'Invalid id: "{task_id}"')
    return Refusal("InvalidExportTaskID.NotFound", f"The export task ID '{task_id}' does not exist")
