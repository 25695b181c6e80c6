"""One live process at a time, named, and nothing left of one that was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vmie.ops.process_lock import ProcessLock

_HOLD = """
import pathlib, time
from vmie.ops.process_lock import ProcessLock
lock = ProcessLock(pathlib.Path({!r}))
assert lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "work.lock"


def test_who_holds_it_is_named(path: Path) -> None:
    lock = ProcessLock(path)
    assert not lock.held()
    with lock:
        assert lock.acquire()
        other = ProcessLock(path)
        assert other.held()
        assert not other.acquire()
        assert other.holder == f"process {os.getpid()}"
    assert not other.held()
    assert other.acquire()
    other.release()


def test_to_ask_makes_no_file(path: Path) -> None:
    assert not ProcessLock(path).held()
    assert list(path.parent.iterdir()) == []


def test_to_release_what_another_holds_changes_nothing(path: Path) -> None:
    lock, other = ProcessLock(path), ProcessLock(path)
    assert lock.acquire()
    other.release()
    assert other.held()
    assert other.holder == f"process {os.getpid()}"
    lock.release()


def test_a_killed_process_holds_nothing(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLD.format(str(path))], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "held\n"
            lock = ProcessLock(path)
            assert lock.held()
            assert not lock.acquire()
            assert lock.holder == f"process {holder.pid}"
        finally:
            holder.kill()
    assert not lock.held()
    assert lock.acquire()
    lock.release()


def test_removed_it_can_be_taken_again(path: Path) -> None:
    lock = ProcessLock(path)
    assert lock.acquire()
    lock.remove()
    lock.release()
    assert list(path.parent.iterdir()) == []
    assert ProcessLock(path).acquire()
