"""What S3 and IAM refuse, in their words."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.sandbox.conftest import BUCKET, code_of, message_of, policy
from vmie.sandbox import Sandbox


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("abc", True),
        ("a" * 63, True),
        ("with.dots-and-1", True),
        ("1.2.3.4.5", True),
        ("a" * 64, False),
        ("ab", False),
        ("Capital", False),
        ("under_score", False),
        ("two..dots", False),
        ("-begins", False),
        ("ends-", False),
        (".begins", False),
        ("192.168.5.4", False),
        ("xn--name", False),
        ("sthree-name", False),
        ("amzn-s3-demo-name", False),
        ("name-s3alias", False),
        ("name--ol-s3", False),
        ("name.mrap", False),
        ("name--table-s3", False),
    ],
)
def test_names_of_buckets(box: Sandbox, name: str, taken: bool) -> None:
    config = Config(s3={"addressing_style": "path"}, parameter_validation=False)
    s3 = boto3.client("s3", region_name="us-east-1", config=config)
    code = code_of(s3.create_bucket, Bucket=name)
    assert code == ("" if taken else "InvalidBucketName")


class TestSizes:
    def test_of_keys(self, s3: Any) -> None:
        assert code_of(s3.put_object, Bucket=BUCKET, Key="k" * 1024, Body=b"") == ""
        assert code_of(s3.put_object, Bucket=BUCKET, Key="k" * 1025, Body=b"") == "KeyTooLongError"
        assert code_of(s3.create_multipart_upload, Bucket=BUCKET, Key="é" * 513) == "KeyTooLongError"

    def test_of_metadata(self, s3: Any) -> None:
        for length, code in ((2048 - 4, ""), (2048 - 3, "MetadataTooLarge")):
            metadata = {"name": "v" * length}
            assert code_of(s3.put_object, Bucket=BUCKET, Key="k", Body=b"", Metadata=metadata) == code
            assert code_of(s3.create_multipart_upload, Bucket=BUCKET, Key="k", Metadata=metadata) == code

    def test_of_tags(self, s3: Any) -> None:
        ten = "&".join(f"k{number}=v" for number in range(10))
        assert code_of(s3.put_object, Bucket=BUCKET, Key="k", Body=b"", Tagging=ten) == ""
        assert code_of(s3.put_object, Bucket=BUCKET, Key="new", Body=b"", Tagging=f"{ten}&more=v") == "BadRequest"
        assert code_of(s3.head_object, Bucket=BUCKET, Key="new") == "404"
        for key, value, code in (
            ("k" * 128, "v" * 256, ""),
            ("k" * 129, "", "InvalidTag"),
            ("k", "v" * 257, "InvalidTag"),
        ):
            tags = {"TagSet": [{"Key": key, "Value": value}]}
            assert code_of(s3.put_object_tagging, Bucket=BUCKET, Key="k", Tagging=tags) == code
            assert code_of(s3.put_bucket_tagging, Bucket=BUCKET, Tagging=tags) == code

    def test_of_what_is_copied(self, box: Sandbox, s3: Any) -> None:
        box.put_disk(BUCKET, "large", size=(5 << 30) + 512)
        source = {"Bucket": BUCKET, "Key": "large"}
        assert "larger than the maximum" in message_of(s3.copy_object, Bucket=BUCKET, Key="copy", CopySource=source)


class TestBucketPolicies:
    @staticmethod
    def of(resource: Any, **more: Any) -> str:
        return policy({"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": resource, **more})

    def test_have_a_size(self, s3: Any) -> None:
        base = len(self.of(f"arn:aws:s3:::{BUCKET}/"))
        for size, code in ((20480, ""), (20481, "PolicyTooLarge")):
            text = self.of(f"arn:aws:s3:::{BUCKET}/" + "k" * (size - base))
            assert code_of(s3.put_bucket_policy, Bucket=BUCKET, Policy=text) == code

    @pytest.mark.parametrize(
        ("resource", "code"),
        [
            (f"arn:aws:s3:::{BUCKET}", ""),
            ([f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"], ""),
            ("*", ""),
            ("arn:aws:s3:::*", ""),
            ("arn:aws:s3:::vmie-*/key", ""),
            ("arn:aws:s3:::other/*", "MalformedPolicy"),
            ([f"arn:aws:s3:::{BUCKET}/*", "arn:aws:s3:::other"], "MalformedPolicy"),
            (f"arn:aws:s3:::{BUCKET}2/*", "MalformedPolicy"),
            (f"arn:aws-cn:s3:::{BUCKET}/*", "MalformedPolicy"),
            (BUCKET, "MalformedPolicy"),
            (7, "MalformedPolicy"),
        ],
    )
    def test_are_of_their_bucket(self, s3: Any, resource: Any, code: str) -> None:
        assert code_of(s3.put_bucket_policy, Bucket=BUCKET, Policy=self.of(resource)) == code

    @pytest.mark.parametrize(
        "text",
        [
            "no JSON",
            "[]",
            "{}",
            '{"Statement": []}',
            '{"Statement": [1]}',
            '{"Statement": {"Effect": "Allow"}}',
            "[" * 9000,
        ],
    )
    def test_are_policies(self, s3: Any, text: str) -> None:
        assert code_of(s3.put_bucket_policy, Bucket=BUCKET, Policy=text) == "MalformedPolicy"


class TestEncryption:
    @pytest.fixture
    def keys(self, box: Sandbox) -> dict[str, str]:
        kms = box.client("kms")
        made = {name: kms.create_key()["KeyMetadata"]["Arn"] for name in ("mine", "off", "dying")}
        made["id"] = made["mine"].rpartition("/")[2]
        kms.create_alias(AliasName="alias/mine", TargetKeyId=made["mine"])
        kms.disable_key(KeyId=made["off"])
        kms.schedule_key_deletion(KeyId=made["dying"])
        made["elsewhere"] = box.client("kms", region="eu-west-1").create_key()["KeyMetadata"]["Arn"]
        return made | {
            "alias": "alias/mine",
            "aws": "alias/aws/s3",
            "unknown": "11111111-2222-3333-4444-555555555555",
            "foreign": "arn:aws:kms:us-east-1:999999999999:key/11111111-2222-3333-4444-555555555555",
            "no-alias": "alias/none",
        }

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("mine", ""),
            ("id", ""),
            ("alias", ""),
            ("aws", ""),
            ("unknown", "KMS.NotFoundException"),
            ("foreign", "KMS.NotFoundException"),
            ("no-alias", "KMS.NotFoundException"),
            ("elsewhere", "KMS.NotFoundException"),
            ("off", "KMS.DisabledException"),
            ("dying", "KMS.KMSInvalidStateException"),
        ],
    )
    def test_needs_a_key_that_is_there(self, s3: Any, keys: dict[str, str], name: str, code: str) -> None:
        how = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": keys[name]}
        assert code_of(s3.put_object, Bucket=BUCKET, Key="k", Body=b"", **how) == code
        assert code_of(s3.create_multipart_upload, Bucket=BUCKET, Key="k", **how) == code
        s3.put_object(Bucket=BUCKET, Key="source", Body=b"")
        source = {"Bucket": BUCKET, "Key": "source"}
        assert code_of(s3.copy_object, Bucket=BUCKET, Key="copy", CopySource=source, **how) == code
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": keys[name]}}
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
        assert code_of(s3.put_object, Bucket=BUCKET, Key="k", Body=b"") == code

    def test_says_what_it_is(self, s3: Any) -> None:
        call = {"Bucket": BUCKET, "Key": "k", "Body": b""}
        assert code_of(s3.put_object, **call, ServerSideEncryption="AES128") == "InvalidEncryptionAlgorithmError"
        assert code_of(s3.put_object, **call, SSEKMSKeyId="x") == "InvalidArgument"
