"""QEMU's control socket: https://www.qemu.org/docs/master/interop/qmp-spec.html."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from typing import Any

#: of one answer, and seconds until it
_LONGEST = 1 << 20
_WITHIN = 10.0


class QmpError(Exception):
    """QEMU is gone, does not answer, or refuses."""


class Qmp:
    """Commands to one QEMU. `events` counts what it told of itself: RESET, SHUTDOWN, STOP."""

    def __init__(self, path: Path) -> None:
        self.events: dict[str, int] = {}
        self._data = b""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_WITHIN)
        try:
            self._socket.connect(str(path))
            self._answer("QMP")
            self.run("qmp_capabilities")
        except (OSError, QmpError) as error:
            self._socket.close()
            raise QmpError(str(error)) from error

    def run(self, command: str, **arguments: Any) -> Any:
        """What `command` returns. Raises QmpError."""
        asked = json.dumps({"execute": command, "arguments": arguments})
        try:
            self._socket.sendall(asked.encode() + b"\n")
            return self._answer("return")
        except OSError as error:
            raise QmpError(str(error)) from error

    def close(self) -> None:
        """Let go of it."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _answer(self, key: str) -> Any:
        while True:
            line, found, rest = self._data.partition(b"\n")
            if not found:
                piece = self._socket.recv(1 << 16)
                if not piece or len(self._data) > _LONGEST:
                    raise QmpError("QEMU has closed its control socket")
                self._data += piece
                continue
            self._data = rest
            message = json.loads(line)
            if "event" in message:
                self.events[message["event"]] = self.events.get(message["event"], 0) + 1
            elif "error" in message:
                raise QmpError(str(message["error"].get("desc", "")))
            elif key in message:
                return message[key]
