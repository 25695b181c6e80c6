"""Tables in a page of the documentation, each between marks of its own."""

from __future__ import annotations

from pathlib import Path


def write(page: Path, mark: str, text: str) -> None:
    """Put `text` between ``<!-- mark: … -->`` and ``<!-- /mark -->``, in place of what is there."""
    before, begin, rest = page.read_text().partition(f"<!-- {mark}: ")
    head, close, rest = rest.partition(" -->")
    _, end, after = rest.partition(f"<!-- /{mark} -->")
    if not (begin and close and end):
        raise ValueError(f"{page} has no marks of {mark}")
    page.write_text(f"{before}{begin}{head}{close}\n\n{text}\n\n{end}{after}")
