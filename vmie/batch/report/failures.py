"""Failures of one cause together: five hundred items that lack the same role are one thing to fix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

#: shorter names occur in ordinary words
_SHORTEST = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """Items that failed alike: `keys` in the plan's order, `error` in the words of the first of them."""

    keys: tuple[str, ...]
    error: Mapping[str, str]

    def named(self, most: int) -> str:
        """``web-1, web-2 and 40 more``: at most `most` of the keys."""
        left = len(self.keys) - most
        if left <= 0:
            return ", ".join(self.keys)
        return f"{', '.join(self.keys[:most])} and {left} more"


def grouped(items: Iterable[Mapping[str, Any]]) -> list[Failure]:
    """Failures that differ only in the item's own names; what affects most items first. `items` as in ``items[]``."""
    alike: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for item in items:
        alike.setdefault(_kind(item), []).append(item)
    found = [
        Failure(tuple(str(one["key"]) for one in group), _texts(group[0].get("error") or {}))
        for group in alike.values()
    ]
    return sorted(found, key=lambda one: -len(one.keys))


def _texts(error: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(error.get(name) or "") for name in ("code", "message", "cause", "cure", "request_id")}


def _kind(item: Mapping[str, Any]) -> tuple[str, ...]:
    """The error with the item's own names taken out."""
    error = _texts(item.get("error") or {})
    source = str(item.get("source") or "")
    own = {str(item.get("task_id") or ""), str(item["key"]), source, PurePath(source).name}
    names = sorted((name for name in own if len(name) >= _SHORTEST), key=len, reverse=True)
    texts = (error[name] for name in ("code", "message", "cause", "cure"))
    if not names:
        return tuple(texts)
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in names))
    return tuple(pattern.sub("…", text) for text in texts)
