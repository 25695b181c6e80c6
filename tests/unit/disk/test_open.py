"""The one door: content decides, the name breaks ties, raw comes last."""

from __future__ import annotations

import importlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.disk.handmade import dynamic_vhd, fixed_vhd, sparse_vmdk, stream_vmdk
from vmie import disk
from vmie.disk.base import ObjectSource
from vmie.disk.candidates import possible
from vmie.disk.registry import formats
from vmie.errors import ImageError

CONTENT = bytes(range(256)) * 256


def _open(data: bytes, name: str, folder: Path) -> disk.Disk:
    path = folder / name
    path.write_bytes(data)
    return disk.open(path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (sparse_vmdk({0: CONTENT}, capacity=256), ("vmdk", "monolithicSparse")),
        (stream_vmdk({0: CONTENT}, capacity=256), ("vmdk", "streamOptimized")),
        (fixed_vhd(CONTENT), ("vhd", "fixed")),
        (dynamic_vhd({0: CONTENT}, size=1 << 20), ("vhd", "dynamic")),
        (CONTENT, ("raw", "raw")),
    ],
)
@pytest.mark.parametrize("name", ["disk", "disk.img", "disk.raw", "disk.qcow2", "disk.vhdx"])
def test_the_content_decides_whatever_the_name(
    data: bytes, expected: tuple[str, str], name: str, tmp_path: Path
) -> None:
    with _open(data, name, tmp_path) as opened:
        assert (opened.format, opened.variant) == expected


def test_a_raw_disk_that_ends_in_a_vhd_is_raw(tmp_path: Path) -> None:
    """A disk with a fixed VHD stored at its very end: the footer's size is not the file's."""
    with _open(bytes(1 << 20) + fixed_vhd(CONTENT), "disk.img", tmp_path) as opened:
        assert (opened.format, opened.size) == ("raw", (1 << 20) + len(CONTENT) + 512)


def test_a_raw_disk_that_ends_in_a_false_footer_is_raw(tmp_path: Path) -> None:
    damaged = bytearray(fixed_vhd(CONTENT))
    damaged[-200] ^= 1
    with _open(bytes(damaged), "disk.img", tmp_path) as opened:
        assert opened.format == "raw"


def test_a_vhd_by_name_with_a_false_footer_is_an_error_not_a_raw_disk(tmp_path: Path) -> None:
    damaged = bytearray(fixed_vhd(CONTENT))
    damaged[-200] ^= 1
    with pytest.raises(ImageError, match="damaged VHD") as caught:
        _open(bytes(damaged), "disk.vhd", tmp_path)
    assert "checksum" in caught.value.cause


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="empty") as caught:
        _open(b"", "disk.raw", tmp_path)
    assert caught.value.cure


@pytest.mark.parametrize("target", ["missing.img", "folder", "a\0b"])
def test_what_is_not_a_file_is_an_image_error(target: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ImageError):
        disk.open(f"{tmp_path}/{target}")


def test_a_pipe_is_an_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="arbitrary positions"):
        disk.open(tmp_path / "pipe")


def test_index_names_a_disk_of_an_appliance_only(tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(CONTENT)
    assert disk.open(tmp_path / "disk.img", index=0).size == len(CONTENT)
    with pytest.raises(ImageError, match="no disk 1"):
        disk.open(tmp_path / "disk.img", index=1)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0


def test_closing_leaves_a_file_object_open_and_closes_a_path(tmp_path: Path) -> None:
    held = io.BytesIO(CONTENT)
    disk.open(held).close()
    assert not held.closed
    (tmp_path / "disk.img").write_bytes(CONTENT)
    before = _open_files()
    for _ in range(10):
        disk.open(tmp_path / "disk.img").close()
        with pytest.raises(ImageError):
            disk.open(tmp_path / "disk.img", index=3)
    assert _open_files() == before, "a refused or closed disk must not keep its file open"


_BEGINNINGS = st.one_of(
    st.sampled_from(
        [
            *(b"vhdxfile", b"QFI\xfb\0\0\0\3", b"KDMV", b"COWD", b"\xbe\xba\xfe\xca\0\0\0\0", b"VMA\0\0\0\0\1"),
            *(b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x5a\x2a\x4d\x18\0\0\0\0\x28\xb5\x2f\xfd"),
            *(bytes(64) + b"\x7f\x10\xda\xbe", b"PK\3\4", b"conectix", b"<Envelope>", b"# Disk DescriptorFile\n"),
            "<?xml version='1.0' encoding='UTF-16'?><Envelope>".encode("utf-16"),
            *(b"version=1\ncreateType=x\n", b"#\nVersion = 1\ncreateType=x\n", b"\r\n \xef\xbb\xbf\t<ovf:Envelope"),
            *(tarfile.TarInfo(name).tobuf(kind) for name in ("a", "./a" * 40) for kind in (0, 1, 2)),
        ]
    ),
    st.binary(max_size=16),
)


@given(st.lists(_BEGINNINGS, min_size=1, max_size=3), st.sampled_from([b"", b" ", b"\0", b"\xef\xbb\xbf", b"\n" * 9]))
def test_no_format_is_ruled_out_that_would_answer(pieces: list[bytes], before: bytes) -> None:
    source = ObjectSource(io.BytesIO((before + b"".join(pieces)).ljust(1024, b"\0")))
    for name in formats():
        if importlib.import_module(f"vmie.disk.{name}").probe(source):
            assert name in possible(source)


def test_a_raw_disk_loads_no_other_format(tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(CONTENT)
    code = f"import sys, vmie.disk; vmie.disk.open({str(tmp_path / 'disk.img')!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {one for one in formats() if f"vmie.disk.{one}" in done.stdout.split()} == {"raw", "vhd"}


def test_importing_the_door_loads_no_format() -> None:
    code = (
        "import sys, vmie.disk; "
        "print(sorted(m for m in sys.modules if m.startswith(('vmie.disk.v', 'vmie.disk.q', 'isal', 'boto'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("magic", [b"QFI\xfb", b"vhdxfile", b"KDMV", b"\x1f\x8b\x08", b"# Disk DescriptorFile\n"])
def test_where_two_formats_claim_a_file_the_name_decides(magic: bytes, tmp_path: Path) -> None:
    """A fixed VHD is told by its last sector: a disk's first bytes may be anything, even another image's."""
    data = fixed_vhd(magic + CONTENT[len(magic) :])
    with _open(data, "disk.vhd", tmp_path) as opened:
        assert (opened.format, opened.variant) == ("vhd", "fixed")
        assert opened.read(0, len(magic)) == magic
    with pytest.raises(ImageError):
        _open(data, "disk.img", tmp_path)


def test_a_file_opened_as_text_is_refused_with_the_mode_to_use(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(4096))
    with path.open("r") as file, pytest.raises(ImageError, match="text") as caught:
        disk.open(file)  # type: ignore[arg-type]
    assert "rb" in caught.value.cure
