"""moto's state: kept by nothing but what shows it while a sandbox runs, and gone altogether when it ends."""

from __future__ import annotations

from typing import Any

from moto.core.base_backend import BackendDict, backend_lock
from moto.core.common_models import BaseModel
from moto.core.model_instances import reset_model_data
from moto.s3.models import s3_backends

from vmie.sandbox.patching import Patcher


def install(patcher: Patcher) -> None:
    """moto lists every object that it ever made, for its dashboard: what S3 deletes would stay in memory."""
    patcher.attribute(BaseModel, "__new__", staticmethod(_untracked))


def _untracked(cls: type[Any], *_args: Any, **_kwargs: Any) -> Any:
    return object.__new__(cls)


def drop() -> None:
    """Empty every backend. moto's own reset makes each of them anew, and its caches keep those."""
    with backend_lock:
        instances: Any = BackendDict._instances  # type: ignore[misc] # noqa: SLF001
        for backends in list(instances):
            for account in list(backends.values()):
                account.clear()
            backends.clear()
        instances.clear()
    s3_backends.bucket_accounts.clear()
    reset_model_data()
