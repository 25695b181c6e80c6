"""Text of images, files and services made harmless: for terminals, and for readers of JSON.

Control characters and what reorders a line (Unicode's bidirectional controls, UAX #9) are written as visible escapes;
so are lone surrogates, which Python uses for bytes that are no UTF-8, and which UTF-8 cannot hold.
"""

from __future__ import annotations

import json
import re
from typing import Any

_SURROGATES = r"\ud800-\udfff"
#: DEL and C1 (0x9b begins an escape sequence as ESC [ does), the line separators, the bidirectional controls
_BEYOND_C0 = r"\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_UNSAFE = re.compile(rf"[\x00-\x08\x0b-\x1f{_BEYOND_C0}{_SURROGATES}]")
#: json.dumps has escaped C0 itself
_UNSAFE_IN_JSON = re.compile(rf"[{_BEYOND_C0}{_SURROGATES}]")
_LONE = re.compile(f"[{_SURROGATES}]")


def visible(text: str) -> str:
    """`text` with each such character as ``\\x1b`` or ``\\u202e``; tabs and line ends stay."""
    return _UNSAFE.sub(lambda found: _escape(found[0]), text)


def json_text(data: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """`data` as JSON that is valid UTF-8 and does nothing to a terminal; what is no JSON value is written as `str`.

    Characters are escaped as JSON has it, so that a reader gets them back; of a lone surrogate it gets the six
    characters ``\\udc80``, since many readers take no other.
    """
    text = json.dumps(data, ensure_ascii=False, indent=indent, default=str)
    text = _UNSAFE_IN_JSON.sub(lambda found: _json_escape(found[0]), text)
    return json.dumps(json.loads(text), indent=indent) if ascii_only else text


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _json_escape(char: str) -> str:
    return f"{chr(92) if _LONE.match(char) else ''}\\u{ord(char):04x}"
