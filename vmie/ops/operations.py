"""Every kind of work by the verb that begins it: what a job's file and a batch's plan name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from vmie import options
from vmie.errors import UsageError
from vmie.ops.context import Context
from vmie.ops.operation import Operation

#: verb to the module of its operation, loaded when there is one to read, and the names of what is made of what
_OPERATIONS: Mapping[str, tuple[str, str, str]] = {
    "import": ("import_", "operation", "ImportRequest"),
    "export": ("export", "operation", "ExportRequest"),
    "upload": ("upload", "UploadOperation", "UploadRequest"),
    "boot": ("prove", "ProofOperation", "ProofRequest"),
}


def read(context: Context, verb: str, request: Mapping[str, Any]) -> Operation[Any, Any, Any]:
    """The operation of a verb, from its request as JSON. Raises UsageError for a verb of another version."""
    if verb not in _OPERATIONS:
        raise UsageError(f"{verb!r} is no kind of work that this vmie knows", cure="use the version that began it")
    module, make, model = _OPERATIONS[verb]
    made: Operation[Any, Any, Any] = getattr(importlib.import_module(f"vmie.ops.{module}"), make)(
        context, getattr(options, model).from_json(request)
    )
    return made
