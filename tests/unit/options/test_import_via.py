"""Which options go with which way to AWS: one that the way has no use for is refused, not passed over."""

from __future__ import annotations

from typing import Any

import pytest

from vmie.errors import UsageError
from vmie.options import ImportRequest

SNAPSHOT: dict[str, Any] = {"route": "snapshot", "via": "ebs"}


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({**SNAPSHOT, "bucket": "images"}, ("bucket",)),
        ({**SNAPSHOT, "sse": "AES256", "storage_class": "STANDARD_IA"}, ("sse", "storage_class")),
        ({**SNAPSHOT, "as_is": True}, ("as_is",)),
        ({**SNAPSHOT, "format": "raw"}, ("format",)),
        ({**SNAPSHOT, "role_name": "mine"}, ("role_name",)),
        ({**SNAPSHOT, "sources": ["s3://images/disk.raw"]}, ("sources", "via")),
        ({"route": "instance", "via": "ebs", "instance_type": "m3.large"}, ("via",)),
        ({"route": "instance", "via": "auto", "instance_type": "m3.large"}, ("via",)),
        ({"zeros": "all"}, ("zeros",)),
        ({"route": "snapshot", "sources": ["a", "b"]}, ()),
        ({"route": "volume", "kms_key": "alias/disks", "availability_zone": "us-east-1a"}, ("kms_key",)),
    ],
)
def test_refused(given: dict[str, Any], fields: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        ImportRequest(**{"sources": ["disk.raw"], **given})
    assert set(fields) <= set(caught.value.fields), caught.value
    assert caught.value.cure


@pytest.mark.parametrize(
    "given",
    [
        {**SNAPSHOT, "register": "web-1", "imds_v2": True, "kms_key": "alias/disks", "zeros": "all"},
        {**SNAPSHOT, "sources": ["boot.raw", "data.raw"]},
        {
            "route": "volume",
            "via": "ebs",
            "availability_zone": "us-east-1a",
            "kms_key": "alias/disks",
            "volume_size": 9,
        },
        {"via": "ebs", "role_name": "mine", "license_type": "BYOL"},
        {"via": "auto", "bucket": "images", "zeros": "all"},
        {"via": "auto", "sources": ["s3://images/disk.raw"]},
    ],
)
def test_taken(given: dict[str, Any]) -> None:
    assert ImportRequest(**{"sources": ["disk.raw"], **given}).via == given["via"]
