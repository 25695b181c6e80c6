"""`python -m vmie …` of the tests, forked from a process that has imported what vmie imports.

A test starts vmie with `subprocess` as anybody would. Importing boto3 and moto costs each such process one to two
seconds of processor time, and a run of all tests starts many hundreds of them. So `subprocess.Popen` is given a
subclass here: a command `[sys.executable, "-m", "vmie", …]` is forked from a server that imported the modules and did
nothing else; it is a process of its own in every respect (signals, streams, folder, environment, exit code), but for
its parent. Anything else, and whatever asks for more than that (`preexec_fn`, other PYTHON… variables), is started
as usual; so is everything where VMIE_TESTS_EXEC is set, as `make soak` does.
"""

from __future__ import annotations

import array
import atexit
import inspect
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
USUAL = subprocess.Popen
#: what the interpreter, and some library, reads once as it starts
_READ_AT_START = (
    "PYTHON",
    "LANG",
    "LC_",
    "MOTO_",
    "TYPER_USE",
    "_TYPER_FORCE",
    "TERMINAL_WIDTH",
    "FORCE_COLOR",
    "GITHUB_",
)
#: what a command asks of its process beyond this is left to the usual way
_PLAIN: dict[str, tuple[Any, ...]] = {
    "preexec_fn": (None,),
    "shell": (False,),
    "gid": (None, -1),
    "gids": (None,),
    "uid": (None, -1),
    "umask": (-1,),
    "process_group": (-1,),
    "executable": (None, sys.executable),
    "pass_fds": ((),),
}


class _Server:
    """The other end of a server of `kind`."""

    def __init__(self, kind: str) -> None:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        argv = [sys.executable, str(ROOT / "tests/forkserver_main.py"), str(there.fileno()), kind]
        self.process = USUAL(argv, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL, env=_settled(), cwd=ROOT)
        there.close()
        self.socket = here

    def fork(self, request: Mapping[str, Any], streams: list[int]) -> tuple[int, socket.socket]:
        """The forked process's id, and where its exit status comes from."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds = array.array("i", [there.fileno(), *streams])
        self.socket.sendmsg([json.dumps(request).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        there.close()
        answer = here.recv(64)
        if not answer:
            raise RuntimeError("the fork server has ended")
        return int(answer), here

    def close(self) -> None:
        """End the server; what it forked goes on."""
        self.socket.close()
        self.process.wait()


_servers: dict[str, _Server] = {}


def _settled() -> dict[str, str]:
    """The environment without what belongs to one test."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("VMIE_", "AWS_"))}


def _at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(_READ_AT_START)}


class Popen(USUAL):  # type: ignore[type-arg]
    """`subprocess.Popen`, quicker for vmie."""

    _status: socket.socket | None = None

    def _execute_child(self, *args: Any) -> None:
        asked = inspect.signature(USUAL._execute_child).bind(self, *args).arguments  # type: ignore[attr-defined]
        environ = dict(os.environ if asked["env"] is None else asked["env"])
        argv = [os.fspath(one) for one in asked["args"]] if isinstance(asked["args"], list | tuple) else []
        usual = argv[:3] != [sys.executable, "-m", "vmie"] or _at_start(environ) != _at_start(os.environ)
        if usual or any(asked.get(name, allowed[0]) not in allowed for name, allowed in _PLAIN.items()):
            super()._execute_child(*args)  # type: ignore[misc]
            return
        kind = "sandbox" if {"--sandbox", "sandbox"} & set(argv) else "plain"
        if kind not in _servers:
            _servers[kind] = _Server(kind)
            atexit.register(_servers[kind].close)
        request: dict[str, Any] = {"argv": argv[3:], "environ": environ, "cwd": os.fspath(asked["cwd"] or Path.cwd())}
        request["session"] = bool(asked["start_new_session"])
        ends = (asked["p2cread"], asked["c2pwrite"], asked["errwrite"])
        streams = [usual if end == -1 else end for end, usual in zip(ends, (0, 1, 2), strict=True)]
        self.pid, self._status = _servers[kind].fork(request, streams)
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in pipes))  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        """As `os.waitpid` answers: the server is the parent, and tells."""
        if self._status is None:
            return super()._try_wait(wait_flags)  # type: ignore[misc,no-any-return]
        if wait_flags & os.WNOHANG and not select.select([self._status], [], [], 0)[0]:
            return 0, 0
        told = self._status.recv(64)
        self._status.close()
        return self.pid, int(told or b"9")

    def _internal_poll(self, *args: Any, **kwargs: Any) -> int | None:
        """What `poll` and `send_signal` ask."""
        if self._status is None:
            return super()._internal_poll(*args, **kwargs)  # type: ignore[misc,no-any-return]
        with self._waitpid_lock:  # type: ignore[attr-defined]
            if self.returncode is None:
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode

    def __del__(self, *args: Any) -> None:
        """Nobody waited for it: `subprocess` says so."""
        if self._status is not None:
            self._status.close()
        super().__del__(*args)


def install() -> None:
    """Let `subprocess` start vmie by forking."""
    if not os.environ.get("VMIE_TESTS_EXEC") and not os.environ.get("VMIE_SOAK") and hasattr(os, "fork"):
        subprocess.Popen = Popen  # type: ignore[misc]
