"""What boto raises leaves as what, why, cure, code and request id, and without secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import ParseError

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    SSOTokenLoadError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from vmie.aws.errors import refusals
from vmie.catalogue import redact
from vmie.errors import AwsRefused, UsageError, VmieError


def answer(code: str, message: str = "", *, status: int = 400, operation: str = "ImportImage") -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"RequestId": "req-1", "HTTPStatusCode": status},
    }
    return ClientError(response, operation)


def raised(error: Exception, *, operand: str = "s3://b/k") -> VmieError:
    with pytest.raises(VmieError) as caught, refusals("ImportImage", operand=operand):
        raise error
    return caught.value


ROLE = "The service role vmimport provided does not exist or does not have sufficient permissions"


@pytest.mark.parametrize(
    ("error", "kind", "exit_code", "code"),
    [
        (answer("InvalidParameter", ROLE), AwsRefused, 5, "InvalidParameter"),
        (answer("UnauthorizedOperation", "You are not authorized", status=403), AwsRefused, 5, "UnauthorizedOperation"),
        (answer("ExpiredToken", "The provided token has expired."), AwsRefused, 5, "ExpiredToken"),
        (answer("RequestLimitExceeded", "Request limit exceeded.", status=503), AwsRefused, 5, "RequestLimitExceeded"),
        (answer("SlowDown", "Please reduce your request rate.", status=503), AwsRefused, 5, "SlowDown"),
        (answer("ResourceCountLimitExceeded"), AwsRefused, 5, "ResourceCountLimitExceeded"),
        (answer("404", "Not Found", status=404), AwsRefused, 5, "NotFound"),
        (answer("403", "Forbidden", status=403), AwsRefused, 5, "AccessDenied"),
        (answer("301", "Moved Permanently", status=301), AwsRefused, 5, "PermanentRedirect"),
        (answer("NeverHeardOfThis", "what?"), AwsRefused, 5, "NeverHeardOfThis"),
        (answer("InternalError", "oops", status=500), VmieError, 1, "InternalError"),
        (answer("ServiceUnavailable", "later", status=503), VmieError, 1, "ServiceUnavailable"),
        (NoCredentialsError(), AwsRefused, 5, "NoCredentialsError"),
        (SSOTokenLoadError(error_msg="gone"), AwsRefused, 5, "SSOTokenLoadError"),
        (TokenRetrievalError(provider="sso", error_msg="expired"), AwsRefused, 5, "TokenRetrievalError"),
        (EndpointConnectionError(endpoint_url="https://x"), VmieError, 1, "EndpointConnectionError"),
        (ReadTimeoutError(endpoint_url="https://x"), VmieError, 1, "ReadTimeoutError"),
        (ParamValidationError(report="Missing required parameter"), UsageError, 2, "ParamValidationError"),
    ],
)
def test_the_table(error: Exception, kind: type[VmieError], exit_code: int, code: str) -> None:
    found = raised(error)
    assert type(found) is kind
    assert found.exit_code == exit_code
    assert found.code == code
    assert "ImportImage of s3://b/k" in found.message


def test_the_answer_is_whole() -> None:
    found = raised(answer("InvalidParameter", ROLE))
    assert found.request_id == "req-1"
    assert ROLE in found.message
    assert "external id" in found.cause
    assert "vmie setup-role" in found.cure


def test_an_answer_without_anything_in_it() -> None:
    response: Any = {}
    found = raised(ClientError(response, "ImportImage"))
    assert found.code == "Unknown"
    assert found.request_id == ""


def test_what_s3transfer_wraps_is_unwrapped() -> None:
    wrapped = S3UploadFailedError("Failed to upload")
    wrapped.__cause__ = answer("NoSuchBucket", "The specified bucket does not exist", status=404)
    found = raised(wrapped)
    assert found.code == "NoSuchBucket"
    assert found.request_id == "req-1"


def test_an_encoded_refusal_becomes_a_command() -> None:
    said = "You are not authorized to perform this operation. Encoded authorization failure message: abc-_D3f="
    found = raised(answer("UnauthorizedOperation", said, status=403))
    assert "abc-_D3f=" not in found.message
    assert "aws sts decode-authorization-message --encoded-message abc-_D3f=" in found.cure


SIGNED = (
    "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE%2F20260101"
    "&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Security-Token=FwoGZ&X-Amz-Signature=deadbeef"
)
OLD = "https://b.s3.amazonaws.com/k?AWSAccessKeyId=AKIAEXAMPLE&Signature=de%2Fad%3D&Expires=1"


@pytest.mark.parametrize("url", [SIGNED, OLD])
@pytest.mark.parametrize(
    "make", [lambda text: answer("InvalidParameter", text), lambda text: EndpointConnectionError(endpoint_url=text)]
)
def test_presigned_urls_never_show_their_secrets(url: str, make: Callable[[str], Exception]) -> None:
    found = raised(make(f"bad url {url} here"))
    shown = f"{found.message} {found.cause} {found.cure}"
    for secret in ("AKIAEXAMPLE", "FwoGZ", "deadbeef", "de%2Fad%3D"):
        assert secret not in shown
    assert "b.s3.amazonaws.com/k" in shown


def test_redacting_leaves_the_rest() -> None:
    assert redact("a Signature=x b") == "a Signature=[redacted] b"
    assert redact("nothing to hide") == "nothing to hide"


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), refusals("ImportImage"):
        _ = 1 // 0
    with pytest.raises(AwsRefused, match="mine"), refusals("ImportImage"):
        raise AwsRefused("mine")


@pytest.mark.parametrize("error", [ResponseParserError("Unable to parse response"), ParseError("no element found")])
def test_an_answer_that_was_cut_off_is_no_fault_of_ours(error: Exception) -> None:
    # botocore's own parser of GetBucketLocation lets ElementTree's error through
    found = raised(error)
    assert (found.code, found.exit_code) == ("BrokenAnswer", 1)
    assert "cut off" in found.message
    assert found.cure
