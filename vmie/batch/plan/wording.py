"""How a plan file and its items' failures write what an error names."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from vmie.batch.model import Item
from vmie.errors import VmieError


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """Options as fields of a plan: ``bucket``, ``route: image``. Ways on are the commands of the whole `batch`."""

    batch: str = ""

    def option(self, name: str, value: str = "") -> str:
        """See `vmie.errors.Terms.option`."""
        return f"{name}: {value}" if value else name

    def resume(self, job: str) -> str:
        """See `vmie.errors.Terms.resume`."""
        return shlex.join(("vmie", "batch", "resume", self.batch, "--retry-failed")) if self.batch else ""

    def cancel(self, job: str) -> str:
        """See `vmie.errors.Terms.cancel`."""
        return shlex.join(("vmie", "batch", "cancel", self.batch)) if self.batch else ""


PLAN = PlanTerms()


def item_error(item: Item, error: VmieError) -> dict[str, Any]:
    """The failure of an item as it is kept and shown."""
    return error.as_json(PlanTerms(item.batch))


def fault(error: Exception) -> VmieError:
    """What vmie itself did wrong."""
    return VmieError(
        f"unexpected {type(error).__name__}: {error}", cause="this is a fault of vmie", cure="report it", code="Fault"
    )
