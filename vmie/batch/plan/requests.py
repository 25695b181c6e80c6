"""From an item's fields to the request of a single import or export, with all that its validation has to say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from vmie.batch.plan.schema import EXPORT, ItemModel, spelled, ways_of
from vmie.errors import UsageError, VmieError
from vmie.model import Profile, Route
from vmie.ops import transfer_options
from vmie.ops.export import ExportRequest
from vmie.ops.import_ import ImportRequest

#: tells a mistake: the field ("" for the item) and the sentence
Wrong = Callable[[str, str], None]

#: what a single import or export calls its options, where a plan has another word
_FIELDS = {
    "arch": "architecture",
    "as": "route",
    "license-configuration": "license_configurations",
    "rules": "rules",
    "security-group": "security_groups",
    "tag": "tags",
}
_OPTION = re.compile(r"--([a-z0-9-]*[a-z0-9])")
#: in backticks, or to the end of the line
_COMMAND = re.compile(r"`[^`\n]*`|\b(?:vmie|aws) [a-z][a-z0-9-]*[^\n]*")
_ROUTE = re.compile(r"--as (image|snapshot|instance|volume)\b")
#: fields of which an item's own takes the place of a default's other one
_RIVALS = ({"license_type", "usage_operation"}, {"as_is", "format"})
#: what stands in for a field that was missing, so that the rest can be judged
STAND_INS = {"instance_type": "m3.medium", "format": "vmdk", "subnet": "subnet-00000000"}
_ROUNDS = 40


def written(name: str) -> str:
    """How a field is spelled in a plan."""
    return ItemModel.model_fields[name].alias or name


def merged(defaults: Mapping[str, Any], own: Mapping[str, Any], *, export: bool, wrong: Wrong) -> dict[str, Any]:
    """An item's fields with the defaults that fit it; its own that do not fit it are told, and left out."""
    values = {name: value for name, value in defaults.items() if value is not None}
    for rivals in _RIVALS:
        if rivals & {name for name, value in own.items() if value is not None}:
            values = {name: value for name, value in values.items() if name not in rivals}
    values |= own
    values = {name: value for name, value in values.items() if value is not None}
    values["tags"] = {**(defaults.get("tags") or {}), **(own.get("tags") or {})}
    route = EXPORT if export else str(values.get("route", "image"))
    for name in list(values):
        ways = ways_of(ItemModel, name)
        if not ways or route in ways:
            continue
        if own.get(name) is not None:
            wrong(written(name), _not_for(ways, route))
        del values[name]
    return values


def _not_for(ways: tuple[str, ...], route: str) -> str:
    if ways == (EXPORT,):
        return "not for an import: it is for exports"
    if route == EXPORT:
        return "not for an export"
    routes = [way for way in ways if way != EXPORT]
    return f"not for route: {route}; it is for route: {' or '.join(routes)}"


def request(
    values: Mapping[str, Any], sources: list[str], *, export: bool, wrong: Wrong
) -> ImportRequest | ExportRequest | None:
    """The request, or None when anything about it was told to be wrong.

    After each mistake the fields that it names are left out, so that the next one is found in the same run.
    """
    left, right = dict(values), True
    for _ in range(_ROUNDS):
        try:
            made = _export(left, sources[0]) if export else _import(left, sources)
            made.validate()
        except VmieError as error:
            right = False
            field, message = _in_words(error)
            wrong(field, message)
            if not _left_out(left, error, field):
                return None
        else:
            return made if right else None
    return None


def _left_out(left: dict[str, Any], error: VmieError, field: str) -> bool:
    """Take what the mistake is about out of `left`; False when that would change nothing."""
    options = [_FIELDS.get(name, name.replace("-", "_")) for name in _OPTION.findall(error.message)]
    names = {spelled(ItemModel).get(name, "") for name in (field, *options)} - {"", "source", "route"}
    before = dict(left)
    for name in names:
        if name in STAND_INS:
            left[name] = STAND_INS[name]
        else:
            left.pop(name, None)
    return left != before


def _import(values: Mapping[str, Any], sources: list[str]) -> ImportRequest:
    plain = (
        *("bucket", "prefix", "name", "description", "tags", "architecture", "platform", "boot_mode", "license_type"),
        *("usage_operation", "encrypted", "kms_key", "role_name", "keep_object", "imds_v2", "volume_type", "as_is"),
        *("strict", "sse", "sse_kms_key", "storage_class", "accelerate"),
        *("instance_type", "subnet", "private_ip", "availability_zone", "user_data", "shutdown_behavior", "tenancy"),
        *("monitoring", "volume_size", "attach_data_disks"),
    )
    return ImportRequest(
        sources=tuple(sources),
        route=Route(values.get("route", "image")),
        register=values.get("register_as", ""),
        format=values.get("format"),
        skip_check=tuple(values.get("skip_check", ())),
        license_configurations=tuple(values.get("license_configurations", ())),
        rules=Profile(values.get("rules", "current")),
        max_rate=transfer_options.rate(values.get("max_rate", "")),
        copy=values.get("copy_first", False),
        security_groups=tuple(values.get("security_groups", ())),
        **{name: values[name] for name in plain if name in values},
    )


def _export(values: Mapping[str, Any], source: str) -> ExportRequest:
    if "format" not in values:
        raise UsageError("--format is missing", cause="an export needs one: vmdk, vhd, ova or raw")
    name = {"Name": values["name"]} if "name" in values else {}
    plain = ("bucket", "prefix", "description", "target", "role_name", "download")
    return ExportRequest(
        source=source,
        format=values["format"],
        tags={**name, **values["tags"]},
        skip_check=tuple(values.get("skip_check", ())),
        **{name: values[name] for name in plain if name in values},
    )


def in_plan_words(text: str) -> str:
    """The options of the single verbs in a sentence, as fields of a plan; those of a command to type stay."""
    return "".join(
        part if _COMMAND.match(part) else _fields_in(part) for part in re.split(rf"({_COMMAND.pattern})", text)
    )


def _fields_in(text: str) -> str:
    known = set(spelled(ItemModel))

    def word(match: re.Match[str]) -> str:
        name = _FIELDS.get(match[1], match[1].replace("-", "_"))
        return name if name in known else match[0]

    return _OPTION.sub(word, _ROUTE.sub(r"route: \1", text))


def _in_words(error: VmieError) -> tuple[str, str]:
    """The field that an option of the single verb stands for, and what is wrong with it, in the words of a plan."""
    named = _OPTION.search(error.message)
    field = in_plan_words(named[0]) if named else ""
    parts: list[str] = []
    for part in filter(None, (error.message, error.cause, error.cure)):
        plain = in_plan_words(part)
        alone = field and not parts and not plain.startswith(f"{field} and ")
        parts.append(plain.removeprefix(field).lstrip(": ") if alone else plain)
    return (field if field in spelled(ItemModel) else ""), "; ".join(parts)
