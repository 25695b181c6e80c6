"""Asked before each call: may this caller make it? The answer is the service's own refusal, or none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from vmie.policy.authorize import ALLOWED, Authorization, Caller, Kind, authorize
from vmie.policy.evaluate import Access, Decision, Principal, decide
from vmie.sandbox.access import ebs, ec2, iam, kms, s3, sts
from vmie.sandbox.access.asks import Ask
from vmie.sandbox.access.callers import Callers
from vmie.sandbox.access.request import ApiRequest
from vmie.sandbox.api_errors import ApiError

_ASKS: dict[str, Callable[[ApiRequest], Iterable[Ask]]] = {
    "ec2": ec2.asks,
    "ebs": ebs.asks,
    "s3": s3.asks,
    "kms": kms.asks,
    "iam": iam.asks,
    "sts": sts.asks,
}
#: the request that this thread answers, for what is found out on the way
_current: ContextVar[tuple[ApiRequest, Caller, dict[str, Any]] | None] = ContextVar("vmie_request", default=None)


class AccessJudge:
    """Judges calls. `now` is the sandbox's calendar."""

    def __init__(self, callers: Callers, now: Callable[[], dt.datetime]) -> None:
        self._callers = callers
        self._now = now

    def refused(self, request: ApiRequest) -> ApiError | None:
        """The error for a call that its caller may not make; None for all others."""
        _current.set(None)
        if request.call.service == "s3" and not request.key:
            return self._anonymous(request)
        try:
            caller, who = self._callers.find(request.key, region=request.region, service=request.call.service)
        except ApiError as error:
            return error
        request = replace(request, account=caller.account, names=(caller.arn, caller.role))
        context = {**who, **self._of_request(request)}
        _current.set((request, caller, context))
        for ask in self._asks(request, caller):
            verdict = judged(caller, ask, context)
            if not verdict.allowed:
                return refusal(request, caller, ask, verdict)
        return None

    def _anonymous(self, request: ApiRequest) -> ApiError | None:
        """Nobody in particular: what the bucket's policy denies everybody; moto reads the ACLs."""
        caller, context = Caller("*", ""), self._of_request(request)
        _current.set((request, caller, context))
        for ask in s3.asks(request):
            verdict = judged(caller, ask, context)
            if verdict.explicit:
                return refusal(request, caller, ask, verdict)
        return None

    def open_to_all(self, action: str, resource: str) -> bool:
        """Whether the call that is being answered is anonymous, and the bucket's policy allows it to everybody."""
        current = _current.get()
        if current is None or current[1].arn != "*":
            return False
        request, _, context = current
        return all(_open(ask, context) for ask in s3.asks(request))

    def may_delete(self, key: str, version: str = "") -> bool:
        """Whether the call that is being answered may remove `key` of the bucket that it names."""
        current = _current.get()
        if current is None:
            return True
        request, caller, context = current
        return judged(caller, s3.deletion(request, key, version), context).allowed

    def _asks(self, request: ApiRequest, caller: Caller) -> Iterator[Ask]:
        service = request.call.service
        if caller.owner and not caller.control and service not in ("s3", "kms"):
            return
        find = _ASKS.get(service)
        if find is None:
            yield Ask(f"{service}:{request.call.action}")
            return
        yield from find(request)
        if service == "s3" and not caller.owner and (listing := s3.listing(request)) is not None:
            yield listing

    def _of_request(self, request: ApiRequest) -> dict[str, Any]:
        now = self._now().astimezone(dt.UTC)
        headers = request.headers
        return {
            "aws:RequestedRegion": request.region,
            "aws:SecureTransport": "true" if request.secure else "false",
            "aws:SourceIp": request.source,
            "aws:CurrentTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "aws:EpochTime": str(int(now.timestamp())),
            "aws:ViaAWSService": "false",
            **({"aws:UserAgent": headers["user-agent"]} if "user-agent" in headers else {}),
            **({"aws:Referer": headers["referer"]} if "referer" in headers else {}),
        }


def judged(caller: Caller, ask: Ask, context: dict[str, Any]) -> Authorization:
    """The verdict on one need; the account itself may always put its resources' policies right."""
    if ask.rescue and caller.owner and ask.guard.owner in ("", caller.account):
        return ALLOWED
    return authorize(caller, Access(ask.action, ask.resource, {**context, **ask.context}), ask.guard)


def _open(ask: Ask, context: dict[str, Any]) -> bool:
    access = Access(ask.action, ask.resource, {**context, **ask.context})
    return decide([ask.guard.policy], access, principal=Principal("AWS", ("*",))) is Decision.ALLOW


def refusal(request: ApiRequest, caller: Caller, ask: Ask, verdict: Authorization) -> ApiError:
    """The refusal as the service words it.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html
    """
    service = request.call.service
    said = _sentence(caller, ask, verdict)
    if service == "ec2":
        return ApiError(
            "UnauthorizedOperation", f"You are not authorized to perform this operation. {said}", status=403
        )
    if service == "s3":
        if request.method == "HEAD":  # has no body to say why
            return ApiError("403", "Forbidden", status=403)
        if (verdict.foreign or caller.arn == "*") and not ask.action.startswith("kms:"):
            said = "Access Denied"
        return ApiError("AccessDenied", said, status=403)
    if service in ("kms", "ebs", "servicequotas"):
        # the Reason is a required member of the EBS direct API's error
        reason = {"Reason": "UNAUTHORIZED_ACCOUNT"} if service == "ebs" else None
        return ApiError("AccessDeniedException", said, status=403 if service == "ebs" else 400, detail=reason)
    return ApiError("AccessDenied", said, status=403)


def _sentence(caller: Caller, ask: Ask, verdict: Authorization) -> str:
    user = caller.role if caller.owner else caller.arn
    begin = f"User: {user} is not authorized to perform: {ask.action}"
    if ask.action.startswith("kms:") and not verdict.explicit and (verdict.foreign or verdict.kind is Kind.RESOURCE):
        return (
            f"{begin} on this resource because the resource does not exist in this Region, no resource-based policies "
            "allow access, or a resource-based policy explicitly denies access"
        )
    resource = ask.resource
    if ask.action.startswith("s3:"):
        resource = "" if ask.action == "s3:ListAllMyBuckets" else f'"{resource}"'
    elif resource == "*" and ask.action.startswith("ec2:"):
        resource = ""
    where = f" on resource: {resource}" if resource else ""
    reason = "" if verdict.foreign and ask.action.startswith("sts:") else f" {verdict.reason(ask.action)}"
    return f"{begin}{where}{reason}"
