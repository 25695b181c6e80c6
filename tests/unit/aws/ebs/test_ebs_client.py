"""The EBS direct API through `EbsDirect`, against the sandbox, whose EBS no line of it wrote."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import pytest

from vmie import sandbox
from vmie.aws.ebs.client import BLOCK, Block, ChangedBlock, EbsDirect
from vmie.aws.ebs.read import read_blocks
from vmie.aws.ebs.send import send_blocks
from vmie.aws.session import connect
from vmie.errors import AwsRefused
from vmie.sandbox import Sandbox


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=0) as running:
        yield running


@pytest.fixture
def client(box: Sandbox) -> EbsDirect:
    return EbsDirect(connect(region="us-east-1"))


def filled(mark: int) -> bytes:
    return bytes([mark]) * BLOCK


def sent(box: Sandbox, client: EbsDirect, blocks: dict[int, bytes], **start: str) -> str:
    """A completed snapshot of `blocks`."""
    snapshot_id = client.start(volume_size=1, **start).snapshot_id  # type: ignore[arg-type]
    digests: dict[int, bytes] = {}
    count = send_blocks(client, snapshot_id, iter(blocks.items()), done=digests.__setitem__, total=len(blocks))
    assert count == len(blocks)
    linear = hashlib.sha256(b"".join(digests[index] for index in sorted(digests))).digest()
    assert client.complete(snapshot_id, blocks=count, checksum=linear) == "pending"
    box.advance(60)
    return snapshot_id


def test_what_is_sent_is_read_again_and_nothing_else(box: Sandbox, client: EbsDirect) -> None:
    blocks = {index: filled(index % 251) for index in (0, 3, 4, 700, 2047)}
    snapshot_id = sent(box, client, blocks)
    listed = list(client.blocks(snapshot_id))
    assert [block.index for block in listed] == list(blocks)
    assert list(read_blocks(client, snapshot_id, listed)) == list(blocks.items())
    assert [block.index for block in client.blocks(snapshot_id, start=4)] == [4, 700, 2047]


def test_a_child_differs_from_its_parent_where_blocks_were_written_anew(box: Sandbox, client: EbsDirect) -> None:
    parent = sent(box, client, {0: filled(1), 1: filled(2), 2: filled(3)})
    child = sent(box, client, {1: filled(9), 2: filled(3), 5: filled(4)}, parent=parent)
    assert [block.index for block in client.blocks(child)] == [0, 1, 2, 5]
    found = list(client.changed(child, since=parent))
    assert [(one.index, bool(one.old_token), bool(one.new_token)) for one in found] == [
        (1, True, True),
        (5, False, True),
    ]
    assert isinstance(found[0], ChangedBlock)
    assert client.get(child, 1, found[0].new_token) == filled(9)
    assert client.get(parent, 1, found[0].old_token) == filled(2)


def test_the_same_token_is_the_same_snapshot(client: EbsDirect) -> None:
    first = client.start(volume_size=3, token="once", description="words", tags={"k": "v"})
    again = client.start(volume_size=3, token="once", description="words", tags={"k": "v"})
    assert first == again
    assert (first.volume_size, first.encrypted, first.owner) == (3, False, "123456789012")
    with pytest.raises(AwsRefused) as refused:
        client.start(volume_size=4, token="once", description="words", tags={"k": "v"})
    assert refused.value.code == "ConflictException"


def test_a_wrong_checksum_ends_the_snapshot_in_no_silence(client: EbsDirect) -> None:
    snapshot_id = client.start(volume_size=1).snapshot_id
    client.put(snapshot_id, 0, filled(1), hashlib.sha256(filled(1)).digest())
    with pytest.raises(AwsRefused) as refused:
        client.complete(snapshot_id, blocks=1, checksum=hashlib.sha256(b"else").digest())
    assert (refused.value.code, refused.value.reason) == ("ValidationException", "INVALID_PARAMETER_VALUE")


def test_a_refusal_ends_the_sending_with_its_reason_and_draws_no_more(client: EbsDirect) -> None:
    snapshot_id = client.start(volume_size=1).snapshot_id
    drawn = 0

    def blocks() -> Iterator[tuple[int, bytes]]:
        nonlocal drawn
        for index in range(2040, 100_000):
            drawn += 1
            yield index, filled(1)

    with pytest.raises(AwsRefused) as refused:
        send_blocks(client, snapshot_id, blocks())
    assert refused.value.reason == "INVALID_BLOCK"
    assert drawn < 200
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ebs")]


def test_a_block_that_is_not_there_is_refused(box: Sandbox, client: EbsDirect) -> None:
    snapshot_id = sent(box, client, {0: filled(1)})
    with pytest.raises(AwsRefused) as refused:
        list(read_blocks(client, snapshot_id, [Block(7, "AAAA")]))
    assert refused.value.code == "ValidationException"
