"""Uploads against an S3 that answers: nothing lost, nothing sent twice, memory bounded by the parts in flight."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from vmie import events
from vmie.aws.abandoned_uploads import abort
from vmie.aws.parts import MAX_PARTS, MIB, Part, part_size_for
from vmie.aws.session import Aws
from vmie.aws.upload import UploadOptions, upload
from vmie.errors import UsageError
from vmie.model import S3Object

TARGET = S3Object("bucket", "key")


class Memory:
    unsure = False

    def __init__(self) -> None:
        self.upload_id: str | None = None

    def get(self) -> str | None:
        return self.upload_id

    def put(self, upload_id: str) -> None:
        self.upload_id = upload_id

    reached = 0

    def holds(self, bytes_held: int, *, reached: int = 0, final: bool = False) -> None:
        self.held, self.reached = bytes_held, reached


class Bytes:
    def __init__(self, data: bytes, *, fails_at: int | None = None) -> None:
        self.data = data
        self.bound = self.source_size = len(data)
        self.fails_at = fails_at

    def parts(self, part_size: int) -> Iterator[Part]:
        for number, offset in enumerate(range(0, max(1, len(self.data)), part_size), start=1):
            if number == self.fails_at:
                raise KeyboardInterrupt
            chunk = self.data[offset : offset + part_size]
            yield Part(number, len(chunk), lambda chunk=chunk: iter((chunk,)), offset + len(chunk), held=len(chunk))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        yield client


def data(length: int) -> bytes:
    return hashlib.shake_256(b"seed").digest(length)


@pytest.mark.parametrize("length", [0, 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 17 * MIB + 3])
def test_what_arrives_is_what_was_sent(s3: Any, length: int) -> None:
    aws = Aws.of({"s3": s3}, account="123456789012")
    content = data(length)
    done = upload(aws, TARGET, Bytes(content), state=Memory(), options=UploadOptions(part_size=5 * MIB))
    assert done.bytes_total == done.bytes_sent == length
    assert s3.get_object(Bucket="bucket", Key="key")["Body"].read() == content


def test_a_second_run_sends_only_what_is_missing(s3: Any) -> None:
    aws = Aws.of({"s3": s3}, account="123456789012")
    content = data(23 * MIB)
    memory = Memory()
    options = UploadOptions(part_size=5 * MIB, workers=1)
    with pytest.raises(KeyboardInterrupt):
        upload(aws, TARGET, Bytes(content, fails_at=4), state=memory, options=options)
    held = s3.list_parts(Bucket="bucket", Key="key", UploadId=memory.upload_id).get("Parts", [])
    seen: list[events.Event] = []
    done = upload(aws, TARGET, Bytes(content), state=memory, options=options, reporter=seen.append)
    shown = [one.done for one in seen if isinstance(one, events.Progress)]
    assert shown == sorted(shown)
    assert shown[0] >= sum(part["Size"] for part in held) > 0, "it goes on where it stood"
    assert done.bytes_sent == len(content) - sum(part["Size"] for part in held)
    assert s3.get_object(Bucket="bucket", Key="key")["Body"].read() == content


def test_a_part_whose_bytes_differ_is_sent_again(s3: Any) -> None:
    aws = Aws.of({"s3": s3}, account="123456789012")
    memory = Memory()
    options = UploadOptions(part_size=5 * MIB, workers=1)
    with pytest.raises(KeyboardInterrupt):
        upload(aws, TARGET, Bytes(data(12 * MIB), fails_at=3), state=memory, options=options)
    other = bytes(reversed(data(12 * MIB)))
    done = upload(aws, TARGET, Bytes(other), state=memory, options=options)
    assert done.bytes_sent == len(other)
    assert s3.get_object(Bucket="bucket", Key="key")["Body"].read() == other


def test_an_upload_that_is_gone_begins_anew(s3: Any) -> None:
    aws = Aws.of({"s3": s3}, account="123456789012")
    memory = Memory()
    options = UploadOptions(part_size=5 * MIB, workers=1)
    with pytest.raises(KeyboardInterrupt):
        upload(aws, TARGET, Bytes(data(12 * MIB), fails_at=3), state=memory, options=options)
    first = memory.upload_id
    assert first is not None
    abort(aws, TARGET, first)
    abort(aws, TARGET, first)  # twice is fine
    upload(aws, TARGET, Bytes(data(12 * MIB)), state=memory, options=options)
    assert memory.upload_id != first
    assert s3.get_object(Bucket="bucket", Key="key")["Body"].read() == data(12 * MIB)


def test_part_sizes_keep_s3s_limits() -> None:
    assert part_size_for(1) == 16 * MIB
    for bound in (1, 160 << 30, 5 << 40, 48 << 40):
        size = part_size_for(bound)
        assert 5 * MIB <= size <= 5 << 30
        assert -(-bound // size) <= MAX_PARTS
    with pytest.raises(UsageError, match=r"48\.8 TiB"):
        part_size_for(49 << 40)
