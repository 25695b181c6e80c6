"""Chains of qcow2 files are read as qemu reads them, and lead to no file out of their folder."""

from __future__ import annotations

import random
import shutil
import struct
from pathlib import Path

import pytest

from tests.tools import need, run
from tests.unit.disk.contents import MIB, write_raw
from vmie import disk
from vmie.disk.backing import LONGEST, BackedDisk
from vmie.errors import ImageError, UsageError
from vmie.model import ExtentKind
from vmie.ops import convert
from vmie.ops.file_identity import FileIdentity

SIZE = 12 * MIB


@pytest.fixture
def base(tmp_path: Path) -> Path:
    need("qemu-img")
    return write_raw(tmp_path / "base.img", size=8 * MIB, islands=((0, 70_000), (3 * MIB, MIB), (8 * MIB - 4096, 4096)))


def over(base: Path, name: str, form: str, *options: str, size: int = SIZE, named: str = "") -> Path:
    """A qcow2 on `base` with some clusters, zeros and discarded ones of its own."""
    top = base.parent / name
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", named or base.name, *options, top]
    run([*create, *([str(size)] if size else [])])
    rng = random.Random(name)
    writes = [f"write -P {rng.randrange(1, 255)} {rng.randrange(180) * 32768} 40000" for _ in range(6)]
    writes.append("write -z 3276800 131072")
    run(["qemu-io", "-f", "qcow2", *(part for one in writes for part in ("-c", one)), top])
    return top


def same_as_qemu(path: Path) -> disk.Disk:
    whole = path.with_suffix(".whole")
    run(["qemu-img", "convert", "-O", "raw", path, whole])
    expected = whole.read_bytes()
    whole.unlink()
    opened = disk.open(path)
    assert opened.size == len(expected)
    assert opened.read(0, opened.size) == expected
    rng = random.Random(1)
    for _ in range(50):
        at = rng.randrange(opened.size)
        length = rng.randrange(300_000)
        assert opened.read(at, length) == expected[at : at + length]
    extents = list(opened.extents())
    assert [one.offset for one in extents[1:]] == [one.end for one in extents[:-1]]
    assert extents[-1].end == opened.size
    assert not any(any(expected[one.offset : one.end]) for one in extents if one.kind is not ExtentKind.ALLOCATED)
    assert any(one.kind is ExtentKind.HOLE for one in extents)
    return opened


def test_a_chain_of_three_is_one_disk(base: Path) -> None:
    middle = over(base, "snap1.qcow2", "raw")
    top = over(middle, "snap2.qcow2", "qcow2", size=0)
    with same_as_qemu(top) as opened:
        assert isinstance(opened, BackedDisk)
        assert opened.facts["files"] == ["snap1.qcow2", "base.img"]
        assert list(opened.table_faults()) == []
    before = FileIdentity.of(top)
    with base.open("r+b") as file:
        file.write(b"changed")
    assert FileIdentity.of(top) != before


@pytest.mark.parametrize(
    "options", [["-o", "cluster_size=512"], ["-o", "extended_l2=on"], ["-o", "compat=0.10"]], ids=str
)
def test_whatever_its_clusters_are(base: Path, options: list[str]) -> None:
    same_as_qemu(over(base, "top.qcow2", "raw", *options)).close()


@pytest.mark.parametrize("form", ["vmdk", "vdi", "vpc", "qcow2"])
def test_on_a_disk_of_another_format(base: Path, form: str) -> None:
    below = base.with_name(f"below.{form}")
    run(["qemu-img", "convert", "-f", "raw", "-O", form, base, below])
    same_as_qemu(over(below, "top.qcow2", form)).close()


def test_a_path_that_leads_to_its_own_folder(base: Path) -> None:
    folder = base.parent / "sub"
    folder.mkdir()
    shutil.copy(base, folder / "inner.img")
    over(base, "a.qcow2", "raw", named=str(base))
    over(base, "b.qcow2", "raw", named="./base.img")
    rename_backing(over(base, "c.qcow2", "raw"), b"file:base.img")
    over(base, "d.qcow2", "raw", named="sub/inner.img")
    for name in "abd":
        same_as_qemu(base.parent / f"{name}.qcow2").close()
    with disk.open(base.parent / "c.qcow2") as opened:
        assert opened.facts["files"] == ["base.img"]
    (base.parent / "elsewhere").mkdir()
    link = base.parent / "elsewhere" / "a.qcow2"
    link.symlink_to(base.parent / "a.qcow2")
    same_as_qemu(link).close()


def refused(path: Path, code: str, *words: str) -> None:
    with pytest.raises(ImageError) as caught:
        disk.open(path)
    assert caught.value.code == code
    assert caught.value.cure
    assert all(word in f"{caught.value.message} {caught.value.cause}" for word in words), caught.value


def rename_backing(path: Path, name: bytes) -> None:
    """Write another name, of any length up to 1,023 bytes, into the header."""
    with path.open("r+b") as file:
        at = struct.unpack(">Q", file.read(16)[8:])[0]
        file.seek(16)
        file.write(struct.pack(">I", len(name)))
        file.seek(at)
        file.write(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"/etc/passwd", "outside of its folder"),
        (b"../base.img", "outside of its folder"),
        (b"sub/../../x", "outside of its folder"),
        (b"nbd://127.0.0.1/x", "no file"),
        (b'json:{"driver":"file","filename":"/etc/passwd"}', "no file"),
        (b"http://x/y", "no file"),
        (b"fat:/etc", "no file"),
        (b"gone.img", "not there"),
        (b"\x1b[2Jgone\xff.img", "not there"),
    ],
)
def test_what_a_header_may_not_name(base: Path, name: bytes, why: str) -> None:
    top = over(base, "top.qcow2", "raw")
    rename_backing(top, name)
    with pytest.raises(ImageError) as caught:
        disk.open(top)
    assert (caught.value.code, why in caught.value.cause) == ("NeedsParent", True), caught.value
    assert caught.value.cause.isprintable()


def test_a_name_of_nothing(base: Path) -> None:
    top = over(base, "top.qcow2", "raw")
    rename_backing(top, b"\0")
    refused(top, "DamagedImage", "without a name")


def test_a_link_out_of_the_folder_is_not_followed(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("other") / "secret.img"
    shutil.copy(base, secret)
    top = over(base, "top.qcow2", "raw")
    base.unlink()
    base.symlink_to(secret)
    refused(top, "LinkOutside")


def test_a_chain_that_has_no_end(base: Path) -> None:
    one = over(base, "one.qcow2", "raw")
    two = over(one, "two.qcow2", "qcow2", size=0)
    rename_backing(one, b"two.qcow2")
    with one.open("r+b") as file:  # it says no longer that it is raw
        data = file.read(4096)
        at = data.index(struct.pack(">I", 0xE2792ACA))
        file.seek(at)
        file.write(struct.pack(">II", 0x12345678, 3))
    refused(two, "DamagedImage", "in turn")
    refused(one, "DamagedImage", "in turn")


def test_a_chain_that_is_too_long(base: Path) -> None:
    head = over(base, "0.qcow2", "raw").read_bytes()
    for number in range(1, LONGEST + 2):
        path = base.parent / f"{number}.qcow2"
        path.write_bytes(head.replace(struct.pack(">I", 0xE2792ACA), struct.pack(">I", 0x12345678)))
        rename_backing(path, f"{number - 1}.qcow2".encode())
    disk.open(base.parent / f"{LONGEST - 2}.qcow2").close()
    refused(base.parent / f"{LONGEST + 1}.qcow2", "DamagedImage", str(LONGEST))


def test_the_format_that_the_header_says_counts(base: Path) -> None:
    below = base.with_name("below.qcow2")
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", base, below])
    as_raw = over(below, "as-raw.qcow2", "raw")
    same_as_qemu(as_raw).close()  # the bytes of the file, not what it says of itself
    top = over(below, "top.qcow2", "qcow2")
    base.replace(below)
    refused(top, "DamagedImage", "calls its backing file qcow2")


def test_a_file_of_the_chain_is_no_target(base: Path) -> None:
    top = over(base, "top.qcow2", "raw")
    with pytest.raises(UsageError, match="is a part of the disk"):
        convert.plan(top, base, force=True)
