"""Requests of the EBS direct API, without moto's dispatch, which takes ten times as long as the work."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from moto.iam.models import get_account_id_from

from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.fault_injection import ApiCall
from vmie.sandbox.moto_fixes import compute
from vmie.sandbox.service import services
from vmie.sandbox.service.ebs import errors
from vmie.sandbox.service.ebs.actions import EbsActions

Answer = tuple[int, dict[str, str], bytes]

_PATH = re.compile(
    r"/snapshots(?:/completion/(?P<sealed>[^/]+)|/(?P<of>[^/]+)/(?P<what>blocks|changedblocks)(?:/(?P<index>[^/]+))?)?"
)
#: the model's names of headers and of what comes in the query
_HEADERS = {
    "x-amz-data-length": "DataLength",
    "x-amz-progress": "Progress",
    "x-amz-checksum": "Checksum",
    "x-amz-checksum-algorithm": "ChecksumAlgorithm",
    "x-amz-checksum-aggregation-method": "ChecksumAggregationMethod",
    "x-amz-changedblockscount": "ChangedBlocksCount",
}
_QUERY = {
    "pageToken": "NextToken",
    "maxResults": "MaxResults",
    "startingBlockIndex": "StartingBlockIndex",
    "blockToken": "BlockToken",
    "firstSnapshotId": "FirstSnapshotId",
}
_SHOWN = {
    "DataLength": "x-amz-Data-Length",
    "Checksum": "x-amz-Checksum",
    "ChecksumAlgorithm": "x-amz-Checksum-Algorithm",
}
_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class EbsRequest:
    """`headers` have names in lower case; `read` gives so many bytes of the body at most, b"" at its end."""

    call: ApiCall
    method: str
    url: str
    headers: Mapping[str, str]
    read: Callable[[int], bytes]


def respond(ebs: EbsActions, request: EbsRequest) -> Answer:
    """Status, headers and body; raises ApiError."""
    call, read = request.call, request.read
    parts = urlsplit(request.url)
    found = _PATH.fullmatch(parts.path)
    backend = compute.backend_of(get_account_id_from(call.key), call.region or "us-east-1")
    params: dict[str, Any] = {_HEADERS[name]: value for name, value in request.headers.items() if name in _HEADERS}
    if parts.query:
        params |= {_QUERY[name]: value for name, value in parse_qsl(parts.query) if name in _QUERY}
    match request.method, found and found["what"], found and (found["sealed"] or found["of"]), found and found["index"]:
        case "POST", None, None, None if found:
            return _json(201, ebs.start_snapshot(backend, _body(read)))
        case "POST", None, str(snapshot_id), None:
            return _json(202, ebs.complete_snapshot(backend, {**params, "SnapshotId": unquote(snapshot_id)}))
        case "GET", "blocks", str(snapshot_id), None:
            return _json(200, ebs.list_snapshot_blocks(backend, {**params, "SnapshotId": unquote(snapshot_id)}))
        case "GET", "changedblocks", str(snapshot_id), None:
            return _json(200, ebs.list_changed_blocks(backend, {**params, "SecondSnapshotId": unquote(snapshot_id)}))
        case "PUT", "blocks", str(snapshot_id), str(index):
            params |= {"SnapshotId": unquote(snapshot_id), "BlockIndex": index}
            return _json(201, {}, ebs.put_snapshot_block(backend, params, lambda: read(_MOST)))
        case "GET", "blocks", str(snapshot_id), str(index):
            params |= {"SnapshotId": unquote(snapshot_id), "BlockIndex": index}
            data, shown = ebs.get_snapshot_block(backend, params)
            return 200, {**_fields(shown), "Content-Type": "application/octet-stream"}, data
    raise services.missing_action(call)


def _body(read: Callable[[int], bytes]) -> dict[str, Any]:
    try:
        given = json.loads(read(_MOST) or b"{}")
    except (ValueError, RecursionError) as error:
        raise ApiError("SerializationException", "The body is no JSON.") from error
    if not isinstance(given, dict):
        raise errors.invalid("The body must be a JSON object.")
    return given


def _fields(members: Mapping[str, Any]) -> dict[str, str]:
    return {_SHOWN[name]: value for name, value in members.items()} | {"x-amzn-RequestId": str(uuid.uuid4())}


def _json(status: int, answer: Mapping[str, Any], shown: Mapping[str, Any] | None = None) -> Answer:
    return status, {**_fields(shown or {}), "Content-Type": "application/json"}, json.dumps(answer).encode()
