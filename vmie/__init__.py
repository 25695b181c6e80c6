"""vmie: virtual machines into Amazon EC2 and out again.

    import vmie

    report = vmie.check("server.qcow2")                            # AWS's verdict, offline
    made = vmie.import_image("server.qcow2", bucket="my-images")   # route="snapshot", "instance", "volume"
    vmie.export(made.image_id, format="vmdk", bucket="my-exports", download="out")

`vmie.library` has the functions, docs/how-to/from-python.md shows them; the command line uses nothing a script could
not. `vmie.model` is where reading starts.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vmie._version import __version__

if TYPE_CHECKING:
    from vmie import disk, errors, events, model, sandbox
    from vmie.library import (
        boot_image,
        cancel,
        check,
        convert,
        diff,
        export,
        import_image,
        prove_image,
        repair_image,
        resume,
        run_batch,
        setup_role,
        upload,
        verify,
    )

__all__ = [
    "__version__",
    "boot_image",
    "cancel",
    "check",
    "convert",
    "diff",
    "disk",
    "errors",
    "events",
    "export",
    "import_image",
    "model",
    "prove_image",
    "repair_image",
    "resume",
    "run_batch",
    "sandbox",
    "setup_role",
    "upload",
    "verify",
]

_MODULES = ("disk", "errors", "events", "model", "sandbox")


def __getattr__(name: str) -> Any:
    """The functions and modules, imported when first asked for: `import vmie` and `vmie --help` pay for none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    return getattr(importlib.import_module(f"{__name__}.library"), name)
