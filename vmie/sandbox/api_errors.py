"""The errors that the emulated APIs answer with, in AWS's own words (aws-facts 5.1), and their documents."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from xml.sax.saxutils import escape

#: of each service that the sandbox has; the others speak the query protocol
_PROTOCOLS = {"ec2": "ec2", "s3": "s3", "ebs": "json", "kms": "json", "servicequotas": "json"}
_XML = {"Content-Type": "text/xml;charset=UTF-8"}


class ApiError(Exception):
    """An API error: `code`, `message` and HTTP `status`; `detail` are further members, for protocols that have them."""

    def __init__(self, code: str, message: str, *, status: int = 400, detail: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.detail = dict(detail or {})

    def document(self, service: str, protocol: str = "") -> tuple[int, dict[str, str], str | bytes]:
        """Status, headers and body in the protocol of `service` (as in a signature: ec2, s3, iam, sts, kms, ebs).

        `protocol` (json, cbor, xml) is for a service whose protocol is not known here; "" is the query protocol.
        """
        request_id = str(uuid.uuid4())
        protocol = _PROTOCOLS.get(service, protocol)
        detail = f"<Code>{escape(self.code)}</Code><Message>{escape(self.message)}</Message>"
        headers, body = _XML, b""
        if protocol == "json":
            headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": self.code}
            text = json.dumps({"__type": self.code, "message": self.message, "Message": self.message, **self.detail})
        elif protocol == "cbor":
            headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
            text, body = "", b"\xa2" + b"".join(map(_cbor, ("__type", self.code, "message", self.message)))
        elif protocol == "ec2":
            text = f"<Response><Errors><Error>{detail}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
        elif protocol == "s3":
            text = f"<Error>{detail}<RequestId>{request_id}</RequestId></Error>"
        else:
            sender = "Sender" if self.status < 500 else "Receiver"
            text = (
                f"<ErrorResponse><Error><Type>{sender}</Type>{detail}</Error>"
                f"<RequestId>{request_id}</RequestId></ErrorResponse>"
            )
        if headers is _XML:
            text = '<?xml version="1.0" encoding="UTF-8"?>\n' + text
        # moto takes the status of a finished answer from its headers
        return self.status, {**headers, "x-amzn-RequestId": request_id, "status": str(self.status)}, body or text


def _cbor(text: str) -> bytes:
    """A text in CBOR (RFC 8949, major type 3)."""
    data = text.encode()
    return (bytes((0x60 + len(data),)) if len(data) < 24 else b"\x79" + len(data).to_bytes(2, "big")) + data


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
