"""What is AWS, and what stands in for it."""

from __future__ import annotations

import botocore.session
import pytest

from vmie.aws.client_config import DNS_SUFFIX, is_aws


def test_every_partition_has_its_suffix() -> None:
    resolver = botocore.session.get_session().get_component("endpoint_resolver")
    partitions = resolver.get_available_partitions()
    assert {name: resolver.get_partition_dns_suffix(name) for name in partitions} == DNS_SUFFIX


@pytest.mark.parametrize("suffix", sorted(set(DNS_SUFFIX.values())))
def test_every_partition_is_aws(suffix: str) -> None:
    assert is_aws(f"https://s3.some-region-1.{suffix}/bucket")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:4566", "https://s3.example.com", "https://amazonaws.com.evil.example", "https://xamazonaws.com"],
)
def test_others_are_not(url: str) -> None:
    assert not is_aws(url)
