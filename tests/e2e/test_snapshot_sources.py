"""A snapshot is a disk: checked and converted by its id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vmie as library
from tests.e2e.conftest import Done
from tests.tools import ROOT, need, run
from vmie import sandbox

DEMO = ROOT / "examples" / "demo.ova"


@pytest.fixture
def box() -> Iterator[sandbox.Sandbox]:
    with sandbox.start(seeded=True, speed=20_000, appears_after=0) as running:
        yield running


@pytest.fixture
def snapshot(box: sandbox.Sandbox, vmie: Callable[..., Done]) -> str:
    done = vmie("import", str(DEMO), "--as", "snapshot", "--via", "ebs", "--region", "us-east-1")
    assert done.code == 0, done.err
    return str(done.json["result"]["snapshot_ids"][0])


def test_a_snapshot_is_checked_and_converted(snapshot: str, vmie: Callable[..., Done], tmp_path: Path) -> None:
    need("qemu-img")
    of_file = vmie("check", str(DEMO), "--route", "snapshot").json["result"]["images"][0]
    done = vmie("--region", "us-east-1", "check", snapshot, "--route", "snapshot")
    assert done.code == 0, done.err
    image = done.json["result"]["images"][0]
    assert (image["guest"], image["firmware"]) == (of_file["guest"], of_file["firmware"])
    assert (image["path"], image["format"], image["variant"]) == (snapshot, "raw", "snapshot")
    assert 0 < image["blocks_read"] < 60
    assert "costs about $" in done.err
    whole = tmp_path / "of-file.raw"
    assert vmie("convert", str(DEMO), str(whole)).code == 0
    run(["truncate", "-s", str(image["virtual_size"]), whole])
    target = tmp_path / "out.vmdk"
    assert vmie("--region", "us-east-1", "convert", snapshot, str(target)).code == 0
    run(["qemu-img", "compare", "-f", "raw", "-F", "vmdk", whole, target])
    report = library.check(snapshot, region="us-east-1")
    assert report.images[0].guest == of_file["guest"]


@pytest.mark.usefixtures("box")
def test_what_is_asked_of_a_snapshot_that_it_has_not(vmie: Callable[..., Done], tmp_path: Path) -> None:
    out = str(tmp_path / "x.raw")
    done = vmie("--region", "us-east-1", "convert", "snap-0fedcba9876543210", out, "--disk", "1")
    assert (done.code, "one disk" in done.json["error"]["message"]) == (2, True)
    done = vmie("--region", "us-east-1", "check", "snap-0fedcba9876543210")
    assert (done.code, done.json["error"]["code"]) == (5, "InvalidSnapshot.NotFound")
    assert done.json["error"]["cure"]
    assert vmie("check", "snap-zz").code == 2
