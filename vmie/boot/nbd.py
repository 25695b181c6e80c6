"""A disk served to one program of this machine: NBD over a private Unix socket, for reading only.

QEMU has no reader for much that `vmie.disk` reads (a disk in an OVA, changes in memory, blocks of a snapshot), but for
this: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md (fixed newstyle, simple replies).
What a client sends is bounded: options, their number, the length of a request, requests at once, connections.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from vmie.disk import Disk
from vmie.errors import ImageError, UsageError

_SECTOR = 512
#: bytes of one request: what the protocol says that a client may assume
_LONGEST = 32 << 20
#: the name of an export, and what stands around it
_OPTION = 4096 + 64
_OPTIONS = 64
_CONNECTIONS = 16
#: requests that are worked on at once, and those that wait
_WORKERS = 4
_WAITING = 16
#: seconds for the handshake
_HANDSHAKE = 30.0
#: seconds that those who are sent away get to end what they read
_GOODBYE = 5.0
#: what a socket's path may hold, sun_path of unix(7)
_PATH = 107

_MAGIC, _OPTION_MAGIC, _REPLY_MAGIC = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
_REQUEST, _SIMPLE_REPLY = 0x25609513, 0x67446698
_FIXED, _NO_ZEROES = 1, 2
_EXPORT_NAME, _ABORT, _LIST, _INFO, _GO = 1, 2, 3, 6, 7
_ACK, _SERVER, _INFORMATION = 1, 2, 3
_UNSUPPORTED, _INVALID, _TOO_BIG = 0x80000001, 0x80000003, 0x80000009
#: has flags, read-only, flush, several connections see the same
_FLAGS = 1 | 2 | 4 | 1 << 8
_READ, _WRITE, _DISCONNECT, _FLUSH, _TRIM, _WRITE_ZEROES = 0, 1, 2, 3, 4, 6
_EPERM, _EIO, _EINVAL, _EOVERFLOW = 1, 5, 22, 75


class _OverError(Exception):
    """The client is gone, or is to go."""


class NbdServer:
    """`disk` at ``nbd:unix:PATH`` while the context lasts. `folder` is to be private (0700); the socket is made in it.

    A size that is no whole number of sectors is filled up with zeros. `failure` is what could not be read of the disk.
    Raises UsageError for a folder whose name is too long for a socket.
    """

    def __init__(self, disk: Disk, folder: Path, *, name: str = "disk") -> None:
        self.disk = disk
        self.path = folder / name
        self.size = -(-disk.size // _SECTOR) * _SECTOR
        self.failure: ImageError | None = None
        #: requests so far
        self.reads = 0
        if len(bytes(self.path)) > _PATH:
            raise UsageError(f"{folder}: the name is too long for a socket", cure="set TMPDIR to a shorter one")
        self._server: _Listener | None = None

    def __enter__(self) -> Self:
        self._server = _Listener(self)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.end()
            self.path.unlink(missing_ok=True)

    def read(self, offset: int, length: int) -> bytes:
        """What lies there; zeros past the disk's own end. Raises ImageError, which is kept as `failure`."""
        self.reads += 1
        try:
            data = self.disk.read(offset, min(length, self.disk.size - offset)) if offset < self.disk.size else b""
        except Exception as error:  # a machine that fails for it has not been shown to fail
            if not isinstance(error, ImageError):
                error = ImageError(f"{self.disk.source.name} cannot be read at {offset}: {error}")
            self.failure = self.failure or error
            raise error from None
        return data + bytes(length - len(data))


class _Listener(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 2 * _CONNECTIONS

    def __init__(self, served: NbdServer) -> None:
        super().__init__(str(served.path), _Connection)
        self.served = served
        self._open: set[socket.socket] = set()
        self._lock = threading.Condition()

    def verify_request(self, request: object, _: object) -> bool:
        """Whether there is room for one more client."""
        assert isinstance(request, socket.socket)  # noqa: S101 - a stream server's
        with self._lock:
            if len(self._open) >= _CONNECTIONS:
                return False
            self._open.add(request)
            return True

    def shutdown_request(self, request: object) -> None:
        """A client has gone."""
        assert isinstance(request, socket.socket)  # noqa: S101 - a stream server's
        with self._lock:
            self._open.discard(request)
            super().shutdown_request(request)
            self._lock.notify_all()

    def handle_error(self, *_: object) -> None:
        """A client's failure is its own."""

    def end(self) -> None:
        """Take no more clients, and send those away that are there."""
        self.shutdown()
        self.server_close()
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._lock.wait_for(lambda: not self._open, _GOODBYE)


class _Connection(socketserver.BaseRequestHandler):
    """One client: its handshake, then its requests, several at once."""

    request: socket.socket
    server: _Listener

    def handle(self) -> None:
        """Until the client goes, or does what it may not."""
        self._sending = threading.Lock()
        with contextlib.suppress(_OverError, OSError):
            self.request.settimeout(_HANDSHAKE)
            if self._handshake():
                self.request.settimeout(None)
                self._serve()

    def _receive(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            piece = self.request.recv(length - len(data))
            if not piece:
                raise _OverError
            data += piece
        return bytes(data)

    def _send(self, *parts: bytes) -> None:
        with self._sending:
            self.request.sendall(b"".join(parts))

    # --- the handshake

    def _handshake(self) -> bool:
        """Agree on the export; False when the client only asked."""
        self._send(struct.pack(">QQH", _MAGIC, _OPTION_MAGIC, _FIXED | _NO_ZEROES))
        (flags,) = struct.unpack(">I", self._receive(4))
        if flags & ~(_FIXED | _NO_ZEROES):
            raise _OverError
        for _ in range(_OPTIONS):
            magic, option, length = struct.unpack(">QII", self._receive(16))
            if magic != _OPTION_MAGIC or length > _LONGEST:
                raise _OverError
            if length > _OPTION:
                self._discard(length)
                self._reply(option, _TOO_BIG)
                continue
            data = self._receive(length)
            if option == _EXPORT_NAME:
                filler = b"" if flags & _NO_ZEROES else bytes(124)
                self._send(struct.pack(">QH", self.server.served.size, _FLAGS), filler)
                return True
            if self._option(option, data):
                return bool(option == _GO)
        raise _OverError

    def _option(self, option: int, data: bytes) -> bool:
        """Answer an option; True when the handshake ends with it."""
        if option in (_INFO, _GO):
            if len(data) < 6 or len(data) < 6 + struct.unpack_from(">I", data)[0]:
                self._reply(option, _INVALID)
                return False
            self._reply(option, _INFORMATION, struct.pack(">HQH", 0, self.server.served.size, _FLAGS))
            self._reply(option, _INFORMATION, struct.pack(">HIII", 3, 1, 4096, _LONGEST))
            self._reply(option, _ACK)
            return option == _GO
        if option == _LIST:
            self._reply(option, _SERVER, struct.pack(">I", 0))
        self._reply(option, _ACK if option in (_LIST, _ABORT) else _UNSUPPORTED)
        return option == _ABORT

    def _reply(self, option: int, kind: int, data: bytes = b"") -> None:
        self._send(struct.pack(">QIII", _REPLY_MAGIC, option, kind, len(data)), data)

    def _discard(self, length: int) -> None:
        while length:
            length -= len(self._receive(min(length, 1 << 16)))

    # --- requests

    def _serve(self) -> None:
        room = threading.Semaphore(_WAITING)
        with ThreadPoolExecutor(_WORKERS) as pool:
            while True:
                magic, _, kind, cookie, offset, length = struct.unpack(">IHHQQI", self._receive(28))
                if magic != _REQUEST or kind == _DISCONNECT:
                    return
                if kind == _WRITE:
                    if length > _LONGEST:
                        return
                    self._discard(length)
                if kind != _READ:
                    self._answer(cookie, _refusal(kind))
                    continue
                room.acquire()
                pool.submit(self._read, cookie, offset, length).add_done_callback(lambda _: room.release())

    def _read(self, cookie: int, offset: int, length: int) -> None:
        served = self.server.served
        if length > _LONGEST or offset + length > served.size:
            self._answer(cookie, _EOVERFLOW if length > _LONGEST else _EINVAL)
            return
        try:
            data = served.read(offset, length)
        except ImageError:  # `failure` has the reason
            self._answer(cookie, _EIO)
            return
        self._answer(cookie, 0, data)

    def _answer(self, cookie: int, error: int, data: bytes = b"") -> None:
        with contextlib.suppress(OSError):
            self._send(struct.pack(">IIQ", _SIMPLE_REPLY, error, cookie), data)


def _refusal(kind: int) -> int:
    """The answer to all that does not read."""
    if kind == _FLUSH:
        return 0
    return _EPERM if kind in (_WRITE, _TRIM, _WRITE_ZEROES) else _EINVAL
