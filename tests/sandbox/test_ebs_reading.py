"""The EBS direct API: ListSnapshotBlocks, ListChangedBlocks and GetSnapshotBlock, of snapshots from everywhere."""

from __future__ import annotations

import datetime as dt
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.sandbox.conftest import BUCKET, HOUR, MIB, bootable, snapshot_task
from tests.sandbox.ebs_direct import BLOCK, client, content, filled, listed, made, put, refusal
from vmie import sandbox
from vmie.sandbox import Sandbox
from vmie.sandbox.seed import SNAPSHOT

INVALID = "ValidationException"
TOKEN, PAGE, WRONG_SNAPSHOT = "INVALID_BLOCK_TOKEN", "INVALID_PAGE_TOKEN", "INVALID_SNAPSHOT_ID"


@pytest.fixture
def ebs(box: Sandbox) -> Any:
    return client()


class TestTokens:
    def test_a_token_is_of_one_block_of_one_snapshot_for_seven_days(self, box: Sandbox, ebs: Any) -> None:
        snapshot_id = made(box, ebs, {0: filled("a"), 1: filled("b")})
        other = made(box, ebs, {0: filled("a")})
        answer = ebs.list_snapshot_blocks(SnapshotId=snapshot_id)
        token = answer["Blocks"][0]["BlockToken"]
        left = answer["ExpiryTime"] - box.clock.now()
        assert dt.timedelta(days=6, hours=23) < left <= dt.timedelta(days=7)

        def read(**changes: Any) -> tuple[str, str]:
            call = {"SnapshotId": snapshot_id, "BlockIndex": 0, "BlockToken": token}
            return refusal(ebs.get_snapshot_block, **{**call, **changes})

        assert read() == ("", "")
        for wrong in ({"BlockIndex": 1}, {"SnapshotId": other}, {"BlockToken": "AAAA"}, {"BlockToken": token[:-4]}):
            assert read(**wrong) == (INVALID, TOKEN), wrong
        box.advance(6.9 * 24 * HOUR)
        assert read() == ("", "")
        box.advance(0.2 * 24 * HOUR)
        assert read() == (INVALID, TOKEN)

    def test_pages_are_ascending_and_their_tokens_last_an_hour(self, box: Sandbox, ebs: Any) -> None:
        box.ebs_limits.snapshot_puts = box.ebs_limits.account_puts = 1e9
        indexes = [*range(2047, 1900, -1), *range(0, 300, 3)]
        snapshot_id = made(box, ebs, dict.fromkeys(indexes, bytes(BLOCK)))
        call = {"SnapshotId": snapshot_id, "MaxResults": 100}
        first = ebs.list_snapshot_blocks(**call)
        assert (first["VolumeSize"], first["BlockSize"]) == (1, BLOCK)
        second = ebs.list_snapshot_blocks(**call, NextToken=first["NextToken"], StartingBlockIndex=7)
        third = ebs.list_snapshot_blocks(**call, NextToken=second["NextToken"])
        assert "NextToken" not in third
        pages = [block["BlockIndex"] for page in (first, second, third) for block in page["Blocks"]]
        assert pages == sorted(indexes)
        assert list(listed(ebs, snapshot_id, StartingBlockIndex=292)) == [*range(294, 300, 3), *range(1901, 2048)]
        other = made(box, ebs, {})
        again = ebs.list_snapshot_blocks(**call)["NextToken"]
        assert refusal(ebs.list_snapshot_blocks, SnapshotId=other, NextToken=again) == (INVALID, PAGE)
        assert refusal(ebs.list_snapshot_blocks, **call, NextToken="bogus+==") == (INVALID, PAGE)
        box.advance(HOUR + 2)
        assert refusal(ebs.list_snapshot_blocks, **call, NextToken=again) == (INVALID, PAGE)

    def test_what_cannot_be_asked_for_is_refused(self, box: Sandbox, ebs: Any) -> None:
        pending = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
        put(ebs, pending, 0, filled("x"))
        assert refusal(ebs.list_snapshot_blocks, SnapshotId=pending) == (INVALID, WRONG_SNAPSHOT)
        assert refusal(ebs.get_snapshot_block, SnapshotId=pending, BlockIndex=0, BlockToken="AAAA") == (
            INVALID,
            WRONG_SNAPSHOT,
        )
        assert refusal(ebs.list_snapshot_blocks, SnapshotId="snap-0") == (
            "ResourceNotFoundException",
            "SNAPSHOT_NOT_FOUND",
        )
        done = made(box, ebs, {})
        for size in (99, 10001):
            assert refusal(ebs.list_snapshot_blocks, SnapshotId=done, MaxResults=size) == (
                INVALID,
                "INVALID_PARAMETER_VALUE",
            )


class TestChangedBlocks:
    def test_are_those_that_differ_or_are_in_one_only(self, box: Sandbox, ebs: Any) -> None:
        first = made(box, ebs, {0: filled("a"), 1: filled("b"), 2: filled("c")})
        second = made(box, ebs, {1: filled("B"), 2: filled("c"), 9: filled("d")}, ParentSnapshotId=first)
        answer = ebs.list_changed_blocks(FirstSnapshotId=first, SecondSnapshotId=second)
        assert (answer["VolumeSize"], answer["BlockSize"]) == (1, BLOCK)
        assert answer["ExpiryTime"] > box.clock.now()
        blocks = {block["BlockIndex"]: block for block in answer["ChangedBlocks"]}
        # block 2 was written anew with what was there
        assert list(blocks) == [1, 9]
        assert "FirstBlockToken" not in blocks[9]
        for snapshot_id, name, data in ((first, "First", filled("b")), (second, "Second", filled("B"))):
            token = blocks[1][f"{name}BlockToken"]
            read = ebs.get_snapshot_block(SnapshotId=snapshot_id, BlockIndex=1, BlockToken=token)
            assert read["BlockData"].read() == data
        backwards = ebs.list_changed_blocks(FirstSnapshotId=second, SecondSnapshotId=first)["ChangedBlocks"]
        assert [block["BlockIndex"] for block in backwards] == [1, 9]
        assert "SecondBlockToken" not in backwards[1]

    def test_without_a_first_snapshot_are_all(self, box: Sandbox, ebs: Any) -> None:
        snapshot_id = made(box, ebs, {4: filled("a"), 2: bytes(BLOCK)})
        blocks = ebs.list_changed_blocks(SecondSnapshotId=snapshot_id)["ChangedBlocks"]
        assert [(block["BlockIndex"], "FirstBlockToken" in block) for block in blocks] == [(2, False), (4, False)]

    def test_of_snapshots_that_have_nothing_in_common_are_refused(self, box: Sandbox, ebs: Any) -> None:
        one, other = made(box, ebs, {0: filled("a")}), made(box, ebs, {0: filled("a")})
        call = {"FirstSnapshotId": one, "SecondSnapshotId": other}
        assert refusal(ebs.list_changed_blocks, **call) == (INVALID, "UNRELATED_SNAPSHOTS")

    def test_come_in_pages_that_may_be_empty(self, box: Sandbox, ebs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from vmie.sandbox.service.ebs import actions

        monkeypatch.setattr(actions, "_COMPARED", 50)
        box.ebs_limits.snapshot_puts = box.ebs_limits.account_puts = 1e9
        first = made(box, ebs, dict.fromkeys(range(300), bytes(BLOCK)))
        second = made(box, ebs, dict.fromkeys(range(200, 420), filled("x")), ParentSnapshotId=first)
        found: list[int] = []
        sizes, token = [], {}
        while True:
            page = ebs.list_changed_blocks(FirstSnapshotId=first, SecondSnapshotId=second, MaxResults=100, **token)
            found += [block["BlockIndex"] for block in page["ChangedBlocks"]]
            sizes.append(len(page["ChangedBlocks"]))
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
        assert found == list(range(200, 420))
        assert sizes[0] == 0

    def test_of_a_long_line_of_snapshots(self, box: Sandbox, ebs: Any) -> None:
        box.ebs_limits.starts = box.ebs_limits.completes = 1e9
        line = [made(box, ebs, {0: filled("a")})]
        for number in range(60):
            line.append(made(box, ebs, {number: filled(f"{number:02}")}, ParentSnapshotId=line[-1]))
        assert content(ebs, line[-1]) == {number: filled(f"{number:02}") for number in range(60)}
        blocks = ebs.list_changed_blocks(FirstSnapshotId=line[30], SecondSnapshotId=line[-1])["ChangedBlocks"]
        assert [block["BlockIndex"] for block in blocks] == list(range(30, 60))


class TestSnapshotsFromElsewhere:
    """moto answers 500 to each: it knows the snapshots that it made block by block, and no other."""

    def disk(self, ebs: Any, snapshot_id: str, size: int) -> bytes:
        found = bytearray(size)
        for index, data in content(ebs, snapshot_id).items():
            found[index * BLOCK : (index + 1) * BLOCK] = data
        return bytes(found[:size])

    def test_imported(self, box: Sandbox, ebs: Any, ec2: Any, s3: Any) -> None:
        data = bootable(3 * MIB + 512, mark=b"what went in")
        s3.put_object(Bucket=BUCKET, Key="disk.raw", Body=data)
        where = {"Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
        task = ec2.import_snapshot(DiskContainer=where)["ImportTaskId"]
        box.advance(HOUR)
        snapshot_id = snapshot_task(ec2, task)["SnapshotId"]
        assert self.disk(ebs, snapshot_id, len(data)) == data
        child = made(box, ebs, {1: filled("n")}, ParentSnapshotId=snapshot_id)
        assert self.disk(ebs, child, len(data)) == data[:BLOCK] + filled("n") + data[2 * BLOCK :]
        blocks = ebs.list_changed_blocks(FirstSnapshotId=snapshot_id, SecondSnapshotId=child)["ChangedBlocks"]
        assert [block["BlockIndex"] for block in blocks] == [1]

    def test_copied_and_of_a_volume(self, box: Sandbox, ebs: Any, ec2: Any, ec2_elsewhere: Any) -> None:
        blocks = {0: filled("a"), 7: filled("b")}
        snapshot_id = made(box, ebs, blocks)
        copied = ec2_elsewhere.copy_snapshot(SourceSnapshotId=snapshot_id, SourceRegion="us-east-1")["SnapshotId"]
        box.advance(60)
        assert content(client("eu-west-1"), copied) == blocks
        volume = ec2.create_volume(SnapshotId=snapshot_id, AvailabilityZone="us-east-1a")["VolumeId"]
        box.advance(60)
        taken = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
        box.advance(60)
        assert content(ebs, taken) == blocks
        same = ebs.list_changed_blocks(FirstSnapshotId=snapshot_id, SecondSnapshotId=taken)
        assert same["ChangedBlocks"] == []

    def test_of_a_new_volume_is_empty(self, box: Sandbox, ebs: Any, ec2: Any) -> None:
        volume = ec2.create_volume(Size=2, AvailabilityZone="us-east-1a")["VolumeId"]
        taken = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
        box.advance(60)
        answer = ebs.list_snapshot_blocks(SnapshotId=taken)
        assert (answer["Blocks"], answer["VolumeSize"]) == ([], 2)

    def test_seeded(self, ebs: Any) -> None:
        assert content(ebs, SNAPSHOT)[0][510:512] == b"\x55\xaa"


def test_it_is_the_same_over_http() -> None:
    with sandbox.serve(speed=0) as box:
        ebs = box.client("ebs")
        snapshot_id = made(box, ebs, {3: filled("a"), 1: bytes(BLOCK)})
        assert content(ebs, snapshot_id) == {1: bytes(BLOCK), 3: filled("a")}
        # an error leaves nothing of a body on the connection
        assert refusal(put, ebs=ebs, snapshot_id=snapshot_id, index=0, data=filled("x")) == (INVALID, WRONG_SNAPSHOT)
        assert refusal(ebs.list_changed_blocks, SecondSnapshotId="snap-0")[0] == "ResourceNotFoundException"
        signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/ebs/aws4_request"}
        for method, path in (("GET", "/snapshots/snap-0/nothing"), ("DELETE", "/snapshots/snap-0"), ("PUT", "/")):
            request = urllib.request.Request(box.url + path, method=method, headers=signed)
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request)
            with caught.value as refused:
                assert (refused.code, json.loads(refused.read())["__type"]) == (501, "NotImplemented")
