"""The verdict on a guest by vmie's own rules; AWS publishes no better ones."""

from __future__ import annotations

from collections.abc import Sequence

from vmie.disk.base import Disk
from vmie.model import Route
from vmie.ops.check import predict


def rules_verdict(disks: Sequence[Disk]) -> str | None:
    """The StatusMessage with which ImportImage would fail over `disks`, None when it would not."""
    return predict(disks, route=Route.IMAGE)
