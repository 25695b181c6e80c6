"""`vmie diff`: equal is equal, and what changed is named; qemu-img says the same of the whole."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import ntfs
from tests.e2e.conftest import Done
from tests.guests import ext4
from tests.tools import find, need, run, sized
from vmie import sandbox

Vmie = Callable[..., Done]
MIB = 1 << 20
START = 1 * MIB
UUID = "25eb0518-5bdf-4c2f-a6b6-3ea76eebb2a1"
FILES = {f"etc/conf-{number}": random.Random(number).randbytes(3000 + 700 * number) for number in range(12)}


def disk_of(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    """A disk with one partition of ext4 that holds `files`."""
    tree = folder / f"{name}-tree"
    for path, data in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    (tree / "link").symlink_to("etc/conf-1")
    part = ext4(folder / f"{name}.part", tree, options=("-U", UUID, "-O", "^has_journal"))
    path = folder / f"{name}.raw"
    with path.open("wb") as file:
        file.truncate(START + part.stat().st_size)
        file.seek(START)
        file.write(part.read_bytes())
    run(["sfdisk", "-q", "--no-reread", "--no-tell-kernel", path], input="start=2048, type=83\n")
    return path


def same_by_qemu(one: Path, other: Path) -> bool:
    argv = [str(find("qemu-img")), "compare", "-f", "raw", "-F", "raw", str(one), str(other)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("trials", sized(10, 100))
def test_one_changed_byte_is_found_and_its_file_named(vmie: Vmie, tmp_path: Path, trials: int) -> None:
    need("mke2fs", "sfdisk", "qemu-img")
    path = disk_of(tmp_path, "one", FILES)
    sound = path.read_bytes()
    other = tmp_path / "other.raw"
    chance = random.Random(trials)
    for _ in range(trials):
        name = chance.choice(list(FILES))
        at = sound.index(FILES[name]) + chance.randrange(len(FILES[name]))
        data = bytearray(sound)
        data[at] ^= 1 << chance.randrange(8)
        other.write_bytes(data)
        assert not same_by_qemu(path, other)
        done = vmie("diff", str(path), str(other))
        found = done.json["result"]
        assert (done.code, found["equal"], found["bytes_different"]) == (1, False, 4096)
        assert [one["offset"] <= at < one["offset"] + one["length"] for one in found["ranges"]] == [True]
        assert found["files"] == [{"path": f"/{name}", "change": "content", "where": "disk 0 partition 1"}]
        assert found["unread"] == []


def xfs(path: Path, folder: Path) -> None:
    proto = folder / "proto"
    listed = "\n".join(f"{one.name} ---644 0 0 {one}" for one in sorted((folder / "files").iterdir()))
    proto.write_text(f"/dev/null\n0 0\nd--755 0 0\n{listed}\n$\n")
    run(["truncate", "-s", "320m", path])
    run(["mkfs.xfs", "-q", "-p", proto, path])


def nt(path: Path, folder: Path) -> None:
    ntfs.make(path)
    for one in (folder / "files").iterdir():
        ntfs.put(path, f"/{one.name}", one.read_bytes())


def fat(path: Path, folder: Path) -> None:
    run(["truncate", "-s", "40m", path])
    run(["mkfs.fat", "-F", "32", "-s", "1", path])
    run(["mcopy", "-i", path, *sorted((folder / "files").iterdir()), "::/"])


@pytest.mark.parametrize("trials", sized(2, 34))
@pytest.mark.parametrize("make", [xfs, nt, fat])
def test_one_changed_byte_on_other_file_systems(
    vmie: Vmie, tmp_path: Path, trials: int, make: Callable[[Path, Path], None]
) -> None:
    need("mkfs.xfs", "mkfs.fat", "mcopy")
    files = {name.removeprefix("etc/"): data for name, data in FILES.items()}
    (tmp_path / "files").mkdir()
    for name, data in files.items():
        (tmp_path / "files" / name).write_bytes(data)
    path, other = tmp_path / "one.raw", tmp_path / "other.raw"
    make(path, tmp_path)
    run(["cp", "--sparse=always", path, other])
    sound = path.read_bytes()
    chance = random.Random(trials)
    for _ in range(trials):
        name = chance.choice(list(files))
        at = sound.index(files[name]) + chance.randrange(len(files[name]))
        with other.open("r+b") as file:
            file.seek(at)
            file.write(bytes([sound[at] ^ 1 << chance.randrange(8)]))
        found = vmie("diff", path, other).json["result"]
        with other.open("r+b") as file:
            file.seek(at)
            file.write(sound[at : at + 1])
        assert (found["bytes_different"], found["unread"]) == (4096, [])
        assert [(one["path"], one["change"]) for one in found["files"]] == [(f"/{name}", "content")]


def test_whatever_holds_it_an_equal_disk_is_equal(vmie: Vmie, tmp_path: Path) -> None:
    need("mke2fs", "sfdisk", "qemu-img")
    path = disk_of(tmp_path, "one", FILES)
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", path, tmp_path / "same.qcow2"])
    done = vmie("diff", str(path), str(tmp_path / "same.qcow2"))
    assert (done.code, done.json["result"]["equal"], done.json["result"]["ranges"]) == (0, True, [])
    run(["qemu-img", "resize", "-q", "-f", "qcow2", tmp_path / "same.qcow2", "1G"])
    assert vmie("diff", str(path), str(tmp_path / "same.qcow2")).code == 0
    nothing = vmie("diff", str(path), str(tmp_path / "none.raw"))
    assert (nothing.code, "cannot open" in nothing.json["error"]["message"]) == (2, True)


def test_files_that_came_went_and_changed(vmie: Vmie, tmp_path: Path) -> None:
    need("mke2fs", "sfdisk")
    path = disk_of(tmp_path, "one", FILES)
    changed = {**FILES, "etc/conf-2": b"short", "etc/new": b"x", "etc/conf-5": FILES["etc/conf-5"] + b"!"}
    del changed["etc/conf-3"]
    (tmp_path / "other-tree" / "etc").mkdir(parents=True)
    (tmp_path / "other-tree" / "etc").chmod(0o700)
    found = vmie("diff", str(path), str(disk_of(tmp_path, "other", changed))).json["result"]
    assert {(one["path"], one["change"]) for one in found["files"]} == {
        ("/etc", "mode"),
        ("/etc/conf-2", "content"),
        ("/etc/conf-3", "removed"),
        ("/etc/conf-5", "content"),
        ("/etc/new", "added"),
    }


def test_a_snapshot_and_the_file_that_it_was_made_of(vmie: Vmie, tmp_path: Path) -> None:
    need("mke2fs", "sfdisk")
    path = disk_of(tmp_path, "one", FILES)
    with sandbox.start(seeded=True, speed=20_000, appears_after=0):
        made = vmie("import", str(path), "--as", "snapshot", "--via", "ebs", "--skip-check", "all")
        assert made.code == 0, made.out
        (snapshot,) = made.json["result"]["snapshot_ids"]
        done = vmie("diff", str(path), snapshot)
        assert (done.code, done.json["result"]["equal"]) == (0, True), done.out
        assert done.json["result"]["blocks_read"] > 0
        data = bytearray(path.read_bytes())
        data[data.index(FILES["etc/conf-7"]) + 5] ^= 1
        path.write_bytes(data)
        done = vmie("diff", str(path), snapshot)
        turned = vmie("diff", snapshot, str(path))
    assert (done.code, turned.code) == (1, 1)
    assert turned.json["result"]["files"] == done.json["result"]["files"]
    assert [one["path"] for one in done.json["result"]["files"]] == ["/etc/conf-7"]
    assert "costs about $" in done.err
