"""Run in cloudimg's own environment: publish an image as its users do; a line of JSON for each operation."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from cloudimg.aws import AWSDeleteMetadata, AWSPublishingMetadata, AWSService

service = AWSService(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], "us-east-1")


def step(task: str, do: Callable[[], Any]) -> Any:
    """Do it, and say how it went."""
    made, message = None, ""
    try:
        made = do()
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
    print(json.dumps({"task": task, "ok": not message, "message": message}), flush=True)
    return made


def same(first: Any, second: Any) -> None:
    """Raise unless they are one image."""
    if first.id != second.id:
        raise AssertionError(f"{first.id} is not {second.id}")


def metadata() -> AWSPublishingMetadata:
    """What is published."""
    return AWSPublishingMetadata(
        image_path="disk.raw",
        image_name="cloudimg-image",
        snapshot_name="cloudimg-snapshot",
        container="cloudimg-images",
        description="an image",
        arch="x86_64",
        virt_type="hvm",
        root_device_name="/dev/sda1",
        volume_type="gp3",
        boot_mode="hybrid",
        billing_products=[],
        accounts=["111122223333"],
        snapshot_account_ids=["111122223333"],
        tags={"team": "a"},
    )


image = step("publish", lambda: service.publish(metadata()))
step("publish again finds it", lambda: same(image, service.publish(metadata())))
step("get_image_by_tags", lambda: same(image, service.get_image_by_tags({"team": "a"})))
step("delete", lambda: service.delete(AWSDeleteMetadata(image.id)))
