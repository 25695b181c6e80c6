"""What S3 says of objects, uploads, versions and buckets, where moto says something else or nothing."""

from __future__ import annotations

import base64
import hashlib
import http.client
import zlib
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import BUCKET, MIB, code_of
from vmie import sandbox
from vmie.sandbox import Sandbox

PARTS = (b"1" * (5 * MIB), b"2" * 100)


def sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def uploaded(s3: Any, algorithm: str, **more: Any) -> Any:
    """Complete an upload of `PARTS`; the answers of each step."""
    made = s3.create_multipart_upload(Bucket=BUCKET, Key="k", ChecksumAlgorithm=algorithm, **more)
    where = {"Bucket": BUCKET, "Key": "k", "UploadId": made["UploadId"]}
    parts = [
        s3.upload_part(**where, PartNumber=number, Body=data, ChecksumAlgorithm=algorithm)
        for number, data in enumerate(PARTS, 1)
    ]
    listed = s3.list_parts(**where)
    name = f"Checksum{algorithm}"
    asked = [{"PartNumber": n, "ETag": part["ETag"], name: part[name]} for n, part in enumerate(parts, 1)]
    done = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": asked})
    return parts, listed, done


class TestChecksums:
    def test_of_parts_and_of_what_they_make(self, s3: Any) -> None:
        each = [sha256(data) for data in PARTS]
        whole = sha256(b"".join(base64.b64decode(one) for one in each))
        parts, listed, done = uploaded(s3, "SHA256")
        assert [part["ChecksumSHA256"] for part in parts] == each
        assert [part["ChecksumSHA256"] for part in listed["Parts"]] == each
        assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ("SHA256", "COMPOSITE")
        for answer in (
            done,
            s3.head_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED"),
            s3.get_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED"),
        ):
            assert (answer["ChecksumSHA256"], answer["ChecksumType"]) == (f"{whole}-2", "COMPOSITE")
        wanted = ["Checksum", "ObjectParts", "ObjectSize"]
        found = s3.get_object_attributes(Bucket=BUCKET, Key="k", ObjectAttributes=wanted)
        assert found["Checksum"] == {"ChecksumSHA256": whole, "ChecksumType": "COMPOSITE"}
        assert found["ObjectParts"]["TotalPartsCount"] == 2
        assert [(one["Size"], one["ChecksumSHA256"]) for one in found["ObjectParts"]["Parts"]] == [
            (len(data), value) for data, value in zip(PARTS, each, strict=True)
        ]

    def test_of_the_whole_object(self, s3: Any) -> None:
        _, _, done = uploaded(s3, "CRC32", ChecksumType="FULL_OBJECT")
        crc = base64.b64encode(zlib.crc32(b"".join(PARTS)).to_bytes(4, "big")).decode()
        assert (done["ChecksumCRC32"], done["ChecksumType"]) == (crc, "FULL_OBJECT")
        head = s3.head_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED")
        assert (head["ChecksumCRC32"], head["ChecksumType"]) == (crc, "FULL_OBJECT")

    def test_a_copy_is_of_one_piece(self, s3: Any) -> None:
        uploaded(s3, "SHA256")
        s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "k"})
        got = s3.get_object(Bucket=BUCKET, Key="copy")  # which botocore checks
        assert got["Body"].read() == b"".join(PARTS)
        assert (got["ChecksumSHA256"], got["ChecksumType"]) == (sha256(b"".join(PARTS)), "FULL_OBJECT")

    def test_pages_of_parts_follow_their_numbers(self, s3: Any) -> None:
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
        where = {"Bucket": BUCKET, "Key": "k", "UploadId": upload}
        for number in (2, 40, 7000):
            s3.upload_part(**where, PartNumber=number, Body=b"x")
        first = s3.list_parts(**where, MaxParts=2)
        assert ([one["PartNumber"] for one in first["Parts"]], first["IsTruncated"]) == ([2, 40], True)
        last = s3.list_parts(**where, PartNumberMarker=first["NextPartNumberMarker"])
        assert ([one["PartNumber"] for one in last["Parts"]], last["IsTruncated"]) == ([7000], False)


def test_every_object_and_bucket_is_encrypted(s3: Any) -> None:
    rules = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert s3.put_object(Bucket=BUCKET, Key="one", Body=b"")["ServerSideEncryption"] == "AES256"
    parts, _, done = uploaded(s3, "SHA256")
    copied = s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "k"})
    for answer in (*parts, done, copied):
        assert answer["ServerSideEncryption"] == "AES256"
    for key in ("one", "k", "copy"):
        assert s3.head_object(Bucket=BUCKET, Key=key)["ServerSideEncryption"] == "AES256"
        assert s3.get_object(Bucket=BUCKET, Key=key)["ServerSideEncryption"] == "AES256"


def test_parts_have_an_acl_when_they_are_one(s3: Any) -> None:
    uploaded(s3, "SHA256")
    (grant,) = s3.get_object_acl(Bucket=BUCKET, Key="k")["Grants"]
    assert grant["Permission"] == "FULL_CONTROL"


class TestOtherRegions:
    @pytest.mark.parametrize("action", ["head_bucket", "list_objects_v2", "get_bucket_policy", "delete_bucket"])
    def test_a_bucket_is_asked_where_it_is(self, box: Sandbox, action: str) -> None:
        box.client("s3", region="eu-west-1").create_bucket(
            Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        answers: list[Any] = []
        client = box.client("s3")
        client.meta.events.register("response-received.s3", lambda response_dict, **_: answers.append(response_dict))
        code = code_of(getattr(client, action), Bucket="elsewhere")
        first, *later = answers
        assert (first["status_code"], first["headers"]["x-amz-bucket-region"]) == (301, "eu-west-1")
        assert later[-1]["status_code"] < 300 or code == "NoSuchBucketPolicy"

    def test_and_the_sdk_finds_it(self, box: Sandbox) -> None:
        box.client("s3", region="eu-west-1").create_bucket(
            Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        here = box.client("s3")
        assert here.get_bucket_location(Bucket="elsewhere")["LocationConstraint"] == "eu-west-1"
        here.put_object(Bucket="elsewhere", Key="k", Body=b"x")
        assert here.get_object(Bucket="elsewhere", Key="k")["Body"].read() == b"x"
        assert here.head_bucket(Bucket="elsewhere")["BucketRegion"] == "eu-west-1"


class TestVersions:
    def test_suspended_ones_are_called_null(self, s3: Any) -> None:
        def versioning(status: str) -> None:
            s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})

        call = {"Bucket": BUCKET, "Key": "k"}
        assert "VersionId" not in s3.put_object(**call, Body=b"before")
        versioning("Enabled")
        kept = s3.put_object(**call, Body=b"kept")["VersionId"]
        versioning("Suspended")
        assert s3.put_object(**call, Body=b"null")["VersionId"] == "null"
        assert s3.head_object(**call)["VersionId"] == "null"
        assert s3.head_object(**call, VersionId=kept)["ContentLength"] == 4
        assert {one["VersionId"] for one in s3.list_object_versions(Bucket=BUCKET)["Versions"]} == {"null", kept}
        assert s3.delete_object(**call)["VersionId"] == "null"
        listed = s3.list_object_versions(Bucket=BUCKET)
        assert [one["VersionId"] for one in listed["Versions"]] == [kept]
        assert [one["VersionId"] for one in listed["DeleteMarkers"]] == ["null"]
        s3.delete_object(**call, VersionId="null")
        assert s3.get_object(**call)["Body"].read() == b"kept"
        s3.delete_object(**call, VersionId=kept)
        assert "Versions" not in s3.list_object_versions(Bucket=BUCKET)

    def test_where_there_never_were_any(self, s3: Any) -> None:
        _, _, done = uploaded(s3, "SHA256")
        assert "VersionId" not in done
        assert [one["VersionId"] for one in s3.list_object_versions(Bucket=BUCKET)["Versions"]] == ["null"]
        assert s3.head_object(Bucket=BUCKET, Key="k", VersionId="null")["ContentLength"] == 5 * MIB + 100
        assert s3.get_object(Bucket=BUCKET, Key="k", VersionId="null")["ContentLength"] == 5 * MIB + 100

    def test_a_marker_needs_no_object(self, s3: Any) -> None:
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        assert s3.delete_object(Bucket=BUCKET, Key="never")["DeleteMarker"] is True
        assert len(s3.list_object_versions(Bucket=BUCKET)["DeleteMarkers"]) == 1


class TestConditions:
    def test_of_writing(self, s3: Any) -> None:
        call = {"Bucket": BUCKET, "Key": "k", "Body": b"x"}
        etag = s3.put_object(**call, IfNoneMatch="*")["ETag"]
        assert code_of(s3.put_object, **call, IfNoneMatch="*") == "PreconditionFailed"
        assert code_of(s3.put_object, **call, IfMatch='"00"') == "PreconditionFailed"
        assert code_of(s3.put_object, **call, IfMatch=etag) == ""
        assert code_of(s3.put_object, **{**call, "Key": "new"}, IfMatch=etag) == "NoSuchKey"
        assert code_of(s3.put_object, **call, IfNoneMatch=etag) == "NotImplemented"

    @pytest.mark.parametrize(
        ("condition", "code"),
        [({"IfNoneMatch": "*"}, "PreconditionFailed"), ({"IfMatch": '"00"'}, "PreconditionFailed"), ({}, "")],
    )
    def test_of_completing(self, s3: Any, condition: dict[str, str], code: str) -> None:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
        where = {"Bucket": BUCKET, "Key": "k", "UploadId": upload}
        parts = {"Parts": [{"PartNumber": 1, "ETag": s3.upload_part(**where, PartNumber=1, Body=b"y")["ETag"]}]}
        assert code_of(s3.complete_multipart_upload, **where, MultipartUpload=parts, **condition) == code


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=-3", b"789"),
        ("bytes=7-", b"789"),
        ("bytes=7-99", b"789"),
        ("bytes=5-2", b"0123456789"),
        ("bytes", b"0123456789"),
        ("lines=1-2", b"0123456789"),
        ("bytes=a-b", b"0123456789"),
        ("bytes=0-1,3-4", b"0123456789"),
        ("bytes=10-", b""),
        ("bytes=-0", b""),
    ],
)
def test_ranges(s3: Any, given: str, answer: bytes) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"0123456789")
    if answer:
        assert s3.get_object(Bucket=BUCKET, Key="k", Range=given)["Body"].read() == answer
        return
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=BUCKET, Key="k", Range=given)
    assert caught.value.response["Error"]["Code"] == "InvalidRange"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 416


class TestLists:
    KEYS = ("a b/1", "a b/2", "a%20b", "c+d", "é")

    @pytest.fixture(autouse=True)
    def _filled(self, s3: Any) -> None:
        for key in self.KEYS:
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"")

    @pytest.mark.parametrize("action", ["list_objects", "list_objects_v2"])
    def test_names_come_back_as_they_were(self, s3: Any, action: str) -> None:
        listed = getattr(s3, action)(Bucket=BUCKET, Delimiter="/")
        assert [one["Prefix"] for one in listed["CommonPrefixes"]] == ["a b/"]
        assert [one["Key"] for one in listed["Contents"]] == ["a%20b", "c+d", "é"]
        assert listed["Delimiter"] == "/"

    def test_after_a_name(self, s3: Any) -> None:
        listed = s3.list_objects_v2(Bucket=BUCKET, StartAfter="a%20b")
        assert ([one["Key"] for one in listed["Contents"]], listed["StartAfter"]) == (["c+d", "é"], "a%20b")
        assert [one["Key"] for one in s3.list_objects(Bucket=BUCKET, Marker="c+d")["Contents"]] == ["é"]

    def test_in_pages(self, s3: Any) -> None:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 2})
        assert tuple(one["Key"] for page in pages for one in page["Contents"]) == self.KEYS
        assert code_of(s3.list_objects_v2, Bucket=BUCKET, ContinuationToken="made up") == "InvalidArgument"
        assert code_of(s3.list_objects_v2, Bucket=BUCKET, MaxKeys=-1) == "InvalidArgument"

    @pytest.mark.parametrize("quiet", [True, False])
    def test_deleting_quietly(self, s3: Any, quiet: bool) -> None:
        answer = s3.delete_objects(Bucket=BUCKET, Delete={"Quiet": quiet, "Objects": [{"Key": "c+d"}]})
        assert ("Deleted" in answer) is not quiet
        assert code_of(s3.head_object, Bucket=BUCKET, Key="c+d") == "404"


#: with what an action is asked that the sandbox lacks
ABSENT = [
    ("get_bucket_analytics_configuration", {"Id": "x"}),
    ("delete_bucket_analytics_configuration", {"Id": "x"}),
    ("delete_bucket_inventory_configuration", {"Id": "x"}),
    ("delete_bucket_metrics_configuration", {"Id": "x"}),
    ("get_bucket_request_payment", {}),
    ("put_bucket_request_payment", {"RequestPaymentConfiguration": {"Payer": "Requester"}}),
    ("get_object_torrent", {"Key": "k"}),
    ("get_object_retention", {"Key": "k"}),
]


@pytest.mark.parametrize(("action", "call"), ABSENT, ids=[one[0] for one in ABSENT])
def test_actions_that_are_not_there_do_nothing(s3: Any, action: str, call: dict[str, Any]) -> None:
    """Where moto lists objects for one, makes a bucket for another and deletes it for the third."""
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    assert code_of(getattr(s3, action), Bucket=BUCKET, **call) == "NotImplemented"
    assert s3.head_object(Bucket=BUCKET, Key="k")


def test_no_action_is_taken_for_another() -> None:
    """Every action of the model that a query string chooses is moto's own, or known to be missing."""
    from vmie.sandbox.moto_fixes import s3_answers

    chosen = s3_answers._sub_resources()
    assert {"policy", "analytics", "torrent", "versioning"} <= chosen
    known = {name for names in s3_answers._HANDLED.values() for name in names.split()} - {"uploadId", "object-lock"}
    assert known <= chosen | {"versions", "policyStatus"}, known - chosen


def test_answers_over_http_are_xml() -> None:
    with sandbox.serve(seeded=True) as box:
        where = urlsplit(box.url)
        for method, path in (
            ("GET", "/vmie-sandbox?analytics"),
            ("POST", "/vmie-sandbox/k?unheard"),
            ("PATCH", "/x/y"),
        ):
            connection = http.client.HTTPConnection(where.netloc, timeout=20)
            scope = (
                "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
            )
            connection.request(method, path, body=b"", headers={"Authorization": scope, "Content-Length": "0"})
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            assert text.startswith("<?xml"), (method, path, text[:200])
            assert (answer.status, "<Code>NotImplemented</Code>" in text) == (501, True)
        s3 = box.client("s3")
        assert s3.head_bucket(Bucket=BUCKET)["BucketRegion"] == "us-east-1"
