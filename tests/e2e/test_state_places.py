"""Where no state can be kept, single jobs and batches say so, with a cure, before a byte is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Done
from tests.sandbox.conftest import BUCKET
from vmie import sandbox


def a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file"


def below_a_file(folder: Path) -> Path:
    return a_file(folder) / "state"


def a_dangling_link(folder: Path) -> Path:
    (folder / "link").symlink_to("/nonexistent/state")
    return folder / "link"


def nowhere(folder: Path) -> Path:
    return Path("/proc/vmie")


def a_link_to_itself(folder: Path) -> Path:
    (folder / "circle").symlink_to(folder / "circle")
    return folder / "circle"


@pytest.mark.parametrize("place", [a_file, below_a_file, a_dangling_link, nowhere, a_link_to_itself])
@pytest.mark.parametrize("verb", ["import", "upload", "export", "batch run"])
def test_it_is_said(
    verb: str,
    place: Callable[[Path], Path],
    vmie: Callable[..., Done],
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = disk.with_name("plan.yaml")
    plan.write_text(f"defaults: {{skip_check: all, bucket: {BUCKET}}}\nitems:\n- source: {disk}\n")
    argv = {
        "import": ("import", disk, "--skip-check", "all", "--bucket", BUCKET),
        "upload": ("upload", disk, f"s3://{BUCKET}/vmie/x.vmdk"),
        "export": ("export", "i-0123456789abcdef0", "--format", "vmdk", "--bucket", BUCKET),
        "batch run": ("batch", "run", plan),
    }[verb]
    with sandbox.start(seeded=True) as box:
        monkeypatch.setenv("VMIE_STATE", str(place(disk.parent)))
        done = vmie(*map(str, argv))
        assert not box.stats.tasks
        assert "s3:PutObject" not in box.stats.calls
    error = done.json["error"]
    assert error["code"] == "NoState", done.out
    assert "VMIE_STATE" in error["cure"]
    assert error["cause"]
    assert "fault of vmie" not in done.out
