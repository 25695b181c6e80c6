"""An import or export that AWS refused, explained by what is really so in the account.

AWS says one sentence for nine causes; the checks of the doctor find which of them it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vmie import catalogue
from vmie.errors import AwsRefused, TaskFailed, VmieError
from vmie.model import Verdict
from vmie.ops.context import Context
from vmie.ops.doctor import Check, account, bucket, case_of, credentials, looked, rights, role
from vmie.ops.doctor.report import Case, Line
from vmie.ops.operation import Operation, RefusalSubject

_OBJECT: tuple[Check, ...] = (bucket.place, bucket.objects_there)
_ROLE: tuple[Check, ...] = (bucket.place, role.exists, bucket.objects_there, role.rights, role.keys, role.ebs_key)
_KEY: tuple[Check, ...] = (role.keys, role.ebs_key, role.exists)
_CALLER: tuple[Check, ...] = (rights.own,)
_DOOR: tuple[Check, ...] = (credentials.identity, credentials.region)
_GRANT: tuple[Check, ...] = (bucket.place, bucket.encryption, bucket.export_grant)

#: catalogue entry → the checks that find which of its causes it is
CHECKS: dict[str, tuple[Check, ...]] = {
    "role-not-usable": _ROLE,
    "iam-absent": (role.exists,),
    "object-forbidden": _ROLE,
    "ova-unsupported": _KEY,
    "kms-key-not-usable": _KEY,
    "kms-caller-denied": _CALLER,
    "kms-denied": _KEY,
    "kms-not-found": _KEY,
    "bucket-not-local": (bucket.place,),
    "object-not-local": (bucket.place,),
    "s3-location-invalid": _OBJECT,
    "disk-image-size-zero": _OBJECT,
    "object-absent": _OBJECT,
    "bucket-absent": (bucket.place,),
    "export-bucket-grant": _GRANT,
    "access-denied": _CALLER,
    "credentials-wrong": _DOOR,
    "opt-in": _DOOR,
    "clock-skew": (credentials.identity, credentials.clock),
    "import-quota": (account.quotas,),
}


#: carries one check out: `vmie.ops.doctor.looked`, or something that remembers
Look = Callable[[Case, str, Check], list[Line]]


def weigh(entry: str, case: Case, *, look: Look = looked) -> list[Line]:
    """What is really so of the causes of catalogue entry `entry`: every line of its checks, failures first."""
    lines = [line for check in CHECKS.get(entry, ()) for line in look(case, check.__name__, check)]
    return sorted(lines, key=lambda line: line.verdict is not Verdict.FAIL)


def diagnosed(error: VmieError, case: Callable[[], Case | None], *, look: Look = looked) -> VmieError:
    """The same error; where the account explains it, with that as cause and cure. `case` is made only if needed."""
    # What is passing is AWS's own fault, or what it says where a bucket lacks the grant for exports.
    if not isinstance(error, AwsRefused | TaskFailed) and not error.passing:
        return error
    words = f"{error.message}\n{error.cause}" if isinstance(error, TaskFailed) else error.message
    known = catalogue.explain(words, error.code)
    if known.id not in CHECKS:
        return error
    try:
        looked_at = case()
        entry = "access-denied" if looked_at is not None and _names_caller(words, looked_at) else known.id
        lines = weigh(entry, looked_at, look=look) if looked_at is not None else []
        found = [line for line in lines if line.verdict is Verdict.FAIL]
    except VmieError:
        return error
    if found and found[0].what != error.message:
        # A task's own words are in the cause; a refused call's are in the message.
        said = error.cause.splitlines()[:1] if isinstance(error, TaskFailed) else []
        error.why = tuple(filter(None, [*said, found[0].what, found[0].why, *(line.what for line in found[1:])]))
        error.actions = found[0].actions or error.actions
    return error


#: IAM names who may not, and what: "User: arn:aws:iam::…:user/me is not authorized to perform: kms:GenerateDataKey"
_WHO_MAY_NOT = re.compile(r"\bUser: (arn:\S+) is not authorized to perform")


def _names_caller(words: str, case: Case) -> bool:
    """Whether the refusal is of the caller's own rights, and not of the service role's."""
    named = _WHO_MAY_NOT.search(words)
    return named is not None and named[1] == case.identity.arn


def case_for(context: Context, subject: RefusalSubject | None) -> Case | None:
    """The account as an operation meets it; None where nothing of it can explain a refusal."""
    if subject is None:
        return None
    return case_of(
        context.aws,
        settings=context.settings,
        clock=context.clock,
        job=subject.job,
        bucket=subject.bucket,
        key=subject.key,
        role_name=subject.role_name,
        keys=subject.keys,
    )


@contextmanager
def explained(operation: Operation[Any, Any, Any]) -> Iterator[None]:
    """Whatever leaves the block because AWS refused leaves with the account's own reason."""
    try:
        yield
    except VmieError as error:
        diagnosed(error, lambda: case_for(operation.context, operation.subject()))
        raise
