"""The plan file's fields: the options of imports and exports, and what is a plan's own.

`docs/reference/plan-file.md` and `plan.schema.json` are made from it. `ways_of` a field says which items take it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, create_model
from pydantic.fields import FieldInfo

from vmie.batch.plan.wording import PlanTerms
from vmie.errors import says
from vmie.options import ExportRequest, ImportRequest
from vmie.options.base import Extra, allow_names, extra, fields_of
from vmie.options.types import ABSOLUTE, Region, Text, Texts

allow_names()

KEY = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
LABEL = r"^[a-z0-9][a-z0-9-]{0,31}$"

EXPORT = "export"


def _matching(pattern: str, words: str) -> Any:
    def judge(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(repr(text[:60]), words)
        return text

    return Annotated[Text, AfterValidator(judge), WithJsonSchema({"type": "string", "pattern": pattern})]


Key = _matching(KEY, "a key is made of 1 to 64 letters, digits, dots, hyphens and underscores, a letter or digit first")
Label = _matching(LABEL, "a label is made of 1 to 32 lower-case letters, digits and hyphens, a letter or digit first")


def _field(description: str, *, guesses: tuple[str, ...] = (), **limits: Any) -> Any:
    return Field(None, description=description, json_schema_extra=Extra(guesses=guesses), **limits)


class _Strict(BaseModel):
    """Unknown fields are mistakes, and so is a number where a text is wanted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LimitsModel(_Strict):
    """How much at once."""

    imports: int | None = Field(
        None, ge=1, le=1000, description="Active import tasks per account and Region. Default: the setting, 20."
    )
    exports: int | None = Field(
        None, ge=1, le=1000, description="Active export tasks per account and Region. Default: the setting, 5."
    )
    conversions: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Active tasks of routes instance and volume per account and Region. Default: the setting, 5.",
    )
    snapshots: int = Field(
        100,
        ge=1,
        le=1000,
        description="Snapshots written block by block (via: ebs) and not yet complete, per account and Region.",
    )
    proofs: int = Field(5, ge=1, le=64, description="AMIs launched at once by one machine, to be proved (prove: true).")
    uploads: int = Field(2, ge=1, le=64, description="Items checked and uploaded at once by one machine.")
    ahead: int = Field(
        10,
        ge=1,
        le=10_000,
        description="Items of an account and Region that are uploaded, or are being, before AWS has room for them.",
    )
    tries: int = Field(3, ge=1, le=10, description="Tasks per item, when AWS fails one through a fault of its own.")


class _Place(_Strict):
    """Where and when: what an item may say beside the options, and `defaults` for all of them."""

    region: Region | None = _field("AWS Region. Default: the session's.")
    profile: Text | None = _field(
        "AWS profile, for another account. Default: the session's. Every worker needs it.",
        min_length=1,
        max_length=128,
        guesses=("account", "credentials"),
    )
    queue: Label | None = _field(  # type: ignore[valid-type]
        "Label of the workers near the item's disks (`vmie worker --queue`). Default: `default`.", guesses=("label",)
    )
    wave: int | None = _field(
        "Begins when every item of a lower wave has ended. Default: 0.",
        ge=0,
        le=10_000,
        guesses=("batch", "order", "phase", "priority", "stage"),
    )


class _Item(_Strict):
    """What one item alone may say."""

    source: Texts = Field(
        min_length=1,
        description="A disk, an OVA or `s3://bucket/key`; several are the disks of one VM, boot disk first. "
        "A pattern (`*`, `?`, `[…]`, `**`) makes one item of each file. `i-…` or `ami-…` is an export.",
        json_schema_extra=Extra(
            guesses=("disk", "disks", "file", "files", "image", "images", "instance", "path", "paths", "url", "vm")
        ),
    )
    without: Texts | None = Field(
        None,
        alias="except",
        description="Files that a pattern in `source` is not to match; patterns too.",
        json_schema_extra=Extra(guesses=("exclude",)),
    )
    key: Key | None = _field(  # type: ignore[valid-type]
        "Names the item in `after`, in tags and in S3. Default: from `name` or `source`.", guesses=("id",)
    )
    after: Texts | None = _field(
        "Keys of items that must be completed first; `web-*` for all that begin so.",
        guesses=("depends", "depends_on", "needs", "requires"),
    )


def _options(*, single: bool) -> dict[str, Any]:
    """The options of imports and exports as fields of a plan: None for what is not given."""
    mine, theirs = fields_of(ImportRequest), fields_of(ExportRequest)
    fields = {}
    for name in dict.fromkeys((*mine, *theirs)):
        info = mine.get(name) or theirs[name]
        said = extra(info)
        if said.in_plans and said.single is single:
            other = theirs.get(name) if name in mine else None
            if other is not None and not extra(other).in_plans:
                other = None
            # A path begins at the plan file, which knows its folder.
            kept = tuple(one for one in info.metadata if one is not ABSOLUTE)
            inner: Any = Annotated[(info.annotation, *kept)] if kept else info.annotation
            routes = (*said.routes, EXPORT) if other is not None and said.routes else said.routes
            described = Field(None, description=_words(info, other), json_schema_extra=replace(said, routes=routes))
            fields[name] = (inner | None, described)
    return fields


class _DocsTerms(PlanTerms):
    def option(self, name: str, value: str = "") -> str:
        return f"`{super().option(name, value)}`"


_DOCS = _DocsTerms()


def _words(info: FieldInfo, other: FieldInfo | None) -> str:
    """The help of an option; of one that exports have too, with what it is there."""
    words = info.description or ""
    if other is not None and other.description not in (None, words):
        words = f"{words} Exports: {other.description}"
    return says(words).text(_DOCS)


Common: Any = create_model("Common", __base__=_Place, __doc__=_Place.__doc__, **_options(single=False))
DefaultsModel: Any = create_model(
    "DefaultsModel", __base__=Common, __doc__="What holds for every item that takes it and does not say otherwise."
)
ItemModel: Any = create_model(
    "ItemModel",
    __base__=(_Item, Common),
    __doc__="One VM, or with a pattern in `source` one VM per file.",
    **_options(single=True),
)


class HeadModel(_Strict):
    """The top of the file."""

    version: Literal[1] = Field(1, description="Of this format.")
    name: Text = Field("", max_length=100, description="Of the batch, for people.")


PlanModel: Any = create_model(
    "PlanModel",
    __base__=HeadModel,
    __doc__="The whole file.",
    limits=(LimitsModel, Field(default_factory=LimitsModel, description="How much at once.")),  # type: ignore[arg-type]
    defaults=(
        DefaultsModel,
        Field(
            default_factory=DefaultsModel,
            description="For every item that takes it; an item's `null` takes a default back.",
        ),
    ),
    items=(list[ItemModel], Field(min_length=1, max_length=100_000, description="The VMs.")),
)

#: other names of fields that are read like them
ALIASES = {"as": "route"}


@cache
def spelled(model: type[BaseModel]) -> Mapping[str, str]:
    """How the fields of a model are written in a plan → their names in Python."""
    return {field.alias or name: name for name, field in model.model_fields.items()}


@cache
def ways_of(model: type[BaseModel], name: str) -> tuple[str, ...]:
    """The routes, and "export", that take a field; () for all of them."""
    return extra(model.model_fields[name]).routes
