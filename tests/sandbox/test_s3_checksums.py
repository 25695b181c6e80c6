"""What S3 is sent is held against what its client says of it: checksums, parts, their order."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.httpchecksum import AwsChunkedWrapper

from tests.sandbox.conftest import BUCKET, MIB, code_of, message_of
from vmie.sandbox import Sandbox
from vmie.sandbox.moto_fixes import s3_checksums

DATA = b"what is sent"
ACCOUNT = "123456789012"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


CHECKSUMS = {
    "CRC32": b64(zlib.crc32(DATA).to_bytes(4, "big")),
    "SHA1": b64(hashlib.sha1(DATA, usedforsecurity=False).digest()),
    "SHA256": b64(hashlib.sha256(DATA).digest()),
    "CRC32C": s3_checksums.checksum("CRC32C", DATA),
    "CRC64NVME": s3_checksums.checksum("CRC64NVME", DATA),
}


@pytest.mark.parametrize(
    ("algorithm", "value"), [("CRC32C", "4waSgw=="), ("CRC64NVME", "rosUhgp5mIg="), ("CRC32", "y/Q5Jg==")]
)
def test_checksums_have_the_published_values(algorithm: str, value: str) -> None:
    """Of the string of nine digits that catalogues of CRCs give."""
    assert s3_checksums.checksum(algorithm, b"123456789") == value


class TestChecksums:
    @pytest.fixture(params=["PutObject", "UploadPart"])
    def send(self, request: pytest.FixtureRequest, s3: Any) -> Callable[..., Any]:
        def put(**checks: Any) -> Any:
            if request.param == "PutObject":
                return s3.put_object(Bucket=BUCKET, Key="k", Body=DATA, **checks)
            algorithm = next((name.removeprefix("Checksum") for name in checks if name.startswith("Checksum")), "CRC32")
            upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k", ChecksumAlgorithm=algorithm)["UploadId"]
            return s3.upload_part(Bucket=BUCKET, Key="k", UploadId=upload, PartNumber=1, Body=DATA, **checks)

        return put

    @pytest.mark.parametrize("algorithm", CHECKSUMS)
    def test_are_computed(self, send: Any, algorithm: str) -> None:
        assert send(**{f"Checksum{algorithm}": CHECKSUMS[algorithm]})[f"Checksum{algorithm}"] == CHECKSUMS[algorithm]
        wrong = b64(bytes(len(base64.b64decode(CHECKSUMS[algorithm]))))
        with pytest.raises(ClientError) as caught:
            send(**{f"Checksum{algorithm}": wrong})
        assert caught.value.response["Error"]["Code"] == "BadDigest"
        assert f"The {algorithm} you specified did not match" in caught.value.response["Error"]["Message"]

    @pytest.mark.parametrize(
        ("checks", "code"),
        [
            ({"ChecksumSHA256": "no base64"}, "InvalidRequest"),
            ({"ChecksumCRC32": b64(b"12345")}, "InvalidRequest"),
            ({"ChecksumSHA1": b64(bytes(32))}, "InvalidRequest"),
            ({"ChecksumSHA1": CHECKSUMS["SHA1"], "ChecksumSHA256": CHECKSUMS["SHA256"]}, "InvalidRequest"),
            ({"ContentMD5": b64(bytes(16))}, "BadDigest"),
            ({"ContentMD5": b64(bytes(15))}, "InvalidDigest"),
            ({"ContentMD5": "none"}, "InvalidDigest"),
            ({"ContentMD5": b64(hashlib.md5(DATA, usedforsecurity=False).digest())}, ""),
        ],
    )
    def test_and_held_against_the_bytes(self, send: Any, checks: dict[str, str], code: str) -> None:
        assert code_of(send, **checks) == code

    def test_nothing_of_a_refused_object_is_kept(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"before")
        assert code_of(s3.put_object, Bucket=BUCKET, Key="k", Body=DATA, ChecksumSHA256=b64(bytes(32))) == "BadDigest"
        assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"before"

    @pytest.mark.parametrize("trailing", [True, False])
    def test_trailing_ones_too(self, box: Sandbox, trailing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        if not trailing:
            wrong = b64(bytes(4))
            monkeypatch.setattr(AwsChunkedWrapper, "_make_chunk", _with_trailer(AwsChunkedWrapper._make_chunk, wrong))  # type: ignore[attr-defined]
        call = {"Bucket": BUCKET, "Key": "k", "Body": io.BytesIO(bytes(3 * MIB)), "ChecksumAlgorithm": "CRC32"}
        assert code_of(box.client("s3").put_object, **call) == ("" if trailing else "BadDigest")

    @pytest.mark.parametrize(
        ("kind", "algorithm", "code"),
        [
            ("FULL_OBJECT", "SHA256", "InvalidRequest"),
            ("COMPOSITE", "CRC64NVME", "InvalidRequest"),
            ("FULL_OBJECT", "CRC32", ""),
            ("COMPOSITE", "SHA1", ""),
        ],
    )
    def test_kinds_that_do_not_go_together(self, s3: Any, kind: str, algorithm: str, code: str) -> None:
        call = {"Bucket": BUCKET, "Key": "k", "ChecksumType": kind, "ChecksumAlgorithm": algorithm}
        assert code_of(s3.create_multipart_upload, **call) == code

    def test_a_part_has_that_of_its_upload(self, s3: Any) -> None:
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k", ChecksumAlgorithm="SHA256")["UploadId"]
        call = {"Bucket": BUCKET, "Key": "k", "UploadId": upload, "PartNumber": 1, "Body": DATA}
        assert "Checksum Type mismatch occurred" in message_of(s3.upload_part, **call, ChecksumCRC32=CHECKSUMS["CRC32"])


def _with_trailer(original: Callable[..., bytes], value: str) -> Callable[..., bytes]:
    def make(self: Any) -> bytes:
        name, _, rest = original(self).partition(b"x-amz-checksum-crc32:")
        return name + b"x-amz-checksum-crc32:" + value.encode() + b"\r\n\r\n" if rest else name

    return make


class TestUploads:
    @pytest.fixture
    def complete(self, s3: Any) -> Callable[..., str]:
        def act(*sizes: int, ask: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda parts: parts) -> str:
            upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
            where = {"Bucket": BUCKET, "Key": "k", "UploadId": upload}
            parts = [
                {"PartNumber": number, "ETag": s3.upload_part(**where, PartNumber=number, Body=bytes(size))["ETag"]}
                for number, size in enumerate(sizes, 1)
            ]
            return code_of(s3.complete_multipart_upload, **where, MultipartUpload={"Parts": ask(parts)})

        return act

    def test_parts_have_a_least_size(self, complete: Any) -> None:
        assert complete(5 * MIB - 1, 1) == "EntityTooSmall"
        assert complete(5 * MIB, 1) == ""

    @pytest.mark.parametrize(
        ("ask", "code"),
        [
            (lambda parts: parts[::-1], "InvalidPartOrder"),
            (lambda parts: [parts[0], parts[0]], "InvalidPartOrder"),
            (lambda parts: [*parts, {"PartNumber": 7, "ETag": parts[0]["ETag"]}], "InvalidPart"),
            (lambda parts: [parts[0], {**parts[1], "ETag": '"00"'}], "InvalidPart"),
            (lambda parts: [parts[0], {**parts[1], "ChecksumCRC32": b64(b"1234")}], "InvalidPart"),
            (lambda parts: [], "MalformedXML"),
        ],
    )
    def test_and_order(self, complete: Any, ask: Any, code: str) -> None:
        assert complete(5 * MIB, 1, ask=ask) == code

    def test_one_that_is_over_is_not_there(self, s3: Any) -> None:
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
        where = {"Bucket": BUCKET, "Key": "k", "UploadId": upload}
        etag = s3.upload_part(**where, PartNumber=1, Body=b"x")["ETag"]
        s3.abort_multipart_upload(**where)
        parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
        assert code_of(s3.upload_part, **where, PartNumber=2, Body=b"x") == "NoSuchUpload"
        assert code_of(s3.complete_multipart_upload, **where, MultipartUpload=parts) == "NoSuchUpload"
        assert code_of(s3.abort_multipart_upload, **where) == "NoSuchUpload"
