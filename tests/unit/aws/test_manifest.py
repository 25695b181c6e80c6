"""The disk-image manifest: as the schema has it, read back from whoever wrote it, and nothing believed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools import need, run
from vmie.aws import manifest
from vmie.aws.manifest import ImportManifest, ManifestPart
from vmie.errors import ImageError

HERE = Path(__file__).parent
GOLDEN = HERE / "manifest-golden.xml"
MADE = ImportManifest(
    format="VMDK",
    size=12_595_200,
    volume_gib=1,
    parts=(
        ManifestPart(
            0,
            10_485_759,
            "vmie/a & b.part0",
            "https://b.example/0?h=1&s=2",
            "https://b.example/0?g=1&s=2",
            "https://b.example/0?d=1&s=2",
        ),
        ManifestPart(
            10_485_760,
            12_595_199,
            "vmie/a & b.part1",
            "https://b.example/1?h=1&s=2",
            "https://b.example/1?g=1&s=2",
        ),
    ),
    self_destruct_url="https://b.example/m?a=1&X-Amz-Signature=0",
    importer=("vmie", "1.2.3", "2010-11-15"),
)

#: AWS's second example: one part, its end is the size, the parts' URLs SigV4
OFF_BY_ONE = b"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<manifest>
    <version>2010-11-15</version>
    <file-format>VMDK</file-format>
    <importer><name>ec2-upload-disk-image</name><version>1.0.0</version><release>2010-11-15</release></importer>
    <self-destruct-url>https://b.example/d</self-destruct-url>
    <import>
        <size>994433536</size>
        <volume-size>7</volume-size>
        <parts count="1">
            <part index="0">
                <byte-range end="994433536" start="0" />
                <key>my-windows-server.vmdk</key>
                <head-url>https://b.example/h</head-url>
                <get-url>https://b.example/g</get-url>
                <delete-url>https://b.example/d</delete-url>
            </part>
        </parts>
    </import>
</manifest>
"""


def test_what_is_written_is_the_golden_file() -> None:
    assert manifest.write(MADE) == GOLDEN.read_bytes()


def test_what_is_written_is_valid_by_the_schema(tmp_path: Path) -> None:
    need("xmllint")
    whole = manifest.ranges(37 << 20)
    parts = tuple(ManifestPart(*span, f"k{n}", "https://e/h?a&b", "https://e/g", "") for n, span in enumerate(whole))
    for number, made in enumerate((MADE, replace(MADE, size=37 << 20, parts=parts))):
        file = tmp_path / f"{number}.xml"
        file.write_bytes(manifest.write(made))
        run(["xmllint", "--noout", "--nonet", "--schema", HERE / "manifest.xsd", file])


def test_the_schema_itself_refuses_another_order(tmp_path: Path) -> None:
    need("xmllint")
    text = GOLDEN.read_text().replace("<version>2010-11-15</version>\n", "", 1)
    (tmp_path / "bad.xml").write_text(text)
    with pytest.raises(AssertionError, match="file-format"):
        run(["xmllint", "--noout", "--schema", HERE / "manifest.xsd", tmp_path / "bad.xml"])


def test_it_is_read_back() -> None:
    assert manifest.parse(GOLDEN.read_bytes()) == MADE


def test_a_key_that_xml_cannot_hold_is_refused() -> None:
    with pytest.raises(ImageError, match="cannot be named"):
        manifest.write(replace(MADE, parts=(replace(MADE.parts[0], key="a\x01b"),)))


def test_no_url_is_shown() -> None:
    assert "b.example" not in repr(MADE)


def test_a_last_end_that_is_the_size_is_taken() -> None:
    read = manifest.parse(OFF_BY_ONE)
    assert (read.size, read.volume_gib, read.parts[0].end) == (994_433_536, 7, 994_433_535)
    assert read.importer[0] == "ec2-upload-disk-image"


def test_parts_in_any_order_without_a_count_and_with_a_namespace() -> None:
    text = GOLDEN.read_text().replace(' count="2"', "").replace("<manifest>", '<manifest xmlns="urn:x">')
    first, second = text.index('<part index="0">'), text.index('<part index="1">')
    end = text.index("</parts>")
    swapped = text[:first] + text[second:end] + text[first:second] + text[end:]
    assert manifest.parse(swapped.encode()) == MADE


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('end="10485759"', 'end="10485758"', "part 1 begins at byte 10485760, the one before it ends at 10485758"),
        ('start="10485760"', 'start="10485761"', "part 1 begins"),
        ('end="12595199"', 'end="12595198"', "12595199 bytes and the image has 12595200"),
        ('end="12595199"', 'end="12595201"', "the image has 12595200"),
        ('end="12595199"', 'end="5"', "ends at byte 5, before it begins"),
        ('index="1"', 'index="0"', "not numbered"),
        ('index="1"', 'index="7"', "not numbered"),
        ('count="2"', 'count="3"', "counts 3 parts and has 2"),
        ("<size>12595200</size>", "<size>-1</size>", "size '-1' is no number"),
        ("<size>12595200</size>", "<size>99999999999999999999</size>", "is no number"),
        ("<size>12595200</size>", "", "has no <size>"),
        ("VMDK", "VHDX", "file format is 'VHDX'"),
        ("<manifest>", "<!DOCTYPE manifest [<!ENTITY a 'b'>]><manifest>", "no XML"),
        ("</import>", "", "no XML"),
        ("manifest>", "list>", "root element is <list>"),
        ("<get-url>https://b.example/1?g=1&amp;s=2</get-url>", "", "<part> has no <get-url>"),
        ("part ", "peace ", "no XML"),
    ],
)
def test_what_would_lose_bytes_is_refused(old: str, new: str, why: str) -> None:
    text = GOLDEN.read_text()
    assert old in text
    with pytest.raises(ImageError) as caught:
        manifest.parse(text.replace(old, new).encode())
    assert why in caught.value.cause
    assert caught.value.code == "InvalidManifest"


def test_one_that_is_too_large_is_not_read() -> None:
    with pytest.raises(ImageError, match="manifest"):
        manifest.parse(bytes(manifest.MOST_BYTES + 1))


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        manifest.parse(data)


@given(st.integers(0, 2_000), st.integers(1, 2_000))
def test_garbage_in_a_good_one_never_breaks_the_reader(at: int, length: int) -> None:
    data = bytearray(GOLDEN.read_bytes())
    data[at : at + length] = b"\xff" * min(length, 7)
    try:
        manifest.parse(bytes(data))
    except ImageError:
        return


@given(st.integers(1, 1 << 44))
def test_ranges_cover_every_byte_once(size: int) -> None:
    part = max(manifest.PART_BYTES, size // 50)
    spans = list(manifest.ranges(size, part))
    assert spans[0][0] == 0
    assert spans[-1][1] == size - 1
    assert all(after[0] == before[1] + 1 for before, after in pairwise(spans))
    assert all(end - start + 1 == part for start, end in spans[:-1])
