"""What is asked of EC2 and Systems Manager of an instance, held against botocore's model."""

from __future__ import annotations

import boto3
import pytest
from botocore.stub import Stubber

from vmie.aws import instance_prices, instances
from vmie.aws.session import Aws


@pytest.mark.parametrize(
    ("listed", "wanted"), [([{"PingStatus": "Online"}], True), ([{"PingStatus": "ConnectionLost"}], False), ([], False)]
)
def test_the_agent_of_a_guest(listed: list[dict[str, str]], wanted: bool) -> None:
    client = boto3.client("ssm", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    asked = {"Filters": [{"Key": "InstanceIds", "Values": ["i-0123456789abcdef0"]}]}
    with Stubber(client) as stub:
        stub.add_response("describe_instance_information", {"InstanceInformationList": listed}, asked)
        assert instances.pings(Aws.of({"ssm": client}, region="eu-west-1"), "i-0123456789abcdef0") is wanted


def test_what_an_instance_costs_at_most() -> None:
    here = instance_prices.at_most("t3.micro", seconds=720, gib=8, region="us-east-1")
    assert here == pytest.approx((0.0104 + 0.005 + 8 * 0.10 / 730) / 5)
    assert instance_prices.at_most("t3.micro", seconds=720, gib=8, region="eu-west-1") == pytest.approx(2 * (here or 0))
    assert instance_prices.at_most("t3.micro", seconds=1, gib=0, region="us-east-1") == pytest.approx(0.0154 / 60)
    assert instance_prices.at_most("x99.huge", seconds=60, gib=8, region="us-east-1") is None
    dear = instance_prices.at_most("m5.large", seconds=3600, gib=0, region="us-east-1", windows_vcpus=2)
    assert dear == pytest.approx(0.188 + 0.005), "with Windows' licence, and an address"
