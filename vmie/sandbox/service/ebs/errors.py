"""What the EBS direct API refuses with: botocore's ebs model has the codes and their reasons."""

from __future__ import annotations

from vmie.sandbox.api_errors import ApiError


def invalid(message: str, reason: str = "INVALID_PARAMETER_VALUE") -> ApiError:
    """A request that cannot be carried out as it is."""
    return ApiError("ValidationException", message, detail={"Reason": reason})


def absent(snapshot_id: str) -> ApiError:
    """A snapshot that is not there, or not to be seen yet."""
    message = f"The snapshot '{snapshot_id}' does not exist."
    return ApiError("ResourceNotFoundException", message, status=404, detail={"Reason": "SNAPSHOT_NOT_FOUND"})


def foreign(snapshot_id: str) -> ApiError:
    """A snapshot of another account that is not shared with this one."""
    message = f"You are not authorized to access the snapshot '{snapshot_id}'."
    return ApiError("AccessDeniedException", message, status=403, detail={"Reason": "UNAUTHORIZED_ACCOUNT"})


def conflict(message: str) -> ApiError:
    """What contradicts an earlier request."""
    return ApiError("ConflictException", message, status=409)


def too_many_pending(limit: int) -> ApiError:
    """The quota of pending snapshots is used up."""
    message = f"You have reached the limit of {limit} pending snapshots."
    detail = {"Reason": "DEPENDENCY_SERVICE_QUOTA_EXCEEDED"}
    return ApiError("ServiceQuotaExceededException", message, status=402, detail=detail)


def snapshot_throttled() -> ApiError:
    """More requests than one snapshot takes in a second."""
    message = "The maximum request rate of the snapshot has been reached."
    return ApiError("RequestThrottledException", message, detail={"Reason": "RESOURCE_LEVEL_THROTTLE"})


def account_throttled() -> ApiError:
    """More requests than one account has in a second, over all snapshots."""
    return ApiError("ThrottlingException", "Rate exceeded", detail={"Reason": "ACCOUNT_THROTTLED"})
