"""A running sandbox, as `start` and `serve` yield it, and how it begins and ends."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import urlsplit

import boto3

from vmie.disk.base import Disk
from vmie.sandbox import defaults, model_files
from vmie.sandbox.access.organization import Organization
from vmie.sandbox.clock import SandboxClock
from vmie.sandbox.defaults import DEFAULT_SPEED, environment, speed_of
from vmie.sandbox.emulator import Emulator, only_one
from vmie.sandbox.fault_injection import FaultInjector
from vmie.sandbox.front import intercept
from vmie.sandbox.moto_fixes import mocks
from vmie.sandbox.options import SandboxOptions
from vmie.sandbox.patching import Patcher
from vmie.sandbox.seed import seed_account
from vmie.sandbox.service.durations import Durations
from vmie.sandbox.service.ebs.throttle import EbsLimits
from vmie.sandbox.service.task_service import Quotas
from vmie.sandbox.service.validation import GuestVerdict, any_guest
from vmie.sandbox.stats import Stats
from vmie.sandbox.world.archive import read
from vmie.sandbox.world.populate import populate
from vmie.sandbox.world.schema import World

if TYPE_CHECKING:
    from vmie.sandbox.front.server import Server


class Sandbox:
    """A running sandbox: `faults` to inject, `stats` to read, `limits` and `durations` to set, `clock` to move.

    `organization` holds service control policies over its accounts.
    """

    def __init__(self, emulator: Emulator, *, region: str, server: Server | None = None) -> None:
        self._emulator = emulator
        self._server = server
        self.region = region
        self.url = server.url if server else ""
        self.clock: SandboxClock = emulator.clock
        self.faults: FaultInjector = emulator.faults
        self.stats: Stats = emulator.stats
        self.organization: Organization = emulator.organization
        self.limits: Quotas = emulator.service.limits
        self.durations: Durations = emulator.service.durations
        self.ebs_limits: EbsLimits = emulator.ebs.limits
        made_up = environment(self.url)
        #: a boto3 session with the credentials of the sandbox's user
        self.session = boto3.Session(
            aws_access_key_id=made_up["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=made_up["AWS_SECRET_ACCESS_KEY"],
            region_name=region,
        )

    def client(self, service: str, *, region: str | None = None) -> Any:
        """A boto3 client of this sandbox."""
        # one session, for a new one reads EC2's model again, which takes longer than most imports here
        return self.session.client(service, region_name=region or self.region, endpoint_url=self.url or None)  # type: ignore[call-overload]

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, on the calendar and in AWS's work."""
        self.clock.advance(seconds)

    def reset(self) -> None:
        """Begin anew: tasks, storage, clock, faults, counts and settings are as they were at the start."""
        self._emulator.reset()

    def put_disk(self, bucket: str, key: str, *, size: int) -> None:
        """Put a raw disk of `size` bytes with one Linux partition into a bucket; it takes no space, whatever its size.

        Raises ValueError for a bucket that is not there and for an impossible size.
        """
        self._emulator.put_disk(bucket, key, size)

    def disk(self, resource_id: str) -> Disk | None:
        """What a snapshot or a volume holds, as an instance would read it; None for one that nobody wrote."""
        return self._emulator.contents.open(resource_id)

    def environment(self) -> dict[str, str]:
        """The variables that point another process here; only of a sandbox that listens."""
        return environment(self.url, region=self.region)

    def join(self) -> None:
        """Wait until the process is interrupted; only of a sandbox that listens."""
        if self._server:
            self._server.join()


@contextmanager
def _emulator(
    *,
    seeded: bool = False,
    region: str = "us-east-1",
    speed: float | str | None = None,
    limits: Quotas | None = None,
    verdict: GuestVerdict | None = None,
    seed: int = 0,
    propagation: float | None = None,
    appears_after: float | None = None,
    world: Path | str | None = None,
) -> Iterator[Emulator]:
    source = read(Path(world)) if world else None
    said = source.world if source else World()
    pace = next(one for one in (speed, said.speed, DEFAULT_SPEED) if one is not None)
    clock = SandboxClock(speed=speed_of(pace))

    def populate_all(emulator: Emulator) -> None:
        if seeded:
            seed_account(region, emulator.contents)
        if source:
            populate(source, emulator, quotas=limits is None)

    with only_one(), Patcher() as patcher:
        mocks.require_none()
        mocks.install(patcher)
        # Hundreds of images of Amazon's would be made per Region, each with a volume and a snapshot.
        patcher.item(os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        # Before moto makes its first backend: it asks boto for a session, which a user's broken profile would break.
        _enter_environment(patcher, region)
        model_files.share_models(patcher)
        emulator = Emulator(
            clock=clock,
            limits=limits or Quotas(),
            verdict=verdict or any_guest,
            seed=seed,
            region=region,
            propagation=next(one for one in (propagation, said.propagation, 0.0) if one is not None),
            appears_after=defaults.APPEARS_AFTER if appears_after is None else appears_after,
            populate=populate_all,
        )
        emulator.open()
        try:
            yield emulator
        finally:
            emulator.close()


@contextmanager
def in_process(**options: Unpack[SandboxOptions]) -> Iterator[Sandbox]:
    """See `vmie.sandbox.start`."""
    with _emulator(**options) as emulator, Patcher() as patcher:
        # a default session made before has other credentials
        patcher.attribute(boto3, "DEFAULT_SESSION", None)
        intercept.install(patcher, emulator)
        yield Sandbox(emulator, region=options.get("region", "us-east-1"))


@contextmanager
def over_http(
    *, host: str, port: int, allow_hosts: Iterable[str] = (), **options: Unpack[SandboxOptions]
) -> Iterator[Sandbox]:
    """See `vmie.sandbox.serve`."""
    from vmie.sandbox.front.origin import require_loopback, require_names  # noqa: PLC0415
    from vmie.sandbox.front.server import Server  # noqa: PLC0415 - only a server needs flask

    require_loopback(host)
    names = require_names(allow_hosts)
    with _emulator(**options) as emulator:
        server = Server(emulator, host=host, port=port, allow_hosts=names)
        own = urlsplit(server.url)
        emulator.addresses |= {own.netloc, *(f"{name}:{own.port}" for name in names)}
        server.start()
        try:
            yield Sandbox(emulator, region=options.get("region", "us-east-1"), server=server)
        finally:
            server.stop()


def _enter_environment(patcher: Patcher, region: str) -> None:
    """Made-up credentials, and none of the user's settings that could lead a client elsewhere."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            patcher.item(os.environ, name, None)
    for name, value in environment("", region=region).items():
        if value and (name.startswith("AWS_") or name not in os.environ):
            patcher.item(os.environ, name, value)
    patcher.item(os.environ, "AWS_CONFIG_FILE", os.devnull)
    patcher.item(os.environ, "AWS_SHARED_CREDENTIALS_FILE", os.devnull)
