"""The disk-image manifest of ImportInstance and ImportVolume: which parts, where, and the URLs to fetch and drop them.

Pure: values to XML and back. Schema (a sequence, no namespace, ends inclusive):
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/manifest.html; aws-facts 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape, quoteattr

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from vmie._version import __version__
from vmie.errors import ImageError

#: what AWS's own tools cut an image into; EC2 asks for it (aws-facts 2.4)
PART_BYTES = 10 << 20
#: what every known producer writes
VERSION = "2010-11-15"
FORMATS = ("VMDK", "VHD", "RAW")
#: of a manifest to read; a part takes some 1.5 KiB, so this is an image of 400 GiB
MOST_BYTES = 64 << 20
_MOST_PARTS = 1 << 20
#: what XML 1.0 cannot hold, and the white space that reading it would change
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class ManifestPart:
    """Bytes `start` to `end`, both included, of the image; the URLs are presigned, so secret.

    `delete_url` is "" where the part is to stay.
    """

    start: int
    end: int
    key: str
    head_url: str = field(repr=False)
    get_url: str = field(repr=False)
    delete_url: str = field(default="", repr=False)

    @property
    def length(self) -> int:
        """Bytes of the part."""
        return self.end - self.start + 1


@dataclass(frozen=True, slots=True)
class ImportManifest:
    """One image file in parts. `size` is the file's bytes, `volume_gib` that of the volume to be made of it."""

    format: str
    size: int
    volume_gib: int
    parts: tuple[ManifestPart, ...]
    self_destruct_url: str = field(default="", repr=False)
    importer: tuple[str, str, str] = ("vmie", __version__, VERSION)


def ranges(size: int, part: int = PART_BYTES) -> Iterator[tuple[int, int]]:
    """The byte ranges of `size` bytes in parts, both ends included."""
    for start in range(0, size, part):
        yield start, min(size, start + part) - 1


def write(manifest: ImportManifest) -> bytes:
    """The manifest as XML, in the schema's order, one element a line.

    Raises ImageError for a key with a character that XML cannot hold.
    """
    if odd := next((part.key for part in manifest.parts if _CONTROL.search(part.key)), None):
        raise ImageError(
            f"the object {odd!r} cannot be named in a manifest",
            cause="its key has a character that XML does not take",
            cure="copy it to another key (`aws s3 cp`) and import that",
        )
    name, version, release = map(escape, manifest.importer)
    lines = [
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>',
        "<manifest>",
        f"  <version>{VERSION}</version>",
        f"  <file-format>{escape(manifest.format)}</file-format>",
        "  <importer>",
        f"    <name>{name}</name>",
        f"    <version>{version}</version>",
        f"    <release>{release}</release>",
        "  </importer>",
        f"  <self-destruct-url>{escape(manifest.self_destruct_url)}</self-destruct-url>",
        "  <import>",
        f"    <size>{manifest.size}</size>",
        f"    <volume-size>{manifest.volume_gib}</volume-size>",
        f'    <parts count="{len(manifest.parts)}">',
    ]
    for index, part in enumerate(manifest.parts):
        lines += _part_lines(index, part)
    lines += ["    </parts>", "  </import>", "</manifest>", ""]
    return "\n".join(lines).encode("utf-8")


def _part_lines(index: int, part: ManifestPart) -> list[str]:
    lines = [
        f'      <part index="{index}">',
        f"        <byte-range start={quoteattr(str(part.start))} end={quoteattr(str(part.end))}/>",
        f"        <key>{escape(part.key)}</key>",
        f"        <head-url>{escape(part.head_url)}</head-url>",
        f"        <get-url>{escape(part.get_url)}</get-url>",
    ]
    if part.delete_url:
        lines.append(f"        <delete-url>{escape(part.delete_url)}</delete-url>")
    return [*lines, "      </part>"]


def parse(data: bytes) -> ImportManifest:
    """Read a manifest of any producer; raises ImageError that says what is wrong with it.

    Tolerant where producers differ: parts in any order, no count, no delete URLs, a last end that is the size
    instead of the last byte (AWS's second example; aws-facts 2.2). Strict where bytes would be lost: the parts must
    join to exactly `size` bytes.
    """
    if len(data) > MOST_BYTES:
        raise _bad(f"it has {len(data)} bytes, more than {MOST_BYTES}")
    try:
        root = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise _bad(f"it is no XML: {error}") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    if root.tag != "manifest":
        raise _bad(f"its root element is <{root.tag}>")
    image = _child(root, "import")
    size, listed = _number(_text(image, "size"), "size"), _child(image, "parts")
    elements = listed.findall("part")
    if not 1 <= len(elements) <= _MOST_PARTS:
        raise _bad(f"it has {len(elements)} parts")
    if _number(listed.get("count", str(len(elements))), "count") != len(elements):
        raise _bad(f"it counts {listed.get('count')} parts and has {len(elements)}")
    numbered = sorted((_number(one.get("index", str(at)), "index"), at) for at, one in enumerate(elements))
    if [index for index, _ in numbered] != list(range(len(elements))):
        raise _bad("its parts are not numbered from 0 on without gaps")
    kind = _text(root, "file-format").upper()
    if kind not in FORMATS:
        raise _bad(f"its file format is {kind[:40]!r}, not one of {', '.join(FORMATS)}")
    importer = _child(root, "importer")
    return ImportManifest(
        format=kind,
        size=size,
        volume_gib=_number(_text(image, "volume-size"), "volume-size"),
        parts=_joined([_part(elements[at]) for _, at in numbered], size),
        self_destruct_url=_text(root, "self-destruct-url"),
        importer=(_text(importer, "name"), _text(importer, "version"), _text(importer, "release")),
    )


def _joined(parts: Sequence[ManifestPart], size: int) -> tuple[ManifestPart, ...]:
    """The parts as they must lie; the last end corrected."""
    at = 0
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part.start != at:
            raise _bad(f"part {index} begins at byte {part.start}, the one before it ends at {at - 1}")
        if part.end < part.start and not (last and part.end == size):
            raise _bad(f"part {index} ends at byte {part.end}, before it begins")
        at = part.end + 1
    final = parts[-1]
    if final.end not in (size - 1, size) or final.start >= size:
        raise _bad(f"its parts hold {at} bytes and the image has {size}")
    return (*parts[:-1], replace(final, end=size - 1))


def _part(element: Element) -> ManifestPart:
    span = _child(element, "byte-range")
    delete = element.find("delete-url")
    return ManifestPart(
        start=_number(span.get("start", ""), "start"),
        end=_number(span.get("end", ""), "end"),
        key=_text(element, "key"),
        head_url=_text(element, "head-url"),
        get_url=_text(element, "get-url"),
        delete_url=(delete.text or "").strip() if delete is not None else "",
    )


def _child(element: Element, name: str) -> Element:
    found = element.find(name)
    if found is None:
        raise _bad(f"<{element.tag}> has no <{name}>")
    return found


def _text(element: Element, name: str) -> str:
    return (_child(element, name).text or "").strip()


def _number(text: str, name: str) -> int:
    stripped = text.strip()
    if not (stripped.isascii() and stripped.isdigit() and len(stripped) <= 19):
        raise _bad(f"{name} {stripped[:40]!r} is no number")
    return int(stripped)


def _bad(why: str) -> ImageError:
    return ImageError(
        "the disk-image manifest is not valid",
        cause=why,
        cure="let vmie write it, or see the schema in EC2's API reference (manifest)",
        code="InvalidManifest",
    )
