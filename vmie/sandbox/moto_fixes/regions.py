"""GovCloud's global endpoint: moto reads the Region out of `iam.us-gov.amazonaws.com` and finds no partition in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.responses import BaseResponse

from vmie.sandbox.patching import Patcher

#: IAM signs for this Region there (botocore's endpoints.json, partition aws-us-gov)
_GOV = {"us-gov": "us-gov-west-1"}


def install(patcher: Patcher) -> None:
    """Attach it."""
    patcher.attribute(BaseResponse, "get_region_from_url", _mended(BaseResponse.get_region_from_url))


def _mended(read: Callable[..., str]) -> Callable[..., str]:
    def get_region_from_url(self: Any, request: Any, full_url: str) -> str:
        region = read(self, request, full_url)
        return _GOV.get(region, region)

    return get_region_from_url
