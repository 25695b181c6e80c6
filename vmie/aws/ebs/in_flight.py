"""Calls in many threads, of which only so many are under way at once: nothing is drawn before there is room for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TypeVar

from vmie.aws.parts import TransferStopped

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    items: Iterable[Item], work: Callable[[Item], Result], *, most: int, stop: threading.Event
) -> Iterator[Result]:
    """What `work` gives for each item, in the items' order, `most` at once.

    The first failure is raised and sets `stop`, as does whatever else ends this early (Ctrl-C, a caller that has
    enough): work that waits then ends with TransferStopped.
    """
    under_way: deque[Future[Result]] = deque()
    failures: list[BaseException] = []

    def watched(item: Item) -> Result:
        try:
            return work(item)
        except BaseException as error:
            failures.append(error)
            stop.set()
            raise

    with ThreadPoolExecutor(most, thread_name_prefix="ebs") as pool:
        try:
            for item in items:
                under_way.append(pool.submit(watched, item))
                # Else this frame would hold the item for as long as the next one is made.
                del item
                if len(under_way) >= most or stop.is_set():
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except BaseException as error:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            if failures and isinstance(error, TransferStopped | CancelledError):
                raise failures[0] from None
            raise
