"""Which failures of the EBS direct API pass, and for how long each kind is waited on."""

from __future__ import annotations

import datetime as dt
import ssl
import threading
from collections.abc import Callable
from typing import TypeVar

from vmie import events, poll
from vmie.aws.parts import TransferStopped
from vmie.errors import AwsRefused, VmieError
from vmie.poll import Clock

T = TypeVar("T")

#: RequestThrottledException is a snapshot's limit, ThrottlingException an account's (quotas L-1774F84A and L-AFAE1BE8
#: for PutSnapshotBlock, L-028ACFB9 and L-C125AE42 for GetSnapshotBlock): awslabs/flexible-snapshot-proxy, src/fsp.py
SNAPSHOT_THROTTLED, ACCOUNT_THROTTLED = "RequestThrottledException", "ThrottlingException"
THROTTLED = frozenset((SNAPSHOT_THROTTLED, ACCOUNT_THROTTLED, "Throttling", "TooManyRequestsException", "SlowDown"))
#: a pending snapshot, or requests at a time, too many: others' work ends
_FULL = frozenset(("ConcurrentLimitExceededException",))
#: credentials that a session renews, a clock that was corrected by the last answer, a request damaged on its way
_RENEWED = frozenset(
    (
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    )
)
_PATIENCE = {
    # the pace holds it back too
    "throttled": poll.Patience(within=600, first=0.1, most=5.0),
    "full": poll.Patience(within=600, first=2.0, most=20.0),
    # "not found" for seconds, up to two minutes, after StartSnapshot: coldsnap #43, #56
    "unseen": poll.Patience(within=150, first=0.5, most=10.0),
    "renewed": poll.Patience(within=5, first=0.2, most=2.0),
    "broken": poll.Patience(within=300, first=0.5, most=20.0),
}
#: for calls before and after the blocks: nothing is lost yet, and an endpoint may be misspelt
_SINGLE = {**_PATIENCE, "broken": poll.TRANSIENT}


class Stoppable:
    """A clock whose sleep ends when `stop` is set, with TransferStopped: nobody waits on a transfer that is over."""

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self._clock = clock
        self._stop = stop

    def now(self) -> dt.datetime:
        """See `Clock.now`."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        if isinstance(self._clock, poll.SystemClock):
            self._stop.wait(seconds)
        else:
            self._clock.sleep(seconds)
        if self._stop.is_set():
            raise TransferStopped

    def uniform(self, low: float, high: float) -> float:
        """See `Clock.uniform`."""
        return self._clock.uniform(low, high)


def kind_of(error: BaseException) -> str:
    """The kind of failure that passes, "" for one that does not."""
    if not isinstance(error, VmieError):
        return ""
    if error.code in THROTTLED:
        return "throttled"
    if isinstance(error, AwsRefused):
        if error.code in _FULL:
            return "full"
        if error.code == "ResourceNotFoundException" and error.reason == "SNAPSHOT_NOT_FOUND":
            return "unseen"
        return "renewed" if error.code in _RENEWED else ""
    return "broken" if error.passing and not _distrusted(error) else ""


def _distrusted(error: BaseException | None) -> bool:
    """Whether the other side's certificate is not one to trust: it will not be a moment later."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__
    return False


def retried(attempt: Callable[[], T], *, clock: Clock, reporter: events.Reporter, single: bool = False) -> T:
    """What `attempt` answers, tried again while its failure may pass; `single`: it is not one of many blocks."""
    try:
        return attempt()
    except VmieError as error:
        if not kind_of(error):
            raise
        first: list[VmieError] = [error]

    def again() -> T:
        if first:
            raise first.pop()
        return attempt()

    return poll.retrying(
        again, clock=clock, classify=kind_of, patience=_SINGLE if single else _PATIENCE, report=reporter
    )
