"""Users and sessions of a sandbox, and what each of their calls is answered with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from vmie.sandbox import Sandbox

ACCOUNT = "123456789012"
USER = f"arn:aws:iam::{ACCOUNT}:user/ann"
_SESSION = boto3.Session()


@dataclass
class Ann:
    """A user of the account, or whom else `keys` belong to."""

    box: Sandbox
    keys: Mapping[str, str]
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str, region: str = "us-east-1", **more: Any) -> Any:
        """A client with its credentials."""
        name = f"{service} {region} {more}"
        if name not in self._clients:
            self._clients[name] = _SESSION.client(  # type: ignore[call-overload]
                service,
                region_name=region,
                endpoint_url=self.box.url or None,
                aws_access_key_id=self.keys["AccessKeyId"],
                aws_secret_access_key=self.keys["SecretAccessKey"],
                aws_session_token=self.keys.get("SessionToken"),
                config=Config(retries={"total_max_attempts": 1}),
                **more,
            )
        return self._clients[name]

    def may(self, *statements: dict[str, Any], name: str = "p") -> None:
        """Replace the user's policy."""
        self.box.client("iam").put_user_policy(UserName="ann", PolicyName=name, PolicyDocument=policy(*statements))

    def as_role(self, name: str = "ops", **more: Any) -> Ann:
        """A session of a role."""
        arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
        return Ann(self.box, self.client("sts").assume_role(RoleArn=arn, RoleSessionName="ann", **more)["Credentials"])


def owner(box: Sandbox) -> Ann:
    """Whoever stands for the account itself: any key that the sandbox did not give out."""
    return Ann(box, {"AccessKeyId": "made", "SecretAccessKey": "up"})


def user(box: Sandbox, *statements: dict[str, Any], **more: Any) -> Ann:
    """The user ann, with these statements."""
    iam = box.client("iam")
    iam.create_user(UserName="ann", **more)
    ann = Ann(box, iam.create_access_key(UserName="ann")["AccessKey"])
    if statements:
        ann.may(*statements)
    return ann


ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def role(box: Sandbox, *statements: dict[str, Any], name: str = "ops", trust: Any = None, **more: Any) -> str:
    """A role, which whoever `trust` says may assume: the account unless said otherwise."""
    trusted = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    iam = box.client("iam")
    document = policy({**trusted, **(trust or {})})
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document, **more)
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(*statements))
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {**allow(action, resource, **more), "Effect": "Deny"}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def said(call: Callable[..., Any], **parameters: Any) -> str:
    """Code and message of the refusal; "" when the policies let the call through, whatever it is answered then."""
    try:
        call(**parameters)
    except ClientError as error:
        answer = error.response["Error"]
        refused = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403")
        return f"{answer['Code']}: {answer['Message']}" if answer["Code"] in refused else ""
    return ""
