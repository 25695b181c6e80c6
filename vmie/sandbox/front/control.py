"""The sandbox's own HTTP endpoint, under /_vmie: for tests in other processes.

GET    /_vmie/health            {"status": "ok", "version": v, "services": [name, …], "region": r, "speed": n}
GET    /_vmie/stats             calls, tasks made, peak of active tasks, errors, per Region too
GET    /_vmie/clock             {"now": date, "elapsed": s, "worked": s}
POST   /_vmie/faults            {"kind": "throttle", "action": "ImportImage", "times": 3, …}
DELETE /_vmie/faults            end every fault
POST   /_vmie/settings          {"propagation": s, "imports": n, "regions": {…}, "median": s, "spread": x, …}
POST   /_vmie/advance           {"seconds": s}
POST   /_vmie/policies          {"document": {…}, "account": a}: a service control policy, of the organisation
DELETE /_vmie/policies          leave the organisation
POST   /_vmie/disks             {"bucket": b, "key": k, "size": bytes}
GET    /_vmie/save              the world as a tar: what seed files can say, without pickles
POST   /_vmie/load              begin anew with a saved one
POST   /_vmie/reset             the sandbox is as it was when it began; POST /moto-api/reset does the same
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from vmie._version import __version__
from vmie.sandbox.fault_injection import Fault
from vmie.sandbox.service import services
from vmie.sandbox.service.durations import Durations
from vmie.sandbox.service.ebs.throttle import EbsLimits
from vmie.sandbox.service.task_service import GROUP, Quotas

if TYPE_CHECKING:
    from vmie.sandbox.emulator import Emulator

PREFIX = "/_vmie/"
#: moto's own path, which clients of moto's server know; moto would leave its tasks, contents, clock and faults behind
MOTO_RESET = "/moto-api/reset"
#: a saved world goes out and comes in: see `worlds`, for their bodies are no JSON
SAVE, LOAD = PREFIX + "save", PREFIX + "load"
_RESETS = (PREFIX + "reset", MOTO_RESET)


def respond(method: str, path: str, body: bytes, *, emulator: Emulator) -> tuple[int, dict[str, Any]]:
    """HTTP status and JSON answer; a 400 with the reason for an invalid request."""
    resets = method == "POST" and path in _RESETS
    # a reset waits for every request that is being answered
    counted: AbstractContextManager[None] = nullcontext() if resets else emulator.answering()
    try:
        with counted:
            if resets:
                emulator.reset()
            elif method == "GET":
                return _shown(path, emulator=emulator)
            elif not _done(method, path, _object(body), emulator=emulator):
                return _absent(method, path)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return 400, {"error": str(error)}
    return 200, {"status": "ok"}


def _absent(method: str, path: str) -> tuple[int, dict[str, Any]]:
    return 404, {"error": f"there is no {method} {path}"}


def _shown(path: str, *, emulator: Emulator) -> tuple[int, dict[str, Any]]:
    clock = emulator.clock
    match path.removeprefix(PREFIX):
        case "health":
            known = {"version": __version__, "services": services.names()}
            return 200, {"status": "ok", **known, "region": emulator.region, "speed": clock.speed}
        case "stats":
            return 200, emulator.stats.as_json()
        case "clock":
            return 200, {"now": clock.now().isoformat(), "elapsed": clock.elapsed(), "worked": clock.worked()}
    return _absent("GET", path)


def _done(method: str, path: str, given: dict[str, Any], *, emulator: Emulator) -> bool:
    """Carry it out; False where there is no such request."""
    match method, path.removeprefix(PREFIX):
        case "POST", "faults":
            emulator.faults.add(_fault(given))
        case "DELETE", "faults":
            emulator.faults.clear()
        case "POST", "settings":
            _set(given, emulator=emulator)
        case "POST", "advance":
            emulator.clock.advance(float(given.get("seconds", 0)))
        case "POST", "policies":
            _attach(given, emulator=emulator)
        case "DELETE", "policies":
            emulator.organization.clear()
        case "POST", "disks":
            emulator.put_disk(str(given.get("bucket", "")), str(given.get("key", "")), int(given.get("size", 0)))
        case _:
            return False
    return True


def _object(body: bytes) -> dict[str, Any]:
    given = json.loads(body or b"{}")
    if not isinstance(given, dict):
        raise TypeError("the body must be a JSON object")
    return given


def _attach(given: dict[str, Any], *, emulator: Emulator) -> None:
    document = given.get("document")
    if not isinstance(document, str | dict):
        raise TypeError("document must be a policy")
    emulator.organization.attach(document, account=str(given.get("account") or ""))


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


_DELAYS = ("propagation", "visible_after", "appears_after")
_NUMBERS = tuple(item.name for item in fields(Quotas) if item.name != "regions")
_TIMES = tuple(item.name for item in fields(Durations) if not item.name.startswith("_"))


_EBS = tuple(item.name for item in fields(EbsLimits))


def _set(given: dict[str, Any], *, emulator: Emulator) -> None:
    limits, durations, ebs = emulator.service.limits, emulator.service.durations, emulator.ebs.limits
    for name, value in given.items():
        if name in _DELAYS:
            setattr(emulator.faults, name, float(value))
        elif name in _NUMBERS:
            setattr(limits, name, type(getattr(limits, name))(value))
        elif name in _TIMES:
            setattr(durations, name, type(getattr(durations, name))(value))
        elif name in _EBS:
            setattr(ebs, name, type(getattr(ebs, name))(value))
        elif name == "regions":
            limits.regions = _regions(value)
        else:
            known = ", ".join((*_DELAYS, *_NUMBERS, *_TIMES, *_EBS, "regions"))
            raise ValueError(f"there is no setting {name!r}: one of {known}")


def _regions(value: Any) -> dict[str, dict[str, int]]:
    if not isinstance(value, dict) or not all(isinstance(quotas, dict) for quotas in value.values()):
        raise TypeError('regions must be {"REGION": {"imports": n, …}, …}')
    if unknown := {name for quotas in value.values() for name in quotas} - set(GROUP.values()):
        raise ValueError(f"a Region has no quota {', '.join(sorted(unknown))}")
    return {region: {name: int(count) for name, count in quotas.items()} for region, quotas in value.items()}
