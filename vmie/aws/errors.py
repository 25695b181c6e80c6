"""What boto raises, turned into vmie's own errors: what, why, the cure, and AWS's request id."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree.ElementTree import ParseError

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from vmie import catalogue
from vmie.aws.sdk_errors import Sort, sort_of
from vmie.errors import Action, AwsRefused, Run, UsageError, VmieError

#: S3's HEAD has no body: botocore then makes the status the error code
_STATUS_CODES = {"301": "PermanentRedirect", "400": "BadRequest", "403": "AccessDenied", "404": "NotFound"}
_ENCODED = re.compile(r"\s*Encoded authorization failure message:\s*([\w+/=-]+)", re.IGNORECASE)


#: A document that breaks off. Neither is a BotoCoreError: GetBucketLocation has a parser of its own in botocore.
_BROKEN = (ResponseParserError, ParseError)


@contextmanager
def refusals(action: str, *, operand: str = "") -> Iterator[None]:
    """Run boto calls; what boto raises leaves as a VmieError that names `action` and `operand`.

    `action` is the API operation ("ImportImage") or a few words; `operand` what it was done to
    ("s3://bucket/key"). Raises AwsRefused (exit 5) for every 4xx answer and for credentials that are missing, have
    run out or cannot be read; UsageError for parameters and settings that the SDK itself refuses; VmieError (exit 1),
    `passing`, when AWS could not be reached or failed on its side. `code` is AWS's, or the class of the SDK's error;
    `request_id` is AWS's.
    """
    try:
        yield
    except (ClientError, BotoCoreError, Boto3Error, *_BROKEN) as error:
        raise translated(error, action=action, operand=operand) from error


def translated(error: Exception, *, action: str, operand: str = "") -> VmieError:
    """The VmieError that says what `error` (of boto) means."""
    what = f"{action} of {operand}" if operand else action
    if isinstance(error, ClientError):
        return _answered(error, what)
    original = _wrapped(error)
    if isinstance(original, ClientError):
        return _answered(original, what)
    if isinstance(error, _BROKEN):
        return VmieError(
            f"the answer to {what} was cut off, or is none of AWS's",
            cause="a proxy or the network broke it off, or something else answers at that address",
            cure="run the command again; look at the proxy and the endpoint when it happens often",
            code="BrokenAnswer",
            passing=True,
        )
    return _local(error, what)


def _local(error: Exception, what: str) -> VmieError:
    """An error that the SDK made itself: no answer of AWS."""
    text, code, sort = catalogue.redact(str(error)), type(error).__name__, sort_of(error)
    if sort is Sort.PARAMETER:
        return UsageError(f"{what} cannot be asked: {text}", code=code)
    why = catalogue.explain(text, code)
    kind = {Sort.CREDENTIALS: AwsRefused, Sort.CONFIGURATION: UsageError}.get(sort, VmieError)
    return kind(
        f"{what} failed: {text}",
        cause=_lines(why.causes),
        cure=why.cure,
        code=code,
        passing=sort is Sort.PASSING,
    )


def _answered(error: ClientError, what: str) -> VmieError:
    answer: dict[str, Any] = dict(error.response)
    metadata = answer.get("ResponseMetadata") or {}
    code = str((answer.get("Error") or {}).get("Code") or "Unknown")
    code = _STATUS_CODES.get(code, code)
    said = catalogue.redact(str((answer.get("Error") or {}).get("Message") or "")).strip()
    reason = str(answer.get("Reason") or "")  # EBS direct names one under the code
    if reason and reason not in said:
        said = f"{said} ({reason})".strip()
    why = catalogue.explain(said, code, error.operation_name)
    cure: list[Action] = list(why.cure)
    if encoded := _ENCODED.search(said):
        cure.append(Run(("aws", "sts", "decode-authorization-message", "--encoded-message", encoded[1])))
        said = said.replace(encoded[0], "")
    status = int(metadata.get("HTTPStatusCode") or 0)
    # 503 is also EC2's throttle, and that is a quota (aws-facts 6).
    server = status >= 500 and "Limit" not in code and "Throttl" not in code and code != "SlowDown"
    return (VmieError if server else AwsRefused)(
        f"AWS {'failed' if server else 'refused'} {what}: {code}{': ' if said else ''}{said}",
        cause=_lines(why.causes),
        cure=cure,
        code=code,
        reason=reason,
        passing=server or why.retry == "retry",
        request_id=str(metadata.get("RequestId") or ""),
    )


def _wrapped(error: Exception) -> BaseException | None:
    """s3transfer hides the answer behind errors of its own."""
    return error.__cause__ or error.__context__ or getattr(error, "last_exception", None)


def _lines(parts: tuple[str, ...]) -> str:
    return "\n".join(parts)
