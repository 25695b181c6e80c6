"""What `aws.upload` sends: a file as it is, or a disk re-streamed while it goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from vmie import disk
from vmie.aws.parts import CHUNK, Buffer, Part
from vmie.disk import stream
from vmie.disk.base import FileSource
from vmie.disk.integrity import FileCheck, ManifestCheck, PartCheck, manifest_of, refuse_faults
from vmie.disk.stream.parallel import cores
from vmie.errors import ImageError, Set
from vmie.ops import ingest

#: what is advised where a damaged file was refused
UNVERIFIED = Set("skip_verify", note="sends it all the same")


class FilePayload:
    """A file sent as it is. A part is read when it is hashed and again when it is sent: no size of part costs memory.

    With `verify` its bytes are judged when they are read for the first time: see `disk.integrity`. `notes` are what
    is odd and no damage. Close it when all are sent. Raises ImageError where the tables show damage.
    """

    def __init__(self, path: Path, size: int, *, verify: bool = False) -> None:
        self._check = FileCheck(path) if verify else None
        self._source = FileSource(path)
        self._turns = threading.BoundedSemaphore(cores())
        self.bound = self.source_size = size
        self.notes: Sequence[str] = self._check.notes if self._check else ()

    def parts(self, part_size: int) -> Iterator[Part]:
        """See `vmie.aws.parts.Payload`."""
        for number, offset in enumerate(range(0, max(1, self.bound), part_size), start=1):
            length = min(self.bound - offset, part_size)
            check = self._check.part(offset, offset + length, total=self.bound) if self._check else None
            yield Part(number, length, partial(self._chunks, offset, length, check), offset + length)

    def _chunks(self, offset: int, length: int, check: PartCheck | None) -> Iterator[memoryview]:
        """The range in pieces, each judged by `check` before it is given."""
        if check is None or check.done:
            yield from self._pieces(offset, length)
            return
        # More parts at once than cores would only be ready later, all of them, with nothing to send meanwhile.
        with self._turns:
            for piece in self._pieces(offset, length):
                check(offset, piece)
                offset += len(piece)
                yield piece
        check.done = True

    def settle(self) -> None:
        """Judge what only the whole shows, when all parts were read. Raises ImageError."""
        if self._check is not None:
            self._check.settle()

    def _pieces(self, offset: int, length: int) -> Iterator[memoryview]:
        """The range in pieces that stay in the processor's cache between reading and hashing or sending."""
        buffer = memoryview(bytearray(min(CHUNK, length)))
        while length > 0:
            read = self._source.preadinto(buffer[: min(len(buffer), length)], offset)
            if read == 0:
                raise ImageError("the file became shorter while it was read", cure="let nothing write to it")
            yield buffer[:read]
            offset, length = offset + read, length - read

    @property
    def read(self) -> int:
        """Bytes of the source that went into parts."""
        return self.bound

    def close(self) -> None:
        """Close the file."""
        self._source.close()
        if self._check is not None:
            self._check.close()


class StreamPayload:
    """A disk re-streamed as `method` (vmdk, vhd, raw) while it is sent; deterministic, so it resumes.

    `manifest` follows the reading, and is closed with it; `notes` are what is odd and no damage.
    """

    def __init__(
        self, opened: disk.Disk, method: str, *, manifest: ManifestCheck | None = None, notes: Sequence[str] = ()
    ) -> None:
        self._disk = opened
        self._manifest = manifest
        self.notes = (*notes, *(manifest.notes if manifest else ()))
        self._method = method
        #: bytes of the source that were read so far
        self.read = 0
        self.bound = stream.upper_bound(opened, method)
        self.source_size = opened.allocated_size

    def parts(self, part_size: int) -> Iterator[Part]:
        """See `vmie.aws.parts.Payload`. Pieces of the stream go into parts as they are, without a copy."""
        pieces: list[Buffer] = []
        length = number = 0
        for piece in stream.write(self._disk, self._method, progress=self._progress):
            rest = memoryview(piece)
            # The last part is held back: it may be short, and every other must be whole.
            while length + len(rest) > part_size:
                room = part_size - length
                number += 1
                yield _generated(number, [*pieces, rest[:room]], self.read)
                pieces, length, rest = [], 0, rest[room:]
            pieces.append(rest)
            length += len(rest)
            if self._manifest is not None:
                self._manifest.follow(self.read, self.source_size)
        yield _generated(number + 1, pieces, max(self.read, self.source_size))

    def settle(self) -> None:
        """Judge what only the whole shows, when all parts were made. Raises ImageError."""
        if self._manifest is not None:
            self._manifest.settle()

    def close(self) -> None:
        """Close the disk."""
        self._disk.close()
        if self._manifest is not None:
            self._manifest.close()

    def _progress(self, read: int) -> None:
        self.read = read


def payload(
    path: Path,
    selected: ingest.Sending,
    choice: ingest.Choice,
    *,
    size: int,
    index: int | None,
    verify: bool,
    layer: str | None = None,
) -> FilePayload | StreamPayload:
    """The bytes to send: the file of `size` bytes as it is, or its disk re-streamed. Raises ImageError.

    With `verify` damage is looked for on the way, and raised at the latest by `settle`. `layer` is as `ingest.opened`
    has it.
    """
    if choice.method == "as-is":
        return FilePayload(path, size, verify=verify)
    opened = ingest.to_send(path, selected, index=index, layer=layer)
    try:
        notes: list[str] = []
        manifest = None
        if verify:
            refuse_faults(opened, notes, as_is=False)
            if (opened.facts.get("appliance") or {}).get("manifest", {}).get("present"):
                machine, empty = selected.machine, selected.empty_disks
                manifest = manifest_of(path, index=index or 0, machine=machine, empty_disks=empty)
        return StreamPayload(opened, choice.method, manifest=manifest, notes=notes)
    except BaseException:
        opened.close()
        raise


def left_out(size: int) -> str:
    """What is told of `size` bytes of data that are not sent."""
    return f"{size / 2**20:,.0f} MiB of data lie in what the file systems call free, and are sent as zeros"


def _generated(number: int, pieces: list[Buffer], source_end: int) -> Part:
    size = sum(map(len, pieces))
    return Part(number, size, lambda: iter(pieces), source_end, held=size)
