"""A world that goes out of a running sandbox, and one that comes in: `GET /_vmie/save` and `POST /_vmie/load`.

The bytes travel in the body. A path in a request would let whoever reaches the port read and write files.
"""

from __future__ import annotations

import tempfile
from typing import BinaryIO, cast

from vmie.errors import UsageError
from vmie.sandbox.emulator import Emulator
from vmie.sandbox.world import archive
from vmie.sandbox.world.populate import populate
from vmie.sandbox.world.saving import saved

_COPY = 1 << 20


def save(emulator: Emulator) -> BinaryIO:
    """The sandbox's world in an unnamed file, at its beginning."""
    file = cast("BinaryIO", tempfile.TemporaryFile(prefix="vmie-world-"))  # noqa: SIM115 - whoever sends it closes it
    with emulator.paused():
        archive.write(saved(emulator), file)
    file.seek(0)
    return file


def load(emulator: Emulator, body: BinaryIO, length: int) -> None:
    """Begin anew with the world in `length` bytes of a body. Raises UsageError and is then as at first."""
    file = cast("BinaryIO", tempfile.TemporaryFile(prefix="vmie-world-"))  # noqa: SIM115 - read again by each reset
    while length > 0 and (data := body.read(min(_COPY, length))):
        file.write(data)
        length -= len(data)
    if length > 0:
        file.close()
        raise UsageError("the saved world did not arrive whole", cure="send it again", code="SeedRefused")
    file.seek(0)
    source = archive.unpack(file, name="sent")

    def begin(emulator: Emulator) -> None:
        populate(source, emulator)
        if source.world.propagation is not None:
            emulator.faults.propagation = source.world.propagation

    emulator.reset(begin)
