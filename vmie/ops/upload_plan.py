"""What an upload will send, and the watch over its source while it is sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmie.aws.parts import Part
from vmie.errors import Cure, ImageError
from vmie.model import Finding, S3Object
from vmie.ops import ingest, payloads
from vmie.ops.file_identity import FileIdentity

#: another one when the same source gives other bytes
_TOKEN_VERSION = 2
#: the code of an upload whose source did not stay as it was
SOURCE_CHANGED = "SourceChanged"


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """What will be sent where. `index`, `machine` and `empty_disks` pick a disk of an appliance; sizes are bytes.

    `left_out`: data that lies in what file systems call free, and is sent as zeros unless `keep_free`.
    """

    path: Path
    target: S3Object
    choice: ingest.Choice
    identity: FileIdentity
    source_size: int
    bound: int
    index: int | None = None
    machine: str = ""
    empty_disks: bool = False
    region: str | None = None
    notes: tuple[str, ...] = ()
    keep_free: bool = False
    left_out: int = 0
    #: the files of the machine that is mended on the way
    repair_of: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """None: nothing is judged."""
        return ()

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        return {
            "source": str(self.path),
            "object": self.target.url,
            **self.choice.as_json(),
            "bytes_source": self.source_size,
            "bytes_at_most": self.bound,
            "bytes_left_out": self.left_out,
            "notes": list(self.notes),
        }

    @property
    def token(self) -> str:
        """Stands for this content in this form: kept with the object, so that it is known for what it is."""
        identity = [_TOKEN_VERSION, self.identity.as_json(), self.choice.method, self.index, self.keep_free]
        identity += [self.machine, self.empty_disks] if self.machine or self.empty_disks else []
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


class WatchedPayload:
    """A payload whose file must stay as it was when the plan was made."""

    def __init__(self, plan: UploadPlan, payload: payloads.FilePayload | payloads.StreamPayload) -> None:
        self._plan = plan
        self._payload = payload
        self.bound = payload.bound
        self.source_size = payload.source_size

    @property
    def read(self) -> int:
        """Bytes read of the source so far."""
        return self._payload.read

    def parts(self, part_size: int) -> Iterator[Part]:
        """The parts, in order; raises ImageError (SourceChanged) when the file changes meanwhile."""
        for part in self._payload.parts(part_size):
            if self._plan.identity.touched(self._plan.path):
                raise self._was_changed()
            yield part

    def settled(self) -> None:
        """Look once more before there is an object. Raises ImageError."""
        self._payload.settle()
        if FileIdentity.of(self._plan.path) != self._plan.identity:
            raise self._was_changed()

    def close(self) -> None:
        """Close the source."""
        self._payload.close()

    def _was_changed(self) -> ImageError:
        return source_changed(self._plan.path, "while it was uploaded", "")


def source_changed(path: Path, when: str, cure: Cure) -> ImageError:
    """The error of an upload whose source is another than the one that it began with."""
    return ImageError(
        f"{path} was changed {when}",
        cause="an upload of two contents would mix them",
        cure=cure,
        code=SOURCE_CHANGED,
    )
