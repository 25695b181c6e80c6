"""What is not changed here."""

from __future__ import annotations


class Stacked(Exception):  # noqa: N818 - a network as its owner wants it
    """The configuration is of more than plain cards; `str` says how."""
