"""Snapshots that are being written: from StartSnapshot until they are completed, or given up for want of blocks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from vmie.sandbox.block_store import WrittenBlocks
from vmie.sandbox.clock import SandboxClock
from vmie.sandbox.service.ebs import errors

_TIMED_OUT = "The snapshot was cancelled: no block was written to it, nor was it completed, within its timeout."


@dataclass
class OpenSnapshot:
    """`ec2` is what DescribeSnapshots shows of it; times are calendar seconds but for `ready`, which is AWS's work."""

    ec2: Any
    blocks: WrittenBlocks
    timeout: float
    touched: float
    ready: float | None = None  #: when it will be completed, once CompleteSnapshot was called
    _writing: set[int] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def writing(self, index: int) -> Iterator[None]:
        """While a block is written the snapshot cannot be completed, nor can another writer write it."""
        with self._changed:
            self.require_writable()
            if index in self._writing:
                raise errors.invalid("Another request is writing this block.", "CONFLICTING_BLOCK_UPDATE")
            self._writing.add(index)
        try:
            yield
        finally:
            with self._changed:
                self._writing.discard(index)
                self._changed.notify_all()

    @contextmanager
    def sealing(self) -> Iterator[None]:
        """Nothing is written meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: not self._writing)
            if self.ready is not None:
                raise errors.conflict(f"The snapshot '{self.ec2.id}' is being completed already.")
            self.require_writable()
            yield

    def require_writable(self) -> None:
        """Raise ApiError once it is completed or given up."""
        require_pending(self.ec2)
        if self.ready is not None:
            raise errors.invalid(f"The snapshot '{self.ec2.id}' is being completed.", "INVALID_SNAPSHOT_ID")


def require_pending(snapshot: Any) -> None:
    """Raise ApiError for a snapshot that takes no blocks."""
    if snapshot.status == "error":
        raise errors.invalid(_TIMED_OUT, "WRITE_REQUEST_TIMEOUT")
    if snapshot.status != "pending":
        raise errors.invalid(f"The snapshot '{snapshot.id}' is not pending.", "INVALID_SNAPSHOT_ID")


class OpenSnapshots:
    """All of them. `gone` is called with the id of one that is given up. Thread-safe."""

    def __init__(self, clock: SandboxClock, gone: Callable[[str], None]) -> None:
        self._clock = clock
        self._gone = gone
        self._open: dict[str, OpenSnapshot] = {}
        self._lock = threading.Lock()

    def restart(self) -> None:
        """Forget all."""
        with self._lock:
            self._open.clear()

    def add(self, snapshot: OpenSnapshot) -> None:
        """One more."""
        with self._lock:
            self._open[snapshot.ec2.id] = snapshot

    def find(self, snapshot_id: str) -> OpenSnapshot | None:
        """The one of that id."""
        return self._open.get(snapshot_id)

    def pending(self, backend: Any) -> int:
        """How many the account has in the Region."""
        with self._lock:
            return sum(1 for one in self._open.values() if one.ec2.ec2_backend is backend)

    def settle(self) -> None:
        """Complete, give up and forget those for which it is time."""
        if not self._open:
            return
        elapsed, worked = self._clock.elapsed(), self._clock.worked()
        with self._lock:
            for one in list(self._open.values()):
                ec2 = one.ec2
                if ec2.id not in ec2.ec2_backend.snapshots:
                    del self._open[ec2.id]  # deleted meanwhile
                elif one.ready is not None:
                    if worked >= one.ready:
                        ec2.status, ec2.vmie_progress = "completed", "100%"
                        del self._open[ec2.id]
                elif elapsed - one.touched > one.timeout:
                    ec2.status, ec2.state_message = "error", _TIMED_OUT
                    del self._open[ec2.id]
                    self._gone(ec2.id)
