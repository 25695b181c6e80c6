"""The XML of an OVF descriptor: read safely, and asked by local names.

Exporters disagree on namespaces (VMware's OVF 0.9, envelope/1, envelope/2, oVirt's elements with none at all, and
prefixes that nobody declared), not on the names of elements and attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from vmie.errors import ImageError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_DESCRIPTOR = 10 << 20
#: More tags or attributes than this in a descriptor serve only to fill memory.
_MAX_TAGS, _MAX_ATTRIBUTES = 60_000, 300_000
_MAX_TEXT = 512
#: expat's XML_ERROR_UNBOUND_PREFIX
_UNBOUND_PREFIX = 27
_PREFIX = re.compile(rb"[<\s/]([A-Za-z_][\w.-]*):[A-Za-z_]")
_MAX_PREFIXES = 100
_ROOT_TAG = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?Envelope(?=[\s>/])")

CURE = "export the appliance again, as OVF 1.0 or 2.0"


def read(data: bytes, *, name: str) -> Element:
    """The envelope of a descriptor; `name` is for messages. Raises ImageError."""
    if len(data) > MAX_DESCRIPTOR or data.count(b"<") > _MAX_TAGS or data.count(b"=") > _MAX_ATTRIBUTES:
        raise ImageError(f"{name} is too large for an OVF descriptor", cause=f"{len(data):,} bytes", cure=CURE)
    try:
        root = _parsed(data)
    except DefusedXmlException as error:
        raise ImageError(
            f"{name} is not a safe OVF descriptor", cause="it declares a document type or entities", cure=CURE
        ) from error
    except (SyntaxError, ValueError, LookupError) as error:  # ParseError is a SyntaxError
        raise ImageError(f"{name} is not well-formed XML", cause=str(error)[:200], cure=CURE) from error
    if local(root.tag) != "Envelope":
        raise ImageError(f"{name} is not an OVF descriptor", cause=f"its root is {local(root.tag)[:80]}", cure=CURE)
    return root


def _parsed(data: bytes) -> Element:
    try:
        return defusedxml.ElementTree.fromstring(data, forbid_dtd=True)  # type: ignore[no-any-return]
    except SyntaxError as error:
        if getattr(error, "code", None) != _UNBOUND_PREFIX:
            raise
    return defusedxml.ElementTree.fromstring(_declared(data), forbid_dtd=True)  # type: ignore[no-any-return]


def _declared(data: bytes) -> bytes:
    """The descriptor with a declaration for each prefix that has none: only local names are asked for."""
    used = {match[1] for match in _PREFIX.finditer(data)} - {b"xml", b"xmlns"}
    missing = sorted(prefix for prefix in used if b"xmlns:" + prefix + b"=" not in data)[:_MAX_PREFIXES]
    extra = b"".join(b' xmlns:%s="urn:undeclared:%s"' % (prefix, prefix) for prefix in missing)
    return _ROOT_TAG.sub(lambda match: match[0] + extra, data, count=1)


def local(tag: object) -> str:
    """A tag or attribute name without its namespace."""
    return str(tag).rpartition("}")[2]


def attribute(element: Element | None, key: str) -> str:
    """An attribute by its local name, "" where absent."""
    if element is None:
        return ""
    return next((clean(value) for name, value in element.attrib.items() if local(name) == key), "")


def clean(text: str | None) -> str:
    """Text without surrounding space and control characters, of bounded length."""
    return "".join(letter for letter in (text or "").strip()[:_MAX_TEXT] if letter.isprintable())


def named(element: Element, *names: str) -> Iterator[Element]:
    """Descendants with one of these local names, in document order."""
    return (child for child in element.iter() if local(child.tag) in names)


def is_section(element: Element, *names: str) -> bool:
    """Whether an element is one of these sections, by its name or by its xsi:type (OVF 0.9, oVirt)."""
    tag = local(element.tag)
    if tag in ("Section", "Content"):
        kind = next((value for key, value in element.attrib.items() if local(key) == "type"), "")
        return kind.rpartition(":")[2].removesuffix("_Type") in names
    return tag in names


def number(text: str) -> int | None:
    """A plain decimal number of at most 18 digits, else None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
