"""The library: `plan()` reads only, `apply()` acts, nothing prints."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["check", "convert", "export", "import_", "setup_role", "tasks", "upload"]


def __getattr__(name: str) -> Any:
    """The nouns, imported when first asked for: most need boto, `check` and `convert` do not."""
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
