"""vmie: virtual machines into Amazon EC2 and out again.

The command line uses nothing that a script could not:

    from vmie import disk, model, ops                  # imported when first asked for
    with disk.open("server.qcow2") as source: ...      # any format: size, read, extents, facts
    ops.check.check([path], clock=poll.SystemClock())  # AWS's verdict, offline
    ops.import_.plan(aws, request, ...)                # reads only; ops.import_.apply acts

`vmie.model` is where reading starts.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

__all__ = ["__version__", "checks", "disk", "errors", "events", "model", "ops", "poll", "settings"]


def __getattr__(name: str) -> Any:
    """The library's rooms, imported when first asked for: `vmie --help` pays for none of them."""
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
