"""Three equal commands at the same moment make one job and one task."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.crash.processes import World, reap, vmie
from tests.e2e.conftest import Server
from tests.sandbox.conftest import bootable

_numbers = itertools.count(1)


def trial(server: Server, folder: Path) -> None:
    """Import one disk three times at once."""
    folder.mkdir()
    disk = folder / "web.raw"
    disk.write_bytes(bootable(mark=b"trial %d in %s" % (next(_numbers), bytes(folder))))
    environ = {**server.environ, "VMIE_STATE": str(folder / "state"), "VMIE_POLL_SECONDS": "0.2"}
    argv = ["--output", "json", "import", str(disk), "--skip-check", "all", "--no-wait"]
    outs = [folder / f"{number}.json" for number in range(3)]
    codes = [reap(pid) for pid in [vmie(argv, environ=environ, out=out) for out in outs]]
    (job,) = (path.stem for path in (folder / "state" / "jobs").glob("job-*.json"))
    assert World(server, of=job).jobs() == [job]
    shown = [json.loads(out.read_text()) for out in outs]
    assert 0 in codes
    for code, one in zip(codes, shown, strict=True):
        assert code == 0 or (code, one["error"]["code"]) == (2, "JobLocked"), one
        assert code or one["result"]["job"] == job


@pytest.mark.parametrize("trials", [pytest.param(5, id="a-few"), pytest.param(100, id="many", marks=pytest.mark.soak)])
def test_equal_commands_at_once_make_one_task(quick: Server, tmp_path: Path, trials: int) -> None:
    before = len(World(quick).jobs())
    for number in range(trials):
        trial(quick, tmp_path / str(number))
    assert len(World(quick).jobs()) == before + trials
