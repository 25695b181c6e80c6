"""The service as AWS runs it, offline: moto plus the VM Import/Export actions moto lacks.

    with sandbox.start(seeded=True) as box:      # boto3 of this process talks to the sandbox
        box.faults.throttle("ImportImage", times=3)
        box.client("ec2").import_image(...)
        box.stats.tasks["import-image"]

    with sandbox.serve(port=4566) as box:        # any AWS client: box.url
        box.join()

Inside, from the door inwards:

    intercept │ server + control ──► gate (faults, stats) ──► moto ──► actions ──► requests, admission
                                                                 └──► service: tasks, quotas, tokens
                                                                       └──► imports, exports ──► content, compute

Nothing here is imported until `start` or `serve` is called: moto takes half a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmie.sandbox.content import Verdict
    from vmie.sandbox.guests import judged
    from vmie.sandbox.handle import Sandbox
    from vmie.sandbox.service import Limits

__all__ = ["DEFAULT_SPEED", "Limits", "Sandbox", "environment", "judged", "serve", "start"]

#: seconds of AWS's work per second: an import, half an hour of work, takes a second and a half
DEFAULT_SPEED = 1200.0
#: of the seeded user; any other is taken too, as nobody's in particular
ACCESS_KEY = "AKIAVMIESANDBOX00000"


@contextmanager
def start(
    *,
    seeded: bool = False,
    region: str = "us-east-1",
    speed: float = DEFAULT_SPEED,
    limits: Limits | None = None,
    verdict: Verdict | None = None,
    seed: int = 0,
) -> Iterator[Sandbox]:
    """A sandbox for this process: every boto3 client made inside the block talks to it, and none to AWS.

    `seeded` plants the bucket, role and instance of `vmie.sandbox.seed`. `speed` 0 is a clock moved by
    `Sandbox.advance`. `verdict` judges the guests of ImportImage: by default any guest on a partitioned disk is
    taken; `judged` fails those that vmie's own rules foresee to fail. The environment's AWS settings are
    replaced by made-up ones until the block ends. Raises RuntimeError when a sandbox runs already.
    """
    from vmie.sandbox.handle import in_process  # noqa: PLC0415

    with in_process(seeded=seeded, region=region, speed=speed, limits=limits, verdict=verdict, seed=seed) as box:
        yield box


@contextmanager
def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    seeded: bool = False,
    region: str = "us-east-1",
    speed: float = DEFAULT_SPEED,
    limits: Limits | None = None,
    verdict: Verdict | None = None,
    seed: int = 0,
) -> Iterator[Sandbox]:
    """A sandbox that listens on a loopback address, for any AWS client; port 0 takes a free one (`Sandbox.url`).

    Raises UsageError for another address or a port in use, RuntimeError when a sandbox runs already.
    """
    from vmie.sandbox.handle import over_http  # noqa: PLC0415

    with over_http(
        host=host, port=port, seeded=seeded, region=region, speed=speed, limits=limits, verdict=verdict, seed=seed
    ) as box:
        yield box


def environment(url: str, *, region: str = "us-east-1") -> dict[str, str]:
    """What a client needs in its environment to talk to the sandbox at `url` and to nobody else."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": "sandbox",  # made up: the sandbox takes any
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def __getattr__(name: str) -> Any:
    """`Sandbox`, `Limits` and `judged`, imported when asked for."""
    if name == "Sandbox":
        from vmie.sandbox.handle import Sandbox  # noqa: PLC0415

        return Sandbox
    if name == "Limits":
        from vmie.sandbox.service import Limits  # noqa: PLC0415

        return Limits
    if name == "judged":
        from vmie.sandbox.guests import judged  # noqa: PLC0415

        return judged
    raise AttributeError(name)
