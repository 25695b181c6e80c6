"""AWS offline: moto, and the VM Import/Export actions that moto lacks.

    with sandbox.start(seeded=True) as box:      # boto3 in this process talks to the sandbox
        box.faults.throttle("ImportImage", times=3)
        box.client("ec2").import_image(...)
        box.stats.tasks["import-image"]

    with sandbox.serve(port=4566) as box:        # any AWS client: box.url
        box.join()

The rooms, each importing only from those to its right (a contract of import-linter):

    sandbox ─► front (in process, HTTP, control) ─► emulator, seed ─► service ─► moto_fixes ─► storage, clock, stats

A request passes: front ─► fault injection ─► moto ─► an action of the service ─► its task, moved on by the clock.
Nothing here is imported until `start` or `serve` is called: moto takes half a second.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Unpack

from vmie import posix
from vmie.errors import Run, UsageError
from vmie.installation import add_extra
from vmie.sandbox.defaults import BUCKET, DEFAULT_SPEED, ROLE, SPEEDS, environment, speed_of
from vmie.sandbox.options import SandboxOptions
from vmie.sandbox.patching import Patcher

if TYPE_CHECKING:
    from vmie.sandbox.sandbox import Sandbox
    from vmie.sandbox.service.guest_verdict import rules_verdict
    from vmie.sandbox.service.task_service import Quotas

__all__ = [
    "BUCKET",
    "DEFAULT_SPEED",
    "ROLE",
    "SPEEDS",
    "Quotas",
    "Sandbox",
    "SandboxOptions",
    "environment",
    "rules_verdict",
    "serve",
    "speed_of",
    "start",
]


@contextmanager
def start(**options: Unpack[SandboxOptions]) -> Iterator[Sandbox]:
    """A sandbox for this process: every boto3 client made inside the block talks to it, and none to AWS.

    The environment's AWS settings are replaced by made-up ones until the block ends. Raises RuntimeError when a
    sandbox runs already.
    """
    with _imported("vmie.sandbox.sandbox").in_process(**options) as box:
        yield box


@contextmanager
def serve(
    *, host: str = "127.0.0.1", port: int = 0, allow_hosts: Iterable[str] = (), **options: Unpack[SandboxOptions]
) -> Iterator[Sandbox]:
    """A sandbox that listens on a loopback address, for any AWS client; port 0 takes a free one (`Sandbox.url`).

    It answers under the names of loopback at its port, and under `allow_hosts` at any port. Raises UsageError for
    another address or a port in use, RuntimeError when a sandbox runs already.
    """
    _imported("vmie.sandbox.front.server")
    with _imported("vmie.sandbox.sandbox").over_http(host=host, port=port, allow_hosts=allow_hosts, **options) as box:
        yield box


def _imported(module: str) -> Any:
    """A module that needs moto, imported. Raises UsageError where the extra is not installed."""
    posix.require("the sandbox and its tests")
    # moto opens a boto session while it is imported: a broken profile of the user must not break this.
    aside = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AWS_")}
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    patcher = Patcher()
    try:
        files = importlib.import_module("vmie.sandbox.model_files")
        return files.import_with(patcher, lambda: importlib.import_module(module))
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the sandbox needs {error.name}, which is not installed",
            cause="it is an extra: vmie without it talks to AWS only",
            cure=Run(add_extra("sandbox")),
            code="NoSandbox",
        ) from error
    finally:
        patcher.undo()
        del os.environ["AWS_CONFIG_FILE"], os.environ["AWS_SHARED_CREDENTIALS_FILE"]
        os.environ |= aside


_HOMES = {"Sandbox": "sandbox", "Quotas": "service.task_service", "rules_verdict": "service.guest_verdict"}


def __getattr__(name: str) -> Any:
    """`Sandbox`, `Quotas` and `rules_verdict`, imported when asked for."""
    if name in _HOMES:
        return getattr(_imported(f"vmie.sandbox.{_HOMES[name]}"), name)
    raise AttributeError(name)
