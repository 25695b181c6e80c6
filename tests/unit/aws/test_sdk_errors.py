"""Every exception class of the installed SDK is sorted; what its providers of credentials let through too."""

from __future__ import annotations

import datetime as dt
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore
import botocore.exceptions
import pytest
import s3transfer
from botocore.credentials import RefreshableCredentials

from vmie import catalogue, cli
from vmie.aws import chain
from vmie.aws.errors import refusals, translated
from vmie.aws.sdk_errors import SORTED, Sort, about_caller, sort_of
from vmie.batch.run.retry_policy import affects_all_items
from vmie.errors import AwsRefused, UsageError, VmieError
from vmie.ops import waiting

#: raised by our own hand only, or warnings
OTHERS = {"ClientError"}


def installed() -> Iterator[type[Exception]]:
    """Every exception class that the SDK's own modules define; what it keeps of other projects is not used."""
    for package in (botocore, boto3, s3transfer):
        inner = [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
        for name in (package.__name__, *inner):
            if any(f".{part}" in name for part in ("vendored", "docs", "crt")):
                continue
            for kind in vars(importlib.import_module(name)).values():
                own = inspect.isclass(kind) and kind.__module__ == name
                if own and issubclass(kind, Exception) and not issubclass(kind, Warning):
                    yield kind


def test_every_class_is_sorted() -> None:
    unsorted = {kind.__name__ for kind in installed()} - SORTED.keys() - OTHERS
    assert not unsorted, "new in the SDK: sort them in vmie/aws/sdk_errors.py"


def test_nothing_is_sorted_twice_or_for_nothing() -> None:
    assert set(SORTED) <= {kind.__name__ for kind in installed()}


def made(name: str) -> Exception:
    """An error of that class, with the words that it has in the SDK."""
    kind = next(kind for kind in installed() if kind.__name__ == name)
    if not issubclass(kind, botocore.exceptions.BotoCoreError):
        return kind("words")
    fields: dict[str, Any] = dict.fromkeys((part.split("}")[0] for part in kind.fmt.split("{")[1:]), "words")
    return kind(**fields)


@pytest.mark.parametrize("name", sorted(name for name, sort in SORTED.items() if sort is Sort.CREDENTIALS))
def test_credentials_end_with_the_way_on(name: str) -> None:
    error = translated(made(name), action="DescribeImportImageTasks")
    assert isinstance(error, AwsRefused)
    assert (error.exit_code, error.code, error.passing) == (5, name, False)
    assert error.cure, "says what to do"
    assert waiting.classify(error) == "permanent", "is not waited on for days"
    assert affects_all_items(error) is error, "stops a batch, and fails none of its items"


@pytest.mark.parametrize(
    "name", ["InvalidRetryModeError", "InvalidS3AddressingStyleError", "InvalidProxiesConfigError"]
)
def test_a_setting_of_the_sdk_is_the_users_to_change(name: str) -> None:
    error = translated(made(name), action="connecting to s3")
    assert isinstance(error, UsageError)
    assert affects_all_items(error) is error


def test_the_network_is_waited_for() -> None:
    for name in ("EndpointConnectionError", "ReadTimeoutError", "ProxyConnectionError", "SSLError"):
        error = translated(made(name), action="ImportImage")
        assert (error.exit_code, error.passing) == (1, True)
        assert not about_caller(error)


def test_a_class_that_is_not_known_is_sorted_by_what_it_is_made_from() -> None:
    class NewTimeout(botocore.exceptions.ReadTimeoutError):
        pass

    NewTimeout.__module__ = "botocore.exceptions"
    assert sort_of(NewTimeout(endpoint_url="https://ec2.amazonaws.com")) is Sort.PASSING
    assert sort_of(KeyError("x")) is Sort.FAULT


def test_a_parameter_is_no_reason_to_stop_a_batch() -> None:
    error = translated(made("ParamValidationError"), action="ImportImage")
    assert isinstance(error, UsageError)
    assert affects_all_items(error) is None


PROCESS = "[default]\nregion = us-east-1\ncredential_process = {}\n"
ROLE = "arn:aws:iam::123456789012:role/r"
BROKEN = {
    "process-missing": PROCESS.format("/no/such/program"),
    "process-no-json": PROCESS.format("echo hello"),
    "process-failing": PROCESS.format("false"),
    "process-old": PROCESS.format("echo '{\"Version\": 2}'"),
    "process-quotes": PROCESS.format('echo "unclosed'),
    "token-missing": f"[default]\nregion = us-east-1\nrole_arn = {ROLE}\nweb_identity_token_file = /no/such/file\n",
    "source-missing": f"[default]\nregion = us-east-1\nrole_arn = {ROLE}\nsource_profile = absent\n",
    "no-ini": "[default\nregion us-east-1\n",
    "sso-without-session": "[default]\nregion = us-east-1\nsso_session = none\nsso_account_id = 1\nsso_role_name = r\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_configuration_that_gives_no_credentials(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, disk = tmp_path / "config", tmp_path / "disk.raw"
    config.write_text(BROKEN[case])
    disk.write_bytes(bytes(1 << 20))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("VMIE_STATE", str(tmp_path / "state"))
    code = cli.run(["import", str(disk), "--as", "snapshot", "--bucket", "bucket-of-mine", "--skip-check", "all"])
    shown = capsys.readouterr()
    assert code == 5, shown.err
    assert "fault of vmie" not in shown.err
    assert "Traceback" not in shown.err


def test_an_expiry_that_is_no_date(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "AKIA", "SECRET_ACCESS_KEY": "s", "CREDENTIAL_EXPIRATION": "soon"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(AwsRefused) as caught:
        chain.expect_credentials(boto3.Session(region_name="us-east-1"))
    assert caught.value.code == "CredentialRetrievalError"


def test_an_expiry_that_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore raises a bare RuntimeError: the refreshed credentials are still expired."""
    for name, value in {"ACCESS_KEY_ID": "AKIA", "SECRET_ACCESS_KEY": "s"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z")
    session = boto3.Session(region_name="us-east-1")
    chain.expect_credentials(session)
    with pytest.raises(AwsRefused), refusals("GetCallerIdentity"):
        session.client("sts").get_caller_identity()


@pytest.mark.parametrize("raised", [RuntimeError("still expired"), FileNotFoundError("token"), ValueError("no JSON")])
def test_a_renewal_that_fails_in_the_middle_of_a_call(raised: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def renew() -> dict[str, str]:
        raise raised

    session = boto3.Session(region_name="us-east-1")
    past = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
    old = RefreshableCredentials("AKIA", "s", "t", expiry_time=past, refresh_using=renew, method="custom")
    monkeypatch.setattr(session, "get_credentials", lambda: old)
    monkeypatch.setattr(session._session, "get_credentials", lambda: old)
    chain.expect_credentials(session)
    with pytest.raises(AwsRefused) as caught, refusals("DescribeImages"):
        session.client("ec2").describe_images()
    assert caught.value.code == "CredentialRetrievalError"
    assert catalogue.explain(caught.value.message, caught.value.code).id == "credentials-unreadable"


def test_an_error_of_ours_is_no_error_of_the_sdk() -> None:
    assert not about_caller(VmieError("no", code="Failed"))
