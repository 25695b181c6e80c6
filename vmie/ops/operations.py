"""Every kind of work by the verb that begins it: what a job's file and a batch's plan name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vmie.errors import UsageError
from vmie.ops import export, import_, upload
from vmie.ops.context import Context
from vmie.ops.export import ExportRequest
from vmie.ops.import_ import ImportRequest
from vmie.ops.operation import Operation
from vmie.options import UploadRequest

_READERS: Mapping[str, Callable[[Context, Mapping[str, Any]], Operation[Any, Any, Any]]] = {
    "import": lambda context, data: import_.operation(context, ImportRequest.from_json(data)),
    "export": lambda context, data: export.operation(context, ExportRequest.from_json(data)),
    "upload": lambda context, data: upload.UploadOperation(context, UploadRequest.from_json(data)),
}


def read(context: Context, verb: str, request: Mapping[str, Any]) -> Operation[Any, Any, Any]:
    """The operation of a verb, from its request as JSON. Raises UsageError for a verb of another version."""
    if verb not in _READERS:
        raise UsageError(f"{verb!r} is no kind of work that this vmie knows", cure="use the version that began it")
    return _READERS[verb](context, request)
