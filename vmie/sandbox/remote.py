"""A served sandbox from outside: its world saved to a file and loaded from one."""

from __future__ import annotations

import http.client
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

from vmie.errors import Run, UsageError, VmieError

_COPY = 1 << 20
#: seconds without a byte
_PATIENCE = 300.0


def save(url: str, path: Path) -> dict[str, int]:
    """Write the world of the sandbox at `url` to a new or replaced file; how much of what kind is not in it.

    Raises UsageError where there is no sandbox or the file cannot be written.
    """
    with _asked(url, "GET", "/_vmie/save") as answer, _written(path) as file:
        while data := answer.read(_COPY):
            file.write(data)
        file.flush()
        return _left_out(Path(file.name))


def load(url: str, path: Path) -> None:
    """Let the sandbox at `url` begin anew with a saved world. Raises UsageError where it cannot."""
    try:
        file = path.open("rb")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its name cannot be one"
        raise UsageError(f"the saved world {path} cannot be read: {why}", cure="check the path") from error
    with file, _asked(url, "POST", "/_vmie/load", body=file, size=os.fstat(file.fileno()).st_size):
        pass


@contextmanager
def _asked(url: str, method: str, path: str, *, body: Any = None, size: int = 0) -> Iterator[http.client.HTTPResponse]:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port or 80, timeout=_PATIENCE)
    try:
        headers = {"Content-Length": str(size)} if body is not None else {}
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise UsageError(_error(answer), code="SeedRefused")
        yield answer
    except (OSError, http.client.HTTPException) as error:
        raise UsageError(
            f"no sandbox answers at {url}",
            cause=getattr(error, "strerror", None) or type(error).__name__,
            cure=Run(("vmie", "sandbox", "serve")),
            code="NoSandbox",
        ) from error
    finally:
        connection.close()


def _error(answer: http.client.HTTPResponse) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(answer.read(1 << 16))["error"])
    return f"the sandbox answered {answer.status}: is it an older one, or another program?"


@contextmanager
def _written(path: Path) -> Iterator[Any]:
    """A file that takes its name only when it is whole."""
    try:
        file = tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:100]}.", delete=False)  # noqa: SIM115
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its name cannot be one"
        raise UsageError(f"{path} cannot be written: {why}", cure="name a file in a folder that is there") from error
    try:
        with file:
            yield file
        Path(file.name).replace(path)
    except BaseException:
        Path(file.name).unlink(missing_ok=True)
        raise


def _left_out(path: Path) -> dict[str, int]:
    try:
        with tarfile.open(path, mode="r:") as tar:
            found: dict[str, int] = json.loads(cast("IO[bytes]", tar.extractfile("left-out.json")).read())
            return found
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise VmieError("what the sandbox sent is no saved world", cure="save it again") from error
