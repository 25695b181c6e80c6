"""Which tags EC2 takes: botocore's EC2 model, shape Tag; aws: is reserved (EC2 User Guide, "Tag restrictions")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response

from vmie.sandbox.patching import Patcher

_KEY, _VALUE, _MOST = 127, 256, 50


def install(patcher: Patcher) -> None:
    """Check tags wherever they are given: moto counts them only."""
    patcher.attribute(EC2Response, "create_tags", _create_tags(EC2Response.create_tags))
    parse = EC2Response._parse_tag_specification  # noqa: SLF001 - every action that tags calls it
    patcher.attribute(EC2Response, "_parse_tag_specification", _parse(parse))


def fault(tags: Iterable[Mapping[str, Any]]) -> tuple[str, str] | None:
    """Code and message of what is wrong with the tags of one resource."""
    seen: set[str] = set()
    for tag in tags:
        key, value = tag.get("Key") or "", tag.get("Value") or ""
        for wrong, message in (
            (not key, "Tag keys must not be empty"),
            (len(key) > _KEY, f"Tag key exceeds the maximum length of {_KEY} characters"),
            (len(value) > _VALUE, f"Tag value exceeds the maximum length of {_VALUE} characters"),
            (key.lower().startswith("aws:"), "Tag keys starting with 'aws:' are reserved for internal use"),
            (key in seen, f"Duplicate tag key '{key}' specified."),
        ):
            if wrong:
                return "InvalidParameterValue", message
        seen.add(key)
    if len(seen) > _MOST:
        return "TagLimitExceeded", "The maximum number of Tags for a resource has been reached."
    return None


def _require(tags: Iterable[Mapping[str, Any]]) -> None:
    if found := fault(tags):
        raise EC2ClientError(*found)


def _create_tags(original: Any) -> Any:
    def create_tags(self: Any) -> Any:
        _require(self._get_param("Tags") or ())
        return original(self)

    return create_tags


def _parse(original: Any) -> Any:
    def _parse_tag_specification(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = self._get_param("TagSpecifications") or self._get_param("TagSpecification") or ()
        for specification in given if isinstance(given, list) else ():
            _require(specification.get("Tags") or ())
        return original(self, *args, **kwargs)

    return _parse_tag_specification
