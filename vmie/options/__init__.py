"""Every option once: type, bounds, default, help and the routes that take it.

A field of a request is an option of the command line, of a plan file and of a Python call, a line of the reference
and a value of a job's journal; its shape is judged in one place, before anything is read or sent. To add an option,
add a field and use it.

    base            how an option is declared; mistakes as `UsageError`s that name their fields
    types           texts, lists, paths, and what has a shape that AWS gives it
    aws_names       those shapes
    reasons         why a value is none of an option's, in a sentence
    *_request       the operations: import, export, upload, setup-role
    spelling        how options are typed whose flag is not their name
    help_texts      words that verbs without a request share with them
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmie.options.base import Options
    from vmie.options.export_request import ExportRequest
    from vmie.options.import_request import ImportRequest
    from vmie.options.proof_request import ProofRequest
    from vmie.options.role_request import RoleRequest
    from vmie.options.shared import TransferOptions
    from vmie.options.upload_request import UploadRequest

    REQUESTS: tuple[type[Options], ...]

__all__ = [
    "REQUESTS",
    "ExportRequest",
    "ImportRequest",
    "Options",
    "ProofRequest",
    "RoleRequest",
    "TransferOptions",
    "UploadRequest",
]

_PLACES = {
    "ImportRequest": "import_request",
    "ExportRequest": "export_request",
    "UploadRequest": "upload_request",
    "RoleRequest": "role_request",
    "ProofRequest": "proof_request",
    "Options": "base",
    "TransferOptions": "shared",
}


def __getattr__(name: str) -> Any:
    """The requests, imported when first asked for: `vmie check` has none, and pydantic is a third of its start."""
    if name == "REQUESTS":
        return tuple(__getattr__(one) for one in _PLACES if one.endswith("Request"))
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
