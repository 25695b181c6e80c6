"""The programmatic units of DSP0004 (annex C) as OVF uses them: "byte * 2^30", "GigaBytes", "MB" …, in bytes."""

from __future__ import annotations

import re

_WORDS = {
    "": 1,
    "byte": 1,
    "bytes": 1,
    "b": 1,
    **dict.fromkeys(("kilobyte", "kilobytes", "kb", "kib"), 1 << 10),
    **dict.fromkeys(("megabyte", "megabytes", "mb", "mib"), 1 << 20),
    **dict.fromkeys(("gigabyte", "gigabytes", "gb", "gib"), 1 << 30),
    **dict.fromkeys(("terabyte", "terabytes", "tb", "tib"), 1 << 40),
    **dict.fromkeys(("petabyte", "petabytes", "pb", "pib"), 1 << 50),
}
_FACTOR = re.compile(r"\*\s*([0-9]{1,6})\s*(?:\^\s*([0-9]{1,2}))?\s*")
_LARGEST = 1 << 60


def in_bytes(unit: str) -> int:
    """How many bytes one `unit` is; raises ValueError. Words for a unit are binary, as every exporter means them."""
    word, _, _ = unit.partition("*")
    value = _WORDS.get(word.strip().lower())
    if value is None:
        raise ValueError(f"{unit[:60]!r} is no unit of bytes")
    at = len(word)
    while at < len(unit):
        factor = _FACTOR.match(unit, at)
        if factor is None:
            raise ValueError(f"{unit[:60]!r} is no unit of bytes")
        base, exponent = int(factor[1]), int(factor[2] or 1)
        value *= base**exponent
        at = factor.end()
        if not 0 < value <= _LARGEST:
            raise ValueError(f"{unit[:60]!r} is out of all proportion")
    return value
