"""Who is behind an access key, with every policy that limits it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from moto.iam.models import get_account_id_from, iam_backends
from moto.utilities.utils import get_partition

from vmie.policy.authorize import Caller
from vmie.policy.evaluate import Document
from vmie.sandbox.access.iam import role_tags
from vmie.sandbox.access.sts import find_role
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.defaults import ACCOUNT, EVERYTHING
from vmie.sandbox.moto_fixes.sessions import Session, Sessions
from vmie.sandbox.service.account_state import policy_document

#: how each service says that there is no such key, and that a session is over
_UNKNOWN = {
    "ec2": ("AuthFailure", "AWS was not able to validate the provided access credentials", 401),
    "s3": ("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403),
    "ebs": ("UnrecognizedClientException", "The security token included in the request is invalid.", 403),
    "kms": ("UnrecognizedClientException", "The security token included in the request is invalid.", 400),
}
_EXPIRED = {
    "ec2": ("RequestExpired", "Request has expired.", 400),
    "s3": ("ExpiredToken", "The provided token has expired.", 400),
    "ebs": ("ExpiredTokenException", "The security token included in the request is expired", 403),
    "kms": ("ExpiredTokenException", "The security token included in the request is expired", 400),
}


class Callers:
    """Finds callers; `control` are the organisation's policies over an account."""

    def __init__(self, sessions: Sessions, control: Callable[[str], tuple[tuple[Document, ...], ...]]) -> None:
        self._sessions = sessions
        self._control = control

    def find(self, key: str, *, region: str, service: str) -> tuple[Caller, dict[str, Any]]:
        """The caller behind `key` and the condition keys that say who it is.

        Keys that the sandbox did not give out stand for the account itself, which may do everything. Raises ApiError
        for a key that is switched off and for a session that is over.
        """
        partition = str(get_partition(region or "us-east-1"))
        session = self._sessions.find(key)
        if session is not None:
            if self._sessions.expired(session):
                raise _error(_EXPIRED, "ExpiredToken", "The security token included in the request is expired", service)
            return self._of_session(session, partition)
        found = find_user(key)
        if found is None:
            if key in self._sessions.issued:  # and taken back
                raise self._unknown(service)
            return self._of_owner(key, partition)
        user, active = found
        if not active:
            raise self._unknown(service)
        return self._of_user(user)

    @staticmethod
    def _unknown(service: str) -> ApiError:
        said = "The security token included in the request is invalid."
        return _error(_UNKNOWN, "InvalidClientTokenId", said, service)

    def of_principal(self, arn: str) -> tuple[Caller, dict[str, Any]] | None:
        """The caller that a user's or role's ARN stands for; None where there is none."""
        account = arn.split(":")[4] if arn.count(":") >= 5 else ""
        for backend in list(iam_backends[account].values()) if account in iam_backends else ():
            for user in list(backend.users.values()):
                if user.arn == arn:
                    return self._of_user(user)
        role = find_role(arn)
        return self._of_role(role, "simulated") if role is not None else None

    def _of_user(self, user: Any) -> tuple[Caller, dict[str, Any]]:
        backend = _backend(user)
        caller = Caller(
            user.arn,
            user.account_id,
            identity(backend, user),
            boundary(backend, user),
            control=self._control(user.account_id),
        )
        tags = backend.tagger.get_tag_dict_for_resource(user.arn)
        context = {"aws:PrincipalArn": user.arn, "aws:userid": user.id, "aws:username": user.name}
        return caller, {**context, **_principal(user.account_id, "User", tags)}

    def _of_role(self, role: Any, name: str, session: Session | None = None) -> tuple[Caller, dict[str, Any]]:
        account, backend = role.arn.split(":")[4], _backend(role)
        caller = Caller(
            f"arn:{role.arn.split(':')[1]}:sts::{account}:assumed-role/{role.name}/{name}",
            account,
            identity(backend, role),
            boundary(backend, role),
            session=_limits(backend, session) if session else None,
            control=self._control(account),
            role=role.arn,
        )
        tags = role_tags(role) | dict(session.tags if session else {})
        context = {"aws:PrincipalArn": role.arn, "aws:userid": f"{role.id}:{name}"}
        return caller, {**context, **_principal(account, "AssumedRole", tags)}

    def _of_session(self, session: Session, partition: str) -> tuple[Caller, dict[str, Any]]:
        times = {
            "aws:TokenIssueTime": session.issued.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "aws:MultiFactorAuthPresent": "true" if session.mfa else "false",
        }
        if session.source_identity:
            times["aws:SourceIdentity"] = session.source_identity
        if session.role:
            role = find_role(session.role)
            if role is None:  # moto gives credentials for roles that are not there: nobody's policies
                arn = session.role.replace(":iam:", ":sts:", 1).replace(":role/", ":assumed-role/", 1)
                return Caller(f"{arn}/{session.name}", session.account, (EVERYTHING,), owner=True), times
            caller, context = self._of_role(role, session.name, session)
            return caller, {**context, **times}
        found = find_user(session.key)
        caller, context = self._of_user(found[0]) if found else self._of_owner(session.key, partition)
        if session.kind == "GetFederationToken":
            backend = iam_backends[caller.account][partition]
            arn = f"arn:{partition}:sts::{caller.account}:federated-user/{session.name}"
            # without session policies a federated user may do nothing of its own
            limits = _limits(backend, session) or ()
            caller = Caller(arn, caller.account, caller.identity, caller.boundary, limits, caller.control)
            context = {"aws:PrincipalArn": arn, "aws:userid": f"{caller.account}:{session.name}"}
            context |= _principal(caller.account, "FederatedUser", dict(session.tags))
        return caller, {**context, **times}

    def _of_owner(self, key: str, partition: str) -> tuple[Caller, dict[str, Any]]:
        account = get_account_id_from(key) if key else ACCOUNT
        arn = f"arn:{partition}:iam::{account}:root"
        shown = f"arn:{partition}:sts::{account}:user/moto"  # what GetCallerIdentity answers
        caller = Caller(arn, account, (EVERYTHING,), control=self._control(account), role=shown, owner=True)
        return caller, {"aws:PrincipalArn": arn, "aws:userid": account, **_principal(account, "Account", {})}


def find_user(key: str) -> tuple[Any, bool] | None:
    """The user that an access key belongs to, and whether the key is active."""
    for account in list(iam_backends):
        for backend in list(iam_backends[account].values()):
            for user in list(backend.users.values()):
                for one in user.access_keys:
                    if one.access_key_id == key:
                        return user, one.status == "Active"
    return None


def identity(backend: Any, who: Any) -> tuple[str, ...]:
    """The documents of a user or role, a user's groups included."""
    holders = [who, *(group for group in list(backend.groups.values()) if who in getattr(group, "users", ()))]
    found: list[str] = []
    for holder in holders:
        found += [one if isinstance(one, str) else str(one) for one in list(holder.policies.values())]
        found += [policy_document(policy) for policy in list(holder.managed_policies.values())]
    return tuple(found)


def boundary(backend: Any, who: Any) -> str | None:
    """The document of a user's or role's permissions boundary; one that is not there allows nothing."""
    arn = getattr(who, "permissions_boundary_arn", None)
    policy = backend.managed_policies.get(arn) if arn else None
    return policy_document(policy) if policy is not None else ("{}" if arn else None)


def _limits(backend: Any, session: Session) -> tuple[str, ...] | None:
    managed = [backend.managed_policies.get(arn) for arn in session.policy_arns]
    documents = (*session.policies, *(policy_document(one) for one in managed if one is not None))
    return documents if session.policies or session.policy_arns else None


def _principal(account: str, kind: str, tags: dict[str, str]) -> dict[str, Any]:
    return {
        "aws:PrincipalAccount": account,
        "aws:PrincipalType": kind,
        "aws:PrincipalIsAWSService": "false",
        **{f"aws:PrincipalTag/{key}": value for key, value in tags.items()},
    }


def _backend(holder: Any) -> Any:
    parts = holder.arn.split(":")
    return iam_backends[parts[4]][parts[1]]


def _error(known: dict[str, tuple[str, str, int]], code: str, message: str, service: str) -> ApiError:
    code, message, status = known.get(service, (code, message, 403))
    return ApiError(code, message, status=status)
