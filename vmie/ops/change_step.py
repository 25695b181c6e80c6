"""One step of a plan: what would change, and the call that changes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vmie.model import Change


@dataclass(frozen=True, slots=True)
class Step:
    """`act` is None when there is nothing to do. It may be called again after a crash."""

    change: Change
    act: Callable[[], None] | None = field(default=None, repr=False, compare=False)
    #: whether IAM must be waited for afterwards
    of_role: bool = False
