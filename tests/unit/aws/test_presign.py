"""Presigned URLs: SigV4 everywhere, seven days at most, never beyond the life of their credentials."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from vmie.aws import presign
from vmie.aws.credentials import CredentialFacts
from vmie.aws.presign import Presigner
from vmie.aws.session import Aws, connect
from vmie.errors import AwsRefused, Set, VmieError
from vmie.model import S3Object

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
WEEK = 604_800.0
ITEM = S3Object("a-bucket", "vmie/a b & ü.part0")


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")


# The Regions in which botocore would sign with SigV2 (aws-facts 2.5), and two in which it would not.
@pytest.mark.parametrize("region", ["us-east-1", "ap-northeast-1", "us-gov-west-1", "eu-central-1", "cn-north-1"])
def test_sigv4_in_every_region(region: str) -> None:
    signer = Presigner(connect(region=region), seconds=3600)
    for url in (signer.head(ITEM), signer.get(ITEM), signer.delete(ITEM)):
        parts, query = urlsplit(url), parse_qs(urlsplit(url).query)
        assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
        assert query["X-Amz-Expires"] == ["3600"]
        assert query["X-Amz-SignedHeaders"] == ["host"]
        # the regional, virtual-hosted endpoint: the global one answers with a redirect
        assert (parts.hostname or "").startswith(f"a-bucket.s3.{region}.amazonaws.com")
        assert parts.path == "/vmie/a%20b%20%26%20%C3%BC.part0"


def test_each_method_has_a_signature_of_its_own() -> None:
    signer = Presigner(connect(region="us-east-1"), seconds=60)
    assert len({signer.head(ITEM), signer.get(ITEM), signer.delete(ITEM)}) == 3


@pytest.mark.parametrize(("wanted", "given"), [(1e9, 604_800), (604_801, 604_800), (5400.9, 5400), (0, 1)])
def test_the_lifetime_is_cut(wanted: float, given: int) -> None:
    url = Presigner(connect(region="us-east-1"), seconds=wanted).get(ITEM)
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == [str(given)]


def test_a_client_that_signs_otherwise_is_refused() -> None:
    client = boto3.client("s3", region_name="us-east-1")
    with pytest.raises(VmieError) as caught:
        Presigner(Aws.of({"s3": client}), seconds=60).get(ITEM)
    assert caught.value.code == "NotSigV4"
    assert "Signature=" not in str(caught.value.as_json())


class Held(Aws):
    """A door whose credentials are told."""

    def __init__(self, known: CredentialFacts | None) -> None:
        super().__init__(None, region="us-east-1", clients={"s3": None})
        self._known = known

    def credentials(self) -> CredentialFacts | None:
        return self._known


def facts(**fields: Any) -> Held:
    return Held(CredentialFacts(**{"source": "assume-role", "temporary": True, **fields}))


def test_lasting_credentials_pass() -> None:
    for aws in (Held(None), facts(temporary=False), facts(expires=NOW + dt.timedelta(days=8))):
        assert presign.expect_lasting(aws, seconds=WEEK, now=NOW) == ""


def test_a_session_that_ends_too_soon_is_refused_with_a_way_out() -> None:
    aws = facts(expires=NOW + dt.timedelta(hours=12))
    with pytest.raises(AwsRefused) as caught:
        presign.expect_lasting(aws, seconds=WEEK, now=NOW)
    error = caught.value
    assert (error.code, error.exit_code) == ("CredentialsExpire", 5)
    assert "2026-03-02 00:00 UTC" in error.cause
    assert "VMIE_DEADLINE_SECONDS=42600" in error.cure
    assert error.actions[-1] == Set("route", "image", "needs no presigned URLs, nor does a snapshot")
    # the way out is one
    assert presign.expect_lasting(aws, seconds=42_600, now=NOW) == ""


def test_a_session_about_to_end_is_not_advised_to_hurry() -> None:
    with pytest.raises(AwsRefused) as caught:
        presign.expect_lasting(facts(expires=NOW + dt.timedelta(minutes=5)), seconds=3600, now=NOW)
    assert "VMIE_DEADLINE_SECONDS" not in caught.value.cure


def test_a_session_that_does_not_say_when_it_ends() -> None:
    with pytest.raises(AwsRefused, match="credentials end before"):
        presign.expect_lasting(facts(), seconds=WEEK, now=NOW)
    assert "must last 6 hours" in presign.expect_lasting(facts(), seconds=21_600, now=NOW)
