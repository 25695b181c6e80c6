"""What an import came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmie.model import Route


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import came to (contract: ``import``). `status` is active when it was not waited for.

    `bytes_left_out`: data that lay in what file systems call free, and went as zeros.
    By EBS direct there is no object; the blocks of 512 KiB are those of all disks, and `parent` is the snapshot that
    the (first) one is based on. `proof` is the contract of ``boot``, where the AMI was proved. `seconds_sending` is 0
    where an earlier run sent some of it: its time is not known.
    """

    job: str
    route: Route
    status: str
    task_id: str | None
    image_id: str | None
    snapshot_ids: tuple[str, ...]
    object: str | None
    bytes_source: int
    bytes_sent: int
    seconds: float
    bucket_from: str | None = None
    instance_id: str | None = None
    volume_ids: tuple[str, ...] = ()
    bytes_left_out: int = 0
    via: str = "s3"
    blocks_written: int = 0
    blocks_skipped: int = 0
    parent: str | None = None
    parent_deleted: bool = False
    seconds_sending: float = 0.0
    #: the statement of a repair on the way, None without one
    repaired: Mapping[str, Any] | None = None
    proof: dict[str, Any] | None = None

    @property
    def volume_id(self) -> str | None:
        """The first volume."""
        return self.volume_ids[0] if self.volume_ids else None

    def as_json(self) -> dict[str, Any]:
        """The contracted shape."""
        named = ("blocks_written", "blocks_skipped", "parent", "parent_deleted")
        blocks = {name: getattr(self, name) for name in named}
        return {
            "job": self.job,
            "route": self.route.value,
            "status": self.status,
            "task_id": self.task_id,
            "image_id": self.image_id,
            "snapshot_ids": list(self.snapshot_ids),
            "instance_id": self.instance_id,
            "volume_id": self.volume_id,
            "volume_ids": list(self.volume_ids),
            "object": self.object,
            "bytes_source": self.bytes_source,
            "bytes_sent": self.bytes_sent,
            "bytes_left_out": self.bytes_left_out,
            "seconds": round(self.seconds, 3),
            "seconds_sending": round(self.seconds_sending, 3),
            "bucket_from": self.bucket_from,
            "via": self.via,
            **(blocks if self.via == "ebs" else {}),
            **({"repaired": self.repaired} if self.repaired is not None else {}),
            **({"proof": self.proof} if self.proof else {}),
        }


@dataclass(frozen=True, slots=True)
class Made:
    """What an import made."""

    image_id: str | None = None
    snapshot_ids: tuple[str, ...] = ()
    instance_id: str | None = None
    volume_ids: tuple[str, ...] = ()

    @property
    def ids(self) -> list[str]:
        """All of it, to be tagged."""
        one = [each for each in (self.image_id, self.instance_id) if each]
        return [*self.snapshot_ids, *one, *self.volume_ids]
