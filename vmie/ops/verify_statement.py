"""What a comparison of snapshots came to, and the in-toto Statement about it.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from vmie._version import __version__
from vmie.aws.ebs.client import BLOCK
from vmie.escaping import json_text
from vmie.ops.diff import Difference

STATEMENT = "https://in-toto.io/Statement/v1"
#: the page says what the fields mean
PREDICATE = "https://vmie.github.io/vmie/how-to/prove-a-snapshot/#statement-v1"


@dataclass(frozen=True, slots=True)
class VerifiedSnapshot:
    """One snapshot against what was sent: `source` says what, `name` is the disk's file.

    `blocks` of its volume, `free_blocks` of them differ in free space alone. `by` is "disk" or "digests". `difference`
    is of whole blocks; `sha256` of the volume, and `source_sha256` of the disk of `source_size` bytes in it, are ""
    where no statement was asked for. `why` says what stands against it.
    """

    snapshot_id: str
    source: str
    name: str
    by: str
    source_size: int
    size: int
    blocks: int
    difference: Difference
    free_blocks: int = 0
    sha256: str = ""
    source_sha256: str = ""
    why: str = ""

    @property
    def identical(self) -> bool:
        """Whether it holds what was sent."""
        return self.difference.equal and not self.why

    @property
    def different_blocks(self) -> int:
        """How many blocks differ."""
        return self.difference.differing // BLOCK

    def as_json(self) -> dict[str, Any]:
        """One element of ``snapshots[]``."""
        told = self.difference.as_json()
        kept = ("ranges", "more_ranges", "files", "more_files", "unread")
        return {
            "snapshot_id": self.snapshot_id,
            "source": self.source,
            "by": self.by,
            "identical": self.identical,
            "why": self.why or None,
            "blocks": self.blocks,
            "blocks_read": self.difference.blocks_read,
            "blocks_different": self.different_blocks,
            "blocks_free": self.free_blocks,
            **{name: told[name] for name in kept},
        }


@dataclass(frozen=True, slots=True)
class Verified:
    """What `vmie verify` came to; `statement` is the file that was written, "" for none."""

    snapshots: tuple[VerifiedSnapshot, ...]
    statement: str = ""

    @property
    def identical(self) -> bool:
        """Whether every snapshot holds what was sent."""
        return all(one.identical for one in self.snapshots)

    @property
    def blocks(self) -> int:
        """The blocks that were compared: all of the snapshots' volumes; holes on both sides need no reading."""
        return sum(one.blocks for one in self.snapshots)

    def as_json(self) -> dict[str, Any]:
        """The contracted ``result``."""
        each = [one.as_json() for one in self.snapshots]
        return {
            "identical": self.identical,
            "blocks": self.blocks,
            **{name: sum(one[name] for one in each) for name in ("blocks_read", "blocks_different")},
            "statement": self.statement or None,
            "snapshots": each,
        }


def statement(found: Verified, *, at: dt.datetime) -> bytes:
    """The Statement that identical snapshots are so; `at` is when that was found."""
    compared = [
        {
            "snapshot": one.snapshot_id,
            "source": {
                "name": one.name,
                "size": one.source_size,
                **({"digest": {"sha256": one.source_sha256}} if one.source_sha256 else {}),
            },
            "comparedWith": one.by,
            "volumeSize": one.size,
            "blockSize": BLOCK,
            "blocks": one.blocks,
            "blocksRead": one.difference.blocks_read,
            "blocksFree": one.free_blocks,
        }
        for one in found.snapshots
    ]
    whole = {
        "_type": STATEMENT,
        "subject": [{"name": one.snapshot_id, "digest": {"sha256": one.sha256}} for one in found.snapshots],
        "predicateType": PREDICATE,
        "predicate": {
            "verifier": {"name": "vmie", "version": __version__},
            "timeVerified": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "result": "identical",
            "compared": compared,
        },
    }
    return json_text(whole, indent=2, ascii_only=True).encode() + b"\n"
