"""Error documents, in each service's protocol."""

from __future__ import annotations

import json
import uuid
from xml.sax.saxutils import escape

_XML = {"Content-Type": "text/xml;charset=UTF-8"}


def error(service: str, code: str, message: str, status: int) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of an error of `service` (as in a signature: ec2, s3, iam, sts, kms, ebs)."""
    request_id = str(uuid.uuid4())
    detail = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    if service == "ec2":
        body = f"<Response><Errors><Error>{detail}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
        return status, _headers(_XML, status), head + body
    if service == "s3":
        return status, _headers(_XML, status), head + f"<Error>{detail}<RequestId>{request_id}</RequestId></Error>"
    if service in ("ebs", "kms"):
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}
        return status, _headers(headers, status), json.dumps({"__type": code, "message": message, "Message": message})
    sender = "Sender" if status < 500 else "Receiver"
    body = (
        f"<ErrorResponse><Error><Type>{sender}</Type>{detail}</Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return status, _headers(_XML, status), head + body


def _headers(headers: dict[str, str], status: int) -> dict[str, str]:
    # moto takes the status of a finished answer from its headers
    return {**headers, "x-amzn-RequestId": str(uuid.uuid4()), "status": str(status)}
