"""A TCP proxy that does to a connection what networks and busy servers do, by a schedule.

    client ──► proxy ──► server        one fault per connection, drawn by the test

A fault says what happens and after how many bytes of the request (or of the answer, for `cut`) it happens.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_BLOCK = 64 * 1024
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
BUSY = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    % len(_SLOW_DOWN)
) + _SLOW_DOWN


@dataclass(frozen=True)
class Fault:
    """`kind`: none, drop (closed), reset (RST), stall (nothing moves any more), busy (503), cut (the answer ends
    within its `after` bytes), slow (`after` bytes, then 64 KiB per 20 ms)."""

    kind: str
    after: int = 0


NONE = Fault("none")


def schedule(seed: int, *, faults: int, most: int) -> Callable[[int], Fault]:
    """Faults for some of the first connections, up to `most` bytes into each; then a sound network."""
    rng = random.Random(seed)
    kinds = ("drop", "reset", "stall", "busy", "cut", "slow", "none")
    drawn = []
    for _ in range(faults):
        kind = rng.choice(kinds)
        drawn.append(Fault(kind, rng.randrange(400 if kind == "cut" else most)))
    return lambda number: drawn[number] if number < len(drawn) else NONE


@dataclass
class Proxy:
    """A running proxy; `seen` holds the faults that were met, `upstream` counts bytes of requests."""

    port: int
    seen: list[str] = field(default_factory=list)
    upstream: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def between(server: int, fault_of: Callable[[int], Fault]) -> Iterator[Proxy]:
    """Stand before the loopback port `server`; connection number n meets `fault_of(n)`."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    proxy = Proxy(listener.getsockname()[1])
    over = threading.Event()
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def accept() -> None:
        number = 0
        while not over.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            fault = fault_of(number)
            number += 1
            proxy.seen.append(fault.kind)
            sockets.append(client)
            thread = threading.Thread(target=serve, args=(client, fault), daemon=True)
            threads.append(thread)
            thread.start()

    def serve(client: socket.socket, fault: Fault) -> None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server)) as behind:
            sockets.append(behind)
            back = threading.Thread(target=answers, args=(behind, client, fault), daemon=True)
            threads.append(back)
            back.start()
            _requests(client, behind, fault, proxy, over)
            back.join()
        with contextlib.suppress(OSError):
            client.close()

    def answers(behind: socket.socket, client: socket.socket, fault: Fault) -> None:
        left = fault.after if fault.kind == "cut" else None
        with contextlib.suppress(OSError):
            while data := behind.recv(_BLOCK):
                if left is None or data.startswith(b"HTTP/1.1 100"):
                    client.sendall(data)
                else:
                    client.sendall(data[:left])
                    _close(client)
                    _close(behind)
                    return
            client.shutdown(socket.SHUT_WR)

    main = threading.Thread(target=accept, daemon=True)
    main.start()
    try:
        yield proxy
    finally:
        over.set()
        listener.close()
        for one in sockets:
            _close(one)
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", proxy.port), timeout=0.2).close()
        for thread in [main, *threads]:
            thread.join(timeout=5)


def _requests(client: socket.socket, behind: socket.socket, fault: Fault, proxy: Proxy, over: threading.Event) -> None:
    """Carry what the client sends until the fault's moment has come."""
    moved = 0
    while data := client.recv(_BLOCK):
        proxy.upstream += len(data)
        if fault.kind in ("drop", "reset", "stall", "busy") and moved + len(data) > fault.after:
            behind.sendall(data[: fault.after - moved])
            _befall(client, behind, fault, over)
            return
        moved += len(data)
        behind.sendall(data)
        if fault.kind == "slow" and moved > fault.after:
            time.sleep(0.02)
    behind.shutdown(socket.SHUT_WR)


def _befall(client: socket.socket, behind: socket.socket, fault: Fault, over: threading.Event) -> None:
    if fault.kind == "stall":
        over.wait()
    elif fault.kind == "busy":
        client.sendall(BUSY)
        client.shutdown(socket.SHUT_WR)
        client.settimeout(2)
        with contextlib.suppress(OSError):
            while client.recv(_BLOCK):  # else the close would be a reset, and the answer lost
                pass
    elif fault.kind == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()  # with nothing to linger for: an RST
    _close(client)
    _close(behind)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        one.close()
