"""The page of docs/reference about plan files, from the models that judge them."""

from __future__ import annotations

from typing import Any

from pages import HEAD

from vmie.engine.batch.models import Common, ItemModel, LimitsModel, PlanModel

_BEGIN = """# Plan files

What `vmie batch run PLAN` reads: YAML, or CSV when the name ends with `.csv`. The whole file is judged before anything
is begun; every mistake is told with its line and field, and then the plan is refused (exit 2, code `PlanRefused`, all
of them in `result.mistakes[]`).

    version: 1
    name: first wave
    limits: {imports: 20, uploads: 4}
    defaults: {bucket: my-bucket, tags: {team: migration}}
    items:
      - source: disks/*.vmdk
      - {source: db.ova, key: db, name: db-1, wave: 1}
      - {source: [web-boot.vhdx, web-data.vhdx], key: web, after: db, wave: 1}
      - {source: ami-0123456789abcdef0, format: vmdk, bucket: my-exports}

YAML is read by the safe rules: no tags that make objects, no anchors and aliases (`defaults` does what they are used
for), no key twice. `${NAME}` stands for itself unless `--env` is given; then it is the environment variable NAME
(`$$` is a dollar sign), except variables of AWS and those named like secrets.

In a CSV the first line names the fields; each further line is an item. Lists are parted by `;`, tags are columns
`tag:KEY`, and there are no defaults or limits.

A key names its item in `after`, in tags (`vmie:job` is BATCH-KEY) and in S3. Without `key` it is made from `name`, or
from the name of the first source without its ending.
"""


def plan_file() -> str:
    """Tables of the fields."""
    parts = [HEAD + _BEGIN]
    parts += [_table("## The file", PlanModel, {}), _table("## `limits`", LimitsModel, {})]
    common = Common.model_fields
    parts.append(_table("## An item", ItemModel, common))
    parts.append("## An item, or `defaults`\n\n" + _rows(common))
    return "\n".join(parts)


def _table(title: str, model: Any, without: Any) -> str:
    return f"{title}\n\n" + _rows({name: field for name, field in model.model_fields.items() if name not in without})


def _rows(fields: Any) -> str:
    rows = ["| field | | |", "|---|---|---|"]
    for name, field in fields.items():
        rows.append(f"| `{field.alias or name}` | {_type(field.annotation)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _type(annotation: Any) -> str:
    """What may be given, in words."""
    text = str(annotation)
    if "Literal[" in text:
        inner = text[text.index("Literal[") + 8 : text.index("]", text.index("Literal["))]
        return ", ".join(f"`{word.strip().strip(chr(39))}`" for word in inner.split(","))
    for mark, words in (
        ("ItemModel", "list of items"),
        ("Model", "fields below"),
        ("dict", "texts by name"),
        ("list", "text or list of texts"),
        ("Annotated", "text or list of texts"),
        ("bool", "`true` or `false`"),
        ("int", "whole number"),
    ):
        if mark in text:
            return words
    return "text"
