"""EBS direct: StartSnapshot, PutSnapshotBlock, CompleteSnapshot, as botocore's model and the EBS guide have them."""

from __future__ import annotations

import base64
import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import policy
from tests.sandbox.ebs_direct import BLOCK, checksum, client, content, filled, listed, made, put, refusal
from vmie import sandbox
from vmie.sandbox import Sandbox
from vmie.sandbox.moto_fixes import compute

INVALID = "ValidationException"
PARAMETER, VOLUME, TAG, SNAPSHOT = (
    "INVALID_PARAMETER_VALUE",
    "INVALID_VOLUME_SIZE",
    "INVALID_TAG",
    "INVALID_SNAPSHOT_ID",
)


@pytest.fixture
def ebs(box: Sandbox) -> Any:
    return client()


@pytest.fixture
def kms(box: Sandbox, clients: Any) -> Any:
    return clients("kms", "us-east-1")


def shown(ec2: Any, snapshot_id: str) -> Any:
    return ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]


class TestStart:
    def test_the_snapshot_is_as_it_was_asked_for(self, ebs: Any, ec2: Any) -> None:
        tags = [{"Key": "k", "Value": "v" * 255}]
        answer = ebs.start_snapshot(VolumeSize=16384, Description="words", Tags=tags, Timeout=10)
        assert (answer["Status"], answer["BlockSize"], answer["VolumeSize"]) == ("pending", BLOCK, 16384)
        assert (answer["Tags"], answer["Description"], answer["OwnerId"]) == (tags, "words", "123456789012")
        assert answer["SseType"] == "none"
        described = shown(ec2, answer["SnapshotId"])
        assert (described["State"], described["VolumeSize"], described["Tags"]) == ("pending", 16384, tags)
        assert (described["VolumeId"], described["Description"], described["Progress"]) == (
            "vol-ffffffff",
            "words",
            "0%",
        )
        # moto made a volume for each
        assert all(volume["Size"] != 16384 for volume in ec2.describe_volumes()["Volumes"])

    @pytest.mark.parametrize(
        ("asked", "reason"),
        [
            ({"VolumeSize": 65537}, VOLUME),
            ({"Timeout": 9}, PARAMETER),
            ({"Timeout": 4321}, PARAMETER),
            ({"Description": "x" * 256}, PARAMETER),
            ({"ClientToken": "x" * 256}, PARAMETER),
            ({"Tags": [{"Key": "aws:x", "Value": ""}]}, TAG),
            ({"Tags": [{"Key": "x" * 128, "Value": ""}]}, TAG),
            ({"Tags": [{"Key": "x", "Value": "x" * 256}]}, TAG),
            ({"Tags": [{"Key": str(number), "Value": ""} for number in range(51)]}, TAG),
            ({"ParentSnapshotId": "snap-0123456789abcdef0", "Encrypted": True}, PARAMETER),
            ({"ParentSnapshotId": "snap-0123456789abcdef0", "Encrypted": False}, PARAMETER),
            ({"ParentSnapshotId": "vol-0"}, SNAPSHOT),
        ],
        ids=str,
    )
    def test_what_is_out_of_its_range_is_refused(self, ebs: Any, asked: dict[str, Any], reason: str) -> None:
        assert refusal(ebs.start_snapshot, **{"VolumeSize": 1, **asked}) == (INVALID, reason)

    def test_equal_tokens_are_one_snapshot_whatever_parameter_differs(self, box: Sandbox, ebs: Any) -> None:
        first = ebs.start_snapshot(VolumeSize=1, ClientToken="once")
        again = ebs.start_snapshot(VolumeSize=1, ClientToken="once")
        assert (again["SnapshotId"], again["StartTime"]) == (first["SnapshotId"], first["StartTime"])
        for other in ({"VolumeSize": 2}, {"Timeout": 20}, {"Tags": [{"Key": "a", "Value": ""}]}, {"Description": "x"}):
            assert refusal(ebs.start_snapshot, **{"VolumeSize": 1, "ClientToken": "once", **other})[0] == (
                "ConflictException"
            )
        ebs.complete_snapshot(SnapshotId=first["SnapshotId"], ChangedBlocksCount=0)
        box.advance(60)
        assert ebs.start_snapshot(VolumeSize=1, ClientToken="once")["Status"] == "completed"

    def test_a_parent_is_completed_and_no_larger(self, box: Sandbox, ebs: Any) -> None:
        assert refusal(ebs.start_snapshot, VolumeSize=1, ParentSnapshotId="snap-0") == (
            "ResourceNotFoundException",
            "SNAPSHOT_NOT_FOUND",
        )
        pending = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
        assert refusal(ebs.start_snapshot, VolumeSize=1, ParentSnapshotId=pending) == (INVALID, SNAPSHOT)
        large = made(box, ebs, {}, VolumeSize=2)
        assert refusal(ebs.start_snapshot, VolumeSize=1, ParentSnapshotId=large) == (INVALID, VOLUME)
        assert ebs.start_snapshot(VolumeSize=3, ParentSnapshotId=large)["ParentSnapshotId"] == large

    def test_a_hundred_are_pending_at_most(self, box: Sandbox, ebs: Any, ec2: Any) -> None:
        box.ebs_limits.starts = 1000
        started = [ebs.start_snapshot(VolumeSize=1)["SnapshotId"] for _ in range(100)]
        assert refusal(ebs.start_snapshot, VolumeSize=1) == (
            "ServiceQuotaExceededException",
            "DEPENDENCY_SERVICE_QUOTA_EXCEEDED",
        )
        ec2.delete_snapshot(SnapshotId=started[0])
        assert refusal(ebs.start_snapshot, VolumeSize=1) == ("", "")


class TestEncryption:
    """The table of "Encryption outcomes for EBS direct APIs" in the EBS guide."""

    @pytest.fixture
    def key(self, kms: Any) -> str:
        return str(kms.create_key()["KeyMetadata"]["Arn"])

    def test_without_parent(self, ebs: Any, ec2: Any, kms: Any, key: str) -> None:
        asked = ebs.start_snapshot(VolumeSize=1, Encrypted=True, KmsKeyArn=key)
        assert (asked["KmsKeyArn"], asked["SseType"]) == (key, "sse-kms")
        assert shown(ec2, asked["SnapshotId"])["Encrypted"] is True
        aws = ebs.start_snapshot(VolumeSize=1, Encrypted=True)["KmsKeyArn"]
        assert aws == kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]["Arn"]
        assert refusal(ebs.start_snapshot, VolumeSize=1, KmsKeyArn=key) == (INVALID, PARAMETER)
        assert refusal(ebs.start_snapshot, VolumeSize=1, Encrypted=False, KmsKeyArn=key) == (INVALID, PARAMETER)
        assert "KmsKeyArn" not in ebs.start_snapshot(VolumeSize=1, Encrypted=False)

    def test_by_the_accounts_default(self, ebs: Any, ec2: Any, key: str) -> None:
        ec2.enable_ebs_encryption_by_default()
        ec2.modify_ebs_default_kms_key_id(KmsKeyId=key)
        assert ebs.start_snapshot(VolumeSize=1)["KmsKeyArn"] == key
        assert refusal(ebs.start_snapshot, VolumeSize=1, Encrypted=False) == (INVALID, PARAMETER)

    def test_with_a_parent(self, box: Sandbox, ebs: Any, ec2: Any, key: str) -> None:
        plain = made(box, ebs, {})
        secret = made(box, ebs, {}, Encrypted=True, KmsKeyArn=key)
        assert ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=secret)["KmsKeyArn"] == key
        assert ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=plain)["SseType"] == "none"
        assert refusal(ebs.start_snapshot, VolumeSize=1, ParentSnapshotId=secret, KmsKeyArn=key) == (INVALID, PARAMETER)
        ec2.enable_ebs_encryption_by_default()
        assert refusal(ebs.start_snapshot, VolumeSize=1, ParentSnapshotId=plain) == (INVALID, PARAMETER)

    @pytest.mark.parametrize("state", ["absent", "disabled", "elsewhere"])
    def test_a_key_that_cannot_be_used_is_refused(self, ebs: Any, kms: Any, clients: Any, key: str, state: str) -> None:
        if state == "absent":
            key = key[:-4] + "0000"
        elif state == "disabled":
            kms.disable_key(KeyId=key)
        else:
            key = clients("kms", "eu-west-1").create_key()["KeyMetadata"]["Arn"]
        call = {"VolumeSize": 1, "Encrypted": True, "KmsKeyArn": key}
        assert refusal(ebs.start_snapshot, **call) == (INVALID, "INVALID_CUSTOMER_KEY")


class TestPut:
    @pytest.fixture
    def snapshot_id(self, ebs: Any) -> str:
        return str(ebs.start_snapshot(VolumeSize=1)["SnapshotId"])

    @pytest.mark.parametrize(
        ("index", "changes", "reason"),
        [
            (0, {"DataLength": 512}, PARAMETER),
            (0, {"BlockData": b"x" * 512, "DataLength": BLOCK}, PARAMETER),
            (0, {"Checksum": checksum(b"other")}, PARAMETER),
            (0, {"ChecksumAlgorithm": "SHA1"}, PARAMETER),
            (0, {"Progress": 101}, PARAMETER),
            (2048, {}, "INVALID_BLOCK"),
        ],
        ids=str,
    )
    def test_a_block_is_half_a_mebibyte_of_the_volume_and_checked(
        self, ebs: Any, index: int, changes: dict[str, Any], reason: str
    ) -> None:
        snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
        data = filled("x")
        call = {
            "SnapshotId": snapshot_id,
            "BlockIndex": index,
            "BlockData": data,
            "DataLength": BLOCK,
            "Checksum": checksum(data),
            "ChecksumAlgorithm": "SHA256",
        }
        assert refusal(ebs.put_snapshot_block, **{**call, **changes}) == (INVALID, reason)
        ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)

    def test_a_block_may_be_written_again_and_counts_once(self, box: Sandbox, ebs: Any, snapshot_id: str) -> None:
        for mark in "abc":
            put(ebs, snapshot_id, 2047, filled(mark))
        put(ebs, snapshot_id, 5, bytes(BLOCK))
        ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=2)
        box.advance(60)
        assert content(ebs, snapshot_id) == {5: bytes(BLOCK), 2047: filled("c")}

    def test_progress_is_shown(self, ebs: Any, ec2: Any, snapshot_id: str) -> None:
        put(ebs, snapshot_id, 0, filled("x"), Progress=40)
        assert shown(ec2, snapshot_id)["Progress"] == "40%"

    def test_only_a_pending_snapshot_of_this_account_is_written(self, box: Sandbox, ebs: Any, ec2: Any) -> None:
        done = made(box, ebs, {})
        assert refusal(put, ebs=ebs, snapshot_id=done, index=0, data=filled("x")) == (INVALID, SNAPSHOT)
        assert refusal(put, ebs=ebs, snapshot_id="snap-0", index=0, data=filled("x")) == (
            "ResourceNotFoundException",
            "SNAPSHOT_NOT_FOUND",
        )
        compute.backend_of("123456789012", "us-east-1").snapshots[done].owner_id = "210987654321"
        assert refusal(ebs.list_snapshot_blocks, SnapshotId=done) == ("AccessDeniedException", "UNAUTHORIZED_ACCOUNT")
        ec2.modify_snapshot_attribute(SnapshotId=done, OperationType="add", UserIds=["123456789012"])
        assert refusal(ebs.list_snapshot_blocks, SnapshotId=done) == ("", "")

    def test_blocks_of_many_threads_are_all_there(self, box: Sandbox, ebs: Any, snapshot_id: str) -> None:
        def write(first: int) -> None:
            for index in range(first, 64, 8):
                put(ebs, snapshot_id, index, filled(f"{index:02}"))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=64)
        box.advance(60)
        assert content(ebs, snapshot_id) == {index: filled(f"{index:02}") for index in range(64)}


class TestComplete:
    def test_it_takes_its_time(self, box: Sandbox, ebs: Any, ec2: Any) -> None:
        snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
        put(ebs, snapshot_id, 3, filled("x"))
        assert ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=1)["Status"] == "pending"
        assert shown(ec2, snapshot_id)["State"] == "pending"
        assert refusal(put, ebs=ebs, snapshot_id=snapshot_id, index=4, data=filled("y")) == (INVALID, SNAPSHOT)
        assert refusal(ebs.complete_snapshot, SnapshotId=snapshot_id, ChangedBlocksCount=1)[0] == "ConflictException"
        box.advance(29)
        assert shown(ec2, snapshot_id)["State"] == "pending"
        box.advance(2)
        described = shown(ec2, snapshot_id)
        assert (described["State"], described["Progress"]) == ("completed", "100%")
        assert described["FullSnapshotSizeInBytes"] == BLOCK
        assert refusal(ebs.complete_snapshot, SnapshotId=snapshot_id, ChangedBlocksCount=1)[0] == "ConflictException"

    def test_the_count_and_the_linear_checksum_are_checked(self, box: Sandbox, ebs: Any) -> None:
        snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
        blocks = {9: filled("b"), 2: filled("a"), 700: bytes(BLOCK), 1500: filled("c")}
        for index, data in blocks.items():
            put(ebs, snapshot_id, index, data)
        assert refusal(ebs.complete_snapshot, SnapshotId=snapshot_id, ChangedBlocksCount=3) == (INVALID, PARAMETER)
        # the raw digests, in the order of the blocks, as coldsnap aggregates them
        digests = [hashlib.sha256(blocks[index]).digest() for index in sorted(blocks)]
        right = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
        wrong = base64.b64encode(hashlib.sha256(b"".join(reversed(digests))).digest()).decode()
        call = {"SnapshotId": snapshot_id, "ChangedBlocksCount": 4}
        linear = {"ChecksumAlgorithm": "SHA256", "ChecksumAggregationMethod": "LINEAR"}
        for given in (
            {"Checksum": wrong, **linear},
            {"Checksum": right},
            {"Checksum": right, "ChecksumAlgorithm": "SHA256"},
            {"Checksum": right, **linear, "ChecksumAggregationMethod": "TREE"},
            linear,
        ):
            assert refusal(ebs.complete_snapshot, **call, **given) == (INVALID, PARAMETER), given
        ebs.complete_snapshot(**call, Checksum=right, **linear)

    def test_without_blocks_in_time_it_ends_in_error(self, box: Sandbox, ebs: Any, ec2: Any) -> None:
        snapshot_id = ebs.start_snapshot(VolumeSize=1, Timeout=10)["SnapshotId"]
        box.advance(9 * 60)
        put(ebs, snapshot_id, 0, filled("x"))
        box.advance(9 * 60)
        assert shown(ec2, snapshot_id)["State"] == "pending"
        box.advance(2 * 60)
        described = shown(ec2, snapshot_id)
        assert described["State"] == "error"
        assert "timeout" in described["StateMessage"]
        late = (INVALID, "WRITE_REQUEST_TIMEOUT")
        assert refusal(put, ebs=ebs, snapshot_id=snapshot_id, index=1, data=filled("y")) == late
        assert refusal(ebs.complete_snapshot, SnapshotId=snapshot_id, ChangedBlocksCount=1) == late
        assert refusal(ebs.list_snapshot_blocks, SnapshotId=snapshot_id) == (INVALID, SNAPSHOT)

    def test_an_hour_is_the_default_timeout(self, box: Sandbox, ebs: Any, ec2: Any) -> None:
        snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
        box.advance(59 * 60)
        assert shown(ec2, snapshot_id)["State"] == "pending"
        box.advance(2 * 60)
        assert shown(ec2, snapshot_id)["State"] == "error"


class TestThrottles:
    def test_a_snapshot_and_an_account_have_their_rates(self, box: Sandbox, ebs: Any) -> None:
        box.ebs_limits.snapshot_puts, box.ebs_limits.account_puts = 3, 5
        one, other = (ebs.start_snapshot(VolumeSize=1)["SnapshotId"] for _ in range(2))

        def write(snapshot_id: str) -> tuple[str, str]:
            return refusal(put, ebs=ebs, snapshot_id=snapshot_id, index=0, data=filled("x"))

        assert [write(one) for _ in range(3)] == [("", "")] * 3
        assert write(one) == ("RequestThrottledException", "RESOURCE_LEVEL_THROTTLE")
        assert [write(other) for _ in range(2)] == [("", "")] * 2
        assert write(other)[0] == "ThrottlingException"
        box.advance(1)
        assert write(one) == write(other) == ("", "")

    def test_the_documented_rates_are_the_default(self, box: Sandbox) -> None:
        limits = box.ebs_limits
        assert (
            (limits.snapshot_puts, limits.account_puts) == (limits.snapshot_gets, limits.account_gets) == (1000, 1000)
        )
        assert (limits.starts, limits.completes, limits.lists, limits.pending_snapshots) == (10, 10, 50, 100)

    def test_an_injected_throttle_and_a_refusal_have_their_reasons(self, box: Sandbox, ebs: Any, iam: Any) -> None:
        box.faults.throttle("StartSnapshot")
        assert refusal(ebs.start_snapshot, VolumeSize=1) == ("RequestThrottledException", "RESOURCE_LEVEL_THROTTLE")
        iam.put_user_policy(
            UserName="sandbox",
            PolicyName="sandbox",
            PolicyDocument=policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}),
        )
        assert refusal(box.client("ebs").start_snapshot, VolumeSize=1) == (
            "AccessDeniedException",
            "UNAUTHORIZED_ACCOUNT",
        )

    def test_an_sdk_waits_for_the_rate(self, box: Sandbox) -> None:
        box.ebs_limits.starts = 20
        ebs = box.client("ebs")
        assert len({ebs.start_snapshot(VolumeSize=1)["SnapshotId"] for _ in range(24)}) == 24


def test_blocks_are_sparse_and_memory_is_flat_at_sixteen_tebibytes(box: Sandbox, ebs: Any) -> None:
    last = 16384 * 2048 - 1
    snapshot_id = made(box, ebs, {0: filled("a"), last: filled("z"), last // 2: bytes(BLOCK)}, VolumeSize=16384)
    assert sorted(listed(ebs, snapshot_id)) == [0, last // 2, last]
    disk = box.disk(snapshot_id)
    assert disk is not None
    assert (disk.size, disk.allocated_size) == (16 << 40, 3 * BLOCK)
    assert disk.read((16 << 40) - 2, 10) == b"zz"


def test_a_snapshot_deleted_gives_its_blocks_back(box: Sandbox, ebs: Any, ec2: Any) -> None:
    snapshot_id = made(box, ebs, {0: filled("a")})
    child = made(box, ebs, {1: filled("b")}, ParentSnapshotId=snapshot_id)
    ec2.delete_snapshot(SnapshotId=snapshot_id)
    assert box.disk(snapshot_id) is None
    assert content(ebs, child) == {0: filled("a"), 1: filled("b")}


def test_a_reset_forgets_all_of_it() -> None:
    with sandbox.serve(speed=0) as box:
        ebs = box.client("ebs")
        box.ebs_limits.starts = 1
        snapshot_id = ebs.start_snapshot(VolumeSize=1, ClientToken="once")["SnapshotId"]
        box.reset()
        assert box.ebs_limits.starts == 10
        assert refusal(ebs.complete_snapshot, SnapshotId=snapshot_id, ChangedBlocksCount=0)[0] == (
            "ResourceNotFoundException"
        )
        assert ebs.start_snapshot(VolumeSize=1, ClientToken="once")["SnapshotId"] != snapshot_id


def test_files_and_their_size_are_flat_however_many_snapshots_come_and_go(box: Sandbox, ebs: Any, ec2: Any) -> None:
    limits = box.ebs_limits
    limits.starts = limits.completes = limits.snapshot_puts = limits.account_puts = 1e9

    def files() -> tuple[int, int]:
        """How many this process has open, and how many bytes the sandbox's own hold."""
        open_ = list(Path("/proc/self/fd").iterdir())
        own = [one for one in open_ if one.is_symlink() and "vmie-sandbox-" in str(one.readlink())]
        return len(open_), sum(one.stat().st_size for one in own)

    def round_(count: int) -> None:
        made_ = [made(box, ebs, {0: filled(f"{number:04}"), 9: filled("x")}) for number in range(count)]
        for number in range(count):
            assert box.disk(made_[number]).read(0, 4) == f"{number:04}".encode()  # type: ignore[union-attr]
            ec2.delete_snapshot(SnapshotId=made_[number])

    round_(1)
    before = files()[0]
    round_(40)
    after, size = files()
    round_(40)
    assert files()[1] == size
    assert after <= before + 2
