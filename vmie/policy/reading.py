"""Documents read back: what a policy that is in force says in the terms of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vmie.errors import VmieError
from vmie.policy.compare import Document, matches, same, statements, texts
from vmie.policy.documents import ASSUME_ROLE, BUCKET, EXTERNAL_ID, KEY_ARN, SERVICE, Grants, role, trust, union

_S3_ARN = re.compile(r"arn:aws[a-z-]*:s3:::([^/]+)(/\*)?")
_OPERATORS = ("StringEquals", "StringLike", "ArnLike", "ArnEquals")
#: the grammar has five, a list of conditions' values included
_MOST_LEVELS = 20


def document(found: Any, *, operand: str = "a role or user") -> Document:
    """A policy as AWS hands it out: text, or decoded by botocore. Raises VmieError for what is none; names `operand`.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
    """
    try:
        read = json.loads(found) if isinstance(found, str) else found
    except (ValueError, RecursionError):
        read = None
    if isinstance(read, Mapping) and _levels(read) <= _MOST_LEVELS:
        return dict(read)
    raise VmieError(
        f"the policy of {operand} cannot be read",
        cause="it is no JSON object of the form that IAM takes",
        cure="look at it in the AWS console, and put another in its place",
        code="UnreadablePolicy",
    )


def _levels(root: Any) -> int:
    """How deep lists and objects stand in each other; counted no further than needed."""
    level, inside = 0, [root]
    while inside and level <= _MOST_LEVELS:
        level += 1
        holders = (one.values() if isinstance(one, Mapping) else one for one in inside)
        inside = [held for holder in holders for held in holder if isinstance(held, Mapping | list)]
    return level


def grants_of(document: Mapping[str, Any], *, partition: str = "aws") -> Grants | None:
    """The `Grants` that `document` says, no more and no less; None when it was edited to say something else."""
    found = granted(document)
    return found if same(document, role(found, partition=partition)) else None


def granted(document: Mapping[str, Any]) -> Grants:
    """Everything in `document` that reads like a grant of ours, whatever else it says."""
    keys = [
        resource
        for statement in _allowing(document, "kms:decrypt")
        for resource in texts(statement, "Resource")
        if KEY_ARN.fullmatch(resource)
    ]
    return Grants(
        tuple(_read_only(document)),
        tuple(buckets_of(document, export=True)),
        union(keys),
        any(True for _ in _allowing(document, "license-manager:getlicenseconfiguration")),
    )


def buckets_of(document: Mapping[str, Any], *, export: bool = False) -> list[str]:
    """The buckets that the role policy lets the service read from, or (`export`) write to, by name.

    A statement that also writes is one for exports: its buckets count as ones to read from only when the
    document names no others.
    """
    if export:
        return _bucket_names(_allowing(document, "s3:putobject"))
    return _read_only(document) or _bucket_names(_allowing(document, "s3:getobject"))


def trusted_account(document: Mapping[str, Any], *, partition: str = "aws") -> str | None:
    """Whom `document` lets in: "" any account, or one account's digits; None when it is not our trust policy."""
    if same(document, trust(partition=partition)):
        return ""
    for statement in statements(document):
        condition = statement.get("Condition")
        equals = condition.get("StringEquals") if isinstance(condition, dict) else None
        found = equals.items() if isinstance(equals, dict) else ()
        account = next((value for key, value in found if key.lower() == "aws:sourceaccount"), None)
        if isinstance(account, str) and same(document, trust(account=account, partition=partition)):
            return account
    return None


def trusts_only_the_service(document: Mapping[str, Any]) -> bool:
    """Whether no one but VM Import/Export is spoken of: then a wrong trust policy can be put right safely."""
    principals = [statement.get("Principal") for statement in statements(document)]
    return all(
        isinstance(principal, Mapping) and set(principal) == {"Service"} and texts(principal, "Service") == [SERVICE]
        for principal in principals
    )


def admits(document: Mapping[str, Any], *, account: str, partition: str = "aws") -> bool:
    """Whether `document`, edited or not, lets VM Import/Export in for requests of `account`.

    Conservative: any Deny, and any condition that cannot be judged here, says no; so does a missing external id.
    """
    found = statements(document)
    if any(statement.get("Effect") != "Allow" for statement in found):
        return False
    context = {
        "sts:externalid": EXTERNAL_ID,
        "aws:sourceaccount": account,
        "aws:sourcearn": f"arn:{partition}:vmie:region:{account}:task",
    }
    return any(_lets_in(statement, context) for statement in found)


def mentions_source(document: Mapping[str, Any]) -> bool:
    """Whether `document` is narrowed to requests of some account."""
    return re.search(r'"aws:Source(Account|Arn)"', json.dumps(document), re.IGNORECASE) is not None


def _lets_in(statement: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    principal, condition = statement.get("Principal"), statement.get("Condition")
    if not isinstance(principal, Mapping) or SERVICE not in texts(principal, "Service"):
        return False
    if not any(matches(action.lower(), ASSUME_ROLE.lower()) for action in texts(statement, "Action")):
        return False
    if not isinstance(condition, Mapping):
        return False
    keys = set()
    for operator, wanted in condition.items():
        if not isinstance(wanted, Mapping) or operator.removesuffix("IfExists") not in _OPERATORS:
            return False
        for key in wanted:
            value = context.get(key.lower())
            if value is None or not any(matches(pattern, value) for pattern in texts(wanted, key)):
                return False
            keys.add(key.lower())
    return "sts:externalid" in keys


def _allowing(document: Mapping[str, Any], action: str) -> Iterator[Document]:
    for statement in statements(document):
        if statement.get("Effect") == "Allow" and any(matches(a.lower(), action) for a in texts(statement, "Action")):
            yield statement


def _read_only(document: Mapping[str, Any]) -> list[str]:
    writing = list(_allowing(document, "s3:putobject"))
    return _bucket_names(found for found in _allowing(document, "s3:getobject") if found not in writing)


def _bucket_names(found: Iterable[Mapping[str, Any]]) -> list[str]:
    names = []
    for statement in found:
        for resource in texts(statement, "Resource"):
            match = _S3_ARN.fullmatch(resource)
            if match and match[2] and BUCKET.fullmatch(match[1]):
                names.append(match[1])
    return list(union(names))
