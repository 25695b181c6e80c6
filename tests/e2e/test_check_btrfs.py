"""`vmie check` of Linuxes on Btrfs, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.btrfs_guest import UUID, fedora, on_disk, suse
from tests.btrfs_image import Sub
from tests.guests import MIB, Link
from tests.linux_guest import files as linux_files
from tests.tools import need, run
from vmie import cli


@pytest.mark.parametrize(("make", "name"), [(suse, "SUSE Linux Enterprise Server 15.5"), (fedora, "Fedora Linux")])
def test_the_system_is_told_and_its_subvolumes_block_the_image_route(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, name: str
) -> None:
    path = make(tmp_path / "disk.raw")  # type: ignore[operator]
    assert cli.run(["check", str(path)]) == 4
    shown = capsys.readouterr()
    assert f"{name} · x86_64 · kernel " in shown.out
    assert "free on btrfs" in shown.out
    assert "is Btrfs with subvolumes" in shown.out
    assert cli.run(["--output", "json", "check", str(path), "--route", "snapshot"]) == 0
    image = json.loads(capsys.readouterr().out)["result"]["images"][0]
    assert image["guest"]["root_filesystem"] == "btrfs"
    assert (image["verdict"]["image"], image["verdict"]["snapshot"]) == ("fail", "warn")


def test_one_without_subvolumes_passes_as_ext4_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "2f1ed7d2-5d0a-4c1c-9b86-2a4f0c0f9d51"
    files = {
        path: node.replace(name, UUID) if isinstance(node, str) and not isinstance(node, Link) else node
        for path, node in linux_files().items()
    }
    files["/etc/fstab"] = f"UUID={UUID} / btrfs defaults 0 0\n"
    path = on_disk(tmp_path / "disk.raw", Sub(5, "", files))
    assert cli.run(["check", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Debian GNU/Linux 12 (bookworm)" in lines[2]
    assert lines[4].split()[:3] == ["image", "(ImportImage)", "PASS"]


def test_half_of_a_striped_one_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("mkfs.btrfs")
    halves = [tmp_path / "a.raw", tmp_path / "b.raw"]
    for half in halves:
        with half.open("wb") as file:
            file.truncate(256 * MIB)
    run(["mkfs.btrfs", "-q", "-d", "raid0", "-m", "raid0", *map(str, halves)])
    cli.run(["--output", "json", "check", str(halves[0])])
    told = json.loads(capsys.readouterr().out)
    assert {one["rule"]: one["verdict"] for one in told["findings"]}["VMIE-OS-001"] == "unknown"
    assert "1 of its 2 devices are not in the image" in json.dumps(told)
    cli.run(["--output", "json", "check", "--together", *map(str, halves)])
    assert "not in the image" not in capsys.readouterr().out
