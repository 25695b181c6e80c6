"""Patches of third-party modules, recorded so that each is undone, last first."""

from __future__ import annotations

from collections.abc import MutableMapping
from contextlib import ExitStack
from typing import Any, Self

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()

    def undo(self) -> None:
        """Put everything back; raises the first error after all that can be put back has been."""
        with ExitStack() as in_order:
            # a stack ends what was entered last first: so it is filled in the order of the changes
            undo, self._undo = self._undo, []
            for owner, name, before, is_item in undo:
                in_order.callback(_put_back, owner, name, before, is_item=is_item)


def _put_back(owner: Any, name: str, before: Any, *, is_item: bool) -> None:
    if is_item:
        if before is _ABSENT:
            owner.pop(name, None)
        else:
            owner[name] = before
    elif before is _ABSENT:
        delattr(owner, name)
    else:
        setattr(owner, name, before)
