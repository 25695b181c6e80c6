"""EnableImageDeprecation and DisableImageDeprecation, which moto lacks: publishers set when an image is outdated.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeprecation.html
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from vmie.sandbox import api_errors
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.clock import SandboxClock
from vmie.sandbox.moto_fixes import compute
from vmie.sandbox.patching import Patcher

_MINUTE = dt.timedelta(minutes=1)
#: the furthest that it may be set to
_YEARS = dt.timedelta(days=3653)


def install(patcher: Patcher, clock: SandboxClock) -> None:
    """Attach the actions."""

    def enable(call: Any) -> Any:
        image = compute.find_image(call.ec2_backend, call._get_param("ImageId") or "")  # noqa: SLF001 - moto's own way
        image.deprecation_time = _date(call._get_param("DeprecateAt"), now=clock.now())  # noqa: SLF001
        return {"Return": True}

    def disable(call: Any) -> Any:
        compute.find_image(call.ec2_backend, call._get_param("ImageId") or "").deprecation_time = None  # noqa: SLF001
        return {"Return": True}

    for name, action in (("enable_image_deprecation", enable), ("disable_image_deprecation", disable)):
        patcher.attribute(EC2Response, name, _answering(action))


def _answering(action: Any) -> Any:
    def method(self: Any) -> Any:
        try:
            self.error_on_dryrun()
            return ActionResult(action(self))
        except ApiError as error:
            return error.document("ec2")

    return method


def _date(given: Any, *, now: dt.datetime) -> str:
    """When it is deprecated, to the minute as EC2 rounds it, as DescribeImages shows it. Raises ApiError."""
    if not given:
        raise api_errors.missing_parameter("DeprecateAt")
    try:
        when = given if isinstance(given, dt.datetime) else dt.datetime.fromisoformat(str(given))
        when = when if when.tzinfo else when.replace(tzinfo=dt.UTC)
        when = (when + _MINUTE / 2).astimezone(dt.UTC).replace(second=0, microsecond=0)
    except (ValueError, OverflowError) as error:
        raise ApiError("InvalidParameterValue", f"Value ({given}) for parameter DeprecateAt is invalid.") from error
    if not now - _MINUTE <= when <= now + _YEARS:
        raise ApiError("InvalidParameterValue", f"Value ({given}) for parameter DeprecateAt is invalid.")
    return f"{when:%Y-%m-%dT%H:%M:%S}.000Z"
