"""What became of a batch, as one HTML file that opens offline, or as CSV or JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vmie.batch.model import Item
from vmie.batch.report import history, page
from vmie.batch.store.locations import Locations
from vmie.escaping import json_text, visible
from vmie.poll import Clock

_COLUMNS = (
    "key",
    "status",
    "kind",
    "source",
    "account",
    "region",
    "wave",
    "task_id",
    "image_id",
    "snapshot_ids",
    "objects",
    "bytes_source",
    "bytes_sent",
    "updated",
    "code",
    "message",
    "cause",
    "cure",
)


def render(locations: Locations, batch: str, form: str, *, clock: Clock) -> str:
    """The report of a batch as "html", "csv" or "json": text that UTF-8 can hold, whatever the names in it are.

    Raises UsageError when there is none of that name.
    """
    location = locations.of(batch)
    with location.open(clock.now) as store:
        read = history.read(store, location, batch, now=clock.now())
    if form == "csv":
        return _csv(read.status.items)
    if form == "json":
        return json_text({**read.status.as_json(), "spans": [asdict(span) for span in read.spans]}, indent=1)
    return visible(page.whole(read))


def _csv(items: Sequence[Item]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for item in items:
        shown = item.as_json()
        shown |= {name: (shown["error"] or {}).get(name, "") for name in ("code", "message", "cause", "cure")}
        writer.writerow([_cell(shown[name]) for name in _COLUMNS])
    return out.getvalue()


def _cell(value: Any) -> str:
    text = ";".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    # A file's name may be a formula to a spreadsheet.
    text = visible(text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
