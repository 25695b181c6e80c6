"""The pages of ListSnapshotBlocks and ListChangedBlocks: in order, nothing twice, whatever becomes of a token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vmie.errors import VmieError

#: a call of the API: operation, method of the client, parameters
Call = Callable[..., dict[str, Any]]

#: blocks of one page: the most that AWS gives
PAGE = 10_000


def pages(
    call: Call, operation: str, method: str, field: str, start: int, **where: str
) -> Iterator[tuple[list[Mapping[str, Any]], bool]]:
    """The pages of a listing that are not empty, and whether there may be more.

    An expired token is replaced by the index to go on from.
    """
    given: dict[str, Any] = {"StartingBlockIndex": start, "MaxResults": PAGE, **where}
    first, fruitless, operand = start, 0, " and ".join(where.values())
    while True:
        try:
            answer = call(operation, method, operand=operand, **given)
        except VmieError as error:
            if error.reason != "INVALID_PAGE_TOKEN" or "NextToken" not in given or fruitless > 2:
                raise
            del given["NextToken"]
            given["StartingBlockIndex"], fruitless = first, fruitless + 1
            continue
        # nothing twice and nothing backwards, whatever is answered: callers rely on the order
        page = sorted((one for one in answer.get(field, ()) if one["BlockIndex"] >= first), key=_index)
        if page:
            first, fruitless = int(page[-1]["BlockIndex"]) + 1, 0
            yield page, bool(answer.get("NextToken"))
        following = answer.get("NextToken")
        if not following:
            return
        if following == given.get("NextToken") and not page:
            raise VmieError(
                f"{operation} of {operand} comes to no end",
                cause="the same page was answered twice",
                code="BrokenAnswer",
                passing=True,
            )
        given.pop("StartingBlockIndex", None)
        given["NextToken"] = following


def _index(one: Mapping[str, Any]) -> int:
    return int(one["BlockIndex"])
