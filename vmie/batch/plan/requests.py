"""From an item's fields to the request of a single import or export, with all that its validation has to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

from vmie.batch.plan.schema import EXPORT, ItemModel, spelled, ways_of
from vmie.batch.plan.wording import PLAN
from vmie.errors import UsageError, VmieError, text_of
from vmie.options import ExportRequest, ImportRequest
from vmie.options.base import each, extra, fields_of
from vmie.options.import_conflicts import UNNEEDED_BY_EBS, VOLUME_BY_EBS

#: reports a mistake: the field ("" for the item) and the sentence
Wrong = Callable[[str, str], None]

#: fields of which an item's own takes the place of a default's other one
_RIVALS = ({"license_type", "usage_operation"}, {"as_is", "format"})


def written(name: str) -> str:
    """How a field is spelled in a plan."""
    return ItemModel.model_fields[name].alias or name


def merged(defaults: Mapping[str, Any], own: Mapping[str, Any], *, export: bool, wrong: Wrong) -> dict[str, Any]:
    """An item's fields with the defaults that fit it; its own that do not fit it are reported, and left out."""
    values = {name: value for name, value in defaults.items() if value is not None}
    for rivals in _RIVALS:
        if rivals & {name for name, value in own.items() if value is not None}:
            values = {name: value for name, value in values.items() if name not in rivals}
    values |= own
    values = {name: value for name, value in values.items() if value is not None}
    values["tags"] = {**(defaults.get("tags") or {}), **(own.get("tags") or {})}
    route = EXPORT if export else str(values.get("route", "image"))
    via = str(values.get("via", "s3"))
    for name in list(values):
        ways = ways_of(ItemModel, name)
        if own.get(name) is None and not export and not _fits_way(name, route=route, via=via):
            del values[name]
            continue
        if not ways or route in ways or (route == "volume" and via != "s3" and name in VOLUME_BY_EBS):
            continue
        if own.get(name) is not None:
            wrong(written(name), _not_for(ways, route))
        del values[name]
    return values


def _fits_way(name: str, *, route: str, via: str) -> bool:
    """Whether a default is for the way that an item goes; one that is not is left out, as one of another route."""
    fields = fields_of(ImportRequest)
    if via == "auto" or name not in fields:
        return True
    if via == "ebs" and route != "image" and name in UNNEEDED_BY_EBS:
        return False
    return extra(fields[name]).via in ("", via)


def _not_for(ways: tuple[str, ...], route: str) -> str:
    if ways == (EXPORT,):
        return "not for an import: it is for exports"
    if route == EXPORT:
        return "not for an export"
    routes = [way for way in ways if way != EXPORT]
    return f"not for route: {route}; it is for route: {' or '.join(routes)}"


def request(
    values: Mapping[str, Any], sources: list[str], *, export: bool, spoilt: Set[str], wrong: Wrong
) -> ImportRequest | ExportRequest | None:
    """The request, or None when anything about it was reported to be wrong; `spoilt` are fields that were before."""
    model: type[ImportRequest | ExportRequest] = ExportRequest if export else ImportRequest
    fields = fields_of(model)
    given = {name: value for name, value in values.items() if name in fields and extra(fields[name]).in_plans}
    if export:
        name = {"Name": values["name"]} if "name" in values else {}
        # An unknown source was reported where it stands.
        given |= {"source": sources[0] if sources != ["?"] else "i-00000000", "tags": {**name, **values["tags"]}}
    else:
        given["sources"] = sources
    try:
        return model(**given)
    except UsageError as error:
        for mistake in each(error):
            if spoilt.isdisjoint(mistake.fields):
                wrong(*in_words(mistake))
    return None


def in_words(error: VmieError) -> tuple[str, str]:
    """The field that a mistake is about, "" for the item, and what is wrong, in the words of a plan."""
    known = spelled(ItemModel)
    field = next((name for name in error.fields if name in known), "")
    parts = (text_of(error.what, PLAN), error.cause_text(PLAN), error.cure_text(PLAN))
    return field, "; ".join(filter(None, parts))
