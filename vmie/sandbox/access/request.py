"""A request as far as permissions need it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from moto.utilities.utils import get_partition

from vmie.sandbox.fault_injection import ApiCall

_VIRTUAL = re.compile(r"(.+?)\.s3(?:[.-]|$)")
#: bodies are small where they matter: forms and JSON; the Region of a new bucket is smaller still
BODY_LIMIT, _PLACE_LIMIT = 1 << 20, 4096


@dataclass(frozen=True)
class ApiRequest:
    """`call` says which action; `body` is empty for content. `bucket` is one that the host names, "" if none.

    Header names are in lower case. `account` is the caller's, as moto knows it.
    """

    call: ApiCall
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    bucket: str = ""
    source: str = "127.0.0.1"
    secure: bool = True
    account: str = "123456789012"
    names: tuple[str, ...] = ()  #: the caller's ARNs, which a grant may name

    @property
    def region(self) -> str:
        """The Region that it is signed for."""
        return self.call.region or "us-east-1"

    @property
    def partition(self) -> str:
        """Its Region's."""
        return str(get_partition(self.region))

    @cached_property
    def key(self) -> str:
        """The access key that signs it, by either version of signatures; "" for an anonymous request."""
        older = re.match(r"AWS ([^:\s]+):", self.headers.get("authorization", ""))
        return self.call.key or (older[1] if older else "") or self.query.get("AWSAccessKeyId", "")

    @cached_property
    def parts(self) -> SplitResult:
        """The URL, split."""
        return urlsplit(self.url)

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The query, the first value of each name."""
        return {key: values[0] for key, values in parse_qs(self.parts.query, keep_blank_values=True).items()}

    @cached_property
    def form(self) -> Mapping[str, str]:
        """The parameters of a query protocol, flat: ``TagSpecification.1.Tag.1.Key``."""
        given = parse_qs(self.body.decode("utf-8", "replace"), keep_blank_values=True)
        return {**self.query, **{key: values[0] for key, values in given.items()}}

    @cached_property
    def json(self) -> Mapping[str, Any]:
        """The parameters of a JSON protocol; empty where there are none to read."""
        try:
            found = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.parts.path)

    @cached_property
    def object(self) -> tuple[str, str]:
        """S3's bucket and key, "" where there is none."""
        path = self.path.removeprefix("/")
        named = _VIRTUAL.match(self.parts.hostname or "")
        if self.bucket or named:
            return self.bucket or (named[1] if named else ""), path
        bucket, _, key = path.partition("/")
        return bucket, key

    def listed(self, prefix: str) -> list[str]:
        """The values of ``prefix.1``, ``prefix.2``, … of a form."""
        pattern = re.compile(rf"{re.escape(prefix)}\.\d+")
        return [value for key, value in self.form.items() if pattern.fullmatch(key)]

    def tags(self, prefix: str) -> dict[str, str]:
        """The tags ``prefix.N.Key`` and ``prefix.N.Value`` of a form."""
        pattern = re.compile(rf"({re.escape(prefix)}\.\d+)\.Key")
        found = (pattern.fullmatch(key) for key in self.form)
        return {self.form[one[0]]: self.form.get(f"{one[1]}.Value", "") for one in found if one}


def wants_body(method: str, headers: Mapping[str, str], size: int) -> bool:
    """Whether permissions hang on the body: a form, JSON, or the Region of a new bucket; never an object's content."""
    form = headers.get("content-type", "")
    if method == "POST":
        return size <= BODY_LIMIT and ("form-urlencoded" in form or "json" in form or "x-amz-target" in headers)
    return method == "PUT" and size <= _PLACE_LIMIT
