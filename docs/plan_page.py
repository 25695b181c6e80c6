"""The page of docs/reference about plan files, from the models that judge them."""

from __future__ import annotations

import json
from typing import Any, get_args

from pages import HEAD

from vmie.batch.plan.schema import ALIASES, Common, ItemModel, LimitsModel, PlanModel, ways_of
from vmie.options.base import choices, kind

_BEGIN = """# Plan files

What `vmie batch run PLAN` reads: YAML, or CSV when the name ends with `.csv`. The whole file is judged before anything
is begun; every mistake in it is reported in one run, with its line and field, and then the plan is refused (exit 2,
code `PlanRefused`, all of them in `result.mistakes[]` as `line`, `field`, `message`).

    version: 1
    name: first wave
    limits: {imports: 20, uploads: 4}
    defaults: {bucket: my-bucket, region: eu-central-1, tags: {team: migration}}
    items:
      - {source: disks/*.vmdk, except: disks/db*.vmdk}
      - {source: disks/db.vmdk, key: db, name: db-1, wave: 1, encrypted: true}
      - {source: [web-boot.vhdx, web-data.vhdx], key: web, after: db, wave: 1}
      - {source: archive.raw, route: snapshot, register: archive-2016, imds_v2: true, wave: 2}
      - {source: ami-0123456789abcdef0, format: vmdk, bucket: my-exports, download: out}

## How it is read

- Paths - in `source`, `except`, `user_data` and `download` - begin at the plan file unless they are absolute.
- A default holds for every item that takes it: `license_type` in `defaults` does not disturb an export. An item's own
  field always has to fit. `null` as an item's value takes a default back. Tags are joined.
- A key names its item in `after`, in tags (`vmie:job` is BATCH-KEY) and in S3. Without `key` it is made from `name`, or
  from the name of the first source without its ending.
- A file or object is a disk of one item. Where a pattern and another item meet, the pattern needs `except`; a disk that
  is meant to be imported twice needs a `key` in both items. (A machine that is exported twice likewise.)
- An item with a `queue` may name files that only the machines of that label have: they are not looked for here.
- An item begins when its wave has come *and* what it names in `after` is completed. When one of those fails, so does
  the item.

**YAML** is read by the safe rules: no tags (`!!…`), no aliases and merge keys (`defaults` does what they are used for),
no key twice. What YAML reads as a number, a date or a boolean (`no`, `0777`, `2026-01-01`) is put in quotes where a
text is meant.

**CSV**: the first line names the fields, in any case and order (`Boot Mode` is `boot_mode`); each further record is an
item. Commas, semicolons and tabs all do, as spreadsheets write them, in UTF-8. Lists are parted by `;` within a cell,
tags are columns `tag:KEY`. There are no defaults and no limits; a column without a name must be empty. Of a mistake
`field` is the column and `line` the one where the record begins.

**Environment**: `${NAME}` stands for itself unless `--env` is given; then it is the environment variable NAME (`$$` is
a dollar sign). Variables of AWS, those named like secrets and addresses with a password in them are never put in.
"""

_END = """
## What only the single commands have

| option | why not in a plan |
|---|---|
| `--no-wait` | a batch ends when its tasks have; `vmie batch run` may be interrupted and gone on with at any time |
| `--client-token` | each item has its own, made from batch and key: that is what makes repetition harmless |
| `--via`, `--since`, `--base`, `--force` of an export | a batch has AWS do its exports |
| `--region`, `--profile` | fields of the item |
| `--endpoint-url`, `--sandbox` | of the whole run |

User data is read from its file when the task starts, so the worker that starts it needs the file; a `download` is
written by the worker that finishes the export. With workers on several machines both paths must mean the same there.
"""


def plan_file() -> str:
    """Tables of the fields."""
    parts = [HEAD + _BEGIN]
    parts += [_table("## The file", PlanModel, {}), _table("## `limits`", LimitsModel, {})]
    common = Common.model_fields
    parts.append(_table("## An item", ItemModel, common))
    parts.append("## An item, or `defaults`\n\n" + _rows(Common, common))
    return "\n".join(parts) + _END


def _table(title: str, model: Any, without: Any) -> str:
    return f"{title}\n\n" + _rows(
        model, {name: field for name, field in model.model_fields.items() if name not in without}
    )


def _rows(model: Any, fields: Any) -> str:
    several = any(ways_of(model, name) for name in fields)
    rows = ["| field | for | what may be given | |", "|---|---|---|---|"]
    if not several:
        rows = ["| field | what may be given | |", "|---|---|---|"]
    for name, field in fields.items():
        ways = f" {_ways(model, name)} |" if several else ""
        rows.append(f"| `{field.alias or name}` |{ways} {_type(field)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _ways(model: Any, name: str) -> str:
    ways = ways_of(model, name)
    if ways == ("image", "snapshot", "instance", "volume"):
        return "imports"
    return ", ".join("exports" if way == "export" else way for way in ways) or "all"


def _type(info: Any) -> str:
    """What may be given, in words."""
    if values := choices(info):
        return ", ".join(f"`{value}`" for value in values)
    text = str(info.annotation)
    if "Literal[" in text:
        return ", ".join(f"`{value}`" for value in get_args(info.annotation))
    for mark, words in (("ItemModel", "list of items"), ("Model", "fields below")):
        if mark in text:
            return words
    return _WORDS[kind(info.annotation)]


_WORDS = {
    "flag": "`true` or `false`",
    "list": "text or list of texts",
    "mapping": "texts by name",
    "number": "whole number",
    "text": "text",
}


def schema() -> str:
    """`plan.schema.json`: what editors complete and check plan files by."""
    made = PlanModel.model_json_schema(by_alias=True)
    for name in ("ItemModel", "DefaultsModel"):
        fields = made["$defs"][name]["properties"]
        fields |= {alias: fields[field] for alias, field in ALIASES.items()}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A plan of vmie",
        "description": "See plan-file.md. Generated by `make docs`; do not edit.",
    }
    return json.dumps({**made, **head}, indent=2, ensure_ascii=False) + "\n"
