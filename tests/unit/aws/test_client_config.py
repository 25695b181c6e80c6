"""What is AWS, and what stands in for it."""

from __future__ import annotations

from pathlib import Path

import botocore.session
import pytest

from vmie import partitions
from vmie.aws.client_config import ATTEMPTS, is_aws
from vmie.aws.session import connect
from vmie.errors import UsageError


def test_partitions_are_the_sdks_own() -> None:
    """Those of both of botocore's lists: a partition that is new there is new here."""
    session = botocore.session.get_session()
    listed = session.get_component("data_loader").load_data("partitions")["partitions"]
    assert {one["id"] for one in listed} == {one.name for one in partitions.ALL}
    for one in listed:
        known, outputs = partitions.named(one["id"]), one["outputs"]
        assert (known.suffix, known.dual_stack) == (outputs["dnsSuffix"], outputs["dualStackDnsSuffix"])
        assert known.home == outputs["implicitGlobalRegion"]
        assert f"^{known.regions}$".replace("-", "\\-") == one["regionRegex"]
        for region in one["regions"]:
            if "global" not in region:
                assert partitions.of(region) is known
    resolver = session.get_component("endpoint_resolver")
    assert set(resolver.get_available_partitions()) <= {one.name for one in partitions.ALL}


@pytest.mark.parametrize("region", sorted({one.home for one in partitions.ALL}))
def test_clients_of_every_partition_are_awss(region: str) -> None:
    for service in ("s3", "ec2", "sts", "iam"):
        made = botocore.session.get_session().create_client(
            service, region, aws_access_key_id="made", aws_secret_access_key="up"
        )
        assert is_aws(made.meta.endpoint_url), made.meta.endpoint_url


@pytest.mark.parametrize("suffix", partitions.SUFFIXES)
def test_every_partition_is_aws(suffix: str) -> None:
    assert is_aws(f"https://s3.some-region-1.{suffix}/bucket")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:4566", "https://s3.example.com", "https://amazonaws.com.evil.example", "https://xamazonaws.com"],
)
def test_others_are_not(url: str) -> None:
    assert not is_aws(url)


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file with credentials, to which a test adds lines."""
    path = tmp_path / "config"
    path.write_text("[default]\nregion = us-east-1\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    return path


def tried(service: str = "ec2") -> tuple[str, int]:
    """How a client that vmie makes tries again: the SDK's own account of it."""
    retries = connect().client(service).meta.config.retries
    return retries["mode"], retries["total_max_attempts"]


def test_calls_are_tried_again_as_the_user_says(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tried() == ("standard", ATTEMPTS)
    with profile.open("a") as file:
        file.write("max_attempts = 3\nretry_mode = adaptive\n")
    assert tried() == tried("s3") == ("adaptive", 3)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    assert tried() == ("adaptive", 5)
    monkeypatch.setenv("AWS_RETRY_MODE", "legacy")
    assert tried("sts") == ("legacy", 5)


def test_a_profile_has_its_own_way(profile: Path) -> None:
    with profile.open("a") as file:
        file.write("[profile patient]\nregion = us-east-1\nmax_attempts = 20\n")
        file.write("aws_access_key_id = a\naws_secret_access_key = b\n")
    assert connect(profile="patient").client("ec2").meta.config.retries["total_max_attempts"] == 20
    assert tried() == ("standard", ATTEMPTS)


@pytest.mark.usefixtures("profile")
def test_what_must_not_be_called_twice_is_called_once_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    aws = connect()
    assert aws.once("ec2").meta.config.retries["total_max_attempts"] == 1
    assert aws.transfer().meta.config.retries["total_max_attempts"] == 1


@pytest.mark.usefixtures("profile")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_MAX_ATTEMPTS", "many"),
        ("AWS_MAX_ATTEMPTS", "0"),
        ("AWS_MAX_ATTEMPTS", "-3"),
        ("AWS_MAX_ATTEMPTS", "1.5"),
        ("AWS_MAX_ATTEMPTS", "9" * 5000),
        ("AWS_MAX_ATTEMPTS", "²"),
        ("AWS_RETRY_MODE", "stubborn"),
    ],
)
def test_a_way_that_is_none_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        connect().client("ec2")
    assert value[:40] in caught.value.message
    assert len(caught.value.message) < 300
