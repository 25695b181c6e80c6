"""All kinds of policies together: may this caller do that to this resource, and if not, which kind says so. Pure.

The order is AWS's: explicit denials of any kind first, then service control policies, the resource's own policy, and
the caller's identity policies within its permissions boundary and session policies.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from vmie.policy.evaluate import Access, Decision, Document, Principal, decide


class Kind(Enum):
    """A kind of policy, as AWS's messages name it."""

    CONTROL = "service control policy"
    RESOURCE = "resource-based policy"
    TRUST = "role trust policy"
    IDENTITY = "identity-based policy"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `arn` is a user's, or that of a session, whose role is `role`.

    `boundary` and `session` are None where there are none; `control` holds the service control policies of each level
    of the organisation, from the root to the account. `owner` is the account's root user, or whoever stands for it:
    only explicit denials of others stop it.
    """

    arn: str
    account: str
    identity: tuple[Document, ...] = ()
    boundary: Document | None = None
    session: tuple[Document, ...] | None = None
    control: tuple[tuple[Document, ...], ...] = ()
    role: str = ""
    owner: bool = False

    @property
    def partition(self) -> str:
        """``aws``, ``aws-cn``, …"""
        return self.arn.split(":")[1] if self.arn.count(":") >= 5 else "aws"

    @property
    def names(self) -> tuple[str, ...]:
        """What a Principal element may call it by itself."""
        return (self.arn, self.role) if self.role else (self.arn,)

    @property
    def account_names(self) -> tuple[str, ...]:
        """What a Principal element may call its account."""
        return (f"arn:{self.partition}:iam::{self.account}:root", self.account)


@dataclass(frozen=True, slots=True)
class Guard:
    """What a resource says itself: its policy, and the account that owns it ("": the caller's).

    `alone` is True where identity policies count only if the resource's policy passes the decision on to the account:
    KMS keys and roles. `granted` is True where something beside policies allows it: a grant of KMS, an ACL.
    """

    policy: Document = ""
    owner: str = ""
    alone: bool = False
    granted: bool = False
    kind: Kind = Kind.RESOURCE


@dataclass(frozen=True, slots=True)
class Authorization:
    """Whether it is allowed; else the kind of policy that stops it, by an explicit Deny or by allowing nothing."""

    allowed: bool
    kind: Kind = Kind.IDENTITY
    explicit: bool = False
    foreign: bool = False  #: the resource is another account's: AWS does not say why

    def reason(self, action: str) -> str:
        """The end of AWS's message.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
        """
        if self.explicit:
            article = "an" if self.kind is Kind.IDENTITY else "the" if self.kind is Kind.TRUST else "a"
            return f"with an explicit deny in {article} {self.kind.value}"
        return f"because no {self.kind.value} allows the {action} action"


ALLOWED = Authorization(True)
_NO_GUARD = Guard()


def authorize(caller: Caller, ask: Access, guard: Guard = _NO_GUARD) -> Authorization:
    """Judge `ask` of `caller` by its policies and the resource's."""
    foreign = bool(guard.owner) and guard.owner != caller.account
    own = decide(caller.identity, ask)
    whole = decide([guard.policy], ask, principal=Principal("AWS", (*caller.names, *caller.account_names)))
    denied = next((kind for kind, denies in _denials(caller, ask, own, whole, guard.kind) if denies), None)
    if denied:
        return Authorization(False, denied, explicit=True, foreign=foreign)
    if any(decide(level, ask) is not Decision.ALLOW for level in caller.control):
        return Authorization(False, Kind.CONTROL, foreign=foreign)
    admitted = guard.granted or whole is Decision.ALLOW
    if not admitted and (foreign or (guard.alone and not caller.owner)):
        return Authorization(False, guard.kind, foreign=foreign)
    if caller.owner:
        return ALLOWED
    by_name = not foreign and (guard.granted or _by_name(guard, ask, *caller.names) is Decision.ALLOW)
    if not by_name and own is not Decision.ALLOW:
        return Authorization(False, Kind.IDENTITY, foreign=foreign)
    return _within(caller, ask, guard, by_name=by_name, foreign=foreign)


def _denials(caller: Caller, ask: Access, own: Decision, resource: Decision, kind: Kind) -> Iterator[tuple[Kind, bool]]:
    yield Kind.CONTROL, any(decide(level, ask) is Decision.DENY for level in caller.control)
    yield kind, resource is Decision.DENY
    yield Kind.IDENTITY, own is Decision.DENY
    yield Kind.BOUNDARY, caller.boundary is not None and decide([caller.boundary], ask) is Decision.DENY
    yield Kind.SESSION, caller.session is not None and decide(caller.session, ask) is Decision.DENY


def _within(caller: Caller, ask: Access, guard: Guard, *, by_name: bool, foreign: bool) -> Authorization:
    """Boundary and session policies, which limit all but what a resource gives a user or a session by its own ARN."""
    itself = _by_name(guard, ask, caller.arn) is Decision.ALLOW and _by_name(guard, ask) is not Decision.ALLOW
    if by_name and itself:
        return ALLOWED
    if caller.boundary is not None and decide([caller.boundary], ask) is not Decision.ALLOW:
        return Authorization(False, Kind.BOUNDARY, foreign=foreign)
    if caller.session is not None and decide(caller.session, ask) is not Decision.ALLOW:
        return Authorization(False, Kind.SESSION, foreign=foreign)
    return ALLOWED


def _by_name(guard: Guard, ask: Access, *names: str) -> Decision:
    """What the resource's policy says to `names` alone; without any, to everybody."""
    return decide([guard.policy], ask, principal=Principal("AWS", names))
