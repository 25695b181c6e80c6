"""A TPM 2.0 for one machine: swtpm, fresh each time; https://github.com/stefanberger/swtpm/blob/master/man/man8/swtpm.pod."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from vmie.boot import child, installed
from vmie.errors import VmieError

#: in the folder of the machine
SOCKET = "tpm"
#: seconds until its socket is there
_WITHIN = 20.0


@contextlib.contextmanager
def tpm(folder: Path) -> Iterator[Path]:
    """Its control socket in `folder`, while the context lasts. Raises UsageError (NoTpm), VmieError (TpmFailed)."""
    program = installed.swtpm()
    state, path = folder / "tpm-state", folder / SOCKET
    state.mkdir(mode=0o700)
    argv = [program, "socket", "--tpm2", "--terminate"]
    argv += ["--tpmstate", f"dir={state}", "--ctrl", f"type=unixio,path={path}"]
    process = child.start(argv, folder)
    try:
        until = time.monotonic() + _WITHIN
        while not path.exists():
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                said = process.communicate()[1].decode("utf-8", "replace").strip().splitlines()
                raise VmieError(
                    "swtpm does not start",
                    cause=said[-1][:300] if said else "it says nothing",
                    cure="see what `swtpm socket --version` says",
                    code="TpmFailed",
                )
            time.sleep(0.02)
        yield path
    finally:
        process.kill()
        process.communicate()
