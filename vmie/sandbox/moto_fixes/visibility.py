"""moto's snapshots, images, roles and buckets as a distributed service shows them: see `vmie.sandbox.appearance`.

Sources: IAM User Guide, "Troubleshoot general issues" (eventual consistency); Amazon S3 User Guide, "Amazon S3 data
consistency model" (bucket configurations); EC2 API reference, "Eventual consistency"; coldsnap #43, #56 (snapshots).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.ec2.models import EC2Backend
from moto.iam.models import IAMBackend
from moto.s3.exceptions import MissingBucket
from moto.s3.models import S3Backend

from vmie.sandbox.appearance import Appearing
from vmie.sandbox.patching import Patcher

_HELD = ((EC2Backend, ("snapshots", "amis")), (IAMBackend, ("roles",)), (S3Backend, ("buckets",)))


def install(patcher: Patcher, *, now: Callable[[], float], delay: Callable[[], float]) -> None:
    """New ones are hidden for `delay` seconds of `now`."""
    for backend, names in _HELD:
        patcher.attribute(backend, "__init__", _init(backend.__init__, names, now=now, delay=delay))
    patcher.attribute(S3Backend, "get_bucket", _get_bucket(S3Backend.get_bucket))


def _init(original: Any, names: tuple[str, ...], *, now: Callable[[], float], delay: Callable[[], float]) -> Any:
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        for name in names:
            setattr(self, name, Appearing(getattr(self, name), now=now, delay=delay))

    return init


def _get_bucket(original: Any) -> Any:
    def get_bucket(self: Any, bucket_name: str) -> Any:
        # moto would look for it in all accounts, and come back here
        if isinstance(self.buckets, Appearing) and self.buckets.hides(bucket_name):
            raise MissingBucket(bucket=bucket_name)
        return original(self, bucket_name)

    return get_bucket
