"""How a file is sent, and what tells that it is still the same."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools import need, run
from vmie import disk
from vmie.disk.base import FileSource
from vmie.errors import ImageError, UsageError
from vmie.model import Extent, ExtentKind, Route
from vmie.ops import ingest, payloads
from vmie.ops.file_identity import FileIdentity
from vmie.ops.import_ import ImportRequest
from vmie.ops.ingest import Choice, Look, choose

MIB = 1 << 20


@pytest.mark.parametrize(
    ("what", "method", "aws_format"),
    [
        (Look("raw", "raw"), "vmdk", "VMDK"),
        (Look("qcow2", "qcow2"), "vmdk", "VMDK"),
        (Look("vhdx", "dynamic"), "vmdk", "VMDK"),
        (Look("vmdk", "monolithicSparse"), "vmdk", "VMDK"),
        (Look("vmdk", "streamOptimized"), "as-is", "VMDK"),
        (Look("vmdk", "streamOptimized", "ova", 2), "as-is", "OVA"),
        (Look("vmdk", "streamOptimized", "ova", 2, "its disk 2 is qcow2"), "vmdk", "VMDK"),
        (Look("vmdk", "streamOptimized", "ovf", 1, "an .ovf is no single object"), "vmdk", "VMDK"),
        (Look("raw", "gzip", packed="gzip"), "vmdk", "VMDK"),
    ],
)
def test_the_choice_follows_from_what_the_file_is(what: Look, method: str, aws_format: str) -> None:
    choice = choose(what)
    assert (choice.method, choice.aws_format) == (method, aws_format)
    assert all(choice.reasons)


def test_options_override_the_choice() -> None:
    assert choose(Look("raw", "raw"), as_is=True).method == "as-is"
    assert choose(Look("vmdk", "streamOptimized"), wanted="vhd").method == "vhd"
    assert choose(Look("vmdk", "streamOptimized", "ova", 1), route=Route.SNAPSHOT).method == "vmdk"


@pytest.mark.parametrize(
    "what",
    [
        Look("qcow2", "qcow2"),
        Look("raw", "gzip", packed="gzip"),
        Look("vmdk", "monolithicFlat", files=("a-flat.vmdk",)),
        Look("vmdk", "streamOptimized", "ovf", 1),
    ],
)
def test_as_is_of_what_aws_cannot_take_is_refused(what: Look) -> None:
    with pytest.raises(UsageError) as caught:
        choose(what, as_is=True)
    assert "leave as_is out" in caught.value.cure


def test_an_identity_sees_every_kind_of_change(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(3 * MIB))
    before = FileIdentity.of(path)
    assert FileIdentity.of(path) == before
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(2 * MIB + 10)
        file.write(b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # even with its time put back
    assert FileIdentity.of(path) != before
    path.rename(tmp_path / "other")
    path.write_bytes(bytes(3 * MIB))
    assert FileIdentity.of(path) != before
    assert before.touched(path)
    with pytest.raises(ImageError, match="cannot read"):
        FileIdentity.of(tmp_path / "none")


def test_an_identity_covers_the_extents_beside_a_descriptor(tmp_path: Path) -> None:
    need("qemu-img")
    path = tmp_path / "disk.vmdk"
    run(["qemu-img", "create", "-f", "vmdk", "-o", "subformat=monolithicFlat", path, "4M"])
    before = FileIdentity.of(path)
    with (tmp_path / "disk-flat.vmdk").open("r+b") as file:
        file.write(b"changed")
    assert FileIdentity.of(path) != before


@pytest.mark.parametrize("part_size", [5 * MIB, 7 * MIB + 1, 64 * MIB])
def test_both_payloads_cut_into_even_parts(tmp_path: Path, part_size: int) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(os.urandom(20 * MIB + 512))
    whole = payloads.FilePayload(path, path.stat().st_size)
    stream = payloads.StreamPayload(disk.open(path), "vmdk")
    for payload in (whole, stream):
        parts = list(payload.parts(part_size))
        assert [part.number for part in parts] == list(range(1, len(parts) + 1))
        assert all(part.size == part_size for part in parts[:-1])
        assert all(len(part.load()) == part.size for part in parts)
        assert all(part.load() == part.load() for part in parts)  # as often as it is tried
        assert 0 < parts[-1].size <= part_size
        assert payload.read > 0
        payload.close()
    assert (
        b"".join(part.load() for part in payloads.FilePayload(path, 20 * MIB).parts(MIB))
        == path.read_bytes()[: 20 * MIB]
    )


def test_a_file_that_becomes_shorter_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(MIB))
    (part,) = payloads.FilePayload(path, 2 * MIB).parts(5 * MIB)
    with pytest.raises(ImageError, match="shorter"):
        part.digest("sha256")


def test_packed_files_are_looked_through(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw.gz"
    path.write_bytes(gzip.compress(bytes(MIB)))
    assert ingest.look(path, ImportRequest(path)).packed == "gzip"


@pytest.mark.parametrize(
    "sending",
    [
        {"sse": "AES"},
        {"sse": "AES256", "sse_kms_key": "alias/x"},
        {"storage_class": "GLACIER"},
        {"storage_class": "COLD"},
        {"max_rate": 0},
    ],
)
def test_impossible_ways_of_sending_are_refused(sending: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ImportRequest(("/a",), **sending)


class Huge(disk.Disk):
    """A disk that is full of data which nobody reads."""

    format, variant = "qcow2", "v3"

    def __init__(self, size: int) -> None:
        super().__init__(FileSource(Path(__file__)))
        self.size = self.allocated_size = size

    def read(self, offset: int, length: int) -> bytes:
        raise AssertionError("no data is read")

    def extents(self) -> Iterator[Extent]:
        yield Extent(0, self.size, ExtentKind.ALLOCATED)


TIB = 1 << 40
BY_ITSELF = Choice("vmdk", "VMDK", ("AWS takes no qcow2: re-streamed",))


@pytest.mark.parametrize(("size", "method"), [(2 * TIB - (20 << 30), "vmdk"), (2 * TIB, "raw"), (16 * TIB, "raw")])
def test_a_disk_that_might_outgrow_vmdk_goes_as_raw(size: int, method: str) -> None:
    with Huge(size) as huge:
        choice, bound = ingest.settle(huge, BY_ITSELF)
        assert choice.method == method
        assert BY_ITSELF.reasons[0] in choice.reasons
        if method == "raw":
            assert (choice.aws_format, bound) == ("RAW", size)
            assert "2 TiB" in choice.reasons[0]


def test_who_asks_for_vmdk_gets_it() -> None:
    with Huge(3 * TIB) as huge:
        assert ingest.settle(huge, BY_ITSELF, asked=True)[0] is BY_ITSELF


def test_what_no_form_takes_is_refused_before_anything_is_sent() -> None:
    with Huge(60 * TIB) as huge, pytest.raises(UsageError, match="more than S3 takes"):
        ingest.settle(huge, BY_ITSELF)
    with Huge(3 * TIB) as huge, pytest.raises(ImageError, match="VHD"):
        ingest.settle(huge, Choice("vhd", "VHD", ("--format vhd was given",)), asked=True)
