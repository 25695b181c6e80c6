"""How fast to send: more while it goes well, half when S3 says so, never above the rate."""

from __future__ import annotations

import threading
import time

from vmie.aws.pace import Pace, Rate
from vmie.aws.parts import CHUNK, Body, Part, TransferStopped


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_the_limit_grows_by_one_a_round_and_halves_on_a_sign() -> None:
    clock = Time()
    pace = Pace(8, monotonic=clock)
    assert pace.limit == 4
    for _ in range(4 + 5 + 6 + 7):
        pace.went_well()
    assert pace.limit == 8
    for _ in range(50):
        pace.went_well()
    assert pace.limit == 8
    clock.now = 10
    for _ in range(8):  # eight connections break at once: one sign
        pace.slow_down()
    assert pace.limit == 4
    for second in range(11, 20):
        clock.now = second
        pace.slow_down()
    assert pace.limit == 1


def test_no_more_threads_pass_than_the_limit() -> None:
    pace = Pace(8, start=3)
    inside: list[int] = []
    most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal most
        with pace.slot():
            with lock:
                inside.append(1)
                most = max(most, len(inside))
            time.sleep(0.01)
            with lock:
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 3


def test_a_rate_is_shared_and_exact() -> None:
    clock = Time()
    rate = Rate(1000.0, sleep=clock.sleep, monotonic=clock)
    for _ in range(11):
        rate.take(500)
    assert clock.now == 5.0  # the first 500 bytes go at once


def part(data: bytes) -> Part:
    return Part(1, len(data), lambda: iter((data[:7], data[7:])), len(data))


def test_a_body_is_a_file_of_its_parts_bytes() -> None:
    data = bytes(range(256)) * 4096
    body = Body(part(data))
    assert len(body) == len(data)
    pieces = []
    while piece := body.read(16384):
        assert len(piece) <= CHUNK
        pieces.append(bytes(piece))
    assert b"".join(pieces) == data
    assert body.tell() == len(data)
    assert body.read(1) == b""
    body.seek(5)
    assert body.read() == data[5:]
    assert (body.seek(0, 2), body.seek(-3, 1), body.seek(0)) == (len(data), len(data) - 3, 0)
    assert body.read() == data


def test_a_slow_body_goes_in_small_pieces_lest_s3_hang_up() -> None:
    clock = Time()
    body = Body(part(bytes(1 << 20)), rate=Rate(100_000.0, sleep=clock.sleep, monotonic=clock))
    assert len(body.read(CHUNK)) == 7
    assert len(body.read(CHUNK)) == 4096


def test_a_body_that_is_given_up_stops_at_once() -> None:
    stop = threading.Event()
    body = Body(part(bytes(4 << 20)), stopped=stop.is_set)
    assert body.read(1)
    stop.set()
    try:
        body.read(1)
    except TransferStopped:
        return
    raise AssertionError("it went on")
