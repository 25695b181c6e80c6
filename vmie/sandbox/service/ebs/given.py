"""The parameters that come as texts, in paths, headers and queries; what is wrong with them raises ApiError."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from vmie.sandbox.block_store import WrittenBlocks
from vmie.sandbox.service.ebs import errors

Params = Mapping[str, Any]


def index(text: str) -> int:
    """A block index of a path."""
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise errors.invalid("A block index is a number, 0 or greater.", "INVALID_BLOCK")
    return int(text)


def number(params: Params, name: str, default: int) -> int:
    """A parameter that is a number, 0 or greater."""
    text = params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise errors.invalid(f"{name} must be a number, 0 or greater.")
    return int(text)


def page_size(params: Params) -> int:
    """MaxResults."""
    size = number(params, "MaxResults", 10_000)
    if not 100 <= size <= 10_000:
        raise errors.invalid("MaxResults must be from 100 to 10000.")
    return size


def require_aggregate(params: Params, blocks: WrittenBlocks) -> None:
    """The checksum over all blocks, where it is given."""
    names = ("Checksum", "ChecksumAlgorithm", "ChecksumAggregationMethod")
    given = [params.get(name) for name in names]
    if not any(given):
        return
    if given[1:] != ["SHA256", "LINEAR"] or not given[0]:
        raise errors.invalid("A checksum needs ChecksumAlgorithm SHA256 and ChecksumAggregationMethod LINEAR.")
    if given[0] != base64.b64encode(blocks.aggregate()).decode():
        raise errors.invalid("The checksum does not match the blocks that were written.")
