"""What a sandbox is started with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from vmie.sandbox.service.task_service import Quotas
    from vmie.sandbox.service.validation import GuestVerdict


class SandboxOptions(TypedDict, total=False):
    """What `start` and `serve` take.

    `seeded` creates the bucket, role and instance of `vmie.sandbox.seed`. `speed` is the seconds of AWS's work per
    second, or one of `SPEEDS` by name; 0 is a clock moved by `Sandbox.advance`. `limits` are the quotas. `verdict`
    judges the guests of ImportImage: by default any guest on a partitioned disk is accepted; `rules_verdict` fails
    those that vmie's own rules predict to fail. `seed` makes random faults and durations repeatable. `propagation` is
    the seconds until a change of a role has effect, `appears_after` those until a new snapshot, image, role or bucket
    is there for any request but the one that made it. `world` is a seed file (docs/how-to/use-the-sandbox.md): what is
    there from the beginning, beside what `seeded` makes. A reset leads back to all of them.
    """

    seeded: bool
    region: str
    speed: float | str | None
    limits: Quotas | None
    verdict: GuestVerdict | None
    seed: int
    propagation: float | None
    appears_after: float | None
    world: Path | str | None
