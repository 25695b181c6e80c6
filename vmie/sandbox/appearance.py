"""Eventual consistency: what was made a moment ago is not there yet for the next request.

The request that makes a thing sees it, and so does the sandbox's own work; all other requests do after a delay.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

#: a request is being answered: what was made by others and lately is hidden from it
_request: ContextVar[object | None] = ContextVar("the request that is being answered", default=None)

#: such a request would make a second one of what is there already
_SEE_ALL = frozenset({"CreateRole", "CreateBucket"})


@contextmanager
def asked(action: str) -> Iterator[None]:
    """A request for `action` is being answered in this thread."""
    token = _request.set(None if action in _SEE_ALL else object())
    try:
        yield
    finally:
        _request.reset(token)


class Appearing(dict[_Key, _Value]):
    """A mapping whose new keys are hidden for `delay` seconds of `now`. `dict`'s own methods, unbound, see them all."""

    def __init__(self, held: dict[_Key, _Value], *, now: Callable[[], float], delay: Callable[[], float]) -> None:
        super().__init__(held)
        self._now = now
        self._delay = delay
        self._born: dict[_Key, tuple[float, object | None]] = {}

    def hides(self, key: object) -> bool:
        """Is the key there, but not yet to be seen by the request that is being answered?"""
        request = _request.get()
        born = self._born.get(key) if self._born and request is not None else None  # type: ignore[arg-type]
        if born is None or born[1] is request:
            return False
        if self._now() - born[0] < self._delay():
            return True
        self._born.pop(key, None)  # type: ignore[arg-type]
        return False

    def __setitem__(self, key: _Key, value: _Value) -> None:
        if self._delay() > 0 and not dict.__contains__(self, key):
            self._born[key] = (self._now(), _request.get())
        super().__setitem__(key, value)

    def __getitem__(self, key: _Key) -> _Value:
        if self.hides(key):
            raise KeyError(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) and not self.hides(key)

    def get(self, key: Any, default: Any = None, /) -> Any:
        """See `dict.get`."""
        return default if self.hides(key) else super().get(key, default)

    def _seen(self) -> dict[_Key, _Value]:
        return {key: value for key, value in super().items() if not self.hides(key)}

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._seen()) if self._born else super().__iter__()

    def keys(self) -> KeysView[_Key]:  # type: ignore[override]
        """See `dict.keys`."""
        return self._seen().keys() if self._born else super().keys()

    def values(self) -> ValuesView[_Value]:  # type: ignore[override]
        """See `dict.values`."""
        return self._seen().values() if self._born else super().values()

    def items(self) -> ItemsView[_Key, _Value]:  # type: ignore[override]
        """See `dict.items`."""
        return self._seen().items() if self._born else super().items()

    def copy(self) -> dict[_Key, _Value]:
        """See `dict.copy`."""
        return self._seen()
