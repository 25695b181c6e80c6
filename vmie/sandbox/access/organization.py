"""The organisation's policies over the accounts of a sandbox, set from outside: no service of AWS sets them here."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from vmie.policy.evaluate import parsed
from vmie.sandbox.defaults import EVERYTHING

#: how much a service control policy may hold
#: https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html
_LIMIT = 10_240


class Organization:
    """Service control policies over the accounts; none is in force before the first is attached.

    FullAWSAccess is attached as well, as in a new organisation, until one is attached that allows something itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attached: dict[str, list[str]] = {}

    def attach(self, document: str | Mapping[str, Any], *, account: str = "") -> None:
        """Attach a policy over `account`, or over every account; raises ValueError for what is no policy."""
        text = document if isinstance(document, str) else json.dumps(document)
        try:
            read = json.loads(text)
        except RecursionError as error:
            raise ValueError("the policy is nested too deep") from error
        if not isinstance(read, dict) or "Statement" not in read:
            raise ValueError("a policy is a JSON object with a Statement")
        if len(text) > _LIMIT:
            raise ValueError(f"a service control policy has {_LIMIT} characters at most, not {len(text)}")
        with self._lock:
            self._attached.setdefault(account, []).append(text)

    def clear(self) -> None:
        """Leave the organisation."""
        with self._lock:
            self._attached.clear()

    def attached(self, account: str = "") -> tuple[str, ...]:
        """The policies that were attached over `account`, or over every account."""
        with self._lock:
            return tuple(self._attached.get(account, ()))

    def over(self, account: str) -> tuple[tuple[Any, ...], ...]:
        """The policies of each level over `account`: of the root, then its own; none without an organisation."""
        if not self._attached:
            return ()
        with self._lock:
            levels = [self._attached[one] for one in ("", account) if one in self._attached]
        return tuple((*level, *(() if any(map(_allows, level)) else (EVERYTHING,))) for level in levels)


def _allows(document: str) -> bool:
    return any(statement.get("Effect") == "Allow" for statement in parsed(document))
