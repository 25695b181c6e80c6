"""The door to AWS: a Region, an account, and one client per service.

Clients are made here and nowhere else, so every call has the same retries, time-outs and report.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import boto3
from botocore.config import Config

from vmie import events
from vmie.aws import chain, client_config
from vmie.aws.cache import ReadCache
from vmie.aws.client_config import CONNECTIONS, STALL
from vmie.aws.clients import CallReporter, ClientFactory
from vmie.aws.credentials import CredentialFacts, facts_of
from vmie.aws.errors import refusals
from vmie.errors import Drop, UsageError, VmieError, says
from vmie.poll import Clock, SystemClock

if TYPE_CHECKING:
    from mypy_boto3_ebs import EBSClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

T = TypeVar("T")


#: what the answer of a stand-in without STS comes to: one that is not of STS's form (SeaweedFS: 503 in S3's form)
_NO_STS = ("Unknown", "NotImplemented", "BrokenAnswer")


class Aws:
    """One account in one Region. Threads may share it.

    `region` and `partition` ("aws", "aws-cn", "aws-us-gov" …) are known from the start; `account` is asked
    of STS once, when first needed.
    """

    def __init__(
        self,
        session: boto3.Session | None,
        *,
        region: str,
        partition: str = "aws",
        endpoint_url: str | None = None,
        reporter: events.Reporter = events.silent,
        clock: Clock | None = None,
        clients: Mapping[str, Any] | None = None,
        account: str = "",
        stall: float = STALL,
    ) -> None:
        self.region = region
        self.partition = partition
        self.endpoint_url = endpoint_url
        self._session = session
        calls = CallReporter(reporter, clock or SystemClock())
        self._factory = ClientFactory(session, endpoint_url=endpoint_url, stall=stall, calls=calls) if session else None
        # botocore makes clients from shared loaders: making two at once is not safe, using them is.
        self._lock = threading.RLock()
        self._clients: dict[tuple[str, str], Any] = {(name, region): client for name, client in (clients or {}).items()}
        self._account = account
        self._no_account = False
        self._cache: ReadCache | None = None

    @classmethod
    def of(
        cls,
        clients: Mapping[str, Any],
        *,
        region: str = "us-east-1",
        partition: str = "aws",
        account: str = "",
        clock: Clock | None = None,
    ) -> Aws:
        """An `Aws` over ready clients (service → client): no session, nothing is looked up."""
        return cls(None, region=region, partition=partition, clients=clients, account=account, clock=clock)

    def with_cache(self, cache: ReadCache) -> Aws:
        """The same door, for work that may act on what `cache` holds of the account."""
        other = copy.copy(self)
        other._cache = cache  # noqa: SLF001 - of this very class
        return other

    def cached(self, key: Hashable, read: Callable[[], T], *, seconds: float | None = None) -> T:
        """What `read` answers: each time, or now and then where the door is one that keeps (`ReadCache.get`)."""
        return read() if self._cache is None else self._cache.get(key, read, seconds=seconds)

    def forget(self) -> None:
        """Read anew what is cached."""
        if self._cache is not None:
            self._cache.forget()

    @property
    def account(self) -> str:
        """The caller's account, 12 digits. Raises AwsRefused when STS does not take the credentials."""
        with self._lock:
            if not self._account:
                sts = self.client("sts")
                with refusals("GetCallerIdentity"):
                    self._account = sts.get_caller_identity()["Account"]
            return self._account

    def owned(self) -> dict[str, Any]:
        """``ExpectedBucketOwner`` for S3 calls: bytes never go to a bucket that became another account's.

        Empty for a stand-in for S3 that has no STS to tell the account. Raises AwsRefused as `account` does.
        """
        owner = self.bucket_owner
        return {"ExpectedBucketOwner": owner} if owner else {}

    @property
    def bucket_owner(self) -> str:
        """The account whose buckets are ours, "" on a stand-in for S3 that has no STS.

        Raises VmieError when STS was there and failed: a job's identity holds the account, and an answer that failed
        is no empty answer.
        """
        with self._lock:
            if self._account or self._no_account or not self._stands_in():
                return "" if self._no_account else self.account
            try:
                sts = self.once("sts")
                with refusals("GetCallerIdentity"):
                    self._account = sts.get_caller_identity()["Account"]
            except VmieError as error:
                if error.passing and error.code not in _NO_STS:
                    return self.account
                self._no_account = True
            return self._account

    def _stands_in(self) -> bool:
        """Whether S3 is somebody else's: MinIO, SeaweedFS, a sandbox."""
        return self._session is not None and not client_config.is_aws(self.client("s3").meta.endpoint_url)

    @overload
    def client(self, service: Literal["ec2"], *, region: str | None = None) -> EC2Client: ...
    @overload
    def client(self, service: Literal["s3"], *, region: str | None = None) -> S3Client: ...
    @overload
    def client(self, service: Literal["iam"], *, region: str | None = None) -> IAMClient: ...
    @overload
    def client(self, service: Literal["sts"], *, region: str | None = None) -> STSClient: ...
    @overload
    def client(self, service: Literal["kms"], *, region: str | None = None) -> KMSClient: ...
    @overload
    def client(self, service: Literal["ebs"], *, region: str | None = None) -> EBSClient: ...
    @overload
    def client(self, service: str, *, region: str | None = None) -> Any: ...
    def client(self, service: str, *, region: str | None = None) -> Any:
        """The client of `service` in `region` (default: this Region), made once."""
        key = (service, region or self.region)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._made(service, key[1])
            return self._clients[key]

    def once(self, service: str) -> Any:
        """Like `client(service)`, but each call is tried once: for calls that must not be made twice.

        A client that was handed in is used as it is.
        """
        if self._session is None:
            return self.client(service)
        key = (f"{service} once", self.region)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._made(service, self.region, once=True)
            return self._clients[key]

    def transfer(
        self,
        *,
        region: str | None = None,
        accelerate: bool = False,
        connect_timeout: float = 10.0,
        read_timeout: float = STALL,
        connections: int = CONNECTIONS,
    ) -> Any:
        """The S3 client that sends bodies: every call is tried once, the caller decides what is tried again.

        A body is not hashed for the signature: callers give each a checksum header, which is signed and which S3
        holds the body to. (botocore would hash it a second time, on https too when the header is the caller's.)
        The time-outs are seconds of silence. A client that was handed in is used as it is.
        """
        if self._session is None:
            return self.client("s3", region=region)
        if accelerate and self._stands_in():
            raise UsageError(
                says("{accelerate} goes to S3 itself only"),
                cause="another endpoint is named",
                cure=(Drop(("accelerate",)), Drop(("endpoint_url",))),
            )
        tuned = Config(
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            max_pool_connections=connections,
        )
        where = region or self.region
        key = (f"s3 transfer {accelerate} {connect_timeout} {read_timeout} {connections}", where)
        with self._lock:
            if key not in self._clients:
                s3: dict[str, Any] = {"payload_signing_enabled": False}
                if accelerate:
                    s3 |= {"use_accelerate_endpoint": True, "addressing_style": "virtual"}
                self._clients[key] = self._made("s3", where, once=True, tuned=tuned, s3=s3)
            return self._clients[key]

    def credentials(self) -> CredentialFacts | None:
        """What is known of the credentials; None when there is no session behind this door."""
        if self._session is None:
            return None
        with self._lock:
            return facts_of(self._session)

    def _made(self, service: str, region: str, **tuning: Any) -> Any:
        if self._factory is None:
            raise KeyError(f"no {service} client was handed in for {region}")
        return self._factory.make(service, region, **tuning)


def connect(
    *,
    profile: str | None = None,
    region: str | None = None,
    endpoint_url: str | None = None,
    reporter: events.Reporter = events.silent,
    clock: Clock | None = None,
    stall: float = STALL,
) -> Aws:
    """Open the door with the usual chain of credentials and Regions.

    Raises UsageError for a profile that does not exist and for a missing or impossible Region, AwsRefused
    (exit 5) when there are no credentials.
    """
    session, chosen = chain.session_of(profile, region)
    partition = chain.partition_of(session, chosen, endpoint_url=endpoint_url)
    chain.expect_credentials(session)
    return Aws(
        session,
        region=chosen,
        partition=partition,
        endpoint_url=endpoint_url,
        reporter=reporter,
        clock=clock,
        stall=stall,
    )
