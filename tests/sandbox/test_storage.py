"""What S3 no longer shows takes no memory, no disk and no descriptor, and what is large passes through in pieces."""

from __future__ import annotations

import gc
import http.client
import os
import resource
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from copy import copy, deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.sandbox.conftest import BUCKET, MIB, code_of
from tests.tools import sized
from vmie import sandbox
from vmie.sandbox.storage import Blob, BlobFile, BlobReader, BlobWriter


def descriptors() -> list[Path]:
    """The sandbox's open files."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = link.readlink()
        except OSError:
            continue
        if "vmie-sandbox-" in str(target):
            found.append(link)
    return found


def on_disk() -> int:
    """Bytes that the sandbox's files take."""
    return sum(path.stat().st_blocks * 512 for path in descriptors())


def whole_upload(s3: Any, key: str, *parts: bytes, complete: bool = True) -> str:
    upload = str(s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"])
    sent = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=data)["ETag"],
        }
        for number, data in enumerate(parts, 1)
    ]
    if complete:
        s3.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": sent})
    return upload


PART = b"p" * (5 * MIB)


def overwritten(s3: Any) -> None:
    for _ in range(3):
        s3.put_object(Bucket=BUCKET, Key="k", Body=PART)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"")


def deleted(s3: Any) -> None:
    whole_upload(s3, "k", PART, b"last")
    s3.delete_object(Bucket=BUCKET, Key="k")


def aborted(s3: Any) -> None:
    upload = whole_upload(s3, "k", PART, PART, complete=False)
    s3.abort_multipart_upload(Bucket=BUCKET, Key="k", UploadId=upload)


def parts_sent_twice(s3: Any) -> None:
    upload = whole_upload(s3, "k", PART, complete=False)
    for _ in range(3):
        s3.upload_part(Bucket=BUCKET, Key="k", UploadId=upload, PartNumber=1, Body=b"less")
    s3.abort_multipart_upload(Bucket=BUCKET, Key="k", UploadId=upload)


def parts_left_out(s3: Any) -> None:
    upload = whole_upload(s3, "k", PART, b"second", complete=False)
    (_, second) = s3.list_parts(Bucket=BUCKET, Key="k", UploadId=upload)["Parts"]
    only = {"Parts": [{"PartNumber": 2, "ETag": second["ETag"]}]}
    s3.complete_multipart_upload(Bucket=BUCKET, Key="k", UploadId=upload, MultipartUpload=only)


def versions(s3: Any) -> None:
    """With a marker over them, which moto lets keep what it hides."""
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    made = [s3.put_object(Bucket=BUCKET, Key="k", Body=PART)["VersionId"] for _ in range(2)]
    s3.delete_object(Bucket=BUCKET, Key="k")
    s3.delete_object(Bucket=BUCKET, Key="k")
    for version in made:
        s3.delete_object(Bucket=BUCKET, Key="k", VersionId=version)


def copies(s3: Any) -> None:
    whole_upload(s3, "k", PART, b"last")
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "k"})
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "k"}, {"Key": "copy"}]})


def buckets(s3: Any) -> None:
    s3.create_bucket(Bucket="another")
    upload = s3.create_multipart_upload(Bucket="another", Key="k")["UploadId"]
    s3.upload_part(Bucket="another", Key="k", UploadId=upload, PartNumber=1, Body=PART)
    s3.delete_bucket(Bucket="another")


def refused(s3: Any) -> None:
    assert code_of(s3.put_object, Bucket=BUCKET, Key="k", Body=PART, ContentMD5="wrong") == "InvalidDigest"
    assert code_of(s3.put_object, Bucket="nowhere", Key="k", Body=PART) == "NoSuchBucket"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc, and holes in files")
@pytest.mark.parametrize(
    "act",
    [overwritten, deleted, aborted, parts_sent_twice, parts_left_out, versions, copies, buckets, refused],
    ids=lambda act: act.__name__,
)
def test_bytes_go_at_once(s3: Any, act: Callable[[Any], None]) -> None:
    gc.collect()
    before, files = on_disk(), len(descriptors())  # of other tests' worlds
    gc.disable()  # at once, not when the collector comes
    try:
        act(s3)
        assert on_disk() - before < MIB
        assert len(descriptors()) - files <= 1
    finally:
        gc.enable()


def test_what_is_read_while_it_is_deleted_is_read_to_its_end(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=PART)
    body = s3.get_object(Bucket=BUCKET, Key="k")["Body"]
    s3.delete_object(Bucket=BUCKET, Key="k")
    assert body.read() == PART


def test_every_version_is_listed_and_each_has_its_bytes(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for first in (b"1", b"2"):
        whole_upload(s3, "k", first * (5 * MIB), b"end")
    s3.delete_object(Bucket=BUCKET, Key="k")
    listed = s3.list_object_versions(Bucket=BUCKET)
    assert [one["IsLatest"] for one in listed["DeleteMarkers"]] == [True]
    bodies = [
        s3.get_object(Bucket=BUCKET, Key="k", VersionId=one["VersionId"])["Body"].read() for one in listed["Versions"]
    ]
    assert sorted(body[:1] for body in bodies) == [b"1", b"2"]
    assert {len(body) for body in bodies} == {5 * MIB + 3}


@pytest.mark.parametrize("count", sized(100, 10_000))
def test_many_objects_need_no_more_than_few(s3: Any, count: int) -> None:
    def round_of(number: int) -> None:
        key = f"k{number % 50}"
        if number % 10 == 0:
            s3.put_object(Bucket=BUCKET, Key=key, Body=PART[: 2 * MIB])
        elif number % 10 == 5:
            whole_upload(s3, key, PART, b"x")
        else:
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"small", Tagging="a=b")
        if number % 2:
            s3.delete_object(Bucket=BUCKET, Key=key)

    for number in range(50):
        round_of(number)
    gc.collect()
    tracemalloc.start()
    try:
        before, files = tracemalloc.get_traced_memory()[0], len(list(Path("/proc/self/fd").iterdir()))
        for number in range(count):
            round_of(number)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < MIB + 200 * count, f"{grown / count:.0f} bytes are left of each"
    assert len(list(Path("/proc/self/fd").iterdir())) <= files + 2


@pytest.mark.parametrize("rounds", sized(10, 30))
def test_sandboxes_leave_nothing(rounds: int) -> None:
    """In a process of its own, whose memory nothing else moves."""
    code = f"""
import gc, os, threading, boto3
from vmie import sandbox
def one():
    with sandbox.start(seeded=True, speed=0) as box:
        s3 = box.client("s3")
        s3.put_object(Bucket="vmie-sandbox", Key="k", Body=bytes(3 << 20))
        box.client("ec2").describe_instances()
def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
for _ in range(3): one()
before, files, threads = resident(), len(os.listdir("/proc/self/fd")), threading.active_count()
for _ in range({rounds}): one()
print((resident() - before) >> 20, len(os.listdir("/proc/self/fd")) - files, threading.active_count() - threads)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    grown, files, threads = map(int, done.stdout.split())
    assert (files, threads) == (0, 0)
    assert grown < 12, f"{grown} MiB"


@pytest.fixture
def peak() -> Callable[[], float]:
    """MiB by which the process's most memory has grown."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return lambda: (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


SIZES = pytest.mark.parametrize("size", sized(400 * MIB, 2 << 30))


@pytest.fixture
def big(tmp_path: Path, size: int) -> Path:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size - 3)
        file.write(b"end")
    return path


def drained(body: Any) -> tuple[int, bytes]:
    total, last = 0, b""
    while data := body.read(MIB):
        total, last = total + len(data), data
    return total, last[-3:]


@SIZES
def test_large_objects_pass_in_pieces(s3: Any, big: Path, size: int, peak: Callable[[], float]) -> None:
    with big.open("rb") as file:
        s3.put_object(Bucket=BUCKET, Key="big", Body=file)
    assert drained(s3.get_object(Bucket=BUCKET, Key="big")["Body"]) == (size, b"end")
    assert drained(s3.get_object(Bucket=BUCKET, Key="big", Range=f"bytes=10-{size - 1}")["Body"]) == (size - 10, b"end")
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "big"}, ChecksumAlgorithm="CRC32")
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="part")["UploadId"]
    source = {"Bucket": BUCKET, "Key": "copy"}
    part = s3.upload_part_copy(Bucket=BUCKET, Key="part", UploadId=upload, PartNumber=1, CopySource=source)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]}
    s3.complete_multipart_upload(Bucket=BUCKET, Key="part", UploadId=upload, MultipartUpload=parts)
    assert drained(s3.get_object(Bucket=BUCKET, Key="part")["Body"]) == (size, b"end")
    assert peak() < 120


@SIZES
def test_and_over_http(big: Path, size: int, peak: Callable[[], float]) -> None:
    with sandbox.serve(seeded=True) as box:
        s3 = box.client("s3")
        with big.open("rb") as file:
            s3.put_object(Bucket=BUCKET, Key="big", Body=file)
        assert drained(s3.get_object(Bucket=BUCKET, Key="big")["Body"]) == (size, b"end")
        url = urlsplit(s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "big"}))
        connection = http.client.HTTPConnection(url.netloc)
        connection.request("GET", f"{url.path}?{url.query}")
        assert connection.getresponse().read(10) == bytes(10)
        connection.close()  # whoever hangs up does no harm
        assert s3.head_object(Bucket=BUCKET, Key="big")["ContentLength"] == size
    assert peak() < 120


class TestBlob:
    def test_is_cut_and_joined_without_copying(self) -> None:
        file = BlobFile()
        stored = Blob.joined([Blob.of(b"abc", file=file), Blob.of(b"defg"), Blob.of(b"hi", file=file)])
        data = b"abcdefghi"
        for offset in range(-1, 11):
            for length in range(11):
                begin = max(offset, 0)
                assert stored.slice(offset, length).pread(0, 99) == data[begin : begin + length]
        assert BlobReader(stored.slice(2, 5)).read() == b"cdefg"
        assert list(BlobReader(stored).stream(4)) == [b"abcd", b"efgh", b"i"]

    def test_a_copy_of_it_is_itself(self) -> None:
        stored = Blob.of(bytes(2 * MIB))
        assert (copy(stored) is stored, deepcopy([stored])[0] is stored) == (True, True)

    @pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 20 * MIB + 5])
    def test_a_writer_keeps_what_it_was_given(self, size: int) -> None:
        data, written = os.urandom(size), BlobWriter()
        for at in range(0, size, 700_001):
            written.write(data[at : at + 700_001])
        assert (written.blob().pread(0, size + 1), written.size) == (data, size)

    def test_many_writers_do_not_mix(self) -> None:
        made: dict[int, Blob] = {}

        def write(number: int) -> None:
            one = BlobWriter()
            for _ in range(20):
                one.write(bytes([number]) * MIB)
            made[number] = one.blob()

        threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number, stored in made.items():
            assert {bytes(set(chunk)) for chunk in stored.chunks()} == {bytes([number])}
