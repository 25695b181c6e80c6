"""A client of the EBS direct API, as small as one can be."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from vmie.sandbox import Sandbox

BLOCK = 524288


@cache
def client(region: str = "us-east-1") -> Any:
    """One that neither checks its parameters nor tries again, so that the service has to."""
    config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
    session = boto3.Session(aws_access_key_id="made", aws_secret_access_key="up")
    return session.client("ebs", region_name=region, config=config)


def checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def filled(mark: str) -> bytes:
    """A block that is full of `mark`."""
    return (mark.encode() * BLOCK)[:BLOCK]


def put(ebs: Any, snapshot_id: str, index: int, data: bytes, **changes: Any) -> Any:
    call = {"BlockData": data, "DataLength": len(data), "Checksum": checksum(data), "ChecksumAlgorithm": "SHA256"}
    return ebs.put_snapshot_block(SnapshotId=snapshot_id, BlockIndex=index, **{**call, **changes})


def made(box: Sandbox, ebs: Any, blocks: Mapping[int, bytes], **start: Any) -> str:
    """A completed snapshot of `blocks`."""
    snapshot_id: str = ebs.start_snapshot(**{"VolumeSize": 1, **start})["SnapshotId"]
    for index, data in blocks.items():
        put(ebs, snapshot_id, index, data)
    ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=len(blocks))
    box.advance(60)
    return snapshot_id


def listed(ebs: Any, snapshot_id: str, **more: Any) -> dict[int, str]:
    """Block tokens by index, of one page."""
    return {
        block["BlockIndex"]: block["BlockToken"]
        for block in ebs.list_snapshot_blocks(SnapshotId=snapshot_id, **more)["Blocks"]
    }


def content(ebs: Any, snapshot_id: str) -> dict[int, bytes]:
    """Every block that is in a snapshot, read and checked."""
    out = {}
    for index, token in listed(ebs, snapshot_id).items():
        answer = ebs.get_snapshot_block(SnapshotId=snapshot_id, BlockIndex=index, BlockToken=token)
        out[index] = answer["BlockData"].read()
        assert answer["DataLength"] == BLOCK
        assert answer["Checksum"] == checksum(out[index])
    return out


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[str, str]:
    """Code and reason of the error that a call is refused with."""
    try:
        call(**parameters)
    except ClientError as error:
        return error.response["Error"]["Code"], str(error.response.get("Reason", ""))
    return "", ""
