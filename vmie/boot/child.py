"""Programs that end with this process, however that ends, and whose files have a limit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

#: bytes of a file: what a guest may write, too
_LIMIT = 4 << 30

#: prctl(2), PR_SET_PDEATHSIG: killed with the thread that started it; it survives exec. RLIMIT_FSIZE: setrlimit(2).
_LAUNCH = """
import ctypes, os, resource, signal, sys
parent, limit, *argv = sys.argv[1:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(parent):
    sys.exit(1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
os.execv(argv[0], argv)
"""


def start(argv: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start the program `argv`, an absolute path and its arguments, in `folder`; what it says comes over pipes."""
    return subprocess.Popen(  # noqa: S603 - a program that was found, and our own arguments
        [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(_LIMIT), *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={"PATH": os.environ.get("PATH", os.defpath), "TMPDIR": str(folder), "LC_ALL": "C"},
    )
