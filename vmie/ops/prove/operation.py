"""`vmie boot ami-…` as an operation: a job that can be resumed and given up, and what it comes to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmie.boot.model import BootVerdict
from vmie.model import Task
from vmie.ops.operation import Operation, RefusalSubject
from vmie.ops.prove import planning
from vmie.ops.prove.planning import ProofPlan
from vmie.ops.prove.prover import LaunchGrants, Proof, Prover
from vmie.options import ProofRequest

#: of several launches the one that decides
_WORST = (BootVerdict.FAILS, BootVerdict.UNKNOWN, BootVerdict.BOOTS)


@dataclass(frozen=True, slots=True)
class ProofResult:
    """What a proof came to (contract: ``boot``): the worst of its launches, and each of them. `usd` at most."""

    job: str
    image_id: str
    proofs: tuple[Proof, ...]
    usd: float = 0.0

    @property
    def deciding(self) -> Proof:
        """The worst."""
        return min(self.proofs, key=lambda one: _WORST.index(one.result.verdict))

    @property
    def verdict(self) -> BootVerdict:
        """Whether the AMI starts, on all types."""
        return self.deciding.result.verdict

    def as_json(self) -> dict[str, Any]:
        """The contracted shape."""
        return {
            "job": self.job,
            "image_id": self.image_id,
            **self.deciding.result.as_json(),
            "costs_usd_at_most": round(self.usd, 4),
            "instances": [one.as_json() for one in self.proofs],
        }


class ProofOperation(Operation[ProofRequest, ProofPlan, ProofResult]):
    """One proof. The journal: ``proof N`` (see `prover`)."""

    verb = "boot"
    plan_type = ProofPlan
    result_type = ProofResult
    made = ("its verdict is known, and its instances have ended", "start it again for another one")
    kept_so_far = "its instances have ended"

    @property
    def source(self) -> str:
        """See `Operation.source`."""
        return self.request.image_id

    def subject(self) -> RefusalSubject:
        """See `Operation.subject`."""
        return RefusalSubject(job="boot")

    @property
    def tasks(self) -> int:
        """See `Operation.tasks`."""
        return 0

    def _planned(self) -> ProofPlan:
        request = self.request
        return planning.plan(
            self.context,
            request.image_id,
            instance_types=request.instance_types,
            seconds=float(request.timeout),
            max_cost=request.max_cost,
        )

    def resumed(self, kept: Mapping[str, Any] | None) -> ProofPlan | None:
        """See `Operation.resumed`: what was launched is what is watched."""
        if kept is None or self.journal.get("proof 0") is None:
            return None
        try:
            return self.load(kept).planned
        except (KeyError, TypeError, ValueError):  # of another version
            return None

    def _prover(self, plan: ProofPlan) -> Prover:
        request = self.request
        grants = LaunchGrants(request.subnet, tuple(request.security_groups), request.instance_profile, request.ssm)
        return Prover(self.context, plan, grants)

    def send(self) -> None:
        """Launch, watch, judge and end."""
        self._prover(self.planned).prove()

    def finish(self, done: Sequence[Task], *, began: dt.datetime) -> ProofResult:
        """See `Operation.finish`."""
        return ProofResult(self.journal.job, self.request.image_id, self._prover(self.planned).proofs, self.planned.usd)

    def begun(self, *, began: dt.datetime) -> ProofResult:
        """See `Operation.begun`: there is nothing to wait for."""
        return self.finish((), began=began)

    def undo(self, *, reason: str = "") -> dict[str, Any]:
        """End the instances; ``{"task_id": None, "removed": [ids]}``."""
        nothing = ProofPlan(self.request.image_id, (), (), 0.0)
        return {"task_id": None, "removed": self._prover(nothing).end()}
