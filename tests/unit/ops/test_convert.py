"""`vmie.ops.convert`: the target is absent, as it was, or whole; what cannot be meant is refused before work begins."""

from __future__ import annotations

import errno
import gzip
import io
import os
import resource
import signal
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.disk.memory import MIB, noise, prose
from vmie import disk, events
from vmie.errors import ImageError, UsageError, VmieError
from vmie.ops import convert


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """5 MiB and a bit of data in 40 MiB."""
    path = tmp_path / "in.raw"
    with path.open("wb") as file:
        file.write(prose(3 * MIB))
        file.seek(20 * MIB)
        file.write(noise(2 * MIB + 512))
        file.truncate(40 * MIB)
    return path


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("suffix", ["vmdk", "vhd", "raw", "img", "VMDK", "qcow2", "vhdx"])
def test_converts_into_what_the_suffix_names(raw: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out.{suffix}"
    done = convert.apply(convert.plan(raw, out))

    assert done.path == out
    assert done.virtual_size == 40 * MIB
    assert 5 * MIB <= done.bytes_source <= 8 * MIB  # a VHD's blocks are 2 MiB
    assert done.bytes_written <= out.stat().st_size
    with disk.open(out) as again:
        assert again.format == done.format
        assert again.read(0, 40 * MIB) == raw.read_bytes()
    assert entries(tmp_path) == {raw.name, out.name}


def test_the_result_has_the_contracted_keys(raw: Path, tmp_path: Path) -> None:
    ticks = iter((10.0, 12.5))
    done = convert.apply(convert.plan(raw, tmp_path / "out.vmdk"), clock=lambda: next(ticks))
    assert done.as_json() == {
        "path": str(tmp_path / "out.vmdk"),
        "format": "vmdk",
        "virtual_size": 40 * MIB,
        "bytes_source": done.bytes_source,
        "bytes_written": (tmp_path / "out.vmdk").stat().st_size,
        "seconds": 2.5,
    }


def test_a_raw_file_keeps_its_holes(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.raw"
    done = convert.apply(convert.plan(raw, out))
    assert out.stat().st_blocks * 512 <= 6 * MIB
    assert done.bytes_written <= 6 * MIB


def test_a_plan_touches_nothing_and_bounds_the_size(raw: Path, tmp_path: Path) -> None:
    plan = convert.plan(raw, tmp_path / "out.vmdk", workers=2)
    assert entries(tmp_path) == {raw.name}
    assert plan.as_json()["source"]["format"] == "raw"
    assert not plan.overwrite
    convert.apply(plan)
    assert (tmp_path / "out.vmdk").stat().st_size <= plan.upper_bound


def test_progress_ends_at_the_data_there_is(raw: Path, tmp_path: Path) -> None:
    seen: list[events.Event] = []
    convert.apply(convert.plan(raw, tmp_path / "out.vmdk"), reporter=seen.append)
    assert isinstance(seen[0], events.Stage)
    steps = [event for event in seen if isinstance(event, events.Progress)]
    assert {step.stage for step in steps} == {"convert"}
    assert steps[-1].done == steps[-1].total


def test_an_existing_file_stays_unless_force_is_said(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.vmdk"
    out.write_text("precious")
    with pytest.raises(UsageError, match="exists") as caught:
        convert.plan(raw, out)
    assert "add force" in caught.value.cure
    assert out.read_text() == "precious"

    convert.apply(convert.plan(raw, out, force=True))
    assert out.read_bytes()[:4] == b"KDMV"


def test_a_file_that_appears_after_the_plan_stays(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.vmdk"
    plan = convert.plan(raw, out)
    out.write_text("precious")
    with pytest.raises(UsageError, match="exists"):
        convert.apply(plan)
    assert out.read_text() == "precious"


@pytest.mark.parametrize("make", [os.link, os.symlink])
def test_a_disk_is_not_converted_into_itself(raw: Path, tmp_path: Path, make: object) -> None:
    other = tmp_path / "other.raw"
    make(raw, other)  # type: ignore[operator]
    for target in (raw, other):
        with pytest.raises(UsageError, match="into itself"):
            convert.plan(raw, target, force=True)


def test_a_disk_is_not_converted_into_one_of_its_extents(tmp_path: Path) -> None:
    flat = tmp_path / "disk-flat.raw"
    flat.write_bytes(noise(MIB))
    descriptor = tmp_path / "disk.vmdk"
    descriptor.write_text(
        "# Disk DescriptorFile\nversion=1\nCID=00000001\nparentCID=ffffffff\n"
        f'createType="monolithicFlat"\n\nRW {MIB // 512} FLAT "{flat.name}" 0\n\nddb.adapterType = "ide"\n'
    )
    with pytest.raises(UsageError, match="a part of the disk"):
        convert.plan(descriptor, flat, force=True)


def test_a_link_goes_on_pointing_to_its_file(raw: Path, tmp_path: Path) -> None:
    real, link = tmp_path / "real.vmdk", tmp_path / "link.vmdk"
    real.write_text("old")
    link.symlink_to(real)
    convert.apply(convert.plan(raw, link, force=True))
    assert link.is_symlink()
    assert real.read_bytes()[:4] == b"KDMV"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("out.vdi", "names no format"),
        ("out", "names no format"),
        ("absent/out.vmdk", "cannot be written"),
        ("folder.raw", "is not a file"),
    ],
)
def test_a_target_that_cannot_be_meant_is_refused(raw: Path, tmp_path: Path, target: str, words: str) -> None:
    (tmp_path / "folder.raw").mkdir()
    with pytest.raises(UsageError, match=words) as caught:
        convert.plan(raw, tmp_path / target, force=True)
    assert caught.value.cure


def test_no_workers_are_refused(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 workers"):
        convert.plan(raw, tmp_path / "out.vmdk", workers=0)


def test_a_source_that_is_not_there_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        convert.plan(tmp_path / "absent.raw", tmp_path / "out.vmdk")


def test_the_umask_decides_who_may_read(raw: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        convert.apply(convert.plan(raw, tmp_path / "out.vmdk"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.vmdk").stat().st_mode) == 0o640


def test_an_error_half_way_leaves_nothing(raw: Path, tmp_path: Path) -> None:
    plan = convert.plan(raw, tmp_path / "out.vmdk")
    os.truncate(raw, 0)
    with pytest.raises(VmieError):
        convert.apply(plan)
    assert entries(tmp_path) == {raw.name}


@pytest.fixture
def small_files_only(raw: Path) -> Iterator[None]:
    """Files end at 1 MiB, as on a full disk (EFBIG counts as no space: FAT ends at 4 GiB)."""
    assert raw.exists()  # made before the limit holds
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files_only")
def test_no_space_left_says_how_much_is_needed_and_leaves_nothing(raw: Path, tmp_path: Path) -> None:
    plan = convert.plan(raw, tmp_path / "out.vhd")
    with pytest.raises(VmieError, match="no space left") as caught:
        convert.apply(plan)
    assert f"{plan.upper_bound:,}" in caught.value.cause
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert entries(tmp_path) == {raw.name}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing(tmp_path: Path, signum: int) -> None:
    dense = tmp_path / "dense.raw"
    piece = noise(8 * MIB)
    with dense.open("wb") as file:
        for _ in range(48):
            file.write(piece)
    program = (
        "import signal, sys, pathlib; from vmie.ops import convert\n"
        "def stop(*_): raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGTERM, stop); signal.signal(signal.SIGINT, stop)\n"
        "plan = convert.plan(*map(pathlib.Path, sys.argv[1:]), workers=1)\n"
        "try: convert.apply(plan)\n"
        "except KeyboardInterrupt: sys.exit(130)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(dense), str(tmp_path / "out.vmdk")])
    deadline = time.monotonic() + 30
    while not any(tmp_path.glob(".vmie-convert-*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    child.send_signal(signum)
    assert child.wait(30) == 130
    assert entries(tmp_path) == {dense.name}


def test_two_at_once_in_one_folder_do_not_meet(raw: Path, tmp_path: Path) -> None:
    (tmp_path / ".vmie-convert-0.partial").write_text("somebody else's")
    convert.apply(convert.plan(raw, tmp_path / "out.vmdk"))
    assert (tmp_path / ".vmie-convert-0.partial").read_text() == "somebody else's"


def appliance(folder: Path, *contents: bytes) -> Path:
    """An OVA of raw disks."""
    files = "".join(f'<File ovf:id="f{n}" ovf:href="d{n}.raw" ovf:size="{len(d)}"/>' for n, d in enumerate(contents))
    disks = "".join(
        f'<Disk ovf:diskId="d{n}" ovf:fileRef="f{n}" ovf:capacity="{len(d)}"/>' for n, d in enumerate(contents)
    )
    text = (
        '<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">'
        f"<References>{files}</References><DiskSection><Info/>{disks}</DiskSection>"
        '<VirtualSystem ovf:id="vm"><Info/></VirtualSystem></Envelope>'
    ).encode()
    path = folder / "machine.ova"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in [("machine.ovf", text), *((f"d{n}.raw", data) for n, data in enumerate(contents))]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_an_appliance_of_several_disks_wants_one_named(tmp_path: Path) -> None:
    ova = appliance(tmp_path, noise(MIB, seed=1), noise(2 * MIB, seed=2))
    with pytest.raises(UsageError, match="holds 2 disks") as caught:
        convert.plan(ova, tmp_path / "out.raw")
    assert "0: d0.raw" in caught.value.cause
    assert "1: d1.raw" in caught.value.cause
    assert "add disk" in caught.value.cure

    convert.apply(convert.plan(ova, tmp_path / "out.raw", index=1))
    assert (tmp_path / "out.raw").read_bytes() == noise(2 * MIB, seed=2)


def test_an_appliance_of_one_disk_needs_no_name(tmp_path: Path) -> None:
    ova = appliance(tmp_path, noise(MIB))
    convert.apply(convert.plan(ova, tmp_path / "out.raw"))
    assert (tmp_path / "out.raw").read_bytes() == noise(MIB)


@pytest.mark.parametrize("suffix", ["vmdk", "vhd", "raw"])
def test_a_compressed_raw_disk_converts_as_it_is_unpacked(raw: Path, tmp_path: Path, suffix: str) -> None:
    packed = tmp_path / "in.raw.gz"
    with gzip.open(packed, "wb", compresslevel=1) as file:
        file.write(raw.read_bytes())
    out, plain = tmp_path / f"out.{suffix}", tmp_path / f"plain.{suffix}"
    convert.apply(convert.plan(packed, out, workers=32))
    convert.apply(convert.plan(raw, plain))
    assert out.read_bytes() == plain.read_bytes()


def test_a_file_that_may_be_no_disk_is_said_to_look_like_something_else(tmp_path: Path) -> None:
    packed = tmp_path / "root.raw"
    packed.write_bytes(b"hsqs" + noise(4096))
    seen: list[events.Event] = []
    convert.plan(packed, tmp_path / "out.vmdk", reporter=seen.append)
    assert any(isinstance(event, events.Note) and "squashfs" in event.text for event in seen)


def peak_and_seconds(source: Path, target: Path) -> tuple[int, float]:
    """Peak memory in KiB and the time of a conversion in a process of its own."""
    program = (
        "import pathlib, re, sys; from vmie.ops import convert\n"
        "done = convert.apply(convert.plan(*map(pathlib.Path, sys.argv[1:]), force=True, workers=2))\n"
        "peak = re.search(r'VmHWM:\\s+([0-9]+)', open('/proc/self/status').read())[1]\n"
        "print(peak, done.seconds)\n"
    )
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(source), str(target)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return int(out[0]), float(out[1])


@pytest.mark.parametrize("mib", [96, pytest.param(1024, marks=pytest.mark.soak)])
def test_memory_and_time_follow_the_data_not_the_size(tmp_path: Path, mib: int) -> None:
    """The same data on 8 GiB and on 800 GiB."""
    measured = []
    piece = noise(MIB) + prose(MIB)
    for gib in (8, 800):
        path = tmp_path / f"{gib}.raw"
        with path.open("wb") as file:
            for number in range(mib // 2):
                file.seek(number * (gib << 30) // (mib // 2))
                file.write(piece)
            file.truncate(gib << 30)
        measured.append(peak_and_seconds(path, tmp_path / "out.vmdk"))
        path.unlink()
    (small, quick), (large, slow) = measured
    assert large <= 250 * 1024
    assert abs(large / small - 1) <= 0.10
    assert slow <= 4 * quick + 2


@pytest.mark.parametrize(("head", "name"), [(b"PK\x03\x04", "zip"), (b"BZh9", "bzip2"), (b"QED\0", "qed")])
def test_a_disk_in_a_form_that_is_not_read_is_refused_not_taken_as_raw(tmp_path: Path, head: bytes, name: str) -> None:
    (tmp_path / "in.ova").write_bytes(head + bytes(4096))
    with pytest.raises(ImageError, match=name) as caught:
        convert.plan(tmp_path / "in.ova", tmp_path / "out.vmdk")
    assert "not ova" in caught.value.cause
    assert caught.value.cure


def test_a_name_that_promises_another_format_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "in.qcow2").write_bytes(noise(MIB))
    seen: list[events.Event] = []
    done = convert.apply(convert.plan(tmp_path / "in.qcow2", tmp_path / "out.raw", reporter=seen.append))
    assert any(isinstance(event, events.Note) and "named qcow2" in event.text for event in seen)
    assert done.path.read_bytes() == noise(MIB)


@pytest.mark.parametrize("target", ["n" * 300 + ".vmdk", "n/" * 3000 + "out.vmdk"])
def test_a_name_too_long_is_a_usage_error(raw: Path, tmp_path: Path, target: str) -> None:
    with pytest.raises(UsageError) as caught:
        convert.plan(raw, tmp_path / target)
    assert caught.value.cause == "File name too long"


def test_a_folder_that_takes_no_files_is_a_usage_error(raw: Path) -> None:
    with pytest.raises(UsageError) as caught:
        convert.apply(convert.plan(raw, Path("/proc/out.vmdk")))
    assert caught.value.exit_code == 2
    assert caught.value.cause


def test_a_disk_that_may_outgrow_the_format_is_pointed_out(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "_VMDK_MOST", MIB)  # 2 TiB of data would not fit a test
    seen: list[events.Event] = []
    convert.plan(raw, tmp_path / "out.vmdk", reporter=seen.append)
    assert any(isinstance(event, events.Note) and "2 TiB" in event.text for event in seen)
