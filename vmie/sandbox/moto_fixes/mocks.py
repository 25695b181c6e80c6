"""moto's own `mock_aws` beside a sandbox: they share moto's state, so either would empty the other's.

Beyond that the end of a `mock_aws` would switch moto off for the sandbox, and its calls would go to AWS.
"""

from __future__ import annotations

from typing import Any, NoReturn

from moto.core.models import MockAWS

from vmie.sandbox.patching import Patcher

_ADVICE = "both are moto, with one state: use one of them at a time"


def require_none() -> None:
    """Raises RuntimeError while a `mock_aws` is active, as decorator, context manager or by `start`."""
    if MockAWS._nested_count > 0:  # noqa: SLF001
        raise RuntimeError(f"a sandbox cannot begin while moto's mock_aws is active: {_ADVICE}")


def install(patcher: Patcher) -> None:
    """Refuse `mock_aws` as long as the sandbox runs."""
    patcher.attribute(MockAWS, "start", _refuse)
    # moto counts its mocks: one that could not start must not be counted when it stops
    patcher.attribute(MockAWS, "stop", _refuse)


def _refuse(self: Any, *_args: Any, **_kwargs: Any) -> NoReturn:
    raise RuntimeError(f"moto's mock_aws cannot be used while a sandbox runs in this process: {_ADVICE}")
