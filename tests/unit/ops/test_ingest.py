"""How a file is sent, and what tells that it is still the same."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.tools import need, run
from vmie.errors import ImageError, UsageError
from vmie.model import Route
from vmie.ops import ingest
from vmie.ops.ingest import Identity, Look, choose
from vmie.ops.sending import Sending

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
    assert "--as-is" in caught.value.cure


def test_an_identity_sees_every_kind_of_change(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(3 * MIB))
    before = Identity.of(path)
    assert Identity.of(path) == before
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(2 * MIB + 10)
        file.write(b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # even with its time put back
    assert Identity.of(path) != before
    path.rename(tmp_path / "other")
    path.write_bytes(bytes(3 * MIB))
    assert Identity.of(path) != before
    assert before.touched(path)
    with pytest.raises(ImageError, match="cannot read"):
        Identity.of(tmp_path / "none")


def test_an_identity_covers_the_extents_beside_a_descriptor(tmp_path: Path) -> None:
    need("qemu-img")
    path = tmp_path / "disk.vmdk"
    run(["qemu-img", "create", "-f", "vmdk", "-o", "subformat=monolithicFlat", path, "4M"])
    before = Identity.of(path)
    with (tmp_path / "disk-flat.vmdk").open("r+b") as file:
        file.write(b"changed")
    assert Identity.of(path) != before


@pytest.mark.parametrize("part_size", [5 * MIB, 7 * MIB + 1, 64 * MIB])
def test_both_payloads_cut_into_even_parts(tmp_path: Path, part_size: int) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(os.urandom(20 * MIB + 512))
    whole = ingest.FilePayload(path, path.stat().st_size)
    from vmie import disk

    stream = ingest.StreamPayload(disk.open(path), "vmdk")
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
        b"".join(part.load() for part in ingest.FilePayload(path, 20 * MIB).parts(MIB)) == path.read_bytes()[: 20 * MIB]
    )


def test_a_file_that_becomes_shorter_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(MIB))
    (part,) = ingest.FilePayload(path, 2 * MIB).parts(5 * MIB)
    with pytest.raises(ImageError, match="shorter"):
        part.digest("sha256")


def test_packed_files_are_looked_through(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw.gz"
    path.write_bytes(gzip.compress(bytes(MIB)))
    assert ingest.look(path).packed == "gzip"


@pytest.mark.parametrize(
    "sending",
    [
        Sending(sse="AES"),
        Sending(sse="AES256", kms_key="alias/x"),
        Sending(storage_class="GLACIER"),
        Sending(storage_class="COLD"),
        Sending(max_rate=0),
    ],
)
def test_impossible_ways_of_sending_are_refused(sending: Sending) -> None:
    with pytest.raises(UsageError):
        sending.validate()
