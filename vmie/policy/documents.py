"""IAM documents, filled from the templates in ``policies/``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from vmie.policy.compare import Document, same, statements, texts

SERVICE = "vmie.amazonaws.com"
EXTERNAL_ID = "vmimport"
ASSUME_ROLE = "sts:AssumeRole"
#: the Sid of the statement that we own in an export bucket's policy
EXPORT_SID = "VmieExport"

# S3's rules of today are narrower; buckets made in us-east-1 before 2018 may hold capitals and underscores.
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
ROLE = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
KEY_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Grants:
    """What the service role may touch: buckets to import from, buckets to export to, KMS key ARNs."""

    buckets: tuple[str, ...] = ()
    export_buckets: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    license_manager: bool = False

    def __or__(self, other: Grants) -> Grants:
        """Both, the left one's order first."""
        return Grants(
            union(self.buckets, other.buckets),
            union(self.export_buckets, other.export_buckets),
            union(self.keys, other.keys),
            self.license_manager or other.license_manager,
        )


def template(name: str) -> Document:
    """The document ``policies/<name>.json`` with its placeholders, from the wheel or the source tree."""
    document: Document = json.loads(_template_text(name))
    return document


@cache
def _template_text(name: str) -> str:
    packaged = resources.files("vmie").joinpath("policies", f"{name}.json")
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "policies" / f"{name}.json").read_text(encoding="utf-8")


def bucket_name(text: str) -> str:
    """The name in ``name``, ``s3://name`` or ``s3://name/``; raises ValueError when it cannot be one.

    Wildcards are refused above all: a policy would take them for "every bucket".
    """
    name = text.removeprefix("s3://").removesuffix("/")
    if not BUCKET.fullmatch(name) or ".." in name:
        raise ValueError(f"{text!r} is not the name of an S3 bucket")
    return name


def role_name(text: str) -> str:
    """`text` if it can be a role's name; raises ValueError for what a policy would take for more than one."""
    if not ROLE.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of a role")
    return text


def key_arn(text: str) -> str:
    """`text` if it is the ARN of a KMS key; raises ValueError for aliases, ids and wildcards.

    IAM does not match a key by its alias' ARN, so only key ARNs grant anything.
    """
    if not KEY_ARN.fullmatch(text):
        raise ValueError(f"{text!r} is not the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID)")
    return text


def trust(*, account: str = "", partition: str = "aws") -> Document:
    """The trust policy of the service role; with `account` only requests of that account pass.

    The restriction is the documented guard against the confused deputy (aws-facts 4.1).
    """
    document = template("trust-policy")
    if account:
        condition = _filled(template("restrict-source"), partition, {"<account>": account})
        document["Statement"][0]["Condition"]["StringEquals"] |= condition["StringEquals"]
        document["Statement"][0]["Condition"]["ArnLike"] = condition["ArnLike"]
    return document


def role(grants: Grants, *, partition: str = "aws") -> Document:
    """The policy of the service role for `grants`."""
    document = _per_item("role-policy", "<disk-image-file-bucket>", grants.buckets, partition)
    parts = [
        ("export-policy", "<export-bucket>", grants.export_buckets),
        ("kms-policy", "<key-arn>", grants.keys),
    ]
    for name, placeholder, items in parts:
        document["Statement"] += _per_item(name, placeholder, items, partition)["Statement"]
    if grants.license_manager:
        document["Statement"] += template("license-policy")["Statement"]
    return document


def user(buckets: Sequence[str], *, partition: str = "aws") -> Document:
    """The seed's policy for the person or job that imports and exports."""
    return _per_item("user-policy", "mys3bucket", tuple(buckets), partition)


def key_statement(role_arn: str) -> Document:
    """What a KMS key's own policy must say for the service role, where it does not leave that to IAM."""
    filled: Document = _filled(template("key-statement"), "aws", {"<role-arn>": role_arn})
    return filled


def export_bucket(bucket: str, *, canonical_id: str, partition: str = "aws") -> Document:
    """The bucket policy that lets CreateInstanceExportTask write to `bucket` (aws-facts 4.4)."""
    values = {"<canonical-id>": canonical_id, "<export-bucket>": bucket}
    filled: Document = _filled(template("export-bucket-policy"), partition, values)
    return filled


def merged(existing: Document | None, ours: Document) -> Document:
    """`existing` with our statements (recognised by their Sid) brought up to date; all others are kept as they are.

    S3 shows a canonical id back as that account's ARN, so a statement that differs only in this is left.
    """
    if existing is None:
        return ours
    result = [*statements(existing)]
    for statement in ours["Statement"]:
        place = next((i for i, found in enumerate(result) if found.get("Sid") == statement["Sid"]), None)
        if place is None:
            result.append(statement)
        elif not _same_but_for_account(result[place], statement):
            result[place] = statement
    return {**existing, "Version": "2012-10-17", "Statement": result}


def union(*groups: Iterable[str]) -> tuple[str, ...]:
    """Every item once, in the order of first sight."""
    return tuple(dict.fromkeys(item for group in groups for item in group))


def _filled(value: Any, partition: str, values: Mapping[str, str]) -> Any:
    """`value` with placeholders replaced and ARNs in `partition`."""
    if isinstance(value, str):
        for placeholder, replacement in values.items():
            value = value.replace(placeholder, replacement)
        return re.sub(r"^arn:aws:", f"arn:{partition}:", value)
    if isinstance(value, list):
        return [_filled(item, partition, values) for item in value]
    return {key: _filled(item, partition, values) for key, item in value.items()}


def _per_item(name: str, placeholder: str, items: Sequence[str], partition: str) -> Document:
    """Template `name` with every resource that holds `placeholder` repeated per item.

    A statement that is left without any resource is left out: an empty list is malformed.
    """
    document = template(name)
    kept = []
    for statement in document["Statement"]:
        resources_ = statement["Resource"]
        if isinstance(resources_, list):
            statement["Resource"] = [
                _filled(resource, partition, {placeholder: item}) for item in items for resource in resources_
            ]
        if statement["Resource"]:
            kept.append(statement)
    return {**document, "Statement": kept}


def _same_but_for_account(found: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    principal = found.get("Principal")
    shown_as_account = (
        isinstance(principal, Mapping)
        and set(principal) == {"AWS"}
        and all(re.fullmatch(r"(arn:aws[a-z-]*:iam::)?\d{12}(:root)?", item) for item in texts(principal, "AWS"))
        and bool(texts(principal, "AWS"))
    )
    probe = {**found, "Principal": ours["Principal"]} if shown_as_account else found
    return same({"Statement": [probe]}, {"Statement": [ours]})
