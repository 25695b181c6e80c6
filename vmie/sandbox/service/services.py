"""Which services the sandbox has. moto has two hundred more: some of them post to the network or start containers."""

from __future__ import annotations

from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.fault_injection import ApiCall

#: names as in a signature
_OFFERED = {
    "s3": "S3",
    "iam": "IAM",
    "sts": "STS",
    "ec2": "EC2",
    "ebs": "the EBS direct API",
    "kms": "KMS",
    "servicequotas": "Service Quotas",
}
#: moto's own names of the parts that answer for them, and of what is beside them
BACKENDS = frozenset({*_OFFERED, "s3control", "moto_api"})


def names() -> list[str]:
    """The services, as a signature names them."""
    return sorted(_OFFERED)


def refused(call: ApiCall) -> ApiError | None:
    """The error for a service that the sandbox does not have; None for one that it has."""
    return None if call.service in _OFFERED else missing(call.service)


def missing(service: str) -> ApiError:
    """There is no such service here."""
    *rest, last = _OFFERED.values()
    return _not_implemented(f"The sandbox has no service {service!r}: it has {', '.join(rest)} and {last}.")


def missing_action(call: ApiCall) -> ApiError:
    """The service is here, its action is not."""
    return _not_implemented(f"The sandbox has no action {call.action} of {_OFFERED.get(call.service, call.service)}.")


def _not_implemented(message: str) -> ApiError:
    # 501 is not retried by the SDKs, as 500 and 503 are
    return ApiError("NotImplemented", message, status=501)
