"""One instance looked at again and again: its console, its status checks, its end - and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from vmie.aws import instances
from vmie.aws.instances import LaunchedInstance, StatusChecks
from vmie.boot.console import Console, ConsoleReading
from vmie.boot.model import BootEvidence, BootResult, BootStage, BootVerdict
from vmie.errors import AwsRefused, VmieError
from vmie.ops.context import Context

T = TypeVar("T")

#: seconds that a new instance may not be shown (aws-facts 1.15: eventual consistency)
_UNSEEN = 120.0
_STATUS = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/TroubleshootingInstances.html"
_REASONS = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshooting-launch.html"
#: what leaves a machine that has started without network
_OFFLINE = ("VMIE-BOOT-009", "VMIE-NET-003", "VMIE-NET-010", "VMIE-NET-011", "VMIE-NET-007")
#: the guest itself shut down, and with it the instance ended; somebody ended it
_BY_GUEST, _BY_SOMEBODY = "Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown"


@dataclass(frozen=True, slots=True)
class WatchedInstance:
    """What is looked at: `age` are the seconds since the launch was asked for, `seconds` those that it has."""

    instance_id: str
    nitro: bool
    age: float
    seconds: float
    windows: bool = False
    ssm: bool = False

    @property
    def late(self) -> bool:
        """Whether its time is up."""
        return self.age >= self.seconds


def look(context: Context, watched: WatchedInstance, shown: LaunchedInstance | None) -> BootResult | None:
    """The result, None while there is none yet. Raises AwsRefused where AWS shows nothing of it at all."""
    if shown is None:
        gone = watched.age > _UNSEEN or watched.late
        return _result(watched, ConsoleReading(), "AWS does not show the instance", _REASONS) if gone else None
    if shown.over:
        return _ended(context, watched, shown)
    return _running(context, watched) if shown.state == "running" or watched.late else None


def _running(context: Context, watched: WatchedInstance) -> BootResult | None:
    reading = _reading(context, watched)
    checks = _passing(lambda: instances.status(context.aws, watched.instance_id), StatusChecks())
    if reading.verdict is BootVerdict.FAILS:
        return _judged(watched, reading, checks)
    up = reading.verdict is BootVerdict.BOOTS or (watched.windows and checks.instance == "ok")
    if up and watched.ssm and not _passing(lambda: instances.pings(context.aws, watched.instance_id), False):
        return _silent_agent(_judged(watched, reading, checks)) if watched.late else None
    if (up and checks.settled) or watched.late:
        return _judged(watched, reading, checks)
    return None


def _reading(context: Context, watched: WatchedInstance) -> ConsoleReading:
    console = Console()
    console.feed(_passing(lambda: _text(context, watched), ""))
    return console.reading(ended=watched.late)


def _text(context: Context, watched: WatchedInstance) -> str:
    try:
        return instances.console(context.aws, watched.instance_id, latest=watched.nitro)
    except AwsRefused as error:
        if error.code != "UnsupportedOperation" or not watched.nitro:
            raise
    return instances.console(context.aws, watched.instance_id, latest=False)


def _passing(call: Callable[[], T], otherwise: T) -> T:
    """What AWS answers; `otherwise` where it fails in passing: there is another look."""
    try:
        return call()
    except VmieError as error:
        if not error.passing:
            raise
        return otherwise


# --- what it comes to ----------------------------------------------------------------------------------


def _judged(watched: WatchedInstance, reading: ConsoleReading, checks: StatusChecks) -> BootResult:
    verdict, stage, rules = reading.verdict, reading.stage, reading.rules
    evidence = list(reading.evidence)
    if checks.instance == "ok":
        evidence.append(_checked("passed", "AWS reaches its network"))
        if watched.windows and verdict is BootVerdict.UNKNOWN:
            verdict = BootVerdict.BOOTS  # Windows says nothing of itself on a serial port
        stage = BootStage.NETWORK if verdict is BootVerdict.BOOTS else stage
    elif checks.instance == "impaired":
        evidence.append(_checked("failed", "AWS does not reach its network"))
        rules = _OFFLINE if verdict is BootVerdict.BOOTS else rules
    if not reading.evidence and not reading.last_lines:
        evidence.append(BootEvidence("", BootStage.FIRMWARE, "nothing was printed on the serial console"))
    return BootResult(
        verdict,
        stage,
        tuple(evidence),
        rules,
        seconds=watched.age,
        last_lines=reading.last_lines,
        instance_id=watched.instance_id,
    )


def _checked(how: str, meaning: str) -> BootEvidence:
    return BootEvidence(f"instance status check: {how}", BootStage.NETWORK, meaning, _STATUS)


def _silent_agent(result: BootResult) -> BootResult:
    silent = BootEvidence("SSM: not online", BootStage.NETWORK, "the guest's SSM agent did not say that it is there")
    return replace(result, evidence=(*result.evidence, silent))


def _ended(context: Context, watched: WatchedInstance, shown: LaunchedInstance) -> BootResult:
    """It ended before it was ended: what it had shown until then decides, and the reason is told."""
    reading = ConsoleReading()
    with suppress(VmieError):
        console = Console()
        console.feed(instances.console(context.aws, watched.instance_id, latest=False))
        reading = console.reading(ended=shown.reason == _BY_GUEST)
    why = f"{shown.state}: {shown.reason_text or shown.reason or 'no reason is given'}"
    result = _judged(watched, reading, StatusChecks())
    meaning = {_BY_GUEST: "the guest shut itself down", _BY_SOMEBODY: "somebody ended it"}.get(
        shown.reason, "EC2 ended the instance"
    )
    told = BootEvidence(why, reading.stage or BootStage.FIRMWARE, meaning, _REASONS)
    return replace(result, evidence=(*reading.evidence, told))


def _result(watched: WatchedInstance, reading: ConsoleReading, line: str, source: str) -> BootResult:
    told = BootEvidence(line, BootStage.FIRMWARE, "nothing can be said of it", source)
    return BootResult(reading.verdict, reading.stage, (told,), seconds=watched.age, instance_id=watched.instance_id)
