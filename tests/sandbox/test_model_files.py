"""What the sandbox parses once, or later, is what the SDK and moto parse."""

from __future__ import annotations

import subprocess
import sys

import boto3
import pytest
from botocore.loaders import JSONFileLoader, Loader, create_loader

from vmie import sandbox
from vmie.sandbox.model_files import ParsedOnce, list_services

_OFFERED = """
from vmie import sandbox
with sandbox.start() as box:
    from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS as offerings
    assert not dict.get(offerings["region"], "eu-west-1")
    ec2 = box.client("ec2", region="eu-west-1")
    for kind in ("region", "availability-zone"):
        pages = ec2.get_paginator("describe_instance_type_offerings").paginate(LocationType=kind)
        found = [offer for page in pages for offer in page["InstanceTypeOfferings"]]
        print(kind, len(found) > 100, {offer["LocationType"] for offer in found})
"""


def test_sessions_share_a_model() -> None:
    path = f"{Loader.BUILTIN_DATA_PATH}/sts/2011-06-15/service-2"
    model = ParsedOnce().load_file(path)
    assert model == JSONFileLoader().load_file(path)
    assert ParsedOnce().load_file(path) is model
    assert ParsedOnce().load_file(f"{path}-which-is-not-there") is None


def test_s3s_is_each_ones_own() -> None:
    path = f"{Loader.BUILTIN_DATA_PATH}/s3/2006-03-01/service-2"
    plain = JSONFileLoader().load_file(path)
    assert ParsedOnce().load_file(path) == plain
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    client.generate_presigned_url("get_object", {"Bucket": "images", "Key": "a"})
    with sandbox.start() as box:
        box.client("s3").list_buckets()
    assert ParsedOnce().load_file(path) == plain
    assert ParsedOnce().load_file(f"{Loader.BUILTIN_DATA_PATH}/s3/2006-03-01/waiters-2")


def test_the_services_are_looked_for_once() -> None:
    loader = create_loader()
    found = list_services(loader, "service-2")
    assert found == Loader(loader.search_paths, include_default_search_paths=False).list_available_services("service-2")
    assert {"s3", "ec2", "ebs"} <= set(found)
    assert list_services(create_loader(), "service-2") is found


def test_only_while_a_sandbox_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loader, "FILE_LOADER_CLASS", JSONFileLoader)
    with sandbox.start():
        assert Loader.FILE_LOADER_CLASS is ParsedOnce
    assert Loader.FILE_LOADER_CLASS is JSONFileLoader


def test_offerings_are_read_when_asked_for() -> None:
    ran = subprocess.run([sys.executable, "-c", _OFFERED], capture_output=True, text=True, check=True)
    assert ran.stdout == "region True {'region'}\navailability-zone True {'availability-zone'}\n"
