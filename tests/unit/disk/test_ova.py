"""OVAs are read in place, whoever packed them; hostile archives are refused before anything of them is used."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.tools import ROOT, need, run
from tests.unit.disk import appliances
from tests.unit.disk.contents import MIB, assert_reads_as, outcome, write_raw
from vmie import disk
from vmie.disk.integrity import ManifestCheck
from vmie.errors import ImageError
from vmie.events import Event, Progress

OVF = appliances.vmware("web01-1.raw", "web01-2.raw").encode()
DISKS = (("web01-1.raw", b"1" * 700_000), ("web01-2.raw", b"2" * 1536))


@pytest.fixture
def ova(tmp_path: Path) -> Path:
    listed = appliances.manifest(("web01.ovf", OVF), *DISKS, ("tools.iso", b"iso"))
    return appliances.pack(
        tmp_path / "web01.ova", ("web01.ovf", OVF), ("web01.mf", listed), *DISKS, ("tools.iso", b"iso")
    )


def test_disks_are_read_in_place_and_in_order(ova: Path) -> None:
    with disk.open(ova) as first, disk.open(ova, index=1) as second:
        assert first.format == "raw"
        assert (first.size, first.read(699_990, 100)) == (700_000, b"1" * 10)
        assert (second.size, second.read(0, 3)) == (1536, b"222")
        facts = first.facts["appliance"]
        assert facts["package"] == "ova"
        assert facts["descriptor_first"] is True
        assert facts["manifest"] == {"present": True, "algorithms": ["SHA256"], "files": 4, "problem": ""}
        assert [row["file"] for row in facts["disks"]] == ["web01-1.raw", "web01-2.raw"]
        assert second.facts["appliance_disk"] == 1


def test_closing_a_disk_closes_the_archive(ova: Path) -> None:
    opened = disk.open(ova)
    opened.close()
    with pytest.raises((OSError, ValueError)):
        opened.read(0, 1)


def test_disks_of_an_open_appliance_outlive_each_other(ova: Path) -> None:
    with disk.appliance(ova) as machine:
        assert machine.name == "web 01"
        assert len(machine.disks) == 2
        with machine.open_disk(0) as first:
            assert first.read(0, 1) == b"1"
        assert machine.open_disk(1).read(0, 1) == b"2"


def test_a_real_vmdk_inside(tmp_path: Path) -> None:
    need("qemu-img")
    raw = write_raw(tmp_path / "disk.raw", size=5 * MIB, islands=((0, 70_000), (4 * MIB, 512)))
    run(["qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, tmp_path / "d.vmdk"])
    descriptor = appliances.vmware("d.vmdk").encode()
    path = appliances.pack(tmp_path / "x.ova", ("x.ovf", descriptor), ("d.vmdk", (tmp_path / "d.vmdk").read_bytes()))
    with disk.open(path) as opened:
        assert (opened.format, opened.variant) == ("vmdk", "streamOptimized")
        assert_reads_as(opened, raw)


@pytest.mark.parametrize("format", ["ustar", "pax", "gnu", "v7", "oldgnu"])
def test_archives_of_gnu_tar(tmp_path: Path, format: str) -> None:  # noqa: A002
    need("tar")
    name = "w" + "o" * (140 if format in ("pax", "gnu", "oldgnu") else 60) + ".raw"
    (tmp_path / "web01.ovf").write_bytes(appliances.vmware(name).encode())
    (tmp_path / name).write_bytes(b"z" * 3000)
    run(["tar", f"--format={format}", "-C", tmp_path, "-cf", tmp_path / "x.ova", "./web01.ovf", name])
    with disk.open(tmp_path / "x.ova") as opened:
        assert (opened.size, opened.read(0, 2)) == (3000, b"zz")


def test_a_pax_archive_of_macos_with_its_extra_members(tmp_path: Path) -> None:
    path = tmp_path / "x.ova"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in (("._web01.ovf", b"attributes"), ("web01.ovf", OVF), *DISKS):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.pax_headers = {
                "LIBARCHIVE.xattr.com.apple.quarantine": "MDA4",
                "mtime": "1700000000.123456789",
                "path": name,
            }
            archive.addfile(info, io.BytesIO(data))
    with disk.open(path) as opened:
        assert opened.size == 700_000
        assert opened.facts["appliance"]["descriptor_first"] is False


def test_members_beyond_8_gib_are_stepped_over(tmp_path: Path) -> None:
    """A sparse file: 9 GiB of disk before a second disk, once with base-256 sizes, once with pax."""
    size = 9 << 30
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / "big.ova"
        with path.open("wb") as file:
            for name, data in (("web01.ovf", OVF), ("web01-1.raw", None), ("web01-2.raw", b"2" * 512)):
                info = tarfile.TarInfo(name)
                info.size = size if data is None else len(data)
                file.write(info.tobuf(format=kind))
                if data is None:
                    file.seek(size, io.SEEK_CUR)
                else:
                    file.write(data.ljust(-(-len(data) // 512) * 512, b"\0"))
            file.write(bytes(1024))
        begun = time.process_time()
        with disk.open(path) as first, disk.open(path, index=1) as second:
            assert first.size == size
            assert second.read(0, 1) == b"2"
        assert time.process_time() - begun < 10


def test_an_ova_packed_with_its_folder_is_read(tmp_path: Path) -> None:
    path = appliances.pack(tmp_path / "x.ova", ("vm/web01.ovf", OVF), *((f"vm/{name}", data) for name, data in DISKS))
    with disk.open(path) as opened:
        assert opened.size == 700_000


def test_the_manifest_is_checked_on_demand(ova: Path) -> None:
    seen: list[Event] = []
    manifest = ManifestCheck(disk.appliance(ova))
    assert manifest.compare(reporter=seen.append) == []
    manifest.close()
    assert isinstance(seen[-1], Progress)
    assert seen[-1].done == seen[-1].total


@pytest.mark.parametrize("algorithm", ["SHA1", "SHA256", "SHA512"])
def test_a_manifest_tells_what_is_wrong(tmp_path: Path, algorithm: str) -> None:
    wrong = (("web01-1.raw", b"other"), ("gone.raw", b""))
    listed = appliances.manifest(("web01.ovf", OVF), *wrong, algorithm=algorithm) + b"SHA3-256(tools.iso)= 00\r\n"
    path = appliances.pack(tmp_path / "x.ova", ("web01.ovf", OVF), *DISKS, ("web01.mf", listed), ("web01.cert", b"c"))
    with disk.appliance(path) as machine:
        assert machine.signed
        manifest = ManifestCheck(machine)
        found = {(row.file, row.reason) for row in manifest.compare()}
        assert len(manifest.notes) == 3
        with pytest.raises(ImageError, match="not what its manifest says") as caught:
            manifest.settle()
    assert "'web01-1.raw' has the digest" in caught.value.cause
    assert found == {
        ("web01-1.raw", "differs"),
        ("gone.raw", "missing"),
        ("tools.iso", "unknown-algorithm"),
        ("web01-2.raw", "unlisted"),
    }


def test_no_manifest_and_a_broken_one(tmp_path: Path) -> None:
    path = appliances.pack(tmp_path / "x.ova", ("web01.ovf", OVF), *DISKS)
    with disk.appliance(path) as machine:
        manifest = ManifestCheck(machine)
        assert (manifest.compare(), manifest.notes) == ([], [])
    broken = appliances.pack(tmp_path / "y.ova", ("web01.ovf", OVF), *DISKS, ("web01.mf", b"hello\n"))
    with disk.appliance(broken) as machine:
        assert machine.open_disk(0).read(0, 1) == b"1"
        assert machine.manifest.present
        (note,) = ManifestCheck(machine).notes
    assert "SHA256(name)" in note


def test_a_manifest_that_contradicts_itself_is_damage_and_lists_a_file_once(tmp_path: Path) -> None:
    listed = appliances.manifest(("web01.ovf", OVF), *DISKS)
    path = appliances.pack(
        tmp_path / "x.ova", ("web01.ovf", OVF), *DISKS, ("web01.mf", listed * 50 + b"SHA256(web01-1.raw)= 00\n")
    )
    seen: list[Event] = []
    with disk.appliance(path) as machine:
        (row,) = (row for row in ManifestCheck(machine).compare(reporter=seen.append) if row.damage)
    assert (row.file, row.reason) == ("web01-1.raw", "contradiction")
    assert isinstance(seen[-1], Progress)
    assert seen[-1].total == len(OVF) + sum(len(data) for _, data in DISKS)


def test_digests_follow_another_reader_and_stop_at_the_file_that_differs(tmp_path: Path) -> None:
    first, second = DISKS
    listed = appliances.manifest(("web01.ovf", OVF), (first[0], b"other"), second)
    path = appliances.pack(tmp_path / "x.ova", ("web01.ovf", OVF), *DISKS, ("web01.mf", listed))
    with disk.appliance(path) as machine:
        manifest = ManifestCheck(machine)
        manifest.follow(1, 1000)
        with pytest.raises(ImageError, match="not what its manifest says"):
            manifest.follow(999, 1000)


def test_a_gzip_member_is_read(tmp_path: Path) -> None:
    descriptor = appliances.vmware("d.gz").replace('ovf:size="1000"', 'ovf:size="1" ovf:compression="gzip"').encode()
    path = appliances.pack(tmp_path / "x.ova", ("x.ovf", descriptor), ("d.gz", gzip.compress(b"raw!" * 500)))
    with disk.open(path) as opened:
        assert opened.read(0, 4) == b"raw!"
        assert opened.facts["appliance"]["disks"][0]["compressed"] is True
    path = appliances.pack(tmp_path / "y.ova", ("y.ovf", descriptor), ("d.gz", gzip.compress(b"vhdxfile" + bytes(600))))
    with pytest.raises(ImageError, match=r"d\.gz: d is (truncated|damaged)"):
        disk.open(path)


def test_chunked_disks_of_an_archive_are_joined_and_told(tmp_path: Path) -> None:
    descriptor = appliances.vmware("d.raw").replace('ovf:size="1000"', 'ovf:size="1536" ovf:chunkSize="1024"').encode()
    chunks = (("d.raw.000000000", b"a" * 1024), ("d.raw.000000001", b"b" * 512))
    with disk.open(appliances.pack(tmp_path / "x.ova", ("x.ovf", descriptor), *chunks)) as opened:
        assert opened.read(1020, 8) == b"aaaabbbb"
        assert opened.facts["appliance"]["disks"][0]["chunk_size"] == 1024


def test_a_tar_without_a_descriptor_is_its_only_disk_or_names_what_it_holds(tmp_path: Path) -> None:
    notes = ("notes.txt", b"no disk")
    with disk.open(appliances.pack(tmp_path / "x.tar", notes, ("disk.raw", b"x" * 512))) as opened:
        assert opened.read(0, 2) == b"xx"
    for members in ((notes,), (("a.raw", b"x" * 512), ("b.raw", b"y" * 512))):
        with pytest.raises(ImageError, match="without an OVF descriptor") as caught:
            disk.open(appliances.pack(tmp_path / "x.tar", *members))
        assert members[0][0] in caught.value.cause


def test_two_descriptors_in_one_archive_are_refused(tmp_path: Path) -> None:
    path = appliances.pack(tmp_path / "x.ova", ("a.ovf", OVF), ("b.ovf", OVF), *DISKS)
    with pytest.raises(ImageError, match="2 OVF descriptors") as caught:
        disk.open(path)
    assert "a.ovf, b.ovf" in caught.value.cause


@pytest.mark.parametrize(
    "name", ["../web01-3.raw", "/etc/passwd", "a/../../b", "..", "a\\b", "web01-1.raw", "./web01-1.raw"]
)
def test_hostile_names_are_refused(tmp_path: Path, name: str) -> None:
    path = appliances.pack(tmp_path / "x.ova", ("web01.ovf", OVF), *DISKS, (name, b"x"))
    with pytest.raises(ImageError, match="not safe to read") as caught:
        disk.open(path)
    assert caught.value.cure


def test_links_and_devices_are_never_a_disk(tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
        path = tmp_path / "x.ova"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            info = tarfile.TarInfo("web01.ovf")
            info.size = len(OVF)
            archive.addfile(info, io.BytesIO(OVF))
            link = tarfile.TarInfo("web01-1.raw")
            link.type, link.linkname = kind, "/etc/hostname"
            archive.addfile(link)
        with pytest.raises(ImageError) as caught:
            disk.open(path)
        assert "not a file" in caught.value.cause


@pytest.mark.parametrize("format_", ["gnu", "oldgnu", "pax --sparse-version=0.1", "pax --sparse-version=1.0"])
@pytest.mark.parametrize("islands", [(), ((0, 70_000),), ((MIB, 512),), tuple((n * 131_072, 600) for n in range(30))])
def test_sparse_members_are_read(tmp_path: Path, format_: str, islands: tuple[tuple[int, int], ...]) -> None:
    """As `tar --sparse` packs them, and Google's exports of images."""
    need("tar")
    (tmp_path / "web01.ovf").write_bytes(OVF)
    raw = write_raw(tmp_path / "web01-1.raw", size=4 * MIB + 512, islands=islands)
    (tmp_path / "web01-2.raw").write_bytes(b"2" * 1536)
    options = ["--sparse", *f"--format={format_}".split()]
    run(["tar", *options, "-C", tmp_path, "-cf", tmp_path / "x.ova", "web01.ovf", "web01-1.raw", "web01-2.raw"])
    with disk.open(tmp_path / "x.ova") as first, disk.open(tmp_path / "x.ova", index=1) as second:
        assert_reads_as(first, raw)
        assert second.read(0, 3) == b"222"
        for offset, length in ((MIB - 5, 1000), (4 * MIB, 4096), (130_000, 300_000)):
            assert first.read(offset, length) == raw.read_bytes()[offset : offset + length]
    run(["tar", *options, "-C", tmp_path, "-czf", tmp_path / "image.tar.gz", "web01-1.raw"])
    with disk.open(tmp_path / "image.tar.gz") as opened:
        assert_reads_as(opened, raw)


def test_a_sparse_map_may_lie(tmp_path: Path) -> None:
    need("tar")
    raw = write_raw(tmp_path / "disk.raw", size=8 * MIB, islands=tuple((n * 262_144, 600) for n in range(30)))
    for format_ in ("gnu", "pax"):
        run(["tar", "--sparse", f"--format={format_}", "-C", tmp_path, "-cf", tmp_path / "x.tar", raw.name])
        data = (tmp_path / "x.tar").read_bytes()
        for at in [*range(380, 500, 5), *range(512, 2560, 13)]:
            for value in (b"\xff" * 11, b"77777777777", b"99999999999", b"\x80" + b"\x7f" * 10):
                header = bytearray(data[:at] + value + data[at + 11 :])
                if at < 512:
                    header[:512] = resigned(bytearray(header[:512]))
                outcome(lambda: disk.open(io.BytesIO(bytes(header))))  # noqa: B023


def test_truncated_anywhere_it_is_an_image_error(ova: Path) -> None:
    data = ova.read_bytes()
    end = data.index(b"2" * 1536) + 1536
    for length in [*range(512, 8192, 97), *range(8192, end, 50_021), end - 1]:
        assert outcome(lambda: disk.open(io.BytesIO(data[:length]))) != "read", length  # noqa: B023


def resigned(header: bytearray) -> bytearray:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return header


def test_any_field_of_a_header_may_lie(ova: Path) -> None:
    data = ova.read_bytes()
    for at in (0, data.index(b"web01-1.raw", 4096)):
        for offset in [*range(0, 512, 12), 124, 136, 156, 257]:
            for value in (b"\xff" * 12, bytes(12), b"77777777777\0", b"\x80" + b"\xff" * 11, b"-1         \0"):
                header = bytearray(data[at : at + 512])
                header[offset : offset + 12] = value[: 512 - offset]
                mutated = data[:at] + bytes(resigned(header)) + data[at + 512 :]
                outcome(lambda: disk.open(io.BytesIO(mutated)))  # noqa: B023


def test_pax_records_may_lie(tmp_path: Path) -> None:
    records = (
        b"99999999999 path=x\n",
        b"0 path=x\n",
        b"12 size=abc\n",
        b"\xff\xff",
        b"30 size=18446744073709551615\n",
        b"22 path=../../../x\n",
        b"8 pathx\n",
    )
    for record in records:
        header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
        header[156:157] = b"x"
        header[124:136] = b"%011o\0" % len(record)
        archive = bytes(resigned(header)) + record.ljust(512, b"\0")
        rest = appliances.pack(tmp_path / "x.ova", ("web01.ovf", OVF), *DISKS).read_bytes()
        said = outcome(lambda: disk.open(io.BytesIO(archive + rest)))  # noqa: B023
        assert said != "read", record


def test_an_archive_of_headers_only_ends(tmp_path: Path) -> None:
    empty = tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT)
    many = b"".join(tarfile.TarInfo(f"m{n}").tobuf(tarfile.USTAR_FORMAT) for n in range(5000))
    extension = bytearray(empty)
    extension[156:157] = b"L"
    for data in (many, bytes(resigned(extension)) * 20_000):
        assert "more than" in outcome(lambda: disk.open(io.BytesIO(data)))  # noqa: B023


_MEMORY = """
import resource, sys
from vmie import disk
from vmie.errors import ImageError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    disk.open(sys.argv[1])
except ImageError:
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_descriptor_of_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.ova"
    header = bytearray(tarfile.TarInfo("web01.ovf").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\x80" + struct.pack(">Q", 3 << 30).rjust(11, b"\0")
    path.write_bytes(resigned(header))
    with path.open("r+b") as file:
        file.truncate((3 << 30) + 2048)
    done = subprocess.run([sys.executable, "-c", _MEMORY, str(path)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100
