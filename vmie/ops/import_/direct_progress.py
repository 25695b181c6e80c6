"""How far the blocks of a disk came, at what pace, and how long EBS is to wait for the next one."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from vmie import events, poll
from vmie.aws.ebs.client import BLOCK
from vmie.ops import pace
from vmie.ops.block_hashes import BlockHashes
from vmie.ops.context import Context

#: minutes without a block after which EBS gives a snapshot up: an hour to mend what stopped it, and so many times what
#: it would take to send all of it again. Each block that is written begins them anew.
#: https://docs.aws.amazon.com/ebs/latest/APIReference/API_StartSnapshot.html (10 to 4320, 60 by default)
LEAST, _MOST, _TIMES = 60, 4320, 10
#: the part of its timeout after which a block is written though none differs
_RENEWED_AFTER = 0.5


def timeout(blocks: int, known: Mapping[str, Any], *, rate: float | None) -> int:
    """Minutes without a block after which EBS is to give a snapshot of so many up: the more would be lost, the longer.

    `known`: what the journal keeps of an earlier attempt, whose pace is better known than `rate` (bytes a second).
    """
    sent, seconds = int(known.get("sent", 0)), float(known.get("seconds", 0))
    forecast = pace.sending_minutes(blocks * BLOCK, rate=sent / seconds if sent and seconds else rate)
    return int(min(_MOST, LEAST + _TIMES * forecast))


class BlocksSent:
    """Counts what AWS has, and tells how far it came; `within` minutes AWS waits for a block."""

    def __init__(self, hashes: BlockHashes, size: int, context: Context, *, within: float) -> None:
        self._hashes = hashes
        self._size = size
        self._reporter = context.reporter
        self._clock = context.clock
        self._began = self._touched = context.clock.now()
        self._after = dt.timedelta(minutes=within * _RENEWED_AFTER)
        self._lock = threading.Lock()
        self._read = 0
        self.bytes = 0

    @property
    def seconds(self) -> float:
        """Since it began."""
        return (self._clock.now() - self._began).total_seconds()

    def due(self) -> bool:
        """Whether EBS has to be given a block, lest it give the snapshot up; true once each time."""
        now = self._clock.now()
        if now - self._touched < self._after:
            return False
        self._touched = now
        return True

    def behind(self, read: int) -> None:
        """So many bytes of the disk were read."""
        self._read = read
        if read % (64 * BLOCK) == 0 or read == self._size:
            self._report()

    def done(self, index: int, digest: bytes) -> None:
        """AWS has block `index`."""
        self._hashes.put(index, digest)
        with self._lock:
            self.bytes += BLOCK
            self._touched = self._clock.now()
        self._report()

    def _report(self) -> None:
        self._reporter(events.Progress("upload", self._read, self._size, self.bytes))


def paced(blocks: Iterator[tuple[int, bytes]], rate: float, clock: poll.Clock) -> Iterator[tuple[int, bytes]]:
    """The same, and no more than `rate` bytes a second of them."""
    began = clock.now()
    for number, one in enumerate(blocks):
        early = number * BLOCK / rate - (clock.now() - began).total_seconds()
        if early > 0:
            clock.sleep(early)
        yield one
