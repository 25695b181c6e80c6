"""Many threads, one order: a pipeline whose results come out as its tasks went in.

Threads suffice because the work releases the GIL (reads, deflate by ISA-L). What is in flight is
bounded, so memory depends on the number of workers and never on the size of the disk.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

MOST_WORKERS = 32

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def cores() -> int:
    """The cores that this process may run on, at most `MOST_WORKERS`."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        allowed = os.cpu_count() or 1
    return max(1, min(MOST_WORKERS, allowed))


def ordered(
    work: Callable[[_Task], _Result], tasks: Iterable[_Task], *, workers: int | None = None
) -> Iterator[_Result]:
    """``map(work, tasks)`` on `workers` threads (all cores by default), in the order of `tasks`.

    Tasks are drawn lazily, by the consumer's thread. Whatever `work` or `tasks` raises comes out at its
    place in the order. Closing the iterator drops what has not begun and waits for what has.
    """
    workers = cores() if workers is None else max(1, min(MOST_WORKERS, workers))
    if workers == 1:
        yield from map(work, tasks)
        return
    waiting: deque[Future[_Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="vmie-stream")
    try:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) >= 2 * workers + 2:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
