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

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vmie.errors import UsageError

if TYPE_CHECKING:
    from vmie.sandbox.sandbox import Sandbox
    from vmie.sandbox.service.content import Verdict
    from vmie.sandbox.service.guests import judged
    from vmie.sandbox.service.lifecycle import Limits

__all__ = ["DEFAULT_SPEED", "Limits", "Sandbox", "environment", "judged", "serve", "start"]

#: seconds of AWS's work per second: an import, half an hour of work, takes a second and a half
DEFAULT_SPEED = 1200.0
#: of the seeded user; any other is taken too, as nobody's in particular
ACCESS_KEY = "AKIAVMIESANDBOX00000"
#: what is seeded
BUCKET = "vmie-sandbox"
ROLE = "vmimport"


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
    handle = _imported("vmie.sandbox.sandbox")
    with handle.in_process(seeded=seeded, region=region, speed=speed, limits=limits, verdict=verdict, seed=seed) as box:
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
    _imported("vmie.sandbox.front.server")
    handle = _imported("vmie.sandbox.sandbox")
    with handle.over_http(
        host=host, port=port, seeded=seeded, region=region, speed=speed, limits=limits, verdict=verdict, seed=seed
    ) as box:
        yield box


def _imported(module: str) -> Any:
    """A module that needs moto, imported. Raises UsageError where the extra is not installed."""
    # moto opens a boto session while it is imported: a profile of the user's that is broken must not break this.
    aside = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AWS_")}
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the sandbox needs {error.name}, which is not installed",
            cause="it is an extra: vmie without it talks to AWS only",
            cure="pip install 'vmie[sandbox]'",
            code="NoSandbox",
        ) from error
    finally:
        del os.environ["AWS_CONFIG_FILE"], os.environ["AWS_SHARED_CREDENTIALS_FILE"]
        os.environ |= aside


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


_HOMES = {"Sandbox": "sandbox", "Limits": "service.lifecycle", "judged": "service.guests"}


def __getattr__(name: str) -> Any:
    """`Sandbox`, `Limits` and `judged`, imported when asked for."""
    if name in _HOMES:
        return getattr(_imported(f"vmie.sandbox.{_HOMES[name]}"), name)
    raise AttributeError(name)
