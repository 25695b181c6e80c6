"""The sandbox's own HTTP endpoint, under /_vmie: what tests in other processes turn and read.

GET    /_vmie/health            {"status": "ok"}
GET    /_vmie/stats             calls, tasks made, peak of active tasks, errors
POST   /_vmie/faults            {"kind": "throttle", "action": "ImportImage", "times": 3, …}
DELETE /_vmie/faults            everything works again
POST   /_vmie/settings          {"propagation": s, "visible_after": s, "imports": n, "exports": n, …}
POST   /_vmie/advance           {"seconds": s}
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from vmie.sandbox.gate import Fault, Faults, Stats
from vmie.sandbox.service import Limits

PREFIX = "/_vmie/"


def respond(
    method: str, path: str, body: bytes, *, faults: Faults, stats: Stats, limits: Limits, clock: Any
) -> tuple[int, dict[str, Any]]:
    """HTTP status and JSON answer; what cannot be meant is a 400 with the reason."""
    try:
        given = _object(body)
        match method, path.removeprefix(PREFIX):
            case "GET", "health":
                return 200, {"status": "ok"}
            case "GET", "stats":
                return 200, stats.as_json()
            case "POST", "faults":
                faults.add(_fault(given))
            case "DELETE", "faults":
                faults.clear()
            case "POST", "settings":
                _set(given, faults=faults, limits=limits)
            case "POST", "advance":
                clock.advance(float(given.get("seconds", 0)))
            case _:
                return 404, {"error": f"there is no {method} {path}"}
    except (TypeError, ValueError, RecursionError) as error:
        return 400, {"error": str(error)}
    return 200, {"status": "ok"}


def _object(body: bytes) -> dict[str, Any]:
    given = json.loads(body or b"{}")
    if not isinstance(given, dict):
        raise TypeError("the body must be a JSON object")
    return given


def _fault(given: dict[str, Any]) -> Fault:
    known = {item.name for item in fields(Fault)}
    if unknown := set(given) - known:
        raise ValueError(f"a fault has no {', '.join(sorted(unknown))}: it has {', '.join(sorted(known))}")
    fault = Fault(**given)
    for name in ("kind", "action", "code", "message", "at", "task_kind", "how", "region"):
        if not isinstance(getattr(fault, name), str):
            raise TypeError(f"{name} must be a text")
    fault.times = None if fault.times is None else int(fault.times)
    fault.probability, fault.status = float(fault.probability), int(fault.status)
    return fault


def _set(given: dict[str, Any], *, faults: Faults, limits: Limits) -> None:
    delays = ("propagation", "visible_after")
    numbers = [item.name for item in fields(Limits)]
    for name, value in given.items():
        if name in delays:
            setattr(faults, name, float(value))
        elif name in numbers:
            setattr(limits, name, type(getattr(limits, name))(value))
        else:
            raise ValueError(f"there is no setting {name!r}: one of {', '.join((*delays, *numbers))}")
