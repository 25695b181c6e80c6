"""From a plan file to a `BatchPlan`: every mistake is found in one run, with its line, and then nothing is begun.

raw ──► head, limits, defaults ──► each item: its fields, its files, its request ──► items among each other

Each part is judged by itself, and goes on without the fields that were wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from vmie.batch.model import BatchPlan, ItemKind, Limits, PlanItem
from vmie.batch.plan import cross_checks, field_validation, requests
from vmie.batch.plan import sources as sourcing
from vmie.batch.plan.cross_checks import Draft
from vmie.batch.plan.document import Mistake, Path_, Raw
from vmie.batch.plan.schema import ALIASES, KEY, DefaultsModel, HeadModel, ItemModel, LimitsModel, PlanModel, spelled
from vmie.batch.plan.suggestions import unknown
from vmie.batch.plan.yaml_loader import read
from vmie.errors import UsageError
from vmie.options import ExportRequest, ImportRequest, aws_names
from vmie.options.base import fields_of
from vmie.options.types import ABSOLUTE
from vmie.settings import Settings

#: lines of the error; all of them are in the JSON
_SHOWN = 200
_MOST_ITEMS = 100_000
_ENDINGS = re.compile(r"\.(ova|ovf|vma|vmdk|vhdx?|qcow2|raw|img|vdi|gz|xz|zst|bz2|zip|tar|tgz|txz)+$", re.IGNORECASE)


def load(path: Path, *, settings: Settings, variables: Mapping[str, str] | None = None) -> BatchPlan:
    """Read and judge a plan file. Raises UsageError (code PlanRefused) with every mistake: line, field, message."""
    return judged(read(path, variables=variables), path=path, settings=settings)


def judged(raw: Raw, *, path: Path, settings: Settings) -> BatchPlan:
    """The plan in `raw`; see `load`."""
    data = _top(raw)
    head = field_validation.part(raw, HeadModel, {key: data[key] for key in HeadModel.model_fields if key in data}, ())
    limits = field_validation.part(raw, LimitsModel, data.get("limits"), ("limits",))
    defaults = field_validation.part(raw, DefaultsModel, data.get("defaults"), ("defaults",))
    _tags(raw, defaults.get("tags") or {}, ("defaults",), others=0)
    drafts = [draft for number, item in _listed(raw, data) for draft in _drafts(raw, path, defaults, number, item)]
    cross_checks.judge(raw, drafts, region=settings.region or "")
    if raw.mistakes:
        raise refused(path, raw.mistakes)
    return BatchPlan(
        name=head.get("name") or path.stem,
        items=tuple(_made(draft) for draft in drafts),
        limits=_limits(limits, settings),
        source=str(path.absolute()),
    )


def _top(raw: Raw) -> dict[str, Any]:
    if not isinstance(raw.data, dict):
        message = {
            "NoneType": "the plan is empty: `items:` is missing",
            "list": "a plan is no list: put `items:` before it",
        }.get(type(raw.data).__name__, "a plan has `items:`, and `defaults:` and `limits:` if need be")
        raw.wrong((), message)
        return {}
    for key in raw.data:
        if key not in PlanModel.model_fields:
            raw.wrong((key,), unknown(key, PlanModel))
    if "items" not in raw.data:
        raw.wrong(("items",), "is missing")
    return raw.data


def _listed(raw: Raw, data: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    items = data.get("items", [])
    if not isinstance(items, list):
        if "items" in data:
            raw.wrong(("items",), "a list of items is wanted: each begins with `- source:`")
        return
    if not items and "items" in data:
        raw.wrong(("items",), "there is no item")
    if len(items) > _MOST_ITEMS:
        raw.wrong(("items",), f"{len(items)} items are more than {_MOST_ITEMS}: split the plan")
        return
    yield from enumerate(items)


def _limits(given: Mapping[str, Any], settings: Settings) -> Limits:
    model = LimitsModel.model_validate({name: value for name, value in given.items() if value is not None})
    return Limits(
        imports=model.imports or settings.import_limit,
        exports=model.exports or settings.export_limit,
        conversions=model.conversions or settings.conversion_limit,
        snapshots=model.snapshots,
        proofs=model.proofs,
        uploads=model.uploads,
        ahead=max(model.ahead, model.uploads),
        tries=model.tries,
    )


# --- items ----------------------------------------------------------------------------------------------


def _drafts(raw: Raw, path: Path, defaults: Mapping[str, Any], number: int, given: Any) -> Iterator[Draft]:
    """The VMs of one item: one, or with a pattern one per file."""
    where: Path_ = ("items", number)
    seen: set[tuple[str, str]] = set()

    def wrong(field: str, message: str) -> None:
        if (field, message) not in seen:
            seen.add((field, message))
            raw.wrong((*where, field) if field else where, message)

    if not isinstance(given, dict):
        wrong("", "an item is a mapping of fields: begin it with `source:`")
        return
    folder = path.absolute().parent
    own = field_validation.part(raw, ItemModel, given, where)
    without_source = "source" not in own or own["source"] == ("?",)
    exported = any(sourcing.EXPORTED.fullmatch(source) for source in own.get("source", ()))
    export = exported or (without_source and not own.keys().isdisjoint({"target", "download"}))
    if exported and len(own["source"]) > 1:
        wrong("source", "an export has one source")
    values = _paths(requests.merged(defaults, own, export=export, wrong=wrong), folder)
    _tags(raw, values["tags"], where, others=1 + ("name" in values), own=own.get("tags") or {})
    if values.get("route") == "volume" and not {"availability_zone"} & {*values, *given}:
        wrong("availability_zone", "is missing; a volume lies in one zone, that of the instance it is for")
    _regions(values, own, wrong)
    # What was given and is wrong is not missing, and does not contradict.
    spoilt = {spelled(ItemModel).get(ALIASES.get(name) or name, name) for name in given} - own.keys()
    label = str(values.get("queue", "default"))
    vms = [(["?"], False)] if without_source else list(sourcing.vms(own, folder, wrong, label=label))
    for sources, by_pattern in vms or [(["?"], False)]:
        unknown_source = sources == ["?"]
        no_key = unknown_source or given.get("key") is not None
        key = own.get("key") or ("" if no_key else _key(own.get("name") or sources[0], own.get("machine") or ""))
        if not no_key and not re.fullmatch(KEY, key):
            wrong("key", f"{sources[0]!r} makes no key: give one")
        request = requests.request(values, sources, export=export, spoilt=spoilt, wrong=wrong)
        yield Draft(
            where,
            key,
            given.get("key") is not None,
            [] if unknown_source else sources,
            export,
            values,
            by_pattern=by_pattern,
            request=request,
        )


def _paths(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """With the paths that begin at the plan file made absolute."""
    fields = {**fields_of(ImportRequest), **fields_of(ExportRequest)}
    local = [name for name in values if name in fields and ABSOLUTE in fields[name].metadata]
    paths = {name: sourcing.absolute(folder, values[name]) for name in local}
    return {**values, **paths}


def _tags(raw: Raw, tags: dict[str, str], where: Path_, *, others: int, own: Mapping[str, str] | None = None) -> None:
    """Report what is wrong with tags and take it out; those of the defaults were reported there."""
    for key, why in list(aws_names.tags(tags, others=others)):
        if not key or own is None or key in own:
            raw.wrong((*where, "tags", key) if key else (*where, "tags"), why)
        for wrong in [key] if key else list(tags):
            tags.pop(wrong, None)


def _regions(values: Mapping[str, Any], own: Mapping[str, Any], wrong: requests.Wrong) -> None:
    """Keys, licence configurations and zones are of one Region."""
    region = values.get("region")
    if not region:
        return
    named = [
        (name, text)
        for name, value in values.items()
        for text in (value if isinstance(value, tuple) else (value,))
        if isinstance(text, str) and text.startswith("arn:")
    ]
    at_item = "region" if own.get("region") else ""
    for name, text in named:
        there = aws_names.region_of_arn(text)
        if there and there != region:
            wrong(name if own.get(name) else at_item, f"{name} is of {there}, and the item goes to {region}")
    zone = values.get("availability_zone", "")
    if zone and not zone.startswith(region):
        wrong(
            "availability_zone" if own.get("availability_zone") else at_item,
            f"the zone {zone} is not in the item's Region, {region}",
        )


def _kind(draft: Draft) -> ItemKind:
    route = draft.values.get("route", "image")
    if draft.export:
        return ItemKind.EXPORT
    if draft.values.get("via") == "ebs" and route != "image":
        return ItemKind.SNAPSHOT
    return ItemKind.CONVERSION if route in ("instance", "volume") else ItemKind.IMPORT


def _made(draft: Draft) -> PlanItem:
    values, request = draft.values, draft.request
    return PlanItem(
        key=draft.key,
        kind=_kind(draft),
        source=draft.sources[0],
        request=request.as_json(),
        region=draft.region,
        profile=str(values.get("profile", "")),
        queue=str(values.get("queue", "default")),
        wave=draft.wave,
        after=draft.after,
        size=sum(sourcing.size(source) for source in draft.sources),
    )


def _key(text: str, machine: str) -> str:
    """From the name or source, and the machine of it that is meant: the same appliance may be several items."""
    stem = "-".join(filter(None, (_ENDINGS.sub("", PurePosixPath(text).name), machine)))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64]


def refused(path: Path, mistakes: list[Mistake]) -> UsageError:
    """The one error that lists all."""
    ordered = sorted(dict.fromkeys(mistakes), key=lambda mistake: mistake.line)
    lines = [_line(path, one) for one in ordered[:_SHOWN]]
    if len(ordered) > _SHOWN:
        lines.append(f"… and {len(ordered) - _SHOWN} more, all of them in the JSON")
    many = "1 mistake" if len(ordered) == 1 else f"{len(ordered)} mistakes"
    return UsageError(
        f"{path} has {many}; nothing was begun",
        cause="\n".join(lines),
        cure="mend them; docs/reference/plan-file.md says what may be written",
        code="PlanRefused",
        result={"mistakes": [one.as_json() for one in ordered]},
    )


def _line(path: Path, one: Mistake) -> str:
    field = f"{one.field}: " if one.field else ""
    return f"{path.name}:{one.line}: {field}{one.message}" if one.line else f"{path.name}: {field}{one.message}"
