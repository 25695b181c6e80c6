"""Downloads from (moto's) S3: whole, verified, resumed, never over another file, never outside the folder."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from tests.clocks import ManualClock
from vmie.aws.download import download
from vmie.aws.listing import file_name, head, listing
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, UsageError, VmieError
from vmie.events import Event, Note, Progress
from vmie.model import S3Object

MIB = 1 << 20
DATA = random.Random(1).randbytes(5 * MIB + 12_345)
ITEM = S3Object("exports", "exports/export-i-1.vmdk")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        session = boto3.Session(region_name="us-east-1")
        session.client("s3").create_bucket(Bucket="exports")
        yield Aws(session, region="us-east-1")


def put(aws: Aws, data: bytes = DATA, **extra: Any) -> None:
    aws.client("s3").put_object(Bucket=ITEM.bucket, Key=ITEM.key, Body=data, **extra)


def fetch(aws: Aws, folder: Path, *, events: list[Event] | None = None, **extra: Any) -> Path:
    report = (events if events is not None else []).append
    return download(aws, ITEM, folder, clock=ManualClock(), reporter=report, part=MIB, **extra)


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, len(DATA)])
def test_what_arrives_is_what_s3_holds(aws: Aws, tmp_path: Path, size: int) -> None:
    put(aws, DATA[:size])
    events: list[Event] = []
    path = fetch(aws, tmp_path / "new" / "folder", events=events)
    assert path.read_bytes() == DATA[:size]
    assert [one.name for one in path.parent.iterdir()] == ["export-i-1.vmdk"]
    assert [event.done for event in events if isinstance(event, Progress)][-1] == size
    assert not [event for event in events if isinstance(event, Note)]


def test_a_multipart_etag_is_verified_too(aws: Aws, tmp_path: Path) -> None:
    s3 = aws.client("s3")
    upload = s3.create_multipart_upload(Bucket=ITEM.bucket, Key=ITEM.key)["UploadId"]
    cut = [DATA[: 5 * MIB], DATA[5 * MIB :]]
    parts: list[Any] = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket=ITEM.bucket, Key=ITEM.key, UploadId=upload, PartNumber=number, Body=body)[
                "ETag"
            ],
        }
        for number, body in enumerate(cut, 1)
    ]
    s3.complete_multipart_upload(Bucket=ITEM.bucket, Key=ITEM.key, UploadId=upload, MultipartUpload={"Parts": parts})
    known = head(aws, ITEM)
    assert known.etag.endswith("-2")
    assert known.part_size == 5 * MIB
    assert fetch(aws, tmp_path).read_bytes() == DATA


@pytest.mark.parametrize(("last", "even"), [(4 * MIB, True), (3 * MIB, False)])
def test_parts_are_even_when_first_and_last_add_up(last: int, even: bool) -> None:
    """moto does not say how many parts an object has; S3 does, in answer to a part number."""
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    etag = f'"{"0" * 32}-3"'
    with Stubber(client) as stub:
        stub.add_response("head_object", {"ContentLength": 20 * MIB, "ETag": etag})
        stub.add_response("head_object", {"ContentLength": 8 * MIB, "PartsCount": 3})
        stub.add_response("head_object", {"ContentLength": last, "PartsCount": 3})
        known = head(Aws.of({"s3": client}, account="111122223333"), ITEM)
    assert (known.part_size, known.parts_even) == (8 * MIB, even)


def test_an_existing_file_is_never_overwritten(aws: Aws, tmp_path: Path) -> None:
    put(aws)
    (tmp_path / "export-i-1.vmdk").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        fetch(aws, tmp_path)
    assert (tmp_path / "export-i-1.vmdk").read_text() == "mine"


def test_a_file_that_appears_meanwhile_is_not_overwritten(aws: Aws, tmp_path: Path) -> None:
    put(aws)
    target = tmp_path / "export-i-1.vmdk"

    def intrude(event: Event) -> None:
        if isinstance(event, Progress) and not target.exists():
            target.write_text("theirs")

    with pytest.raises(UsageError, match="exists"):
        download(aws, ITEM, tmp_path, clock=ManualClock(), reporter=intrude, part=MIB)
    assert target.read_text() == "theirs"


def test_a_damaged_download_is_noticed_and_removed(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(aws)
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: real(file, bytes(len(data)), offset))
    with pytest.raises(VmieError, match="not what S3 holds") as failed:
        fetch(aws, tmp_path)
    assert failed.value.code == "ChecksumMismatch"
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_fetches_only_what_is_missing(aws: Aws, tmp_path: Path) -> None:
    put(aws)
    seen = 0

    def impatient(event: Event) -> None:
        nonlocal seen
        if isinstance(event, Progress):
            seen += 1
            if seen > 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(aws, ITEM, tmp_path, clock=ManualClock(), reporter=impatient, part=MIB, workers=1)
    state = json.loads((tmp_path / ".export-i-1.vmdk.part.json").read_text())
    assert state["done"]
    asked: list[str] = []
    aws.client("s3").meta.events.register(
        "before-parameter-build.s3.GetObject", lambda params, **_: asked.append(params["Range"])
    )
    assert fetch(aws, tmp_path).read_bytes() == DATA
    assert len(asked) == 6 - len(state["done"])


def test_another_object_under_the_same_name_starts_anew(aws: Aws, tmp_path: Path) -> None:
    put(aws)
    stale = {"etag": "0" * 32, "size": len(DATA), "part": MIB, "done": [0, 1, 2, 3, 4, 5]}
    (tmp_path / ".export-i-1.vmdk.part.json").write_text(json.dumps(stale))
    (tmp_path / ".export-i-1.vmdk.part").write_bytes(bytes(len(DATA)))
    assert fetch(aws, tmp_path).read_bytes() == DATA


@pytest.mark.parametrize("record", ["", "{", "[]", '{"etag": 1}', '{"done": "x"}'])
def test_a_damaged_record_is_ignored(aws: Aws, tmp_path: Path, record: str) -> None:
    put(aws)
    (tmp_path / ".export-i-1.vmdk.part.json").write_text(record)
    assert fetch(aws, tmp_path).read_bytes() == DATA


def test_a_link_laid_under_the_temporary_name_is_not_followed(aws: Aws, tmp_path: Path) -> None:
    put(aws)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".export-i-1.vmdk.part").symlink_to(victim)
    with pytest.raises(UsageError):
        fetch(aws, folder)
    assert victim.read_text() == "precious"


def test_an_object_that_changes_under_way_is_refused(aws: Aws, tmp_path: Path) -> None:
    put(aws)
    changed = False

    def swap(event: Event) -> None:
        nonlocal changed
        if isinstance(event, Progress) and not changed:
            changed = True
            put(aws, DATA[::-1])

    with pytest.raises(VmieError):
        download(aws, ITEM, tmp_path, clock=ManualClock(), reporter=swap, part=MIB, workers=1)
    assert not (tmp_path / "export-i-1.vmdk").exists()


def test_a_missing_object_is_refused(aws: Aws, tmp_path: Path) -> None:
    with pytest.raises(AwsRefused):
        fetch(aws, tmp_path)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("exports/export-i-1.vmdk", "export-i-1.vmdk"),
        ("../../etc/passwd", "passwd"),
        ("a/..", "object"),
        ("a/.bashrc", "bashrc"),
        ("a\\..\\b\n.vmdk", "a_.._b_.vmdk"),
        ("a/\x00", "_"),
        ("folder/", "folder"),
        ("é" * 300, "_" * 200),
    ],
)
def test_a_key_becomes_a_plain_name(key: str, name: str) -> None:
    assert file_name(key) == name
    assert "/" not in file_name(key)


def test_zeros_take_no_room_on_the_disk(aws: Aws, tmp_path: Path) -> None:
    data = DATA[:MIB] + bytes(8 * MIB) + DATA[:5]
    put(aws, data)
    path = fetch(aws, tmp_path)
    assert path.read_bytes() == data
    assert path.stat().st_blocks * 512 <= 2 * MIB


def test_listing_is_paged_and_in_order(aws: Aws) -> None:
    for number in range(3):
        aws.client("s3").put_object(Bucket="exports", Key=f"exports/export-ami-1-{number}.raw", Body=b"x" * number)
    found = listing(aws, "exports", "exports/export-ami-1")
    assert [(item.key[-5:], item.size) for item in found] == [("0.raw", 0), ("1.raw", 1), ("2.raw", 2)]
