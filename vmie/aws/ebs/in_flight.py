"""Calls in many threads at a pace: an item is drawn, in the caller's thread, only when there is room for its call."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from vmie.aws.ebs.pace import MOST, CallPace
from vmie.aws.parts import TransferStopped

Item = TypeVar("Item")
Result = TypeVar("Result")


class InFlight:
    """The calls of one transfer; `add` waits for room."""

    def __init__(
        self, pool: ThreadPoolExecutor, pace: CallPace, stop: threading.Event, end: Callable[[], None]
    ) -> None:
        self._pool = pool
        self._pace = pace
        self._stop = stop
        self._end = end
        self.failures: list[BaseException] = []

    def add(self, work: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Begin `work` on `item` once there is room. Raises TransferStopped when another call has failed."""
        self._pace.enter()
        if self._stop.is_set():
            self._pace.leave()
            raise TransferStopped
        future = self._pool.submit(self._watched, work, item)
        future.add_done_callback(lambda _: self._pace.leave())
        return future

    def _watched(self, work: Callable[[Item], Result], item: Item) -> Result:
        try:
            return work(item)
        except BaseException as error:
            self.failures.append(error)
            self._stop.set()
            self._end()
            raise


@contextmanager
def in_flight(pace: CallPace, stop: threading.Event, end: Callable[[], None]) -> Iterator[InFlight]:
    """Calls that have all ended when the block has.

    The first failure of one is raised, or what ends the block (Ctrl-C, a caller that has enough): `stop` is then set
    and `end` called, which breaks off the others.
    """
    with ThreadPoolExecutor(MOST, thread_name_prefix="ebs") as pool:
        calls = InFlight(pool, pace, stop, end)
        try:
            yield calls
            pool.shutdown(wait=True)
        except BaseException as error:
            stop.set()
            end()
            pool.shutdown(wait=True, cancel_futures=True)
            if calls.failures and isinstance(error, TransferStopped | CancelledError):
                raise calls.failures[0] from None
            raise
    if calls.failures:
        raise calls.failures[0]


def in_order(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    *,
    pace: CallPace,
    stop: threading.Event,
    end: Callable[[], None],
) -> Iterator[Result]:
    """What `work` gives for each item, in the items' order; see `in_flight`."""
    with in_flight(pace, stop, end) as calls:
        ahead: deque[Future[Result]] = deque()
        for item in items:
            while len(ahead) >= MOST or (ahead and ahead[0].done()):
                yield ahead.popleft().result()
            ahead.append(calls.add(work, item))
        while ahead:
            yield ahead.popleft().result()
