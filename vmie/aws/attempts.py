"""One S3 call, tried again while its failure is in passing; the pace and the patience are the whole transfer's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tenacity

from vmie import events
from vmie.aws.errors import refusals
from vmie.aws.pace import Pace, Rate
from vmie.aws.parts import Body, Part
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, VmieError
from vmie.model import S3Object


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """How to store, and how to send.

    `owner` is the account that must own the bucket. `sse` is "" (the bucket's own encryption), "AES256" or
    "aws:kms", the last with `kms_key` or the account's default key. `region` is the bucket's, None for the
    session's; `accelerate` goes by S3 Transfer Acceleration. `max_rate` is bytes per second. A transfer is given up
    when nothing at all arrived for `patience` seconds; a connection that is silent for `stall` seconds is broken off.
    """

    owner: str | None = None
    region: str | None = None
    sse: str = ""
    kms_key: str = ""
    storage_class: str = ""
    accelerate: bool = False
    workers: int = 8
    part_size: int | None = None
    max_rate: float | None = None
    patience: float = 300.0
    longest_pause: float = 20.0
    connect: float = 10.0
    stall: float = 30.0
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: no object is replaced: S3 makes this one only where there is none (If-None-Match)
    exclusive: bool = False

    def create(self) -> dict[str, Any]:
        """Parameters that CreateMultipartUpload and PutObject share."""
        out: dict[str, Any] = dict(self.every())
        if self.sse or self.kms_key:
            out["ServerSideEncryption"] = self.sse or "aws:kms"
        if self.kms_key:
            out["SSEKMSKeyId"] = self.kms_key
        if self.storage_class:
            out["StorageClass"] = self.storage_class
        if self.metadata:
            out["Metadata"] = dict(self.metadata)
        return out

    def accepts(self, storage: str, encryption: str) -> bool:
        """Whether an object of that storage class and encryption is kept as this upload would keep it."""
        sse = self.sse or ("aws:kms" if self.kms_key else "")
        return storage == (self.storage_class or storage) and sse in ("", encryption)

    def finishing(self) -> dict[str, Any]:
        """Parameters of the calls by which the object comes into being: PutObject and CompleteMultipartUpload.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        """
        return {"IfNoneMatch": "*"} if self.exclusive else {}

    def every(self) -> dict[str, Any]:
        """Parameters of every call."""
        return {"ExpectedBucketOwner": self.owner} if self.owner else {}


class TransferConnection:
    """The calls about one object, made by many threads. `stop` ends them all, also in the middle of a body."""

    def __init__(
        self,
        aws: Aws,
        target: S3Object,
        *,
        options: UploadOptions,
        reporter: events.Reporter = events.silent,
        moved: Callable[[int], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        # One attempt per call: what is tried again, when and at which pace is decided here, part by part.
        self._client: Any = aws.transfer(
            region=options.region,
            accelerate=options.accelerate,
            connect_timeout=options.connect,
            read_timeout=options.stall,
        )
        found = aws.credentials()
        #: credentials that renew themselves may be new at the next attempt
        self._renewed = found is not None and found.expires is not None
        self.aws = aws
        #: attempts that failed and were followed by another, over all calls
        self.failures = 0
        self._where = {"Bucket": target.bucket, "Key": target.key}
        self.target = target
        self.options = options
        self.stop = threading.Event()
        self.pace = Pace(options.workers)
        self._rate = Rate(options.max_rate, sleep=self.stop.wait) if options.max_rate else None
        self._reporter = reporter
        self._moved = moved
        self._monotonic = monotonic
        self._arrived = monotonic()

    def call(
        self,
        operation: str,
        method: str,
        *,
        part: Part | None = None,
        operand: str = "",
        wants: Sequence[str] = (),
        **parameters: Any,
    ) -> dict[str, Any]:
        """One call, with `part` as its body. The answer has the fields `wants`. Raises VmieError subclasses."""

        def attempt() -> dict[str, Any]:
            # A fresh body each time: the last attempt may have read half of it.
            given = {} if part is None else {"Body": self._body(part)}
            with self.pace.slot(), refusals(operation, operand=operand or self.target.url):
                answer: dict[str, Any] = getattr(self._client, method)(**self._where, **given, **parameters)
            if missing := [name for name in wants if name not in answer]:
                raise VmieError(
                    f"the answer to {operation} of {operand or self.target.url} was cut off: no {', '.join(missing)}",
                    code="BrokenAnswer",
                    passing=True,
                )
            self._arrived = self._monotonic()
            if part is not None:
                self.pace.went_well()
            return answer

        return self._again()(attempt)

    def finishing(
        self, operation: str, method: str, *, part: Part | None = None, wants: Sequence[str] = (), **parameters: Any
    ) -> dict[str, Any]:
        """`call` for what makes the object: conditional where that was asked for and the service knows conditions."""
        condition = self.options.finishing()
        try:
            return self.call(operation, method, part=part, wants=wants, **parameters, **condition)
        except VmieError as error:
            if not condition or error.code != UNCONDITIONAL:
                raise
        return self.call(operation, method, part=part, wants=wants, **parameters)

    def _body(self, part: Part) -> Body:
        return Body(part, rate=self._rate, stopped=self.stop.is_set, moved=self._moved)

    def _again(self) -> tenacity.Retrying:
        begun = self._monotonic()

        def failed(state: tenacity.RetryCallState) -> None:
            self.pace.slow_down()
            self.failures += 1
            error = state.outcome.exception() if state.outcome else None
            self._reporter(events.Note(f"{error}; trying again in {state.upcoming_sleep:.1f} s", "debug"))

        def enough(state: tenacity.RetryCallState) -> bool:
            if self.stop.is_set():
                return True
            # A slow line is no dead one: while other parts arrive, this one is worth another attempt.
            silent = self._monotonic() - max(begun, self._arrived)
            error = state.outcome.exception() if state.outcome else None
            few = isinstance(error, AwsRefused) and error.code in _FEW
            return state.attempt_number >= _FEW_ATTEMPTS and (few or silent >= self.options.patience)

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._in_passing),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=self.options.longest_pause),
            stop=enough,
            sleep=tenacity.sleep_using_event(self.stop),
            before_sleep=failed,
            reraise=True,
        )

    def _in_passing(self, error: BaseException) -> bool:
        if isinstance(error, AwsRefused) and error.code in _EXPIRED:
            return self._renewed
        return in_passing(error)


def in_passing(error: BaseException) -> bool:
    """Whether the same call may do better later: S3 is busy, or the network failed; not a refusal."""
    if isinstance(error, AwsRefused):
        return error.code in _PASSING
    if isinstance(error, VmieError) and error.code == UNCONDITIONAL:
        return False
    return isinstance(error, VmieError) and error.passing


#: a condition that did not hold, and what a stand-in answers that knows no conditions
OCCUPIED, UNCONDITIONAL = "PreconditionFailed", "NotImplemented"
#: a transfer that arrives damaged, and credentials that were renewed: worth a few attempts, not hours
_FEW_ATTEMPTS = 4
_DAMAGED = frozenset(("BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"))
_EXPIRED = frozenset(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"))
_FEW = _DAMAGED | _EXPIRED | {"RequestTimeTooSkewed"}
#: 4xx answers that a second attempt may not meet: a slow or damaged transfer, a busy service
_PASSING = _DAMAGED | {
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
