"""A policy document as Terraform's ``aws_iam_policy_document`` data source.

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/data-sources/iam_policy_document
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from vmie.policy.compare import Document, statements, texts

_BLOCKS = (
    ("Action", "actions"),
    ("NotAction", "not_actions"),
    ("Resource", "resources"),
    ("NotResource", "not_resources"),
)


def hcl(document: Document, name: str) -> str:
    """``data "aws_iam_policy_document" "<name>" {…}`` that renders to `document`.

    Raises ValueError for a name that Terraform would not take.
    """
    if not re.fullmatch(r"[A-Za-z_][\w-]*", name, re.ASCII):
        raise ValueError(f"{name!r} is not the name of a Terraform block")
    lines = [f'data "aws_iam_policy_document" "{name}" {{']
    for number, statement in enumerate(statements(document)):
        lines += [""] if number else []
        lines += [f"  {line}".rstrip() for line in _statement(statement)]
    return "\n".join([*lines, "}"])


def _statement(statement: Mapping[str, Any]) -> list[str]:
    pairs = [("sid", _text(str(statement["Sid"])))] if statement.get("Sid") else []
    pairs.append(("effect", _text(str(statement.get("Effect", "Allow")))))
    pairs += [(ours, _list(texts(statement, theirs))) for theirs, ours in _BLOCKS if theirs in statement]
    width = max(len(key) for key, _ in pairs)
    lines = ["statement {", *(f"  {key:<{width}} = {value}" for key, value in pairs)]
    for theirs, ours in (("Principal", "principals"), ("NotPrincipal", "not_principals")):
        found = statement.get(theirs)
        named = {"*": "*"} if found == "*" else found if isinstance(found, Mapping) else {}
        for kind in named:
            lines += _block(ours, (("type", _text(kind)), ("identifiers", _list(texts(named, kind)))))
    for operator, tests in (statement.get("Condition") or {}).items():
        for key in tests:
            pairs_ = (("test", _text(operator)), ("variable", _text(key)), ("values", _list(texts(tests, key))))
            lines += _block("condition", pairs_)
    return [*lines, "}"]


def _block(name: str, pairs: tuple[tuple[str, str], ...]) -> list[str]:
    width = max(len(key) for key, _ in pairs)
    return ["", f"  {name} {{", *(f"    {key:<{width}} = {value}" for key, value in pairs), "  }"]


def _list(values: list[str]) -> str:
    return f"[{', '.join(_text(value) for value in values)}]"


def _text(value: str) -> str:
    """Terraform reads ``${`` as its own; IAM's variables are written ``&{`` there, and ``%{`` is doubled."""
    return json.dumps(value, ensure_ascii=False).replace("${", "&{").replace("%{", "%%{")
