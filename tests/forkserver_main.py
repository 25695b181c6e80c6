"""The process that `forkserver` forks vmie from: `forkserver_main.py SOCKET plain|sandbox`."""

from __future__ import annotations

import array
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

_ROOMS = ("cli", "options", "ops", "jobs", "checks", "guest", "disk", "aws", "poll", "policy")


def _load(kind: str) -> None:
    """What vmie imports sooner or later."""
    import vmie

    for room in _ROOMS:
        for module in pkgutil.walk_packages([f"{vmie.__path__[0]}/{room}"], f"vmie.{room}."):
            importlib.import_module(module.name)
    import boto3  # noqa: F401
    import dbos  # noqa: F401

    import vmie.batch.run.api
    import vmie.library

    if kind == "sandbox":
        from vmie import sandbox

        for name in ("start", "Sandbox"):
            getattr(sandbox, name)
        importlib.import_module("vmie.sandbox.sandbox")
    gc.collect()
    gc.freeze()
    assert threading.active_count() == 1, threading.enumerate()


def _serve(requests: socket.socket) -> dict[str, Any]:
    """Fork for each request; returns it, in the forked process."""
    waker, bell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(bell)
    running: dict[int, socket.socket] = {}
    while True:
        watched: list[Any] = [requests, waker]
        ready = select.select(watched, [], [])[0]
        if waker in ready:
            os.read(waker, 4096)
            _reap(running)
        if requests not in ready:
            continue
        message, ancillary, _, _ = requests.recvmsg(1 << 20, socket.CMSG_SPACE(4 * 8))
        if not message:
            os._exit(0)
        fds = array.array("i")
        for _, _, data in ancillary:
            fds.frombytes(data)
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for one in (requests, *running.values()):
                one.close()
            os.close(waker)
            os.close(bell)
            return {**json.loads(message), "fds": list(fds)}
        running[pid] = socket.socket(fileno=fds[0])
        for fd in fds[1:]:
            os.close(fd)
        running[pid].send(str(pid).encode())


def _reap(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        told = running.pop(pid)
        with suppress(OSError):  # nobody waits for it
            told.send(str(status).encode())
        told.close()


def _become(request: dict[str, Any]) -> None:
    """As the interpreter would have begun."""
    status, *streams = request["fds"]
    os.close(status)
    if request["session"]:
        os.setsid()
    kept = [os.dup(fd) for fd in streams]
    for number, fd in enumerate(kept):
        os.dup2(fd, number)
    for fd in {*kept, *streams} - {0, 1, 2}:
        os.close(fd)
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        signal.signal(number, usual)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.path[0] = request["cwd"]
    sys.argv = ["vmie", *request["argv"]]
    sys.stdin = sys.__stdin__ = _stream(0, "r", "strict")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _stream(1, "w", "strict")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "w", "backslashreplace")  # type: ignore[misc]
    sys.stderr.reconfigure(line_buffering=True)


def _stream(fd: int, mode: str, errors: str) -> io.TextIOWrapper:
    raw = open(fd, f"{mode}b", buffering=-1, closefd=False)  # noqa: SIM115 - it is the process's own
    encoding = sys.__stderr__.encoding if sys.__stderr__ is not None else None
    return io.TextIOWrapper(raw, encoding=encoding, errors=errors, line_buffering=os.isatty(fd))


if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _load(sys.argv[2])
    _become(_serve(socket.socket(fileno=int(sys.argv[1]))))
    runpy.run_module("vmie", run_name="__main__", alter_sys=True)
