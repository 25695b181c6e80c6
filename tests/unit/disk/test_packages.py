"""Disks and appliances in zip, tar.gz, tar.xz, tar.zst, .gz, .xz and .zst, as the ordinary tools pack them."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import random
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools import ROOT, need, run
from tests.unit.disk import appliances
from tests.unit.disk.contents import MIB, assert_reads_as, outcome, write_raw
from vmie import disk
from vmie.disk import spool
from vmie.disk.spool import Spooled
from vmie.errors import ImageError
from vmie.ops import ingest
from vmie.options import ImportRequest

SIZE = 5 * MIB
ISLANDS = ((0, 70_000), (2 * MIB + 512, 300_000), (4 * MIB, 512))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("raw") / "disk.raw", size=SIZE, islands=ISLANDS)


FORMS: dict[str, tuple[str, ...]] = {
    "vmdk": ("vmdk", "-o", "subformat=streamOptimized"),
    "sparse.vmdk": ("vmdk", "-o", "subformat=monolithicSparse"),
    "qcow2": ("qcow2",),
    "vhd": ("vpc", "-o", "subformat=dynamic,force_size=on"),
    "fixed.vhd": ("vpc", "-o", "subformat=fixed,force_size=on"),
    "vhdx": ("vhdx",),
    "vdi": ("vdi",),
}
PACKERS: dict[str, tuple[str, ...]] = {
    "gz": ("gzip", "-kf"),
    "xz": ("xz", "-0kf"),
    "zst": ("zstd", "-qf"),
    "zip": ("zip", "-q"),
    "tar.gz": ("tar", "-czf"),
    "tar.xz": ("tar", "-cJf"),
    "tar.zst": ("tar", "--zstd", "-cf"),
    "tgz": ("tar", "-czf"),
}


def packed(path: Path, suffix: str) -> Path:
    """`path` packed by the tool itself, in its own folder."""
    tool = PACKERS[suffix]
    need(tool[0], "zstd" if "zst" in suffix else tool[0])
    if suffix in ("gz", "xz", "zst"):
        run([*tool, path])
        return path.with_name(f"{path.name}.{suffix}")
    target = path.with_name(f"{path.stem}.{suffix}")
    subprocess.run([*tool, target, path.name], cwd=path.parent, check=True)
    return target


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("form", FORMS)
def test_every_format_in_every_pack(raw: Path, tmp_path: Path, form: str, suffix: str) -> None:
    need("qemu-img")
    image = tmp_path / f"disk.{form}"
    run(["qemu-img", "convert", "-f", "raw", "-O", *FORMS[form], raw, image])
    path = packed(image, suffix)
    with disk.open(path) as opened:
        assert opened.format == form.rpartition(".")[2]
        assert opened.facts["wrapper"]
        assert_reads_as(opened, raw)
    look = ingest.look(path, ImportRequest(path))
    assert (look.packed != "", look.container) == (True, "")
    assert ingest.choose(look).method == "vmdk"


def test_a_raw_disk_in_an_archive(raw: Path, tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(raw.read_bytes())
    for suffix in ("zip", "tar.gz", "tar.zst"):
        with disk.open(packed(image, suffix)) as opened:
            assert_reads_as(opened, raw)


# --- appliances ---------------------------------------------------------------------------------------------------


@pytest.fixture
def app(raw: Path, tmp_path: Path) -> Path:
    """A folder with a descriptor and two disks, one in a folder of its own."""
    need("qemu-img")
    folder = tmp_path / "app"
    (folder / "disks").mkdir(parents=True)
    run(["qemu-img", "convert", "-f", "raw", "-O", *FORMS["vmdk"], raw, folder / "one.vmdk"])
    run(["qemu-img", "convert", "-f", "raw", "-O", *FORMS["vmdk"], raw, folder / "disks" / "two.vmdk"])
    (folder / "app.ovf").write_text(appliances.vmware("one.vmdk", "disks/two.vmdk"))
    return folder


@pytest.mark.parametrize("suffix", ["zip", "tar.gz", "tar.xz", "tar.zst", "tgz"])
def test_an_appliance_s_folder_in_every_pack(raw: Path, app: Path, suffix: str) -> None:
    target = app.parent / f"app.{suffix}"
    more = ["-r"] if suffix == "zip" else []
    subprocess.run([*PACKERS[suffix], *more, target, "app"], cwd=app.parent, check=True)
    for index in range(2):
        with disk.open(target, index=index) as opened:
            assert_reads_as(opened, raw)
            assert opened.facts["appliance"]["name"] == "web 01"
    with disk.appliance(target) as appliance:
        assert len(appliance.disks) == 2
    look = ingest.look(target, ImportRequest(target))
    assert look.disks == 2
    assert look.packed
    assert ingest.choose(look).method == "vmdk"


@pytest.mark.parametrize("suffix", ["gz", "xz", "zst", "zip"])
def test_an_ova_in_every_pack(raw: Path, app: Path, suffix: str) -> None:
    members = ["app.ovf", "one.vmdk", "disks/two.vmdk"]
    subprocess.run(["tar", "--format=ustar", "-cf", "app.ova", *members], cwd=app, check=True)
    target = packed(app / "app.ova", suffix)
    with disk.open(target, index=1) as opened:
        assert_reads_as(opened, raw)


def test_a_gzip_disk_in_an_ova_is_read_whatever_it_holds(raw: Path, app: Path, tmp_path: Path) -> None:
    text = appliances.vmware("one.vmdk.gz").replace('ovf:size="1000"', 'ovf:compression="gzip"').encode()
    member = ("one.vmdk.gz", gzip.compress((app / "one.vmdk").read_bytes()))
    path = appliances.pack(tmp_path / "x.ova", ("x.ovf", text), member)
    with disk.open(path) as opened:
        assert_reads_as(opened, raw)


@pytest.mark.parametrize("form", ["twoGbMaxExtentSparse", "monolithicFlat", "twoGbMaxExtentFlat"])
def test_a_vmdk_in_pieces_in_an_archive(raw: Path, tmp_path: Path, form: str) -> None:
    """A hypervisor's own folder, packed."""
    need("qemu-img", "zip")
    folder = tmp_path / "vm"
    folder.mkdir()
    run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={form}", raw, folder / "disk.vmdk"])
    (folder / "vm.vmx").write_text('displayName = "vm"\n')
    for name, argv in (("vm.zip", ("zip", "-qr")), ("vm.tar", ("tar", "-cf")), ("vm.tar.gz", ("tar", "-czf"))):
        subprocess.run([*argv, name, "vm"], cwd=tmp_path, check=True)
        with disk.open(tmp_path / name) as opened:
            assert opened.variant == form
            assert_reads_as(opened, raw)


def test_several_disks_and_no_disk_in_an_archive_say_so(tmp_path: Path) -> None:
    for names, why in ((("a.vmdk", "b.vmdk"), "2 disks without"), (("notes.txt", "x.pdf"), "or a disk")):
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"content" * 100)
        with pytest.raises(ImageError, match=why) as caught:
            disk.open(path)
        assert names[0] in caught.value.cause
        assert f"unzip {path}" in caught.value.cure


def test_clutter_of_other_systems_is_passed_over(raw: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(raw, "vm\\disk.raw")
        archive.writestr("__MACOSX/._disk.raw", b"attributes")
        archive.writestr("vm/README", b"read me")
    with disk.open(tmp_path / "x.zip") as opened:
        assert_reads_as(opened, raw)


# --- zip, by the letter ---------------------------------------------------------------------------------------------


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return held.getvalue()


NOISE = random.Random(4).randbytes(300_000)


def read(data: bytes) -> bytes:
    with disk.open(io.BytesIO(data)) as opened:
        return opened.read(0, opened.size)


def test_stored_members_zip64_and_streamed_ones() -> None:
    assert read(zipped(("disk.raw", NOISE), method=zipfile.ZIP_STORED)) == NOISE
    held = io.BytesIO()
    with (
        zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("disk.raw", "w", force_zip64=True) as to,
    ):
        to.write(NOISE)
    assert read(held.getvalue()) == NOISE

    class Stream(io.RawIOBase):
        """Not seekable: sizes come behind the data."""

        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object, /) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        archive.writestr("disk.raw", NOISE)
    assert read(bytes(stream.data)) == NOISE


def test_the_numbers_of_zip64_are_read() -> None:
    """A directory end of all ones, and the real numbers in zip64's: as archives over 4 GiB have them."""
    plain = zipped(("disk.raw", NOISE))
    end = len(plain) - 22
    count, length, offset = struct.unpack_from("<HII", plain, end + 10)
    wide = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, offset)
    wide += struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    assert (
        read(
            plain[:end] + wide + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
        )
        == NOISE
    )


def test_what_zip_can_do_and_vmie_does_not_is_named(tmp_path: Path) -> None:
    need("zip")
    (tmp_path / "disk.raw").write_bytes(NOISE)
    subprocess.run(["zip", "-q", "-P", "secret", "x.zip", "disk.raw"], cwd=tmp_path, check=True)
    with pytest.raises(ImageError, match="encrypted zip"):
        disk.open(tmp_path / "x.zip")
    for method, name in ((zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "lzma")):
        with pytest.raises(ImageError, match=f"packed with {name}") as caught:
            read(zipped(("disk.raw", NOISE), method=method))
        assert "unzip" in caught.value.cure


@pytest.mark.parametrize("name", ["../disk.raw", "/etc/passwd.raw", "a/../../disk.raw", "..\\disk.raw"])
def test_names_that_lead_out_are_refused(name: str) -> None:
    with pytest.raises(ImageError, match="not safe to read"):
        read(zipped((name, NOISE)))


def test_a_link_in_a_zip_is_no_disk() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        info = zipfile.ZipInfo("disk.raw")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ImageError, match="without an OVF descriptor or a disk"):
        read(held.getvalue())


def test_damage_in_a_zip_is_found() -> None:
    data = bytearray(zipped(("disk.raw", NOISE), method=zipfile.ZIP_DEFLATED))
    data[2000] ^= 0x10
    assert outcome(lambda: io.BytesIO(read(bytes(data))) and disk.open(io.BytesIO(b""))) != "read"
    whole = zipped(("disk.raw", NOISE[:5000]))
    for length in range(10, len(whole), 331):
        with pytest.raises(ImageError):
            expected(whole[:length])


def expected(data: bytes) -> None:
    """Open and read; a cut zip is told by its beginning and refused by the verbs."""
    from vmie.disk.foreign import expected_disk

    with disk.open(io.BytesIO(data)) as opened:
        expected_disk(opened.source, opened.facts)
        opened.read(0, opened.size)


def test_a_directory_that_lies_is_found() -> None:
    good = zipped(("disk.raw", NOISE), ("readme", b"x" * 600))
    end = len(good) - 22
    start = struct.unpack_from("<I", good, end + 16)[0]
    for at in [*range(start, len(good) - 3, 3), *range(60)]:
        for value in (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"):
            data = good[:at] + value[: len(good) - at] + good[at + 4 :]
            outcome(lambda: disk.open(io.BytesIO(data)))  # noqa: B023


# --- bounds ---------------------------------------------------------------------------------------------------------


def test_packs_within_packs_end() -> None:
    data = NOISE[:4096]
    for _ in range(3):
        data = gzip.compress(data)
    assert read(data) == NOISE[:4096]
    for _ in range(20):
        data = gzip.compress(data)
    with pytest.raises(ImageError, match=r"over and over|too deep"):
        read(data)
    nested = zipped(("x.raw", NOISE[:600]))
    for _ in range(20):
        nested = zipped(("x.zip", nested))
    with pytest.raises(ImageError, match=r"over and over|within archives"):
        read(nested)


_BOMB = """
import os, resource, sys, time
from vmie import disk
from vmie.errors import ImageError
begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
free = os.statvfs("/var/tmp").f_bavail
try:
    found = disk.open(sys.argv[1])
    found.read(0, 1 << 62) if found.size < 1 << 30 else None
    print("read")
except ImageError as error:
    print(error.message)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, int(time.monotonic() - begun))
"""


@pytest.mark.parametrize(("filler", "pack"), [(b"\xff", "gz"), (b"\xff", "zip"), (b"\xff", "xz"), (b"\0", "xz")])
def test_a_bomb_neither_fills_the_medium_nor_memory(tmp_path: Path, filler: bytes, pack: str) -> None:
    """A qcow2's magic and then gibibytes of one byte."""
    size = 384 * MIB
    piece = filler * MIB
    path = tmp_path / f"bomb.{pack}"
    if pack == "zip":
        with zipfile.ZipFile(path, "w", 8) as archive, archive.open("disk.qcow2", "w", force_zip64=True) as to:
            to.write(b"QFI\xfb\0\0\0\x02")
            for _ in range(size // MIB):
                to.write(piece)
    else:
        opener: Callable[..., io.BufferedIOBase] = gzip.open if pack == "gz" else lzma.open  # type: ignore[assignment]
        options = {"compresslevel": 1} if pack == "gz" else {"preset": 0}
        with opener(path, "wb", **options) as to:
            to.write(b"QFI\xfb\0\0\0\x02")
            for _ in range(size // MIB):
                to.write(piece)
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _BOMB, str(path)], capture_output=True, text=True, cwd=ROOT, env=environ
    )
    assert done.returncode == 0, done.stderr
    said, grown = done.stdout.splitlines()
    assert said != "read"
    assert int(grown.split()[0]) < 100


def test_no_room_is_said_with_the_way_to_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_KEPT_FREE", 1 << 62)
    (tmp_path / "x.qcow2.gz").write_bytes(gzip.compress(b"QFI\xfb" + NOISE))
    with pytest.raises(ImageError, match="cannot be unpacked to") as caught:
        disk.open(tmp_path / "x.qcow2.gz")
    assert "TMPDIR" in caught.value.cure


def test_the_temporary_file_is_where_it_should_be_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    source = disk.base.ObjectSource(io.BytesIO(b""), name="x")
    held = Spooled(source, iter([NOISE, bytes(MIB), NOISE]), name="x")
    assert held.pread(10, 5) == NOISE[10:15]
    assert held.size == 2 * len(NOISE) + MIB
    assert held.pread(len(NOISE), MIB) == bytes(MIB)
    assert held.pread(held.size - 4, 10) == NOISE[-4:]
    assert list(tmp_path.iterdir()) == []
    held.close()
