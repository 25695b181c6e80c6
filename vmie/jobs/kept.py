"""A job's file, as it is read: by whoever works on the job, and by whoever only looks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmie.errors import UsageError
from vmie.ops.journal import damage

_ID = re.compile(r"job-[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
#: far above what a job of a thousand disks has
_MOST_BYTES = 64 << 20
#: lists and objects within each other; writing them takes the square of it
_MOST_LEVELS = 50


def is_job(name: str) -> bool:
    """Whether `name` is a job's id, as they are made here."""
    return _ID.fullmatch(name) is not None


class KeptJob:
    """What is kept of a job, as it was when it was read: nothing is locked, and nothing can be written."""

    def __init__(self, path: Path, data: dict[str, Any]) -> None:
        self._path = path
        self._data = data

    @property
    def job(self) -> str:
        """The job's id."""
        return self._path.stem

    @property
    def kind(self) -> str:
        """The verb that began it."""
        return str(self._data["kind"])

    @property
    def request(self) -> dict[str, Any]:
        """The options it was begun with."""
        return dict(self._data["request"])

    @property
    def status(self) -> str:
        """What was last recorded: running, done, failed or cancelled."""
        return str(self._data["status"])

    def get(self, step: str) -> dict[str, Any] | None:
        """See `Journal.get`."""
        found = self._data["steps"].get(step)
        return dict(found) if found is not None else None

    @property
    def begun(self) -> bool:
        """Whether anything was done yet."""
        return bool(self._data["steps"])

    @property
    def result(self) -> dict[str, Any] | None:
        """What it came to, None when it did not end or was ended by a version that kept no results."""
        return _mapping(self._data.get("result"))

    @property
    def plan(self) -> dict[str, Any] | None:
        """The plan that it was last carried out by, None before there was one."""
        return _mapping(self._data.get("plan"))


def _mapping(value: Any) -> dict[str, Any] | None:
    return dict(value) if isinstance(value, dict) else None


#: what a job file holds at least, and of which kind
_SHAPE: Mapping[str, type] = {
    **dict.fromkeys(("status", "kind", "source", "updated"), str),
    **dict.fromkeys(("request", "steps"), dict),
}


def _deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects lie within each other more than so many levels."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(inner) and (not levels or any(_deeper(one, levels - 1) for one in inner))


def read(path: Path) -> dict[str, Any]:
    """What the file says. Raises UsageError for one that is damaged."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_MOST_BYTES).decode("utf-8"))
        wrong = sorted(name for name, kind in _SHAPE.items() if not isinstance(data.get(name), kind))
        wrong += filter(None, (damage(name, step) for name, step in (data.get("steps") or {}).items()))
        if _deeper(data, _MOST_LEVELS):
            wrong.append("nested too deeply")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UsageError(f"cannot read the job file {path}: {error}", cure="remove it if it is damaged") from error
    if wrong:
        raise UsageError(f"the job file {path} is damaged: {', '.join(wrong)[:500]}", cure="remove it")
    return dict(data)
