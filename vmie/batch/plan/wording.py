"""The failure of an item as it is kept and told."""

from __future__ import annotations

from typing import Any

from vmie.batch.model import Item
from vmie.batch.plan.requests import in_plan_words
from vmie.errors import VmieError


def told(item: Item, error: VmieError) -> dict[str, Any]:
    """The failure in a plan's words, with the commands of a single job in its cure replaced by the batch's."""
    shown = error.as_json()
    shown |= {name: in_plan_words(str(shown[name])) for name in ("message", "cause", "cure")}
    cure = str(shown["cure"]).replace(f"vmie cancel {item.job}", f"vmie batch cancel {item.batch}")
    return {**shown, "cure": cure.replace(f"vmie resume {item.job}", f"vmie batch resume {item.batch} --retry-failed")}


def fault(error: Exception) -> VmieError:
    """What vmie itself did wrong."""
    return VmieError(
        f"unexpected {type(error).__name__}: {error}", cause="this is a fault of vmie", cure="report it", code="Fault"
    )
