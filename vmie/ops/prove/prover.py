"""Launches that are journalled before they are asked for, watched, and ended in every case.

Step ``proof N`` of the journal: what is launched, since when, the instance, its verdict, and that it was ended. Whoever
goes on with the job finds there what to watch, or what to end.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vmie import events, poll
from vmie.aws import instances
from vmie.aws.instances import LaunchRequest
from vmie.boot.model import BootResult, BootVerdict
from vmie.errors import AwsRefused, Cancel, VmieError
from vmie.ops import codec
from vmie.ops.context import Context
from vmie.ops.idempotency import JOB_TAG
from vmie.ops.prove.planning import GRACE, PlannedLaunch, ProofPlan
from vmie.ops.prove.sweep import EXPIRES_TAG, PROOF_TAG, sweep
from vmie.ops.prove.watching import WatchedInstance, look

#: far above the types that anybody tries
_MOST = 100
#: no instance was launched, and another type, subnet or hour may do
NO_ROOM = frozenset({
    "InsufficientInstanceCapacity", "InstanceLimitExceeded", "VcpuLimitExceeded", "InsufficientHostCapacity",
    "InsufficientFreeAddressesInSubnet", "MaxSpotInstanceCountExceeded", "Unsupported",
})  # fmt: skip
_PAUSE = 10.0
_NOT_SEEN = "NotSeen"


@dataclass(frozen=True, slots=True)
class LaunchGrants:
    """Where it is launched, and what it may do: nothing by default."""

    subnet: str = ""
    security_groups: tuple[str, ...] = ()
    profile: str = ""
    ssm: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """How one launch ended. `refused` is what EC2 said where there was no room for it."""

    instance_type: str
    result: BootResult
    refused: str = ""

    def as_json(self) -> dict[str, Any]:
        """One element of ``instances[]``."""
        refused = {"refused": self.refused} if self.refused else {}
        return {"instance_type": self.instance_type, **refused, **self.result.as_json()}


class Prover:
    """The launches of one plan. `prove` can be repeated: what was done is not done again."""

    def __init__(self, context: Context, plan: ProofPlan, grants: LaunchGrants) -> None:
        self._context = context
        self._plan = plan
        self._grants = grants

    def prove(self) -> tuple[Proof, ...]:
        """Launch what was not launched, and watch until all is known. No instance is left, whatever is raised.

        Raises AwsRefused, also where there was no room for any.
        """
        try:
            sweep(self._context)
            self._context.reporter(events.Stage("boot", self._plan.summary))
            refusals = [self._launched(number, one) for number, one in enumerate(self._plan.launches)]
            if refusals and all(refusals):
                raise next(one for one in refusals if one is not None)
            self._watch()
        finally:
            self.end()
        return self.proofs

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """What is known of each launch."""
        return tuple(self._proof(number, one) for number, one in enumerate(self._plan.launches))

    # --- launch ---------------------------------------------------------------------------------------

    def _launched(self, number: int, launch: PlannedLaunch) -> AwsRefused | None:
        """See that it is launched, once; the refusal where there is no room for it."""
        known = self._step(number)
        if known.get("result"):
            return None
        if known and (known.get("ended") or self._is_over(known)):
            self._patiently(self._unknown())
            known = {"attempt": int(known.get("attempt", 1)) + 1}  # it was ended before it was judged
        if known.get("instance_id"):
            self._context.reporter(events.Note(f"{known['instance_id']} is watched on"))
            return None
        attempt = int(known.get("attempt", 1))
        step = {
            "instance_type": launch.instance_type,
            "attempt": attempt,
            "at": known.get("at") or self._context.clock.now().isoformat(),
        }
        self._put(number, step)
        try:
            instance_id = instances.run(self._context.aws, self._request(number, launch, step))
        except AwsRefused as error:
            self._put(number, {**step, "ended": True, "refused": f"{error.code}: {error.message}"})
            if error.code in NO_ROOM:
                return error
            raise
        self._put(number, {**step, "instance_id": instance_id})
        self._context.reporter(events.Note(f"{instance_id} is launched as {launch.instance_type}"))
        return None

    def _is_over(self, known: Mapping[str, Any]) -> bool:
        """Whether its instance has ended meanwhile, or its time was up before anybody knew of an instance."""
        if instance_id := known.get("instance_id"):
            found = instances.find(self._context.aws, [instance_id]).get(instance_id)
            return found is not None and found.over
        return self._age(known) > self._plan.seconds

    def _request(self, number: int, launch: PlannedLaunch, step: Mapping[str, Any]) -> LaunchRequest:
        job, grants = self._context.journal.job, self._grants
        digest = hashlib.sha256(f"{job}/proof/{number}/{step['attempt']}".encode()).hexdigest()
        at = dt.datetime.fromisoformat(str(step["at"]))
        return LaunchRequest(
            image_id=self._plan.image_id,
            instance_type=launch.instance_type,
            token=f"vmie-{digest[:40]}",
            devices=self._plan.devices,
            subnet=grants.subnet,
            security_groups=grants.security_groups,
            profile=grants.profile,
            tags={
                "Name": f"vmie proof of {self._plan.image_id}",
                PROOF_TAG: job,
                JOB_TAG: job,
                EXPIRES_TAG: instances.expiry(at, self._plan.seconds + GRACE),
            },
        )

    # --- watch ----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        clock, pause = self._context.clock, self._context.settings.poll_seconds or _PAUSE
        while left := dict(self._unjudged()):
            shown = self._shown([str(step["instance_id"]) for step in left.values()])
            if shown is not None:
                for number, step in left.items():
                    self._look(number, step, shown.get(str(step["instance_id"])))
            if dict(self._unjudged()):
                clock.sleep(clock.uniform(pause / 2, pause))

    def _shown(self, ids: list[str]) -> Mapping[str, instances.LaunchedInstance] | None:
        try:
            return instances.find(self._context.aws, ids)
        except VmieError as error:
            if not error.passing:
                raise
            return None

    def _look(self, number: int, step: Mapping[str, Any], shown: instances.LaunchedInstance | None) -> None:
        launch = self._plan.launches[number]
        watched = WatchedInstance(
            str(step["instance_id"]),
            nitro=launch.nitro,
            age=self._age(step),
            seconds=self._plan.seconds,
            windows=self._plan.windows,
            ssm=self._grants.ssm,
        )
        result = look(self._context, watched, shown)
        if result is None:
            return
        if result.verdict is not BootVerdict.BOOTS:
            result = replace(result, screenshot=self._picture(number, watched.instance_id))
        self._put(number, {**step, "result": codec.dump(result)})
        self._end(number)

    def _picture(self, number: int, instance_id: str) -> str:
        """Keep a picture of the screen; its path, "" where there is none."""
        if self._context.state is None:
            return ""
        try:
            data = instances.screenshot(self._context.aws, instance_id)
        except VmieError as error:
            self._context.reporter(events.Note(f"there is no picture of {instance_id}: {error.message}", "debug"))
            return ""
        if not data:
            return ""
        folder: Path = self._context.state / "screens"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{self._context.journal.job.replace('/', '-')}-{number}.jpg"
        path.write_bytes(data)
        return str(path)

    # --- end ------------------------------------------------------------------------------------------

    def end(self) -> list[str]:
        """End every instance that may be there; their ids. Raises VmieError, naming what may still run."""
        ended: list[str] = []
        for number in range(_MOST):
            step = self._step(number)
            if not step:
                break
            if not step.get("ended"):
                ended += self._end(number)
        return ended

    def _end(self, number: int) -> list[str]:
        step, job = self._step(number), self._context.journal.job
        known = str(step.get("instance_id") or "")
        try:
            ids = [known] if known else self._unseen()
            self._patiently(ids)
        except VmieError as error:
            error.add_cause(f"an instance of {job} may still run: {known or 'see its tag vmie:proof'}")
            error.add_cure(Cancel(job, "ends it"))
            raise
        self._put(number, {**step, "ended": True})
        return ids

    def _unseen(self) -> list[str]:
        """The same, looked for for a while: an instance may not be shown as soon as it is there."""

        def find() -> list[str]:
            if found := self._unknown():
                return found
            raise VmieError("not seen", code=_NOT_SEEN)

        pause = self._context.settings.poll_seconds
        within = poll.Patience(within=20.0, most=8.0) if pause is None else poll.Patience(pause * 20, pause, pause)
        try:
            return poll.retrying(find, clock=self._context.clock, classify=_code, patience={_NOT_SEEN: within})
        except VmieError as error:
            if error.code != _NOT_SEEN:
                raise
            return []

    def _unknown(self) -> list[str]:
        """Instances whose launch was asked for and not answered: they bear the job's tag."""
        listed = {str(step["instance_id"]) for _, step in self._steps() if step.get("instance_id")}
        found = instances.tagged(self._context.aws, PROOF_TAG, self._context.journal.job)
        return [one.id for one in found if one.id not in listed]

    def _patiently(self, ids: list[str]) -> None:
        poll.retrying(
            lambda: instances.terminate(self._context.aws, ids),
            clock=self._context.clock,
            classify=lambda error: "passing" if isinstance(error, VmieError) and error.passing else "",
            patience={"passing": poll.TRANSIENT},
            report=self._context.reporter,
        )

    def forget(self) -> None:
        """Let the next run launch anew what could not be told."""
        for number, step in self._steps():
            if (step.get("result") or {}).get("verdict") == BootVerdict.UNKNOWN:
                self._put(number, {name: value for name, value in step.items() if name != "result"})

    # --- the journal ----------------------------------------------------------------------------------

    def _step(self, number: int) -> dict[str, Any]:
        return self._context.journal.get(f"proof {number}") or {}

    def _put(self, number: int, value: dict[str, Any]) -> None:
        self._context.journal.put(f"proof {number}", value)

    def _steps(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number in range(_MOST):
            if not (step := self._step(number)):
                return
            yield number, step

    def _unjudged(self) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from (
            (number, step) for number, step in self._steps() if step.get("instance_id") and not step.get("result")
        )

    def _age(self, step: Mapping[str, Any]) -> float:
        return (self._context.clock.now() - dt.datetime.fromisoformat(str(step["at"]))).total_seconds()

    def _proof(self, number: int, launch: PlannedLaunch) -> Proof:
        step = self._step(number)
        if "result" in step:
            return Proof(launch.instance_type, codec.load(BootResult, step["result"]))
        return Proof(launch.instance_type, BootResult(BootVerdict.UNKNOWN, None), str(step.get("refused") or ""))


def _code(error: BaseException) -> str:
    return error.code if isinstance(error, VmieError) else ""
