"""What `aws.upload` sends: a file as it is, or a disk re-streamed while it goes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from vmie import disk
from vmie.aws.parts import CHUNK, Buffer, Part
from vmie.disk import stream
from vmie.disk.base import FileSource
from vmie.errors import ImageError


class FilePayload:
    """A file sent as it is. A part is read when it is hashed and again when it is sent: no size of part costs memory.

    Close it when all are sent.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._source = FileSource(path)
        self.bound = self.source_size = size

    def parts(self, part_size: int) -> Iterator[Part]:
        """See `vmie.aws.parts.Payload`."""
        for number, offset in enumerate(range(0, max(1, self.bound), part_size), start=1):
            length = min(self.bound - offset, part_size)
            yield Part(number, length, partial(self._chunks, offset, length), offset + length)

    def _chunks(self, offset: int, length: int) -> Iterator[memoryview]:
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


class StreamPayload:
    """A disk re-streamed as `method` (vmdk, vhd, raw) while it is sent; deterministic, so it resumes."""

    def __init__(self, opened: disk.Disk, method: str) -> None:
        self._disk = opened
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
        yield _generated(number + 1, pieces, max(self.read, self.source_size))

    def close(self) -> None:
        """Close the disk."""
        self._disk.close()

    def _progress(self, read: int) -> None:
        self.read = read


def _generated(number: int, pieces: list[Buffer], source_end: int) -> Part:
    size = sum(map(len, pieces))
    return Part(number, size, lambda: iter(pieces), source_end, held=size)
