"""What is AWS, and what stands in for it."""

from __future__ import annotations

import botocore.session
import pytest

from vmie import partitions
from vmie.aws.client_config import is_aws


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
