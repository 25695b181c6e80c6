"""The errors that the emulated APIs answer with, in AWS's own words (aws-facts 5.1), and their documents."""

from __future__ import annotations

import json
import uuid
from xml.sax.saxutils import escape

_XML = {"Content-Type": "text/xml;charset=UTF-8"}


class ApiError(Exception):
    """An API error: `code`, `message` and HTTP `status`."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status

    def document(self, service: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body in the protocol of `service` (as in a signature: ec2, s3, iam, sts, kms, ebs)."""
        request_id = str(uuid.uuid4())
        detail = f"<Code>{escape(self.code)}</Code><Message>{escape(self.message)}</Message>"
        headers = _XML
        if service in ("ebs", "kms"):
            headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": self.code}
            body = json.dumps({"__type": self.code, "message": self.message, "Message": self.message})
        elif service == "ec2":
            body = f"<Response><Errors><Error>{detail}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
        elif service == "s3":
            body = f"<Error>{detail}<RequestId>{request_id}</RequestId></Error>"
        else:
            sender = "Sender" if self.status < 500 else "Receiver"
            body = (
                f"<ErrorResponse><Error><Type>{sender}</Type>{detail}</Error>"
                f"<RequestId>{request_id}</RequestId></ErrorResponse>"
            )
        if headers is _XML:
            body = '<?xml version="1.0" encoding="UTF-8"?>\n' + body
        # moto takes the status of a finished answer from its headers
        return self.status, {**headers, "x-amzn-RequestId": request_id, "status": str(self.status)}, body


def missing_parameter(name: str) -> ApiError:
    """A required parameter is absent."""
    return ApiError("MissingParameter", f"The request must contain the parameter {name}")


def invalid_parameter(message: str) -> ApiError:
    """The code that VM Import/Export has for nearly every invalid request."""
    return ApiError("InvalidParameter", message)


def role_refused(role: str) -> ApiError:
    """One text for an absent role, a wrong trust policy, a missing right and a change not yet propagated."""
    return invalid_parameter(f"The service role {role} provided does not exist or does not have sufficient permissions")


def dry_run() -> ApiError:
    """How EC2 says that a request with DryRun would have been taken."""
    return ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", status=412)


def too_many_imports(limit: int) -> ApiError:
    """The quota of active ImportImage and ImportSnapshot tasks is used up."""
    return ApiError("ResourceCountLimitExceeded", f"You have reached the limit of {limit} active import tasks.")


def too_many_conversions(limit: int) -> ApiError:
    """The quota of ImportInstance/ImportVolume, and of exports."""
    return ApiError("ResourceLimitExceeded", f"Task failed to initialize - conversion task limit ({limit}) exceeded.")


def internal_error() -> ApiError:
    """A fault of the service's own."""
    return ApiError("InternalError", "An internal error has occurred", status=500)


def token_mismatch() -> ApiError:
    """A ClientToken that came before with other parameters."""
    return ApiError(
        "IdempotentParameterMismatch",
        "The request uses the same client token as a previous, but non-identical request.",
    )


def unknown_import(task_id: str) -> ApiError:
    """An import task that is not there, not there yet, or older than seven days (aws-facts 1.3)."""
    if not task_id.startswith("import-"):
        return ApiError("InvalidConversionTaskId.Malformed", f'Invalid id: "{task_id}"')
    return ApiError("InvalidConversionTaskId", f"The conversion task ID '{task_id}' does not exist")


def unknown_export(task_id: str) -> ApiError:
    """The same for exports."""
    if not task_id.startswith("export-"):
        return ApiError("InvalidExportTaskID.Malformed", f'Invalid id: "{task_id}"')
    return ApiError("InvalidExportTaskID.NotFound", f"The export task ID '{task_id}' does not exist")
