"""Where the library's functions work: the account and Region, the folder of jobs, and who is informed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from vmie import event_log, events, settings
from vmie.connection import Connection
from vmie.errors import UsageError

StrPath = str | os.PathLike[str]
OnEvent = Callable[[events.Event], None]


class Place(TypedDict, total=False):
    """Where a function works: the account and Region, the folder of jobs, and who is informed."""

    profile: str | None
    region: str | None
    endpoint_url: str | None
    state: StrPath | None
    on_event: OnEvent | None


def placed(options: dict[str, Any]) -> tuple[Connection, dict[str, Any]]:
    """The connection that the options name, and the other options."""
    names = Place.__optional_keys__
    place = {name: value for name, value in options.items() if name in names}
    return connected(place), {name: value for name, value in options.items() if name not in names}


def connected(place: Mapping[str, Any]) -> Connection:
    """The connection of a place. Raises UsageError for what is no part of one."""
    for name in place.keys() - Place.__optional_keys__:
        raise UsageError(f"there is no option {name!r}", fields=(name,))
    loaded = settings.load({name: place.get(name) for name in ("profile", "region", "endpoint_url")})
    folder = Path(place["state"]) if place.get("state") is not None else settings.state_path()
    return Connection(loaded, folder, event_log.reporter(place.get("on_event")))
