"""The sandbox's own HTTP endpoint, under /_vmie: for tests in other processes.

GET    /_vmie/health            {"status": "ok"}
GET    /_vmie/stats             calls, tasks made, peak of active tasks, errors, per Region too
GET    /_vmie/clock             {"now": date, "elapsed": s, "worked": s}
POST   /_vmie/faults            {"kind": "throttle", "action": "ImportImage", "times": 3, …}
DELETE /_vmie/faults            end every fault
POST   /_vmie/settings          {"propagation": s, "imports": n, "regions": {…}, "median": s, "spread": x, …}
POST   /_vmie/advance           {"seconds": s}
POST   /_vmie/disks             {"bucket": b, "key": k, "size": bytes}
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from vmie.sandbox.fault_injection import Fault
from vmie.sandbox.service.durations import Durations
from vmie.sandbox.service.task_service import GROUP, Quotas

if TYPE_CHECKING:
    from vmie.sandbox.emulator import Emulator

PREFIX = "/_vmie/"


def respond(method: str, path: str, body: bytes, *, emulator: Emulator) -> tuple[int, dict[str, Any]]:
    """HTTP status and JSON answer; a 400 with the reason for an invalid request."""
    clock = emulator.clock
    try:
        given = _object(body)
        match method, path.removeprefix(PREFIX):
            case "GET", "health":
                return 200, {"status": "ok"}
            case "GET", "stats":
                return 200, emulator.stats.as_json()
            case "GET", "clock":
                return 200, {"now": clock.now().isoformat(), "elapsed": clock.elapsed(), "worked": clock.worked()}
            case "POST", "faults":
                emulator.faults.add(_fault(given))
            case "DELETE", "faults":
                emulator.faults.clear()
            case "POST", "settings":
                _set(given, emulator=emulator)
            case "POST", "advance":
                clock.advance(float(given.get("seconds", 0)))
            case "POST", "disks":
                emulator.put_disk(str(given.get("bucket", "")), str(given.get("key", "")), int(given.get("size", 0)))
            case _:
                return 404, {"error": f"there is no {method} {path}"}
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
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


_DELAYS = ("propagation", "visible_after")
_NUMBERS = tuple(item.name for item in fields(Quotas) if item.name != "regions")
_TIMES = tuple(item.name for item in fields(Durations) if not item.name.startswith("_"))


def _set(given: dict[str, Any], *, emulator: Emulator) -> None:
    limits, durations = emulator.service.limits, emulator.service.durations
    for name, value in given.items():
        if name in _DELAYS:
            setattr(emulator.faults, name, float(value))
        elif name in _NUMBERS:
            setattr(limits, name, type(getattr(limits, name))(value))
        elif name in _TIMES:
            setattr(durations, name, type(getattr(durations, name))(value))
        elif name == "regions":
            limits.regions = _regions(value)
        else:
            known = ", ".join((*_DELAYS, *_NUMBERS, *_TIMES, "regions"))
            raise ValueError(f"there is no setting {name!r}: one of {known}")


def _regions(value: Any) -> dict[str, dict[str, int]]:
    if not isinstance(value, dict) or not all(isinstance(quotas, dict) for quotas in value.values()):
        raise TypeError('regions must be {"REGION": {"imports": n, …}, …}')
    if unknown := {name for quotas in value.values() for name in quotas} - set(GROUP.values()):
        raise ValueError(f"a Region has no quota {', '.join(sorted(unknown))}")
    return {region: {name: int(count) for name, count in quotas.items()} for region, quotas in value.items()}
