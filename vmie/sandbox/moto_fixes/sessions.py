"""Temporary credentials: moto forgets who asked for them, for which role, and with which session policies.

What GetSessionToken and GetFederationToken return is the same key for everybody in moto; here each is its own.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.models import IAMBackend, iam_backends
from moto.sts.models import STSBackend
from moto.sts.responses import TokenResponse

from vmie.sandbox.patching import Patcher


@dataclass(frozen=True, slots=True)
class Session:
    """What temporary credentials stand for: a role, or the user (`key` is its access key) that asked for them.

    `policies` are session policies as documents, `policy_arns` managed ones; both empty: the session is not limited.
    """

    kind: str  #: AssumeRole, AssumeRoleWithWebIdentity, AssumeRoleWithSAML, GetSessionToken or GetFederationToken
    account: str
    name: str
    token: str
    issued: dt.datetime
    expires: dt.datetime
    role: str = ""
    key: str = ""
    policies: tuple[str, ...] = ()
    policy_arns: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    source_identity: str = ""
    mfa: bool = False


class Sessions:
    """All temporary credentials of a sandbox, by access key."""

    def __init__(self, now: Callable[[], dt.datetime]) -> None:
        self._now = now
        self._held: dict[str, Session] = {}
        #: every access key that a user was ever given
        self.issued: set[str] = set()

    def restart(self) -> None:
        """Forget all."""
        self._held.clear()
        self.issued.clear()

    def find(self, key: str) -> Session | None:
        """The session that `key` stands for."""
        return self._held.get(key)

    def expired(self, session: Session) -> bool:
        """Whether its time is over, by the sandbox's calendar."""
        return self._now() >= session.expires

    def install(self, patcher: Patcher) -> None:
        """Attach the recording."""
        for name in ("assume_role", "assume_role_with_web_identity", "assume_role_with_saml"):
            patcher.attribute(TokenResponse, name, self._assuming(getattr(TokenResponse, name)))
        for name in ("get_session_token", "get_federation_token"):
            patcher.attribute(TokenResponse, name, self._own(getattr(TokenResponse, name)))
        patcher.attribute(STSBackend, "get_caller_identity", self._identity(STSBackend.get_caller_identity))
        patcher.attribute(IAMBackend, "create_access_key", self._issuing(IAMBackend.create_access_key))

    def _assuming(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def assume(call: Any) -> Any:
            answer = original(call)
            made = answer.result["Credentials"]
            seconds = (made.expiration - dt.datetime.now(dt.UTC).replace(tzinfo=None)).total_seconds()
            self._record(call, made.access_key_id, made.session_token, seconds, role=made.role_arn)
            return answer

        return assume

    def _own(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def get(call: Any) -> Any:
            answer = original(call)
            credentials = answer.result["Credentials"]
            made = iam_backends[call.current_account][call.partition].create_temp_access_key()
            token = secrets.token_urlsafe(96)
            seconds = float(call._get_int_param("DurationSeconds", 43200))  # noqa: SLF001
            credentials |= {"AccessKeyId": made.access_key_id, "SecretAccessKey": made.secret_access_key}
            credentials["SessionToken"] = token
            self._record(call, made.access_key_id, token, seconds)
            return ActionResult(answer.result)

        return get

    def _identity(self, original: Callable[..., tuple[str, str, str]]) -> Callable[..., tuple[str, str, str]]:
        def get(backend: Any, key: str, region: str) -> tuple[str, str, str]:
            session = self._held.get(key)
            if session is None or session.role:
                return original(backend, key, region)
            if session.kind == "GetSessionToken":
                return original(backend, session.key, region)
            arn = f"arn:{backend.partition}:sts::{session.account}:federated-user/{session.name}"
            return f"{session.account}:{session.name}", arn, session.account

        return get

    def _issuing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def create(backend: Any, *args: Any, **kwargs: Any) -> Any:
            key = original(backend, *args, **kwargs)
            self.issued.add(key.access_key_id)
            return key

        return create

    def _record(self, call: Any, key: str, token: str, seconds: float, *, role: str = "") -> None:
        asked = call._get_params()  # noqa: SLF001 - moto's own way to all parameters
        before = self._held.get(call.access_key)
        policy = asked.get("Policy")
        now = self._now()
        self._held[key] = Session(
            kind=call._get_action(),  # noqa: SLF001
            account=role.split(":")[4] if role.count(":") >= 5 else call.current_account,
            name=str(asked.get("RoleSessionName") or asked.get("Name") or ""),
            token=token,
            issued=now,
            expires=now + dt.timedelta(seconds=seconds),
            role=role,
            key=call.access_key,
            policies=(str(policy),) if policy else (),
            policy_arns=tuple(str(one.get("arn") or one.get("Arn")) for one in asked.get("PolicyArns") or ()),
            tags={str(one["Key"]): str(one["Value"]) for one in asked.get("Tags") or ()},
            source_identity=str(asked.get("SourceIdentity") or (before.source_identity if before else "")),
            mfa=bool(asked.get("SerialNumber") and asked.get("TokenCode")),
        )
