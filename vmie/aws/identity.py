"""Who calls: the identity behind the credentials, and the policies that say what it may do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from vmie import partitions
from vmie.aws import iam
from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, VmieError
from vmie.policy import Document, document


@dataclass(frozen=True, slots=True)
class Identity:
    """What STS says. `server_time` is the time of its answer, None where it does not tell."""

    arn: str
    account: str
    server_time: dt.datetime | None = None

    @property
    def root(self) -> bool:
        """The account's root user."""
        return self.arn.endswith(":root")


def identity(aws: Aws, *, region: str | None = None) -> Identity:
    """The caller, asked in `region` (default: the session's). Raises AwsRefused, VmieError."""
    with refusals("GetCallerIdentity"):
        answer: Any = aws.client("sts", region=region).get_caller_identity()
    headers = (answer.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
    return Identity(answer["Arn"], answer["Account"], _date(str(headers.get("date") or "")))


def principal(aws: Aws, who: Identity) -> str | None:
    """The ARN of the user or role behind `who`; None for one that has no policies of its own (root, federated).

    An assumed role's ARN leaves out the role's path, so IAM is asked for it where it may be.
    """
    kind, _, name = who.arn.split(":", 5)[5].partition("/")
    if kind == "user" and ":iam:" in who.arn:
        return who.arn
    if kind != "assumed-role":
        return None
    role = name.partition("/")[0]
    try:
        with refusals("GetRole", operand=role):
            return str(aws.client("iam").get_role(RoleName=role)["Role"]["Arn"])
    except VmieError:
        return f"arn:{aws.partition}:iam::{who.account}:role/{role}"


def documents(aws: Aws, arn: str) -> list[Document] | None:
    """Every policy of the user (groups included) or role `arn`; None where one of them may not be read."""
    kind, _, path = arn.split(":", 5)[5].partition("/")
    name = path.rpartition("/")[2]
    try:
        with refusals("reading policies", operand=arn):
            return _user(aws.client("iam"), name) if kind == "user" else _held(aws.client("iam"), "role", name)
    except VmieError:
        return None


def _user(client: Any, name: str) -> list[Document]:
    pages = client.get_paginator("list_groups_for_user").paginate(UserName=name)
    groups = [group["GroupName"] for page in pages for group in page["Groups"]]
    found = _held(client, "user", name)
    for group in groups:
        found += _held(client, "group", group)
    return found


def _held(client: Any, kind: str, name: str) -> list[Document]:
    """Inline and managed policies of a user, group or role."""
    who = {f"{kind.capitalize()}Name": name}
    names = _all(client, f"list_{kind}_policies", who, lambda page: page["PolicyNames"])
    get = getattr(client, f"get_{kind}_policy")
    found = [document(get(**who, PolicyName=policy)["PolicyDocument"]) for policy in names]
    attached = _all(client, f"list_attached_{kind}_policies", who, lambda page: page["AttachedPolicies"])
    return found + [iam.managed(client, policy["PolicyArn"]) for policy in attached]


def _all(client: Any, operation: str, who: dict[str, str], items: Callable[[Any], Any]) -> list[Any]:
    return [item for page in client.get_paginator(operation).paginate(**who) for item in items(page)]


def _date(text: str) -> dt.datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def opted_in(aws: Aws) -> str | None:
    """``opt-in-not-required``, ``opted-in`` or ``not-opted-in``; None where it may not be asked."""
    try:
        with refusals("DescribeRegions", operand=aws.region):
            client = aws.client("ec2", region=partitions.named(aws.partition).home)
            answer = client.describe_regions(RegionNames=[aws.region], AllRegions=True)
    except AwsRefused:
        return None
    return next((str(region["OptInStatus"]) for region in answer["Regions"]), None)
