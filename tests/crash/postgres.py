"""A PostgreSQL of one's own: initdb and pg_ctl, run as a user who is not root, on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _program(name: str) -> str:
    path = os.pathsep.join([*map(str, _PLACES), os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found:
        return found
    reason = f"needs {name} (`make system-tools` installs it where it can)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Postgres:
    """A server that runs. `control` is pg_ctl on it: ``control("restart", "-m", "immediate")``."""

    address: str
    control: Callable[..., None]


@contextmanager
def running() -> Iterator[Postgres]:
    """A fresh server."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    folder = Path(tempfile.mkdtemp(prefix="vmie-pg-"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root.
        folder.chmod(0o777)
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data = folder / "data"
    run = [*as_user, pg_ctl, "-D", str(data), "-w", "-t", "30"]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
    try:
        subprocess.run(
            [*as_user, initdb, "-D", str(data), "-U", "vmie", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
        )

        def control(*what: str) -> None:
            start = ["-o", options, "-l", str(folder / "log")] if what[0] in ("start", "restart") else []
            subprocess.run([*run, *start, *what], check=True, capture_output=True, cwd=folder)

        control("start")
        try:
            yield Postgres(f"postgresql://vmie@127.0.0.1:{port}/postgres", control)
        finally:
            control("stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def emptied(address: str) -> str:
    """A database of one's own on a running server; its address."""
    name = f"vmie_{secrets.token_hex(4)}"
    with psycopg.connect(address, autocommit=True) as session:
        session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"{address.rpartition('/')[0]}/{name}"
