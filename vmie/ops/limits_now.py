"""AWS's numbers beside what vmie keeps to and what is in use now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmie import limits
from vmie.aws import account, ec2
from vmie.aws.session import Aws
from vmie.errors import VmieError
from vmie.limits import Limit
from vmie.model import TaskKind
from vmie.settings import Settings

_KINDS = {
    limits.CONCURRENT_IMPORTS.id: (TaskKind.IMPORT_IMAGE, TaskKind.IMPORT_SNAPSHOT),
    limits.CONCURRENT_CONVERSIONS.id: (TaskKind.CONVERSION,),
    limits.CONCURRENT_EXPORTS.id: (TaskKind.EXPORT_IMAGE, TaskKind.EXPORT_INSTANCE),
}
_SETTINGS = {
    limits.CONCURRENT_IMPORTS.id: "import_limit",
    limits.CONCURRENT_CONVERSIONS.id: "conversion_limit",
    limits.CONCURRENT_EXPORTS.id: "export_limit",
    limits.TASK_SECONDS.id: "deadline_seconds",
}


@dataclass(frozen=True, slots=True)
class LimitNow:
    """A limit, what vmie keeps to (`setting`, and where that comes from), and what is `in_use`; None: not known."""

    limit: Limit
    setting: float | None = None
    origin: str = ""
    in_use: int | None = None

    def as_json(self) -> dict[str, Any]:
        """One element of ``limits[]``."""
        return {**self.limit.as_json(), "setting": self.setting, "setting_from": self.origin, "in_use": self.in_use}


@dataclass(frozen=True, slots=True)
class LimitsNow:
    """All limits; `quotas` is what Service Quotas prints, `unasked` why AWS could not be asked ("" when it was)."""

    limits: tuple[LimitNow, ...]
    quotas: tuple[tuple[str, float], ...] = ()
    unasked: str = ""

    def as_json(self) -> dict[str, Any]:
        """The contracted ``result``."""
        return {
            "limits": [one.as_json() for one in self.limits],
            "service_quotas": dict(self.quotas),
            "unasked": self.unasked,
        }


def show(aws: Aws | None, settings: Settings, *, unasked: str = "") -> LimitsNow:
    """Every limit; without `aws` what is in use is not known. Never raises for what AWS does not show."""
    found = []
    for limit in limits.ALL:
        name = _SETTINGS.get(limit.id, "")
        active: int | None = None
        if aws is not None and limit.id in _KINDS and not unasked:
            try:
                active = sum(len(ec2.describe(aws, kind, active_only=True)) for kind in _KINDS[limit.id])
            except VmieError as error:
                unasked = unasked or error.message
        found.append(
            LimitNow(limit, getattr(settings, name) if name else None, settings.origin(name) if name else "", active)
        )
    return LimitsNow(tuple(found), _quotas(aws) if aws is not None and not unasked else (), unasked)


def _quotas(aws: Aws) -> tuple[tuple[str, float], ...]:
    try:
        return tuple(account.service_quotas(aws))
    except VmieError:
        return ()
