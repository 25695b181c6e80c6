"""Dataclasses as JSON and back: how plans and tasks are kept between processes.

A field with ``metadata=PASSING`` is not kept; a type that has `as_json` and `from_json` is written and read by these.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter

T = TypeVar("T")

#: of a field: it is worth nothing to another process
PASSING: Mapping[str, bool] = {"kept": False}


def dump(value: Any, *, only: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a dataclass, or `only` some of them, as plain JSON values."""
    return {
        name: _plain(hint, getattr(value, name))
        for name, hint in _kept(type(value)).items()
        if not only or name in only
    }


def load(kind: type[T], data: Mapping[str, Any]) -> T:
    """What `dump` wrote, also by a vmie that knew fewer fields."""
    return kind(**{name: _read(hint, data[name]) for name, hint in _kept(kind).items() if name in data})


def _plain(hint: Any, value: Any) -> Any:
    return value.as_json() if hasattr(hint, "from_json") else _adapter(hint).dump_python(value, mode="json")


def _read(hint: Any, value: Any) -> Any:
    return hint.from_json(value) if hasattr(hint, "from_json") else _adapter(hint).validate_python(value)


def _kept(kind: Any) -> dict[str, Any]:
    """The fields that are kept, and their types."""
    return _hints(kind)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind) if one.metadata.get("kept", True)}


@cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint)
