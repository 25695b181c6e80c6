"""Blocks out of a snapshot: read by many threads, given in the order asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import closing

from vmie.aws.ebs.client import Block, EbsDirect
from vmie.aws.ebs.in_flight import in_order


def read_blocks(client: EbsDirect, snapshot_id: str, blocks: Iterable[Block]) -> Iterator[tuple[int, bytes]]:
    """The contents of `blocks` (512 KiB each), in their order; each confirmed by AWS's checksum.

    They are drawn in this thread, only as they can be read. Raises what `EbsDirect.get` raises; Ctrl-C ends it at once.
    """

    stop = threading.Event()

    def read(block: Block) -> tuple[int, bytes]:
        return block.index, direct.get(snapshot_id, block.index, block.token)

    with closing(client.until(stop)) as direct:
        yield from in_order(blocks, read, pace=client.gets, stop=stop, end=direct.close)
