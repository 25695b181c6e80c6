"""Patches of third-party modules, recorded so that each is undone, last first."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

_ABSENT = object()


class Patcher:
    """Use as a context manager, or call `undo`. Undoing twice is harmless."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any, bool]] = []

    def attribute(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute of a module, class or object."""
        self._undo.append((owner, name, vars(owner).get(name, _ABSENT), False))
        setattr(owner, name, value)

    def item(self, mapping: MutableMapping[str, Any], name: str, value: Any | None) -> None:
        """Set a mapping's item; None removes it."""
        self._undo.append((mapping, name, mapping.get(name, _ABSENT), True))
        if value is None:
            mapping.pop(name, None)
        else:
            mapping[name] = value

    def undo(self) -> None:
        """Put everything back."""
        while self._undo:
            owner, name, before, is_item = self._undo.pop()
            if is_item:
                if before is _ABSENT:
                    owner.pop(name, None)
                else:
                    owner[name] = before
            elif before is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
