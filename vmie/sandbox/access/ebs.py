"""What calls of EBS direct need: the snapshot, and the right to tag where it is tagged.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticblockstore.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmie.sandbox.access.asks import Ask, resource_tags, tag_context
from vmie.sandbox.access.ec2 import existing_tags, snapshot_tags
from vmie.sandbox.access.request import ApiRequest


def asks(request: ApiRequest) -> Iterator[Ask]:
    """Everything that has to be allowed for the call."""
    action = f"ebs:{request.call.action}"
    if request.call.action == "StartSnapshot":
        yield from _start(request, action)
        return
    steps = request.path.strip("/").split("/")
    name = steps[2] if len(steps) > 2 and steps[1] == "completion" else steps[1] if len(steps) > 1 else "*"
    names = [name, request.query.get("firstSnapshotId", "")]
    for one in filter(None, names):
        yield Ask(action, _arn(request, one), resource_tags(existing_tags(request, one)))


def _start(request: ApiRequest, action: str) -> Iterator[Ask]:
    given = request.json
    listed = given.get("Tags")
    tags = {str(one.get("Key")): str(one.get("Value", "")) for one in listed or () if isinstance(one, dict)}
    context: dict[str, Any] = dict(tag_context(tags))
    for name in ("Description", "VolumeSize"):
        if given.get(name) is not None:
            context[f"ebs:{name}"] = str(given[name])
    if parent := given.get("ParentSnapshotId"):
        context["ebs:ParentSnapshot"] = _arn(request, str(parent))
    yield Ask(action, _arn(request, "*"), context)
    if tags:
        yield snapshot_tags(request, tags, request.call.action)


def _arn(request: ApiRequest, name: str) -> str:
    return f"arn:{request.partition}:ec2:{request.region}::snapshot/{name}"
