"""What only POSIX systems have, and the refusal of what needs it where it is missing: on Windows."""

from __future__ import annotations

import os
import platform

from vmie.errors import UsageError


def require(what: str) -> None:
    """Raises UsageError (NotOnThisSystem) where the system has no owners of files and no positional writes."""
    if hasattr(os, "geteuid") and hasattr(os, "pwrite"):
        return
    raise UsageError(
        f"{what} need a POSIX system, and this is {platform.system() or 'another'}",
        cause="what survives a crash rests on locks, owners of files and writes at a place, as POSIX has them",
        cure=(
            "run vmie in WSL 2, in a container, or on Linux or macOS",
            "here `vmie check`, `convert`, `explain`, `limits`, `policy`, `doctor`, `setup-role` and `tasks list` work",
        ),
        code="NotOnThisSystem",
    )
