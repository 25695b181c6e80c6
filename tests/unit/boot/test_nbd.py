"""The NBD server, judged by QEMU's own client and by clients that do what they may not."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools import need, run
from vmie import disk
from vmie.boot.nbd import NbdServer
from vmie.disk.overlay import Overlay
from vmie.errors import ImageError, UsageError

SIZE = (3 << 20) + 100


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short name: a socket's path has 107 bytes."""
    made = Path(tempfile.mkdtemp(prefix="nbd-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    data = bytearray(SIZE)
    data[1000:70_000] = random.Random(1).randbytes(69_000)
    data[-50:] = b"x" * 50
    path = tmp_path / "disk.raw"
    path.write_bytes(data)
    return path


def test_qemu_reads_what_the_disk_and_its_layer_hold(folder: Path, image: Path, tmp_path: Path) -> None:
    need("qemu-img")
    layer = Overlay(disk.open(image))
    layer.write(4090, b"changed over a page")
    with layer, NbdServer(layer, folder) as served:
        copy = tmp_path / "copy.raw"
        url = f"nbd:unix:{served.path}"
        run(["qemu-img", "convert", "-O", "raw", url, str(copy)])
        run(["qemu-img", "compare", "-f", "raw", "-F", "raw", url, str(copy)])
    expected = bytearray(image.read_bytes())
    expected[4090 : 4090 + 19] = b"changed over a page"
    assert copy.read_bytes() == bytes(expected) + bytes(-SIZE % 512)
    assert image.stat().st_size == SIZE
    assert not served.path.exists()


def test_several_requests_at_once_and_nothing_is_written(folder: Path, image: Path) -> None:
    with disk.open(image) as opened, NbdServer(opened, folder) as served, _client(served) as client:
        for cookie in range(40):
            client.sendall(_request(0, cookie, 1000 * cookie, 1000))
        answers = dict(_answer(client, 1000) for _ in range(40))
        data = image.read_bytes()
        assert answers == {cookie: (0, data[1000 * cookie : 1000 * cookie + 1000]) for cookie in range(40)}
        client.sendall(_request(1, 7, 0, 512) + bytes(512))
        assert _answer(client, 0) == (7, (1, b""))
        client.sendall(_request(3, 8, 0, 0))
        assert _answer(client, 0) == (8, (0, b""))
        for kind, offset, length in ((0, served.size, 1), (0, 2**64 - 1, 2), (0, 0, 2**32 - 1), (99, 0, 0)):
            client.sendall(_request(kind, 9, offset, length))
            cookie, (error, _) = _answer(client, 0)
            assert (cookie, error in (22, 75)) == (9, True)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 9,
        struct.pack(">I", 0xFFFFFFFF),
        struct.pack(">I", 3) + b"\xff" * 16,
        struct.pack(">I", 3) + struct.pack(">QII", 0x49484156454F5054, 7, 0xFFFFFFF0),
        struct.pack(">I", 3) + struct.pack(">QII", 0x49484156454F5054, 7, 4) + b"\xff\xff\xff\xff",
        struct.pack(">I", 3) + struct.pack(">QII", 0x49484156454F5054, 7, 6) + b"\xff" * 6,
        struct.pack(">I", 3) + struct.pack(">QII", 0x49484156454F5054, 77, 0) * 100,
    ],
)
def test_a_hostile_client_is_sent_away_and_the_next_is_served(folder: Path, image: Path, sent: bytes) -> None:
    with disk.open(image) as opened, NbdServer(opened, folder) as served:
        with _connected(served.path) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while client.recv(4096):
                    pass
        with _client(served) as client:
            client.sendall(_request(0, 1, 1000, 10))
            assert _answer(client, 10) == (1, (0, image.read_bytes()[1000:1010]))


def test_more_clients_than_there_is_room_for_are_sent_away(folder: Path, image: Path) -> None:
    with disk.open(image) as opened, NbdServer(opened, folder) as served:
        held = [_connected(served.path) for _ in range(16)]
        assert all(one.recv(18) for one in held)
        with _connected(served.path) as more:
            assert more.recv(18) == b""
        for one in held:
            one.close()


@pytest.mark.parametrize("error", [ImageError("the grain table is damaged"), RuntimeError("a fault of the reader")])
def test_what_cannot_be_read_is_an_error_of_the_disk_and_kept(folder: Path, image: Path, error: Exception) -> None:
    class Damaged(Overlay):
        def read(self, offset: int, length: int) -> bytes:
            raise error

    with Damaged(disk.open(image)) as opened, NbdServer(opened, folder) as served, _client(served) as client:
        client.sendall(_request(0, 1, 0, 512))
        assert _answer(client, 0) == (1, (5, b""))
        assert str(error) in str(served.failure)


def test_a_folder_too_deep_for_a_socket_is_refused(image: Path) -> None:
    with disk.open(image) as opened, pytest.raises(UsageError, match="too long"):
        NbdServer(opened, Path("/" + "x" * 120))


def _connected(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(os.fspath(path))
    return client


def _client(served: NbdServer) -> socket.socket:
    """A client after its handshake, by the name of the export."""
    client = _connected(served.path)
    assert client.recv(18).startswith(b"NBDMAGICIHAVEOPT")
    client.sendall(struct.pack(">IQII", 3, 0x49484156454F5054, 1, 0))
    size, flags = struct.unpack(">QH", client.recv(10))
    assert (size, flags & 2) == (served.size, 2)
    return client


def _request(kind: int, cookie: int, offset: int, length: int) -> bytes:
    return struct.pack(">IHHQQI", 0x25609513, 0, kind, cookie, offset, length)


def _answer(client: socket.socket, length: int) -> tuple[int, tuple[int, bytes]]:
    magic, error, cookie = struct.unpack(">IIQ", _exactly(client, 16))
    assert magic == 0x67446698
    return cookie, (error, b"" if error else _exactly(client, length))


def _exactly(client: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += client.recv(length - len(data))
    return data
