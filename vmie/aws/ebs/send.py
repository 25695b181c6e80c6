"""Blocks into a snapshot: hashed and sent by many threads."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from contextlib import closing

from vmie.aws.ebs.client import BLOCK, EbsDirect
from vmie.aws.ebs.in_flight import in_flight

Data = bytes | bytearray | memoryview


def send_blocks(
    client: EbsDirect,
    snapshot_id: str,
    blocks: Iterable[tuple[int, Data]],
    *,
    done: Callable[[int, bytes], None] = lambda index, digest: None,
    total: int = 0,
) -> int:
    """Write `blocks` (index, 512 KiB) and return how many were written.

    They are drawn in this thread, only as they can be sent. `done(index, digest)` is called for each one that AWS
    has, never twice at once, in any order and from any thread; what it raises ends the whole. `total` blocks there
    will be, where that is known: AWS is told the progress. Raises what `EbsDirect.put` raises; Ctrl-C ends it at once.
    """
    lock, stop = threading.Lock(), threading.Event()
    written = 0

    def send(item: tuple[int, Data]) -> None:
        nonlocal written
        index, data = item
        digest = hashlib.sha256(data).digest()
        progress = min(100, written * 100 // total) if total else None
        direct.put(snapshot_id, index, memoryview(data), digest, progress=progress)
        with lock:
            written += 1
            done(index, digest)

    with closing(client.until(stop)) as direct, in_flight(client.puts, stop, direct.close) as calls:
        for item in _whole(blocks):
            calls.add(send, item)
    return written


def _whole(blocks: Iterable[tuple[int, Data]]) -> Iterable[tuple[int, Data]]:
    for index, data in blocks:
        if len(data) != BLOCK:
            raise ValueError(f"block {index} has {len(data)} bytes, not {BLOCK}")
        yield index, data
