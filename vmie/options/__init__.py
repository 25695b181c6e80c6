"""Every option once: type, bounds, default, help and the routes that take it.

A field of a request is an option of the command line, of a plan file and of a Python call, a line of the reference
and a value of a job's journal; its shape is judged in one place, before anything is read or sent. To add an option,
add a field and use it.

    base            how an option is declared; mistakes as `UsageError`s that name their fields
    types           texts, lists, paths, and what has a shape that AWS gives it
    aws_names       those shapes
    reasons         why a value is none of an option's, in a sentence
    *_request       the operations: import, export, upload, setup-role
"""

from __future__ import annotations

from vmie.options.base import Options
from vmie.options.export_request import ExportRequest
from vmie.options.import_request import ImportRequest
from vmie.options.role_request import RoleRequest
from vmie.options.shared import TransferOptions
from vmie.options.upload_request import UploadRequest

__all__ = ["REQUESTS", "ExportRequest", "ImportRequest", "Options", "RoleRequest", "TransferOptions", "UploadRequest"]

REQUESTS: tuple[type[Options], ...] = (ImportRequest, ExportRequest, UploadRequest, RoleRequest)
