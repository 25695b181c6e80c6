"""What `start` and `serve` hand out, and how they begin and end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3

from vmie.sandbox import environment, seed
from vmie.sandbox.clock import SandboxClock
from vmie.sandbox.emulator import World
from vmie.sandbox.front import intercept
from vmie.sandbox.front.fault_injection import Faults
from vmie.sandbox.moto_fixes.patching import Patches
from vmie.sandbox.service.content import Verdict, unjudged
from vmie.sandbox.service.durations import Durations
from vmie.sandbox.service.lifecycle import Limits
from vmie.sandbox.stats import Stats

if TYPE_CHECKING:
    from vmie.sandbox.front.server import Server


class Sandbox:
    """A running sandbox: `faults` to inject, `stats` to read, `limits` and `durations` to set, `clock` to move."""

    def __init__(self, world: World, *, region: str, server: Server | None = None) -> None:
        self._world = world
        self._server = server
        self.region = region
        self.url = server.url if server else ""
        self.clock: SandboxClock = world.clock
        self.faults: Faults = world.faults
        self.stats: Stats = world.stats
        self.limits: Limits = world.service.limits
        self.durations: Durations = world.service.durations
        made_up = environment(self.url)
        self._session = boto3.Session(
            aws_access_key_id=made_up["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=made_up["AWS_SECRET_ACCESS_KEY"],
        )

    def client(self, service: str, *, region: str | None = None) -> Any:
        """A boto3 client of this sandbox."""
        # one session, for a new one reads EC2's model again, which takes longer than most imports here
        return self._session.client(service, region_name=region or self.region, endpoint_url=self.url or None)  # type: ignore[call-overload]

    def advance(self, seconds: float) -> None:
        """Let `seconds` go by, on the calendar and in AWS's work."""
        self.clock.advance(seconds)

    def put_disk(self, bucket: str, key: str, *, size: int) -> None:
        """Put a raw disk of `size` bytes with one Linux partition into a bucket; it takes no room, whatever its size.

        Raises ValueError for a bucket that is not there and for an impossible size.
        """
        self._world.put_disk(bucket, key, size)

    def environment(self) -> dict[str, str]:
        """The variables that point another process here; only of a sandbox that listens."""
        return environment(self.url, region=self.region)

    def join(self) -> None:
        """Wait until the process is interrupted; only of a sandbox that listens."""
        if self._server:
            self._server.join()


@contextmanager
def _world(
    *, seeded: bool, region: str, speed: float, limits: Limits | None, verdict: Verdict | None, seed_: int
) -> Iterator[World]:
    patches = Patches()
    # Hundreds of images of Amazon's would be made per Region, each with a volume and a snapshot.
    patches.item(os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    # Before moto makes its first backend: it asks boto for a session, which a user's broken profile would break.
    _enter_environment(patches, region)
    world = World(clock=SandboxClock(speed=speed), limits=limits or Limits(), verdict=verdict or unjudged, seed=seed_)
    try:
        world.open()
        try:
            if seeded:
                seed.plant(region, world.contents)
                world.book.record()
            yield world
        finally:
            world.close()
    finally:
        patches.undo()


@contextmanager
def in_process(
    *, seeded: bool, region: str, speed: float, limits: Limits | None, verdict: Verdict | None, seed: int
) -> Iterator[Sandbox]:
    """See `vmie.sandbox.start`."""
    patches = Patches()
    with _world(seeded=seeded, region=region, speed=speed, limits=limits, verdict=verdict, seed_=seed) as world:
        try:
            # a default session made before would go to AWS
            patches.attribute(boto3, "DEFAULT_SESSION", None)
            intercept.install(patches, world)
            yield Sandbox(world, region=region)
        finally:
            patches.undo()


@contextmanager
def over_http(
    *,
    host: str,
    port: int,
    seeded: bool,
    region: str,
    speed: float,
    limits: Limits | None,
    verdict: Verdict | None,
    seed: int,
) -> Iterator[Sandbox]:
    """See `vmie.sandbox.serve`."""
    from vmie.sandbox.front.server import Server, require_loopback  # noqa: PLC0415 - flask is of use to a server only

    require_loopback(host)
    with _world(seeded=seeded, region=region, speed=speed, limits=limits, verdict=verdict, seed_=seed) as world:
        server = Server(world, host=host, port=port)
        world.addresses.add(urlsplit(server.url).netloc)
        server.start()
        try:
            yield Sandbox(world, region=region, server=server)
        finally:
            server.stop()


def _enter_environment(patches: Patches, region: str) -> None:
    """Made-up credentials, and nothing of the user's that could lead a client elsewhere."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            patches.item(os.environ, name, None)
    for name, value in environment("", region=region).items():
        if value:
            patches.item(os.environ, name, value)
    patches.item(os.environ, "AWS_CONFIG_FILE", os.devnull)
    patches.item(os.environ, "AWS_SHARED_CREDENTIALS_FILE", os.devnull)
