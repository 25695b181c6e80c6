"""From a plan file to a `Plan`: every mistake found is told at once, with its line, and then nothing is begun."""

from __future__ import annotations

import glob
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ValidationError

from vmie.engine.batch.model import Kind, Limits, Plan, PlanItem
from vmie.engine.batch.models import KEY, DefaultsModel, ItemModel, LimitsModel, PlanModel
from vmie.engine.batch.reading import Mistake, Path_, Raw, dotted, read
from vmie.errors import UsageError, VmieError
from vmie.model import Profile, Route, S3Object
from vmie.ops.export import ExportRequest
from vmie.ops.import_ import ImportRequest
from vmie.settings import Settings

#: shown in the error; all of them are in the JSON
_SHOWN = 20
_EXPORTED = re.compile(r"(i|ami)-[0-9a-f]{8,17}")
_ONLY_IMPORT = (
    "route",
    "architecture",
    "platform",
    "boot_mode",
    "license_type",
    "usage_operation",
    "license_configurations",
    "encrypted",
    "kms_key",
    "keep_object",
    "imds_v2",
    "volume_type",
    "as_is",
    "strict",
    "rules",
    "register_as",
    "name",
)
_ONLY_EXPORT = ("target",)
#: what a single import calls its options, in the words of a plan
_OPTION = re.compile(r"--([a-z0-9-]+)")
_FIELDS = {
    "arch": "architecture",
    "license-configuration": "license_configurations",
    "tag": "tags",
    "imds-v2": "imds_v2",
}


def load(path: Path, *, settings: Settings, variables: Mapping[str, str] | None = None) -> Plan:
    """Read and judge a plan file. Raises UsageError (code PlanRefused) with every mistake: line, field, message."""
    return judged(read(path, variables=variables), path=path, settings=settings)


def judged(raw: Raw, *, path: Path, settings: Settings) -> Plan:
    """The plan in `raw`; see `load`."""
    mistakes = list(raw.mistakes)
    model: PlanModel | None = None
    try:
        model = PlanModel.model_validate(raw.data if raw.data is not None else {})
    except ValidationError as error:
        mistakes += _of_pydantic(error, raw)
    items: list[PlanItem] = []
    if model is not None:
        items = _items(model, raw, path.absolute().parent, mistakes)
        _references(items, model, raw, mistakes)
    if mistakes or model is None:
        raise _refused(path, mistakes)
    return Plan(
        name=model.name or path.stem,
        items=tuple(items),
        limits=_limits(model.limits, settings),
        source=str(path.absolute()),
    )


def _limits(model: LimitsModel, settings: Settings) -> Limits:
    return Limits(
        imports=model.imports or settings.import_limit,
        exports=model.exports or settings.export_limit,
        conversions=model.conversions or settings.conversion_limit,
        uploads=model.uploads,
        ahead=max(model.ahead, model.uploads),
        tries=model.tries,
    )


def _of_pydantic(error: ValidationError, raw: Raw) -> Iterator[Mistake]:
    for one in error.errors(include_url=False):
        where: Path_ = tuple(one["loc"])
        message = one["msg"]
        if one["type"] == "extra_forbidden":
            near = _nearest(str(where[-1]), where)
            message = "there is no such field" + (f"; did you mean {near}?" if near else "")
        elif one["type"] == "missing":
            message = "is missing"
        elif isinstance(one.get("input"), str | int | float | bool):
            message = f"{one['input']!r}: {message[:1].lower()}{message[1:]}"
        yield Mistake(raw.line(where), dotted(where), message)


def _nearest(name: str, where: Path_) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - for mistakes only

    parts: dict[str, type[BaseModel]] = {"items": ItemModel, "defaults": DefaultsModel, "limits": LimitsModel}
    model = parts.get(str(where[0]), PlanModel)
    known = [field.alias or name for name, field in model.model_fields.items()]
    return next(iter(get_close_matches(name, known, n=1)), "")


# --- items ----------------------------------------------------------------------------------------------


def _items(model: PlanModel, raw: Raw, folder: Path, mistakes: list[Mistake]) -> list[PlanItem]:
    """Each item with the defaults in it; a pattern becomes one item per file."""
    found: list[PlanItem] = []
    for number, item in enumerate(model.items):
        where: Path_ = ("items", number)

        def wrong(field: str, message: str, where: Path_ = where) -> None:
            at = (*where, field) if field else where
            mistakes.append(Mistake(raw.line(at), dotted(at), message))

        values = _with_defaults(model.defaults, item)
        for sources in _sources(item, folder, wrong):
            made = _item(item, values, sources, wrong)
            if made is not None:
                found.append(made)
    return found


def _with_defaults(defaults: DefaultsModel, item: ItemModel) -> dict[str, Any]:
    own = item.model_dump(exclude_none=True)
    values = {**defaults.model_dump(exclude_none=True), **own}
    values["tags"] = {**(defaults.tags or {}), **(item.tags or {})}
    return values


def _sources(item: ItemModel, folder: Path, wrong: Any) -> Iterator[list[str]]:
    """The sources of each VM that the item stands for."""
    if len(item.source) == 1 and glob.has_magic(item.source[0]) and not item.source[0].startswith("s3://"):
        files = sorted(
            name
            for name in glob.iglob(str(folder / item.source[0]), recursive=True)  # noqa: PTH207 - absolute patterns too
            if Path(name).is_file()
        )
        if not files:
            wrong("source", f"{item.source[0]!r} matches no file in {folder}")
        if item.key or item.name or item.register_as:
            several = next(name for name, value in item if name in ("key", "name", "register_as") and value)
            if len(files) > 1:
                wrong(
                    several.removesuffix("_as"), f"cannot be shared by the {len(files)} files that the pattern matches"
                )
        yield from ([name] for name in files)
        return
    resolved = []
    for source in item.source:
        if source.startswith("s3://"):
            try:
                S3Object.parse(source)
            except ValueError as error:
                wrong("source", str(error))
            resolved.append(source)
        elif _EXPORTED.fullmatch(source):
            resolved.append(source)
        else:
            path = folder / Path(source).expanduser()
            if not path.is_file():
                wrong("source", f"there is no file {path}")
            resolved.append(str(path))
    yield resolved


def _item(item: ItemModel, values: dict[str, Any], sources: list[str], wrong: Any) -> PlanItem | None:
    exported = [source for source in sources if _EXPORTED.fullmatch(source)]
    if exported and len(sources) > 1:
        wrong("source", "an export has one source")
        return None
    kind = Kind.EXPORT if exported else Kind.IMPORT
    key = item.key or _key(item.name or sources[0])
    if not re.fullmatch(KEY, key):
        wrong("key", f"{sources[0]!r} makes no key: give one")
        return None
    set_here = item.model_fields_set
    for name in _ONLY_IMPORT if kind is Kind.EXPORT else _ONLY_EXPORT:
        if name in set_here:
            field = ItemModel.model_fields[name].alias or name
            wrong(field, f"not for an {kind.value}")
    try:
        request = _export(values, sources[0]) if kind is Kind.EXPORT else _import(values, sources)
        request.validate()
    except VmieError as error:
        wrong(*_in_words_of_a_plan(error))
        return None
    return PlanItem(
        key=key,
        kind=kind,
        source=sources[0],
        request={**request.as_json(), "skip": list(values.get("skip_check", ()))},
        region=values.get("region", ""),
        profile=values.get("profile", ""),
        queue=values.get("queue", "default"),
        wave=values.get("wave", 0),
        after=tuple(values.get("after", ())),
        size=sum(_size(source) for source in sources),
    )


def _import(values: Mapping[str, Any], sources: list[str]) -> ImportRequest:
    plain = ("bucket", "prefix", "name", "description", "tags", "architecture", "platform", "boot_mode", "license_type")
    more = (
        "usage_operation",
        "encrypted",
        "kms_key",
        "role_name",
        "keep_object",
        "imds_v2",
        "volume_type",
        "as_is",
        "strict",
    )
    given = {name: values[name] for name in (*plain, *more) if name in values}
    return ImportRequest(
        sources=tuple(sources),
        route=Route(values.get("route", "image")),
        register=values.get("register_as", ""),
        wanted=values.get("format"),
        skip=tuple(values.get("skip_check", ())),
        license_configurations=tuple(values.get("license_configurations", ())),
        profile=Profile(values.get("rules", "current")),
        **given,
    )


def _export(values: Mapping[str, Any], source: str) -> ExportRequest:
    if "format" not in values:
        raise UsageError("--format an export needs one: vmdk, vhd, ova or raw")
    given = {
        name: values[name]
        for name in ("bucket", "prefix", "description", "tags", "target", "role_name")
        if name in values
    }
    return ExportRequest(source=source, format=values["format"], **given)


def _in_words_of_a_plan(error: VmieError) -> tuple[str, str]:
    """The field that an option of the single verb stands for, and what is wrong with it."""
    text = "; ".join(part for part in (error.message, error.cause, error.cure) if part)
    named = _OPTION.search(error.message)
    field = ""
    if named:
        field = _FIELDS.get(named[1], named[1].replace("-", "_"))
        if field not in {one.alias or name for name, one in ItemModel.model_fields.items()}:
            field = ""
    return field, _OPTION.sub(lambda match: _FIELDS.get(match[1], match[1].replace("-", "_")), text)


def _key(text: str) -> str:
    stem = PurePosixPath(text).name
    stem = re.sub(r"\.(ova|ovf|vmdk|vhdx?|qcow2|raw|img|vdi|gz|xz|zst|bz2)+$", "", stem, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64]


def _size(source: str) -> int:
    path = Path(source)
    return path.stat().st_size if not source.startswith("s3://") and path.is_file() else 0


# --- items among each other -------------------------------------------------------------------------------


def _references(items: list[PlanItem], model: PlanModel, raw: Raw, mistakes: list[Mistake]) -> None:
    lines = _lines(items, model, raw)
    count = Counter(item.key for item in items)
    for key, times in count.items():
        if times > 1:
            mistakes.append(
                Mistake(lines[key][-1], "key", f"{times} items have the key {key!r}: give them different ones")
            )
    known = {item.key: item for item in items}
    for item in items:
        line = lines[item.key][0]
        for key in item.after:
            if key not in known:
                mistakes.append(Mistake(line, f"{item.key}.after", f"there is no item {key!r}"))
            elif known[key].wave > item.wave:
                mistakes.append(
                    Mistake(line, f"{item.key}.after", f"{key} is in wave {known[key].wave}, after wave {item.wave}")
                )
    if circle := _circle(known):
        mistakes.append(Mistake(lines[circle[0]][0], f"{circle[0]}.after", f"a circle: {' → '.join(circle)}"))


def _lines(items: list[PlanItem], model: PlanModel, raw: Raw) -> Mapping[str, list[int]]:
    """Where each key stands; the items of a pattern all stand where the pattern does."""
    lines: defaultdict[str, list[int]] = defaultdict(list)
    names = {(item.key or _key(item.name or item.source[0])): number for number, item in enumerate(model.items)}
    for number, item in enumerate(model.items):
        lines[item.key or _key(item.name or item.source[0])].append(raw.line(("items", number)))
    for made in items:
        if made.key not in names:
            lines[made.key].append(0)
    return lines


def _circle(known: Mapping[str, PlanItem]) -> list[str]:
    """A circle of `after`, [] when there is none; without recursion, for plans are long."""
    left = {key: {name for name in item.after if name in known} for key, item in known.items()}
    followers: defaultdict[str, list[str]] = defaultdict(list)
    for key, names in left.items():
        for name in names:
            followers[name].append(key)
    free = [key for key, names in left.items() if not names]
    while free:
        done = free.pop()
        for key in followers[done]:
            left[key].discard(done)
            if not left[key]:
                free.append(key)
    return _walk({key: names for key, names in left.items() if names})


def _walk(left: Mapping[str, set[str]]) -> list[str]:
    if not left:
        return []
    path = [next(iter(left))]
    while True:
        following = min(name for name in left[path[-1]] if name in left)
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)


def _refused(path: Path, mistakes: list[Mistake]) -> UsageError:
    ordered = sorted(mistakes, key=lambda mistake: mistake.line)
    lines = [f"{path.name}:{one.line}: {one.field}: {one.message}" for one in ordered[:_SHOWN]]
    if len(ordered) > _SHOWN:
        lines.append(f"… and {len(ordered) - _SHOWN} more")
    many = "1 mistake" if len(ordered) == 1 else f"{len(ordered)} mistakes"
    return UsageError(
        f"{path} has {many}; nothing was begun",
        cause="\n".join(lines),
        cure="mend them; docs/reference/plan-file.md says what may be written",
        code="PlanRefused",
        result={"mistakes": [one.as_json() for one in ordered]},
    )
