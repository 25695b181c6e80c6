"""One process has a batch that is kept in files; the system frees it when that process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vmie.batch.store.leases import FileLease, register, registered
from vmie.batch.store.locations import Location, Locations
from vmie.batch.store.store import Store
from vmie.errors import UsageError
from vmie.poll import SystemClock

HOLD = """
import sys, time
from pathlib import Path
from vmie.batch.store.leases import file_lock
lock = file_lock(Path(sys.argv[1]))
assert lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def location(tmp_path: Path) -> Location:
    return Locations(tmp_path).create("batch-20260102-030405-0000ff", "fingerprint")


def lease_of(location: Location, store: Store) -> FileLease:
    lease = location.lease(store, "me", pause=0.1)
    assert isinstance(lease, FileLease)
    return lease


def test_a_batch_in_other_hands_names_the_holder_until_that_is_killed(location: Location) -> None:
    assert location.folder is not None
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(location.folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert location.in_use()
        with location.open(SystemClock().now) as store:
            with pytest.raises(UsageError, match=f"worked on by process {holder.pid}") as caught:
                lease_of(location, store)
            assert caught.value.code == "BatchLocked"
            assert f"vmie batch status {location.folder.name} --watch" in caught.value.cure
            os.kill(holder.pid, signal.SIGKILL)
            holder.wait(10)
            end = time.monotonic() + 10
            while location.in_use() and time.monotonic() < end:
                time.sleep(0.05)
            with lease_of(location, store):
                assert location.in_use()
        assert not location.in_use()
    finally:
        holder.kill()
        holder.wait(10)
        if holder.stdout is not None:
            holder.stdout.close()


def test_the_holder_is_the_only_live_worker(location: Location) -> None:
    with location.open(SystemClock().now) as store, lease_of(location, store) as lease:
        for name in ("dead", "me"):
            register(store, name, host="here", queues=["default"])
        assert lease.is_leader()
        assert lease.live_workers() == {"me"}
        assert [row["worker"] for row in registered(store)] == ["me"]
